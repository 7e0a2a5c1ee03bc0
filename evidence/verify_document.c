/* The reader of the collaterals document: a table of its members, and a walk over it. */
#include "evidence/verify_document.h"

#include "base/auto.h"
#include "base/chain.h"
#include "base/enc.h"
#include "base/json_spans.h"
#include "evidence/collect.h"
#include "tee/snp_report.h"

#include <errno.h>
#include <stddef.h>

#define VAR_DATA_MAX 65536
#define LOG_MAX      (8u << 20)
#define QUOTE_MAX    (256u << 10)
#define VALUES_MAX   400000u /* two logs of DOCUMENT_EVENTS_MAX events have less */

enum holder { IN_ROOT, IN_PLATFORM, IN_SNP, IN_TDX, IN_TPM, HOLDERS };

static const char *const holder_name[HOLDERS] = { "", "platform", "sev_snp", "tdx", "tpm" };

enum kind {
    KIND_BYTES, /* base64 of min to max bytes */
    KIND_CHAIN, /* a list of such */
    KIND_TEXT,  /* at most max bytes */
    KIND_FLAG,
    KIND_ARRAY, /* at most max elements, each an object */
    KIND_VALUE, /* kept as it is: an object or a text */
    KIND_HOLDER,
    KIND_PCRS,
    KIND_VERSION,
    KIND_PASSED_OVER
};

struct member {
    enum holder in;
    const char *key;
    enum kind kind;
    size_t offset, min, max;
    bool required; /* where its holder is there */
};

#define AT(field) offsetof(struct document, field)

/* Contract section 3, member by member. */
static const struct member members[] = {
    { IN_ROOT, "version", KIND_VERSION, 0, 0, 0, false },
    { IN_ROOT, "platform", KIND_HOLDER, 0, 0, 0, false },
    { IN_ROOT, "sev_snp", KIND_HOLDER, 0, 0, 0, false },
    { IN_ROOT, "tdx", KIND_HOLDER, 0, 0, 0, false },
    { IN_ROOT, "tpm", KIND_HOLDER, 0, 0, 0, false },
    { IN_ROOT, "magic", KIND_BYTES, AT(magic), MAGIC_SIZE, MAGIC_SIZE, true },
    { IN_ROOT, "nonce", KIND_BYTES, AT(nonce), 1, DIGEST_MAX, true },
    { IN_ROOT, "service", KIND_TEXT, AT(service), 1, SERVICE_MAX, false },
    { IN_ROOT, "uuid", KIND_BYTES, AT(uuid), 16, 16, false },
    { IN_ROOT, "boot_log_tpm", KIND_BYTES, AT(boot_log_tpm), 1, LOG_MAX, false },
    { IN_ROOT, "boot_log_ccel", KIND_BYTES, AT(boot_log_ccel), 1, LOG_MAX, false },
    { IN_ROOT, "workload_log", KIND_ARRAY, AT(workload_log), 0, DOCUMENT_EVENTS_MAX, false },
    { IN_ROOT, "journal_log", KIND_ARRAY, AT(journal_log), 0, DOCUMENT_EVENTS_MAX, false },
    { IN_ROOT, "tls_spki_sha256", KIND_TEXT, AT(tls_spki_sha256), 64, 64, false },
    { IN_ROOT, "missing", KIND_PASSED_OVER, 0, 0, 0, false },
    { IN_PLATFORM, "tee", KIND_TEXT, AT(platform.tee), 1, DOCUMENT_TEXT_MAX, true },
    { IN_PLATFORM, "cloud", KIND_TEXT, AT(platform.cloud), 1, DOCUMENT_TEXT_MAX, true },
    { IN_PLATFORM, "emulated", KIND_FLAG, AT(platform.emulated), 0, 0, false },
    { IN_SNP, "attestation_report", KIND_BYTES, AT(tee_report), 1, SNP_RESPONSE_SIZE, true },
    { IN_SNP, "vek_cert", KIND_BYTES, AT(vek_cert), 1, CERT_MAX, false },
    { IN_SNP, "cert_chain", KIND_CHAIN, AT(cert_chain), 1, CERT_MAX, false },
    { IN_SNP, "vek_certs", KIND_CHAIN, AT(vek_certs), 1, CERT_MAX, false },
    { IN_TDX, "attestation_report", KIND_BYTES, AT(tee_report), 1, QUOTE_MAX, true },
    { IN_TDX, "collateral", KIND_VALUE, AT(collateral), 0, 0, false },
    { IN_TPM, "quote", KIND_BYTES, AT(quote), 1, 8192, true },
    { IN_TPM, "raw_sig", KIND_BYTES, AT(raw_sig), 1, 8192, true },
    { IN_TPM, "pcrs", KIND_PCRS, 0, 0, 0, true },
    { IN_TPM, "ak_pub", KIND_BYTES, AT(ak_pub), 1, 8192, false },
    { IN_TPM, "ak_public", KIND_BYTES, AT(ak_public), 1, 8192, false },
    { IN_TPM, "ak_cert", KIND_BYTES, AT(ak_cert), 1, CERT_MAX, false },
    { IN_TPM, "ak_cert_chain", KIND_CHAIN, AT(ak_cert_chain), 1, CERT_MAX, false },
    { IN_TPM, "tpm_certs", KIND_CHAIN, AT(tpm_certs), 1, CERT_MAX, false },
    { IN_TPM, "var_data", KIND_BYTES, AT(var_data), 1, VAR_DATA_MAX, false },
    { IN_TPM, "report", KIND_TEXT, AT(report), 1, DOCUMENT_TEXT_MAX, false },
    { IN_TPM, "report_time", KIND_TEXT, AT(report_time), 1, DOCUMENT_TEXT_MAX, false },
};

