/* cvm-cli policy azure: an SNP policy from a token of Microsoft Azure Attestation. */
#include "cli/policy_make.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/http.h"
#include "base/json_wide.h"
#include "base/jwt.h"
#include "cli/verify_print.h"

#include <string.h>
#include <strings.h>

#define MAA_DEFAULT    "https://sharedeus2.eus2.attest.azure.net"
#define POLICY_DEFAULT 196639 /* SMT, reserved bit, ABI minor 31 */
#define LEEWAY_S       60
#define DEADLINE_MS    20000
#define TEE_CLAIMS     "x-ms-isolation-tee"
#define PREFIX         "x-ms-sevsnpvm-"

struct arguments {
    const char *args[2]; /* token, product */
    const char *jwks, *maa, *out;
    bool insecure;
    uint64_t policy;
    time_t at;
};

/* Claims that become members of the policy: hex of so many bytes. */
static const struct {
    const char *claim, *member;
    size_t size;
} rows[] = {
    { PREFIX "familyId", "family_id", 16 },
    { PREFIX "imageId", "image_id", 16 },
    { PREFIX "launchmeasurement", "measurement", 48 },
    { PREFIX "reportid", "report_id", 32 },
};

/* Claims that are checked only, as Cocos composes a TCB of them. */
static const struct {
    const char *claim;
    unsigned max;
} svns[] = {
    { PREFIX "bootloader-svn", 127 },
    { PREFIX "tee-svn", 127 },
    { PREFIX "snpfw-svn", 127 },
    { PREFIX "microcode-svn", 255 },
};

/* ---- the keys ---- */

