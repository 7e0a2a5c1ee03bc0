/* cvm-cli policy measurement, hostdata, extend: one value of an SNP policy file changed, everything else
 * kept. The file is written in one spelling: snake_case, bare numbers. */
#include "cli/policy_make.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/json_wide.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define MANIFEST_MAX (64u << 20)

/* ---- one spelling ---- */

static const char *const names[] = {
    "root_of_trust",
    "minimum_guest_svn",
    "family_id",
    "image_id",
    "report_data",
    "host_data",
    "report_id",
    "report_id_ma",
    "chip_id",
    "minimum_tcb",
    "minimum_launch_tcb",
    "minimum_build",
    "minimum_version",
    "permit_provisional_firmware",
    "platform_info",
    "require_author_key",
    "require_id_block",
    "trusted_author_keys",
    "trusted_author_key_hashes",
    "trusted_id_keys",
    "trusted_id_key_hashes",
    "machine_stepping",
    "product_line",
    "cabundle_paths",
    "check_crl",
    "disallow_network",
    "pcr_values",
};
static const char *const numbers[] = { "policy", "minimum_tcb", "minimum_launch_tcb", "platform_info" };
static const char *const products[] = { "SEV_PRODUCT_UNKNOWN", "SEV_PRODUCT_MILAN", "SEV_PRODUCT_GENOA",
                                        "SEV_PRODUCT_TURIN" };

/* trustedIdKeys is trusted_id_keys; a name that nobody knows stays as it is. */
static const char *snake(const char *key)
{
    char made[64];
    size_t n = 0;
    for (const char *p = key; *p && n < sizeof(made) - 2; p++) {
        if (isupper((unsigned char)*p))
            made[n++] = '_';
        made[n++] = (char)tolower((unsigned char)*p);
    }
    made[n] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!strcmp(names[i], made))
            return names[i];
    return key;
}

static json_t *as_number(json_t *v)
{
    const char *text = json_string_value(v);
    char *end = NULL;
    errno = 0;
    if (!text || !*text || text[strspn(text, "0123456789")])
        return NULL;
    unsigned long long n = strtoull(text, &end, 10);
    return errno ? NULL : json_wide_number(n);
}

static json_t *respelled(const char *key, json_t *v)
{
    json_t *made = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (!strcmp(numbers[i], key))
            made = as_number(v);
    for (size_t i = 0; json_is_string(v) && !strcmp(key, "name") && i < ARRAY_SIZE(products); i++)
        if (!strcmp(products[i], json_string_value(v)))
            made = json_integer((json_int_t)i);
    return made ? made : json_incref(v);
}

static int normalise(json_t *object, json_t **out, unsigned level, struct err *err)
{
    AUTO(json_drop) json_t *made = json_object();
    const char *key;
    json_t *v, *value;
    json_object_foreach(object, key, v)
    {
        const char *name = snake(key);
        if (json_object_get(made, name))
            return err_set(err, ERR_INPUT, 0, "%.60s is there in two spellings", name);
        if (json_is_object(v) && level < 3 && strcmp(name, "pcr_values") != 0) {
            if (normalise(v, &value, level + 1, err) < 0)
                return -1;
        } else {
            value = respelled(name, v);
        }
        if (json_object_set_new(made, name, value) < 0)
            return err_set(err, ERR_IO, ENOMEM, "no memory for a policy");
    }
    *out = MOVE(made);
    return 0;
}

static int read_policy(const char *path, json_t **out)
{
    AUTO(free_u8) uint8_t *text = NULL;
    AUTO(json_drop) json_t *root = NULL;
    struct err err = { 0 };
    size_t n;
    int rc = read_input(path, POLICY_FILE_MAX, &text, &n);
    if (rc)
        return rc;
    if (json_wide_parse(bytes_of(text, n), POLICY_FILE_MAX, &root, &err) < 0)
        return fail_err(STATUS_INPUT, path, "not a policy", &err);
    if (!json_is_object(root))
        return fail(STATUS_INPUT, path, "not a policy", "want a JSON object");
    if (normalise(root, out, 0, &err) < 0)
        return fail_err(STATUS_INPUT, path, "not a policy", &err);
    return 0;
}