/* Decoded bytes lie one after the other in one block, made large enough beforehand: views stay valid. */
struct parse {
    struct document *d;
    const struct json_spans *spans;
    struct buf arena;
    const json_t *holder[HOLDERS];
};

/* "tpm.quote"; the member's path in messages. */
struct path {
    char text[96];
};

static struct path path_of(const struct member *m)
{
    struct path p;
    snprintf(p.text, sizeof(p.text), "%s%s%s", holder_name[m->in], m->in == IN_ROOT ? "" : ".", m->key);
    return p;
}

static int bad(const struct member *m, const char *want, struct err *err)
{
    return err_set(err, ERR_INPUT, 0, "%s: want %s", path_of(m).text, want);
}

static int decode(struct parse *p, const char *path, const json_t *v, size_t min, size_t max,
                  struct bytes *out, struct err *err)
{
    AUTO(buf_done) struct buf plain = buf_new(DOCUMENT_MAX);
    struct err why = { 0 };
    size_t from = p->arena.n;
    if (!json_is_string(v))
        return err_set(err, ERR_INPUT, 0, "%s: want base64 text", path);
    struct bytes text = json_spans_raw(p->spans, v);
    if (memchr(text.p, '\\', text.n)) {
        if (json_spans_text(p->spans, v, &plain, err) < 0)
            return err_while(err, "read a member");
        text = buf_bytes(&plain);
    }
    if (b64_decode(text, &p->arena, &why) < 0)
        return err_set(err, ERR_INPUT, 0, "%s: %.160s", path, why.cause);
    size_t n = p->arena.n - from;
    if (p->arena.failed || n < min || n > max)
        return err_set(err, ERR_INPUT, 0, "%s: %zu bytes, want %zu to %zu", path, n, min, max);
    *out = bytes_of(p->arena.p + from, n);
    return 0;
}