static int fetch_keys(const struct arguments *a, struct jwks *out)
{
    AUTO(http_response_done) struct http_response answer = { .status = 0 };
    struct http client = http_curl();
    struct err err = { 0 };
    char url[1024], why[64];
    size_t n = strlen(a->maa);
    while (n && a->maa[n - 1] == '/')
        n--;
    if (strncmp(a->maa, "https://", 8) != 0 && !(a->insecure && !strncmp(a->maa, "http://", 7)))
        return fail(STATUS_USAGE, "--maa", "want an https URL", a->maa);
    if (snprintf(url, sizeof(url), "%.*s/certs", (int)n, a->maa) >= (int)sizeof(url))
        return fail(STATUS_USAGE, "--maa", "too long", NULL);
    const struct http_request request = { .method = "GET",
                                          .url = url,
                                          .headers = { "Accept: application/json" },
                                          .deadline_ms = DEADLINE_MS,
                                          .max_body = JWKS_SIZE,
                                          .insecure = a->insecure };
    if (http_perform(&client, &request, &answer, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, url, "cannot fetch keys", &err);
    snprintf(why, sizeof(why), "HTTP status %u", answer.status);
    if (answer.status != 200)
        return fail(STATUS_ENVIRONMENT, url, "cannot fetch keys", why);
    if (jwks_parse(buf_bytes(&answer.body), JWKS_X5C_ONLY, out, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, url, "not a key set", &err);
    return 0;
}

static int load_keys(const struct arguments *a, struct jwks *out)
{
    AUTO(free_u8) uint8_t *text = NULL;
    struct err err = { 0 };
    size_t n;
    if (!a->jwks)
        return fetch_keys(a, out);
    int rc = read_input(a->jwks, JWKS_SIZE, &text, &n);
    if (rc)
        return rc;
    /* Keys of a file of one's own may be there without certificates. */
    if (jwks_parse(bytes_of(text, n), JWKS_KEYS, out, &err) < 0)
        return fail_err(STATUS_INPUT, a->jwks, "not a key set", &err);
    return 0;
}

/* "https://host:port" of a URL: its length, 0 if it is none. */
static size_t origin_of(const char *url)
{
    const char *host = url ? strstr(url, "://") : NULL;
    return host ? (size_t)(host + 3 - url) + strcspn(host + 3, "/?#") : 0;
}

/* Whoever issued the token is where the keys are from; with a file of keys, if --maa says where that is. */
static int check_issuer(const struct arguments *a, const struct jwt *token)
{
    const char *iss = json_string_value(json_object_get(token->claims, "iss"));
    size_t n = origin_of(a->maa);
    if (!a->maa)
        return 0;
    if (iss && origin_of(iss) == n && !strncasecmp(iss, a->maa, n))
        return 0;
    return fail(STATUS_NO, a->args[0],
                "the token is not issued by the service whose keys it was checked with",
                iss ? iss : "no iss");
}

/* ---- the claims ---- */

static int missing(const struct arguments *a, const char *claim, const char *why)
{
    char what[128];
    snprintf(what, sizeof(what), "the claim %s %s", claim, why);
    return fail(STATUS_INPUT, a->args[0], what, NULL);
}

static int hex_claim(const struct arguments *a, const json_t *tee, const char *claim, size_t size,
                     uint8_t out[static 48])
{
    const json_t *v = json_object_get(tee, claim);
    struct err err = { 0 };
    if (!v)
        return missing(a, claim, "is missing");
    if (!json_is_string(v)
        || hex_decode_fixed(bytes_of(json_string_value(v), json_string_length(v)), out, size, &err) < 0)
        return missing(a, claim, "is not hex of its field's size");
    return 0;
}

static int number_claim(const struct arguments *a, const json_t *tee, const char *claim, uint64_t max,
                        uint64_t *out)
{
    const json_t *v = json_object_get(tee, claim);
    if (!v)
        return missing(a, claim, "is missing");
    return json_wide_u64(v, out) && *out <= max ? 0 : missing(a, claim, "is no number in range");
}

static int fill(const struct arguments *a, const json_t *tee, json_t *policy)
{
    uint8_t raw[48];
    uint64_t number;
    int rc = 0;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if ((rc = hex_claim(a, tee, rows[i].claim, rows[i].size, raw)))
            return rc;
        json_object_set_new(policy, rows[i].member, json_b64(bytes_of(raw, rows[i].size)));
    }
    if ((rc = hex_claim(a, tee, PREFIX "idkeydigest", 48, raw)))
        return rc;
    json_object_set_new(policy, "trusted_id_key_hashes", json_pack("[o]", json_b64(bytes_of(raw, 48))));
    for (size_t i = 0; i < ARRAY_SIZE(svns); i++)
        if ((rc = number_claim(a, tee, svns[i].claim, svns[i].max, &number)))
            return rc;
    if ((rc = number_claim(a, tee, PREFIX "guestsvn", UINT32_MAX, &number)))
        return rc;
    json_object_set_new(policy, "minimum_guest_svn", json_wide_number(number));
    return 0;
}

static int product_number(const char *name)
{
    static const char *const known[] = { "Milan", "Genoa", "Turin" };
    for (int i = 0; i < (int)ARRAY_SIZE(known); i++)
        if (!strcmp(known[i], name))
            return i + 1;
    return 0;
}

static int write_policy(const struct arguments *a, const struct jwt *token)
{
    const json_t *tee = json_object_get(token->claims, TEE_CLAIMS);
    if (!json_is_object(tee))
        return missing(a, TEE_CLAIMS, "is missing");
    AUTO(json_drop)
    json_t *policy =
        json_pack("{s:{s:o,s:{s:i}},s:{s:b}}", "policy", "policy", json_wide_number(a->policy), "product",
                  "name", product_number(a->args[1]), "root_of_trust", "check_crl", 1);
    if (!policy)
        return fail(STATUS_ENVIRONMENT, a->args[0], "no policy was made", "out of memory");
    int rc = fill(a, tee, json_object_get(policy, "policy"));
    return rc ? rc : policy_write(policy, a->out);
}

static int make(struct arguments *a)
{
    AUTO(jwks_done) struct jwks keys = { 0, NULL };
    AUTO(jwt_done) struct jwt token = { .header = NULL };
    AUTO(jwt_done) struct jwt peeked = { .header = NULL };
    AUTO(free_u8) uint8_t *text = NULL;
    struct err err = { 0 };
    size_t n;
    int rc = read_input(a->args[0], JWT_MAX + 1, &text, &n);
    if (rc)
        return rc;
    if (jwt_peek(bytes_of(text, n), &peeked, &err) < 0)
        return fail_err(STATUS_INPUT, a->args[0], "not a token", &err);
    if (!json_is_string(json_object_get(peeked.header, "jku")))
        return fail(STATUS_INPUT, a->args[0], "not a token of Azure Attestation", "its header has no jku");
    if (!a->jwks && !a->maa)
        a->maa = MAA_DEFAULT;
    if ((rc = load_keys(a, &keys)))
        return rc;
    const struct jwt_rules rules = {
        .algs = JWT_BIT(JWT_RS256) | JWT_BIT(JWT_RS384) | JWT_BIT(JWT_RS512) | JWT_BIT(JWT_PS256)
                | JWT_BIT(JWT_PS384) | JWT_BIT(JWT_PS512),
        .now = a->at,
        .leeway_s = LEEWAY_S,
        .exp_due = true,
    };
    if (jwt_verify(bytes_of(text, n), &keys, &rules, &token, &err) < 0)
        return fail_err(status_of(&err), a->args[0], "the token does not hold", &err);
    rc = check_issuer(a, &token);
    return rc ? rc : write_policy(a, &token);
}

static int run(int argc, char **argv)
{
    struct arguments a = { .out = POLICY_FILE, .policy = POLICY_DEFAULT };
    const char *policy = NULL, *at = NULL;
    const struct option_row options[] = {
        { "policy", OPTION_TEXT, &policy },       { "jwks", OPTION_TEXT, &a.jwks },
        { "maa", OPTION_TEXT, &a.maa },           { "at", OPTION_TEXT, &at },
        { "insecure", OPTION_FLAG, &a.insecure }, { "o", OPTION_TEXT, &a.out },
    };
    int rc = options_parse(&policy_azure, argc, argv, options, ARRAY_SIZE(options), a.args, 2, 2);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (policy && (rc = policy_number("--policy", policy, UINT64_MAX, &a.policy)))
        return rc;
    if ((rc = verify_clock(at, &a.at)))
        return rc;
    if (!product_number(a.args[1]))
        return fail(STATUS_USAGE, a.args[1], "no such product", "want Milan, Genoa or Turin");
    return make(&a);
}

const struct command policy_azure = {
    "policy azure",
    "TOKEN PRODUCT [--policy U64] [--jwks FILE] [--maa URL] [--at TIME] [-o FILE]",
    "Makes an SNP policy from a token of Microsoft Azure Attestation",
    "TOKEN is a file with the token, PRODUCT is Milan, Genoa or Turin. The token's signature (RSA only), "
    "dates and\n"
    "issuer are checked. The policy is written to " POLICY_FILE
    ". It holds the report id, which changes with every\n"
    "boot: it fits this boot only.\n"
    "\n"
    "  --policy U64   the guest policy to permit (196639)\n"
    "  --maa URL      the service whose keys (URL/certs) the token is checked with, and that must have "
    "issued it\n"
    "                 (" MAA_DEFAULT ")\n"
    "  --jwks FILE    its keys, without a network\n"
    "  --at TIME      the clock, like 2025-01-31T12:00:00Z; else now\n"
    "  --insecure     takes any certificate of an https server, or a service over http: for tests\n"
    "  -o FILE        another file; -: standard output\n",
    run,
};
