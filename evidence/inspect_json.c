/* Files that are JSON, or JSON in base64: PCR values, TDX collateral, golden measurements, runtime data,
 * tokens. */
#include "evidence/inspect_types.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "tpm/pcrs.h"

#include <ctype.h>

#define JSON_FILE_MAX (16u << 20)
#define JWT_MAX       (256u << 10)
#define KEY_MAX       128

static struct bytes skip_space(struct bytes data)
{
    size_t n = 0;
    while (n < data.n && data.p[n] && strchr(" \t\r\n", data.p[n]))
        n++;
    return bytes_of(data.p + n, data.n - n);
}

bool json_has(struct bytes data, char bracket, const char *member)
{
    char quoted[KEY_MAX];
    struct bytes text = skip_space(data);
    if (text.n == 0 || text.p[0] != (uint8_t)bracket)
        return false;
    if (!member)
        return true;
    int n = snprintf(quoted, sizeof(quoted), "\"%s\"", member);
    return memmem(text.p, text.n, quoted, (size_t)n) != NULL;
}

/* True if the first member of the object has one of these names. */
static bool first_member(struct bytes data, const char *const *names, size_t n)
{
    if (!json_has(data, '{', NULL))
        return false;
    struct bytes text = skip_space(data);
    text = skip_space(bytes_of(text.p + 1, text.n - 1));
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(names[i]);
        if (text.n >= len + 2 && text.p[0] == '"' && memcmp(text.p + 1, names[i], len) == 0
            && text.p[1 + len] == '"')
            return true;
    }
    return false;
}

/* A PCR file, or {"sha256":{"0":...}}: then the first member is a bank. */
bool looks_pcrs(struct bytes data)
{
    static const char *const banks[] = { "sha1", "sha256", "sha384", "sha512" };
    return (json_has(data, '{', "alg") && json_has(data, '{', "pcrs"))
           || first_member(data, banks, ARRAY_SIZE(banks));
}

bool looks_tcb_info(struct bytes data)
{
    return json_has(data, '{', "tcbInfo");
}

bool looks_qe_identity(struct bytes data)
{
    return json_has(data, '{', "enclaveIdentity");
}

bool looks_tcb_evaluation_numbers(struct bytes data)
{
    return json_has(data, '{', "tcbEvaluationDataNumbers");
}

bool looks_golden(struct bytes data)
{
    return json_has(data, '{', "golden_measurement")
           || (json_has(data, '{', "pcrs") && !json_has(data, '{', "alg") && !json_has(data, '{', "magic"));
}

bool looks_runtime_data(struct bytes data)
{
    static const char *const keys[] = { "keys" };
    return first_member(data, keys, 1) && json_has(data, '{', "HCLAkPub");
}

/* vmUniqueId, vm-configuration and mrSignerSeam in snake_case. */
static const char *snake(const char *name, char out[static KEY_MAX])
{
    size_t n = 0;
    for (const char *p = name; *p && n < KEY_MAX - 2; p++) {
        bool starts_word = p > name && isupper((unsigned char)*p) && islower((unsigned char)p[-1]);
        if (starts_word)
            out[n++] = '_';
        out[n++] = (char)(*p == '-' ? '_' : tolower((unsigned char)*p));
    }
    out[n] = '\0';
    return out;
}

static bool all_hex(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isxdigit((unsigned char)s[i]))
            return false;
    return n && n % 2 == 0;
}

/* A copy with the keys in snake_case, and strings that are hexadecimal in lower case. The depth is bounded by
 * json_parse(). */
static json_t *tidy(const json_t *v)
{
    const char *key;
    json_t *member;
    if (json_is_object(v)) {
        json_t *out = json_object();
        json_object_foreach((json_t *)(uintptr_t)v, key, member)
        {
            char name[KEY_MAX];
            put(out, snake(key, name), tidy(member));
        }
        return out;
    }
    if (json_is_array(v)) {
        json_t *out = json_array();
        for (size_t i = 0; i < json_array_size(v); i++)
            json_array_append_new(out, tidy(json_array_get(v, i)));
        return out;
    }
    if (json_is_string(v) && all_hex(json_string_value(v), json_string_length(v))) {
        AUTO(free_str) char *low = strdup(json_string_value(v));
        for (char *p = low; p && *p; p++)
            *p = (char)tolower((unsigned char)*p);
        return low ? json_string(low) : NULL;
    }
    return json_deep_copy(v);
}

void put_all(json_t *out, json_t *from)
{
    json_object_update_missing(out, from); /* "type" is there already */
    json_decref(from);
}

static int parse_object(struct bytes data, json_t **out, struct err *err)
{
    AUTO(json_drop) json_t *json = NULL;
    if (json_parse(data, JSON_FILE_MAX, &json, err) < 0)
        return -1;
    if (!json_is_object(json))
        return err_set(err, ERR_INPUT, 0, "the JSON is not an object");
    *out = MOVE(json);
    return 0;
}

/* The members of the one big object (tcbInfo, enclaveIdentity, ...) are lifted to the top; what stands beside
 * it (the signature) follows. */