static int read_chain(struct parse *p, const struct member *m, const json_t *v, struct document_list *out,
                      struct err *err)
{
    const json_t *item;
    size_t i;
    if (!json_is_array(v) || json_array_size(v) > DOCUMENT_CHAIN_MAX)
        return bad(m, "a list of at most 8 certificates", err);
    json_array_foreach(v, i, item)
    {
        char path[128];
        snprintf(path, sizeof(path), "%s[%zu]", path_of(m).text, i);
        if (decode(p, path, item, m->min, m->max, &out->item[i], err) < 0)
            return -1;
    }
    out->n = json_array_size(v);
    return 0;
}

static int read_text(const struct parse *p, const struct member *m, const json_t *v, const char **out,
                     struct err *err)
{
    size_t n = json_is_string(v) ? json_spans_raw(p->spans, v).n : 0;
    if (!json_is_string(v) || n < m->min || n > m->max)
        return err_set(err, ERR_INPUT, 0, "%s: want text of %zu to %zu bytes", path_of(m).text, m->min,
                       m->max);
    *out = json_string_value(v);
    return 0;
}

/* Puts the long strings of a member back: it is used as JSON. */
static int make_whole(const struct parse *p, const struct member *m, json_t **v, struct err *err)
{
    json_t *whole, *holder = (json_t *)(uintptr_t)p->holder[m->in];
    if (!p->spans->n)
        return 0;
    if (json_spans_whole(p->spans, *v, &whole, err) < 0)
        return err_while(err, "read a member");
    *v = whole;
    return json_object_set_new(holder, m->key, whole) < 0 ? err_set(err, ERR_IO, ENOMEM, "no memory for JSON")
                                                          : 0;
}

static int read_array(const struct member *m, const json_t *v, const json_t **out, struct err *err)
{
    const json_t *item;
    size_t i;
    if (!json_is_array(v) || json_array_size(v) > m->max)
        return err_set(err, ERR_INPUT, 0, "%s: want a list of at most %zu events", path_of(m).text, m->max);
    json_array_foreach(v, i, item)
    {
        if (!json_is_object(item))
            return err_set(err, ERR_INPUT, 0, "%s[%zu]: want an object", path_of(m).text, i);
    }
    *out = v;
    return 0;
}

/* "0" to "23", without leading zeros; -1: none of them. */
static int pcr_number(const char *key)
{
    char canonical[4];
    for (int i = 0; i < TPM_PCRS; i++) {
        snprintf(canonical, sizeof(canonical), "%d", i);
        if (!strcmp(key, canonical))
            return i;
    }
    return -1;
}

static int read_pcrs(struct parse *p, const struct member *m, const json_t *v, struct err *err)
{
    struct tpm_pcrs *pcrs = &p->d->pcrs;
    json_t *values = json_object_get(v, "pcrs"), *item;
    json_t *hash = json_object_get(v, "hash");
    json_int_t alg = json_is_integer(hash) ? json_integer_value(hash) : 0;
    size_t size = alg > 0 && alg <= UINT16_MAX ? digest_size((uint16_t)alg) : 0;
    const char *key;
    if (!size || !json_is_object(values) || json_object_size(v) != 2)
        return bad(m, "{\"hash\":11,\"pcrs\":{\"0\":base64,...}} with the number of a hash that is known",
                   err);
    pcrs->alg = (uint16_t)alg;
    json_object_foreach(values, key, item)
    {
        struct bytes value;
        char path[64];
        int i = pcr_number(key);
        snprintf(path, sizeof(path), "tpm.pcrs.pcrs.%.20s", key);
        if (i < 0)
            return err_set(err, ERR_INPUT, 0, "%s: registers go from 0 to 23", path);
        if (decode(p, path, item, size, size, &value, err) < 0)
            return -1;
        pcrs->mask |= 1u << i;
        pcrs->pcr[i] = (struct digest){ .alg = pcrs->alg, .n = (uint8_t)size };
        memcpy(pcrs->pcr[i].b, value.p, size);
    }
    return pcrs->mask ? 0 : bad(m, "at least one register", err);
}

static int read_holder(struct parse *p, const struct member *m, const json_t *v, struct err *err)
{
    if (!json_is_object(v))
        return bad(m, "an object", err);
    for (size_t h = 0; h < HOLDERS; h++)
        if (!strcmp(holder_name[h], m->key))
            p->holder[h] = v;
    return 0;
}