/* The member of object that is an object itself, made if it is not there. */
static json_t *inner(json_t *object, const char *name)
{
    json_t *v = json_object_get(object, name);
    if (!v || json_is_null(v)) {
        v = json_object();
        json_object_set_new(object, name, v);
    }
    return json_is_object(v) ? v : NULL;
}

static int rewrite(const json_t *root, const char *path)
{
    AUTO(buf_done) struct buf text = buf_new(POLICY_FILE_MAX);
    json_wide_put(&text, root);
    return write_out(&text, path);
}

/* ---- measurement, hostdata ---- */

static int set_bytes(const struct command *command, int argc, char **argv, const char *member, size_t size)
{
    AUTO(json_drop) json_t *root = NULL;
    AUTO(buf_done) struct buf raw = buf_new(POLICY_FILE_MAX);
    const char *args[2];
    struct err err = { 0 };
    char why[64];
    int rc = options_parse(command, argc, argv, NULL, 0, args, 2, 2);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (b64_decode(bytes_str(args[0]), &raw, &err) < 0)
        return fail_err(STATUS_INPUT, member, "not base64", &err);
    snprintf(why, sizeof(why), "%zu bytes, want %zu", raw.n, size);
    if (raw.n != size)
        return fail(STATUS_INPUT, member, "wrong length", why);
    if ((rc = read_policy(args[1], &root)))
        return rc;
    json_t *policy = inner(root, "policy");
    if (!policy || json_object_get(policy, "tdQuoteBodyPolicy") || json_object_get(policy, "headerPolicy"))
        return fail(STATUS_INPUT, args[1], "not an SNP policy", "\"policy\" is of another kind");
    if (json_object_set_new(policy, member, json_b64(buf_bytes(&raw))) < 0)
        return fail(STATUS_ENVIRONMENT, args[1], "cannot be changed", "out of memory");
    return rewrite(root, args[1]);
}

static int run_measurement(int argc, char **argv)
{
    return set_bytes(&policy_measurement, argc, argv, "measurement", 48);
}

static int run_hostdata(int argc, char **argv)
{
    return set_bytes(&policy_hostdata, argc, argv, "host_data", 32);
}

/* ---- extend ---- */

/* What is hashed how: the documented rule, what cocos-cli computes, what the agent of Cocos does to a real
 * PCR. */
static const struct rule {
    const char *name, *digest[2], *step[2];
} rules[] = {
    { "sha2", { "SHA256", "SHA384" }, { "SHA256", "SHA384" } },
    { "cocos-cli", { "SHA512-256", "SHA384" }, { "SHA512-256", "SHA384" } },
    { "cocos-agent", { "SHA3-256", "SHA3-384" }, { "SHA256", "SHA384" } },
};

static const struct {
    const char *name;
    size_t size;
} banks[2] = { { "sha256", 32 }, { "sha384", 48 } };

static int hash(const char *name, struct bytes a, struct bytes b, uint8_t *out, struct err *err)
{
    EVP_MD *md = EVP_MD_fetch(NULL, name, NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = md && ctx && EVP_DigestInit_ex(ctx, md, NULL) == 1 && EVP_DigestUpdate(ctx, a.p, a.n) == 1
                && EVP_DigestUpdate(ctx, b.p, b.n) == 1 && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_MD_free(md);
    return good ? 0 : err_set(err, ERR_IO, 0, "libcrypto has no %s", name);
}

/* The value that "16" has in a bank, zeros if none. */
static int start_value(const char *path, json_t *bank, size_t b, uint8_t pcr[static 48])
{
    const json_t *v = json_object_get(bank, "16");
    struct err err = { 0 };
    memset(pcr, 0, 48);
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_string(v)
        || hex_decode_fixed(bytes_of(json_string_value(v), json_string_length(v)), pcr, banks[b].size, &err)
               < 0)
        return fail(STATUS_INPUT, path, "PCR 16 is not hex of its bank's size", banks[b].name);
    return 0;
}