int inspect_json_members(struct bytes data, json_t *out, struct err *err)
{
    static const char *const lifted[] = { "tcb_info", "enclave_identity", "tcb_evaluation_data_numbers" };
    AUTO(json_drop) json_t *json = NULL;
    if (parse_object(data, &json, err) < 0)
        return -1;
    json_t *all = tidy(json);
    for (size_t i = 0; i < ARRAY_SIZE(lifted); i++) {
        json_t *inner = json_object_get(all, lifted[i]);
        if (!json_is_object(inner))
            continue;
        put_all(out, json_incref(inner));
        json_object_del(all, lifted[i]);
    }
    put_all(out, all);
    return 0;
}

int inspect_golden(struct bytes data, json_t *out, struct err *err)
{
    json_t *json = NULL;
    if (parse_object(data, &json, err) < 0)
        return -1;
    put_all(out, json);
    return 0;
}

/* {"0":hex,...} of one bank, checked. */
static int put_bank(const char *name, const json_t *values, json_t *out, struct err *err)
{
    AUTO(json_drop) json_t *file = json_object();
    AUTO(buf_done) struct buf text = buf_new(TPM_PCRS_FILE_MAX);
    struct tpm_pcrs pcrs = { 0 };
    put(file, "alg", json_string(name));
    put(file, "pcrs", json_incref((json_t *)(uintptr_t)values));
    json_put(&text, file, false);
    if (buf_check(&text, name, err) < 0 || tpm_pcrs_parse(buf_bytes(&text), &pcrs, err) < 0)
        return -1;
    put(out, name, tpm_pcrs_values_json(&pcrs));
    return 0;
}

int inspect_pcrs(struct bytes data, json_t *out, struct err *err)
{
    AUTO(json_drop) json_t *json = NULL;
    const char *key;
    json_t *value;
    if (parse_object(data, &json, err) < 0)
        return -1;
    if (json_object_get(json, "pcrs")) {
        struct tpm_pcrs pcrs = { 0 };
        if (tpm_pcrs_parse(data, &pcrs, err) < 0)
            return -1;
        put_all(out, tpm_pcrs_json(&pcrs));
        return 0;
    }
    json_t *banks = json_object();
    put(out, "banks", banks);
    json_object_foreach(json, key, value)
    {
        if (put_bank(key, value, banks, err) < 0)
            return -1;
    }
    return 0;
}

static bool is_token_byte(uint8_t c)
{
    return isalnum(c) || c == '-' || c == '_' || c == '.';
}

static struct bytes trim_end(struct bytes data)
{
    while (data.n && data.p[data.n - 1] && strchr(" \t\r\n", data.p[data.n - 1]))
        data.n--;
    return data;
}

bool looks_jwt(struct bytes data)
{
    struct bytes text = trim_end(data);
    if (text.n < 4 || text.n > JWT_MAX || memcmp(text.p, "eyJ", 3) != 0)
        return false;
    for (size_t i = 0; i < text.n; i++)
        if (!is_token_byte(text.p[i]))
            return false;
    return memchr(text.p, '.', text.n) != NULL;
}

/* Takes the part up to the next dot. */
static struct bytes next_part(struct bytes *rest, bool *dot)
{
    const uint8_t *at = memchr(rest->p, '.', rest->n);
    struct bytes part = bytes_of(rest->p, at ? (size_t)(at - rest->p) : rest->n);
    *dot = at != NULL;
    size_t used = part.n + (at ? 1 : 0);
    *rest = bytes_of(rest->p + used, rest->n - used);
    return part;
}

static int put_part(json_t *out, const char *key, struct bytes part, size_t offset, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(JWT_MAX);
    json_t *json = NULL;
    struct err why = { 0 };
    if (b64_decode(part, &text, &why) < 0 || parse_object(buf_bytes(&text), &json, &why) < 0)
        return err_set(err, ERR_INPUT, 0, "the token's %s at offset %zu: %.150s", key, offset, why.cause);
    put(out, key, json);
    return 0;
}

int inspect_jwt(struct bytes data, json_t *out, struct err *err)
{
    struct bytes text = trim_end(data), rest = text;
    AUTO(buf_done) struct buf signature = buf_new(JWT_MAX);
    bool dot[3];
    if (text.n > JWT_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "token of %zu bytes, at most %u are read", text.n, JWT_MAX);
    struct bytes header = next_part(&rest, &dot[0]), claims = next_part(&rest, &dot[1]);
    struct bytes last = next_part(&rest, &dot[2]);
    if (!dot[0] || !dot[1] || dot[2])
        return err_set(err, ERR_INPUT, 0, "not three parts with two dots between them in %zu bytes", text.n);
    put(out, "verified", json_false()); /* nobody looked at the signature */
    if (put_part(out, "header", header, 0, err) < 0 || put_part(out, "claims", claims, header.n + 1, err) < 0
        || b64_decode(last, &signature, err) < 0)
        return -1;
    put(out, "signature", json_hex(buf_bytes(&signature)));
    return 0;
}