static int read_member(struct parse *p, const struct member *m, json_t *v, struct err *err)
{
    char *at = (char *)p->d + m->offset;
    switch (m->kind) {
    case KIND_BYTES:
        return decode(p, path_of(m).text, v, m->min, m->max, (struct bytes *)(void *)at, err);
    case KIND_CHAIN:
        return read_chain(p, m, v, (struct document_list *)(void *)at, err);
    case KIND_TEXT:
        return read_text(p, m, v, (const char **)(void *)at, err);
    case KIND_ARRAY:
        return make_whole(p, m, &v, err) < 0 ? -1 : read_array(m, v, (const json_t **)(void *)at, err);
    case KIND_HOLDER:
        return read_holder(p, m, v, err);
    case KIND_PCRS:
        return read_pcrs(p, m, v, err);
    case KIND_FLAG:
        if (!json_is_boolean(v))
            return bad(m, "true or false", err);
        *(bool *)(void *)at = json_is_true(v);
        return 0;
    case KIND_VALUE:
        if (!json_is_object(v) && !json_is_string(v))
            return bad(m, "an object", err);
        if (make_whole(p, m, &v, err) < 0)
            return -1;
        *(const json_t **)(void *)at = v;
        return 0;
    case KIND_VERSION:
        return json_is_integer(v) && json_integer_value(v) == 1 ? 0 : bad(m, "version 1", err);
    case KIND_PASSED_OVER:
        return 0;
    }
    return 0;
}

static const struct member *find(enum holder in, const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        if (members[i].in == in && !strcmp(members[i].key, key))
            return &members[i];
    return NULL;
}

static void note_unknown(struct document *d, enum holder in, const char *key)
{
    if (d->unknown_n < DOCUMENT_UNKNOWN_MAX)
        snprintf(d->unknown[d->unknown_n++], sizeof(d->unknown[0]), "%s%s%.40s", holder_name[in],
                 in == IN_ROOT ? "" : ".", key);
}