static int extend_bank(const char *path, json_t *bank, size_t b, const struct rule *rule,
                       const struct bytes *manifests, size_t n)
{
    uint8_t pcr[48], digest[64];
    struct err err = { 0 };
    int rc = start_value(path, bank, b, pcr);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        if (hash(rule->digest[b], manifests[i], bytes_of(NULL, 0), digest, &err) < 0
            || hash(rule->step[b], bytes_of(pcr, banks[b].size), bytes_of(digest, banks[b].size), pcr, &err)
                   < 0)
            return fail_err(STATUS_ENVIRONMENT, path, "cannot be extended", &err);
    json_object_set_new(bank, "16", json_hex(bytes_of(pcr, banks[b].size)));
    return 0;
}

#define MANIFESTS_MAX 256

static int extend(const char *path, const struct rule *rule, const char *const *files, size_t n,
                  uint8_t **data, struct bytes *manifests)
{
    AUTO(json_drop) json_t *root = NULL;
    int rc = read_policy(path, &root);
    for (size_t i = 0; !rc && i < n; i++) {
        size_t size = 0;
        rc = read_input(files[i], MANIFEST_MAX, &data[i], &size);
        manifests[i] = bytes_of(data[i], size);
    }
    json_t *values = rc ? NULL : inner(root, "pcr_values");
    if (!rc && !values)
        rc = fail(STATUS_INPUT, path, "not a policy", "pcr_values is no object");
    for (size_t b = 0; !rc && b < 2; b++) {
        json_t *bank = inner(values, banks[b].name);
        rc = bank ? extend_bank(path, bank, b, rule, manifests, n)
                  : fail(STATUS_INPUT, path, "not a policy: no object in pcr_values", banks[b].name);
    }
    return rc ? rc : rewrite(root, path);
}

static int run_extend(int argc, char **argv)
{
    const char *args[1 + MANIFESTS_MAX], *name = "sha2";
    uint8_t *data[MANIFESTS_MAX] = { NULL };
    struct bytes manifests[MANIFESTS_MAX];
    const struct option_row rows[] = { { "rule", OPTION_TEXT, &name } };
    const struct rule *rule = NULL;
    size_t n = 0;
    memset(args, 0, sizeof(args));
    int rc = options_parse(&policy_extend, argc, argv, rows, ARRAY_SIZE(rows), args, 2, ARRAY_SIZE(args));
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        if (!strcmp(rules[i].name, name))
            rule = &rules[i];
    if (!rule)
        return fail(STATUS_USAGE, "--rule", "want sha2, cocos-cli or cocos-agent", name);
    while (n < MANIFESTS_MAX && args[1 + n])
        n++;
    rc = extend(args[0], rule, args + 1, n, data, manifests);
    for (size_t i = 0; i < n; i++)
        free(data[i]);
    return rc;
}

const struct command policy_measurement = {
    "policy measurement",
    "B64 FILE",
    "Sets the launch measurement of an SNP policy file",
    "B64 is base64 of 48 bytes. FILE is written anew in one spelling, with everything else that it holds.\n",
    run_measurement,
};

const struct command policy_hostdata = {
    "policy hostdata",
    "B64 FILE",
    "Sets the host data of an SNP policy file",
    "B64 is base64 of 32 bytes. FILE is written anew in one spelling, with everything else that it holds.\n",
    run_hostdata,
};

const struct command policy_extend = {
    "policy extend",
    "FILE MANIFEST... [--rule sha2|cocos-cli|cocos-agent]",
    "Adds to a policy file what PCR 16 becomes when computations start",
    "Each manifest's bytes are hashed as they are, and PCR 16 of both banks extended with the result, in the "
    "order\n"
    "given, from the value that FILE has for it, or from zeros.\n"
    "\n"
    "  --rule sha2         SHA-256 and SHA-384, as the Cube guide documents it\n"
    "         cocos-cli    SHA-512/256 in the SHA-256 bank, as cocos-cli computes it\n"
    "         cocos-agent  SHA3-256 and SHA3-384 of the manifest, as the agent of Cocos extends a real PCR\n",
    run_extend,
};
