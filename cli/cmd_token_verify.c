#include "base/auto.h"
#include "base/jwt.h"
#include "cli/commands.h"
#include "cli/verify_print.h"

#include <string.h>
#include <sys/stat.h>

struct arguments {
    const char *token, *jwks, *issuer;
    time_t at;
    bool json;
};

/* A token has two dots and no slash in front of the first: what is no file is the token itself. */
static int read_token(const char *from, uint8_t **out, size_t *n)
{
    struct stat st;
    if (strcmp(from, "-") == 0 || stat(from, &st) == 0)
        return read_input(from, JWT_MAX, out, n);
    const char *dot = strchr(from, '.');
    if (!dot || !strchr(dot + 1, '.') || strchr(from, '/'))
        return read_input(from, JWT_MAX, out, n); /* says why there is no such file */
    *n = strlen(from);
    *out = (uint8_t *)strdup(from);
    return *out ? 0 : fail(STATUS_ENVIRONMENT, "token-verify", "cannot verify", "memory is short");
}

static int read_keys(const char *path, struct jwks *out)
{
    AUTO(free_u8) uint8_t *text = NULL;
    size_t n = 0;
    struct err err = { 0 };
    int rc = read_input(path, JWKS_SIZE, &text, &n);
    if (rc)
        return rc;
    if (jwks_parse(bytes_of(text, n), JWKS_KEYS, out, &err) < 0)
        return fail_err(status_of(&err), path, "not a key set", &err);
    return 0;
}

static int put_facts(json_t *facts, const struct jwt *token, const struct jwks *keys)
{
    return json_object_set_new(facts, "alg", json_string(jwt_alg_name(token->alg)))
           || json_object_set_new(facts, "kid", json_text(bytes_str(keys->key[token->key].kid)))
           || json_object_set(facts, "header", token->header)
           || json_object_set(facts, "claims", token->claims);
}

static int verify(const struct arguments *a)
{
    AUTO(free_u8) uint8_t *text = NULL;
    AUTO(jwks_done) struct jwks keys = { 0 };
    AUTO(jwt_done) struct jwt token = { .header = NULL };
    AUTO(json_drop) json_t *facts = json_object();
    AUTO(checks_drop) struct checks *checks = calloc(1, sizeof(*checks));
    size_t n = 0;
    struct err err = { 0 };
    int rc = read_token(a->token, &text, &n);
    if (rc || (rc = read_keys(a->jwks, &keys)))
        return rc;
    if (!facts || !checks)
        return fail(STATUS_ENVIRONMENT, "token-verify", "cannot verify", "memory is short");
    const struct jwt_rules rules = { .algs = JWT_ANY, .now = a->at, .issuer = a->issuer };
    rc = jwt_verify(bytes_of(text, n), &keys, &rules, &token, &err);
    if (rc < 0 && err.kind != ERR_UNAUTHENTICATED)
        return fail_err(status_of(&err), "token", "not verified", &err);
    checks_add_rc(checks, "token", rc, "signature, dates and issuer hold", &err);
    if (rc == 0 && !json_object_get(token.claims, "exp"))
        checks_warn(checks, "the token has no exp: it never expires");
    if (rc == 0 && put_facts(facts, &token, &keys))
        return fail(STATUS_ENVIRONMENT, "token-verify", "cannot verify", "memory is short");
    const struct verify_answer answer = { .where = "token", .checks = checks, .facts = facts };
    return verify_print(&answer, a->json);
}

static int run(int argc, char **argv)
{
    struct arguments a = { .token = NULL };
    const char *at = NULL;
    const struct option_row rows[] = {
        { "jwks", OPTION_TEXT, &a.jwks },
        { "issuer", OPTION_TEXT, &a.issuer },
        { "at", OPTION_TEXT, &at },
        { "json", OPTION_FLAG, &a.json },
    };
    int rc = options_parse(&command_token_verify, argc, argv, rows, ARRAY_SIZE(rows), &a.token, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (!a.jwks)
        return fail(STATUS_USAGE, "token-verify", "--jwks is needed", "the key set of the token's issuer");
    if ((rc = verify_clock(at, &a.at)))
        return rc;
    return verify(&a);
}

const struct command command_token_verify = {
    "token-verify",
    "JWT --jwks F [--issuer TEXT] [--at TIME] [--json]",
    "Verifies a signed token with a key set",
    "JWT is a file, - for standard input, or the token itself. The key set is a file: for tokens of an\n"
    "agent's appraisal routes the answer of GET /certs. RSA (RS and PS) and ECDSA (ES256, ES384) signatures\n"
    "are known; \"none\" and the HMAC family are refused.\n"
    "\n"
    "  --jwks F        the issuer's keys\n"
    "  --issuer TEXT   iss must be this\n"
    "  --at TIME       judge dates by this clock (RFC 3339), not by now\n"
    "  --json          {\"success\",\"checks\",\"alg\",\"kid\",\"header\",\"claims\",\"warnings\"}\n"
    "\n"
    "Exit status 0: the token is valid; 1: signature, key, algorithm, dates or issuer say no; 3: "
    "malformed.\n",
    run,
};