static int read_holder_members(struct parse *p, enum holder in, struct err *err)
{
    json_t *holder = (json_t *)(uintptr_t)p->holder[in], *v;
    const char *key;
    if (!holder)
        return 0;
    json_object_foreach(holder, key, v)
    {
        const struct member *m = find(in, key);
        if (!m)
            note_unknown(p->d, in, key);
        else if (read_member(p, m, v, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        if (members[i].in == in && members[i].required && !json_object_get(holder, members[i].key))
            return err_set(err, ERR_INPUT, 0, "%s: missing", path_of(&members[i]).text);
    return 0;
}

static bool lower_hex(const char *text)
{
    return text[strspn(text, "0123456789abcdef")] == 0;
}

/* A list of leaf and chain in one stands for the two where they are not there. */
static void split_list(const struct document_list *all, struct bytes *leaf, struct document_list *chain)
{
    if (!all->n || leaf->n || chain->n)
        return;
    *leaf = all->item[0];
    for (size_t i = 1; i < all->n; i++)
        chain->item[chain->n++] = all->item[i];
}

/* What no single member shows. */
static int check_whole(struct parse *p, struct err *err)
{
    struct document *d = p->d;
    split_list(&d->vek_certs, &d->vek_cert, &d->cert_chain);
    split_list(&d->tpm_certs, &d->ak_cert, &d->ak_cert_chain);
    if (p->holder[IN_SNP] && p->holder[IN_TDX])
        return err_set(err, ERR_INPUT, 0, "both sev_snp and tdx: a machine has one TEE");
    if (!p->holder[IN_SNP] && !p->holder[IN_TDX] && !p->holder[IN_TPM])
        return err_set(err, ERR_INPUT, 0, "not a collaterals document: neither sev_snp, tdx nor tpm");
    if (d->tls_spki_sha256 && !lower_hex(d->tls_spki_sha256))
        return err_set(err, ERR_INPUT, 0, "tls_spki_sha256: want 64 lower-case hex digits");
    if (p->holder[IN_TPM] && !d->ak_pub.n && !d->ak_public.n && !d->ak_cert.n)
        return err_set(err, ERR_INPUT, 0, "tpm: missing the attestation key: ak_pub, ak_public or ak_cert");
    if (d->report && strcmp(d->report, "boot") != 0 && strcmp(d->report, "fresh") != 0)
        return err_set(err, ERR_INPUT, 0, "tpm.report: want boot or fresh");
    time_t when;
    if (d->report_time && rfc3339_parse(d->report_time, &when, err) < 0)
        return err_while(err, "tpm.report_time");
    d->tee = p->holder[IN_SNP] ? TEE_SEV_SNP : p->holder[IN_TDX] ? TEE_TDX : TEE_NONE;
    d->has_tpm = p->holder[IN_TPM] != NULL;
    d->platform.said = p->holder[IN_PLATFORM] != NULL;
    return 0;
}

/* Views that nothing set still point somewhere. */
static void start_empty(struct document *d)
{
    *d = (struct document){ .root = NULL };
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        if (members[i].kind == KIND_BYTES)
            *(struct bytes *)(void *)((char *)d + members[i].offset) = bytes_of(NULL, 0);
}

int document_from_spans(const struct json_spans *spans, json_t *object, size_t text_n, struct document *out,
                        struct err *err)
{
    struct document d;
    struct parse p = { .d = &d, .spans = spans, .arena = buf_new(DOCUMENT_MAX) };
    start_empty(&d);
    if (!json_is_object(object))
        return err_set(err, ERR_INPUT, 0, "not a collaterals document: not a JSON object");
    if (!buf_room(&p.arena, text_n + 1))
        return err_set(err, ERR_TOO_LARGE, 0, "a collaterals document of %zu bytes: want %u at most", text_n,
                       DOCUMENT_MAX);
    p.arena.n = 0;
    p.holder[IN_ROOT] = object;
    int rc = 0;
    for (size_t h = 0; h < HOLDERS && rc == 0; h++)
        rc = read_holder_members(&p, (enum holder)h, err);
    if (rc < 0 || check_whole(&p, err) < 0) {
        buf_done(&p.arena);
        return err_while(err, "collaterals document");
    }
    d.bytes = p.arena.p;
    d.root = json_incref(object);
    *out = d;
    return 0;
}

static void spans_free(struct json_spans **s)
{
    if (*s)
        json_spans_done(*s);
    free(*s);
}

/* Characters in strings: base64 decodes to less. json_parse() bounds the depth. */
static size_t text_size(const json_t *v)
{
    const char *key;
    json_t *child;
    size_t i, sum = 0;
    if (json_is_string(v))
        return json_string_length(v);
    if (json_is_object(v))
        json_object_foreach((json_t *)(uintptr_t)v, key, child) sum += text_size(child);
    if (json_is_array(v))
        json_array_foreach(v, i, child) sum += text_size(child);
    return sum;
}

int document_from_json(json_t *root, struct document *out, struct err *err)
{
    AUTO(spans_free) struct json_spans *spans = calloc(1, sizeof(*spans));
    if (!spans)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a document");
    spans->root = json_incref(root);
    return document_from_spans(spans, root, text_size(root), out, err);
}

int document_parse(struct bytes text, struct document *out, struct err *err)
{
    AUTO(spans_free) struct json_spans *spans = calloc(1, sizeof(*spans));
    if (!spans)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a document");
    if (json_count_check(text, VALUES_MAX, err) < 0 || json_spans_parse(text, DOCUMENT_MAX, spans, err) < 0)
        return err_while(err, "collaterals document");
    return document_from_spans(spans, spans->root, text.n, out, err);
}

void document_done(struct document *d)
{
    free(d->bytes);
    json_decref(d->root);
    *d = (struct document){ .root = NULL };
}
