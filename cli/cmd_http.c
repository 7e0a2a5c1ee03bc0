/* Commands that ask an agent: collaterals, golden. */
#include "appraisal/appraise.h"
#include "cli/check_document.h"
#include "cli/commands.h"
#include "cli/material.h"
#include "cli/target.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/http.h"

#include <ctype.h>
#include <openssl/rand.h>
#include <string.h>
#include <time.h>

#define ANSWER_MAX  (32u << 20)
#define DEADLINE_MS 60000 /* a fresh Azure report takes up to 10 s, a TDX quote some seconds */
#define NONCE_MAX   30
#define NONCE_AUTO  15 /* random bytes; in hex they fill NONCE_MAX */
#define URL_MAX     1024

struct call {
    const struct command *command;
    const char *url, *nonce, *file, *bank, *pin, *pcrs;
    const char *roots, *certs, *accept_tcb; /* for judging whose key the connection has */
    bool fresh, insecure, all, self_asserted;
    struct target target;
    char nonce_text[NONCE_MAX + 1];
    char peer_pin[65]; /* the key that the collaterals were checked against */
};

/* "cvm-cli: collaterals: WHAT: WHY": remarks on standard error that are no failure. */
static void note(const struct call *c, const char *what, const char *why)
{
    (void)fail(0, c->command->name, what, why);
}

static int prepare(struct call *c)
{
    struct err err = { 0 };
    uint8_t random[NONCE_AUTO], pin[32];
    if (target_parse(c->url, &c->target, &err) < 0)
        return fail_err(STATUS_USAGE, c->url, "no address", &err);
    if (c->pin && hex_decode_fixed(bytes_str(c->pin), pin, sizeof(pin), &err) < 0)
        return fail_err(STATUS_USAGE, c->command->name, "--pin wants 64 hex digits", &err);
    if (c->pin && !c->target.tls)
        return fail(STATUS_USAGE, c->command->name, "--pin needs https", c->target.base);
    if (!c->nonce || strcmp(c->nonce, "auto") == 0) {
        if (RAND_bytes(random, sizeof(random)) != 1)
            return fail(STATUS_ENVIRONMENT, c->command->name, "no random bytes", NULL);
        hex_to(c->nonce_text, bytes_of(random, sizeof(random)));
    } else if (!*c->nonce || strlen(c->nonce) > NONCE_MAX) {
        return fail(STATUS_USAGE, c->command->name, "the nonce must have 1 to 30 bytes",
                    "hash a longer challenge and cut it to 30");
    } else {
        memcpy(c->nonce_text, c->nonce, strlen(c->nonce) + 1);
    }
    return 0;
}

/* RFC 3986: everything but unreserved characters is escaped; "." and ".." would be taken for path segments.
 */
static void put_segment(struct buf *url, const char *text)
{
    bool dots = strspn(text, ".") == strlen(text);
    for (; *text; text++) {
        bool bare = isalnum((unsigned char)*text) || strchr("-_~", *text) || (*text == '.' && !dots);
        buf_printf(url, bare ? "%c" : "%%%02X", (unsigned char)*text);
    }
}

/* The sentence of an error body, or the status alone. */
static int refused(const struct call *c, const char *url, const struct http_response *r)
{
    AUTO(json_drop) json_t *json = NULL;
    struct err ignored;
    char what[64];
    const char *why = NULL;
    snprintf(what, sizeof(what), "the agent answers %u", r->status);
    if (json_parse(buf_bytes(&r->body), ANSWER_MAX, &json, &ignored) == 0)
        why = json_string_value(json_object_get(json, "error"));
    (void)c;
    return fail(STATUS_ENVIRONMENT, url, what, why);
}

/* GET; an answer other than 200 is a failure, printed. */
static int get(const struct call *c, const char *path, const char *pin, bool any_key,
               struct http_response *out)
{
    struct http client = http_curl();
    struct err err = { 0 };
    char url[URL_MAX + TARGET_MAX];
    snprintf(url, sizeof(url), "%s%s", c->target.base, path);
    const struct http_request request = {
        .method = "GET",
        .url = url,
        .headers = { "Accept: application/json" },
        .deadline_ms = DEADLINE_MS,
        .max_body = ANSWER_MAX,
        .unix_socket = *c->target.socket ? c->target.socket : NULL,
        .pin_sha256 = pin,
        .insecure = any_key,
    };
    if (http_perform(&client, &request, out, &err) < 0) {
        int status = status_of(&err);
        return fail_err(status == STATUS_INPUT ? STATUS_ENVIRONMENT : status, c->command->name,
                        "cannot fetch", &err);
    }
    if (out->status != 200) {
        refused(c, url, out);
        http_response_done(out);
        return STATUS_ENVIRONMENT;
    }
    return 0;
}

static int check(struct call *c, const struct http_response *r)
{
    AUTO(buf_done) struct buf checked = buf_new(4096), left = buf_new(4096);
    struct err err = { 0 };
    const bool peer = c->target.tls && !c->pin;
    const struct document_check want = {
        .nonce = bytes_str(c->nonce_text),
        .external = c->target.tls,
        .spki_sha256 = peer ? r->peer_spki_sha256 : NULL,
        .spki_sha384 = peer ? r->peer_spki_sha384 : NULL,
    };
    if (document_check(buf_bytes(&r->body), &want, &checked, &left, &err) < 0)
        return fail_err(
            status_of(&err), c->target.base,
            peer ? "the document does not vouch for this connection (--pin SHA256 or --insecure go "
                   "round this check)"
                 : "the document is not an answer to this question",
            &err);
    if (!peer)
        buf_printf(&left, "%shardware signature and origin of the AK (run cvm-cli verify)",
                   left.n ? ", " : "");
    AUTO(free_str) char *yes = buf_take_str(&checked);
    AUTO(free_str) char *rest = buf_take_str(&left);
    if (c->pin)
        note(c, "checked", "the peer's TLS key is the pinned one");
    if (yes && *yes)
        note(c, "checked", yes);
    if (rest && *rest)
        note(c, "not checked", rest);
    if (!c->target.tls && !c->target.loopback)
        note(c, "plain http", "nothing says who answered");
    return 0;
}

/* Whose key the connection has is what the hardware says, not what the document says of itself: on https
 * without a pin the whole document is judged, offline, with this connection's key. */
static int judge_peer(struct call *c, const struct http_response *r)
{
    AUTO(verify_trust_done) struct verify_trust trust = { 0 };
    AUTO(material_done) struct material material = { 0 };
    AUTO(appraisal_done) struct appraisal appraisal = { NULL, NULL };
    AUTO(document_done) struct document document = { .root = NULL };
    AUTO(free_u8) uint8_t *roots = NULL;
    struct err err = { 0 };
    size_t roots_n = 0;
    int rc = 0;
    struct appraise_request request = { .document = &document,
                                        .verify = { .trust = &trust,
                                                    .material = &material.view,
                                                    .at = time(NULL),
                                                    .nonce = bytes_str(c->nonce_text),
                                                    .accept_tcb = TDX_ACCEPT_DEFAULT,
                                                    .accept_self_asserted_ak = c->self_asserted,
                                                    .peer_spki_sha256 = r->peer_spki_sha256,
                                                    .peer_spki_sha384 = r->peer_spki_sha384 } };
    if (c->accept_tcb && tdx_accept_parse(c->accept_tcb, &request.verify.accept_tcb, &err) < 0)
        return fail_err(STATUS_USAGE, "--accept-tcb", "not a list of TCB statuses", &err);
    if (trust_load(&trust, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, "built-in roots", "cannot verify", &err);
    if (c->roots && (rc = read_input(c->roots, 1u << 20, &roots, &roots_n)))
        return rc;
    if (c->roots && verify_trust_add_extra(&trust, bytes_of(roots, roots_n), &err) < 0)
        return fail_err(STATUS_INPUT, c->roots, "not a bundle of roots", &err);
    if (document_parse(buf_bytes(&r->body), &document, &err) < 0)
        return fail_err(status_of(&err), c->target.base, "the document cannot be judged", &err);
    const struct supply_evidence evidence = supply_evidence_of(&document);
    const struct material_request kept = {
        .folder = c->certs, .cache = true, .at = request.verify.at, .trust = &trust
    };
    if ((c->certs && (rc = material_read(c->certs, &trust, &material)))
        || (rc = material_add(&kept, &evidence, &material)))
        return rc;
    if (appraise(&request, &appraisal, &err) < 0)
        return fail_err(status_of(&err), c->target.base, "the document cannot be judged", &err);
    const struct check *failed = checks_first_failed(&appraisal.result->checks);
    char why[CHECK_NAME_MAX + CHECK_DETAIL_MAX + 4];
    snprintf(why, sizeof(why), "%s: %s", failed ? failed->name : "verdict",
             failed ? failed->detail : "not verified");
    if (failed || !verify_success(appraisal.result))
        return fail(STATUS_NO, c->target.base,
                    "the evidence does not vouch for this connection (--pin SHA256 or --insecure go round "
                    "this check)",
                    why);
    note(c, "verified",
         "hardware evidence, its binding to this question, and this connection's TLS key in it");
    return 0;
}

/* Fetches and checks the collaterals document. */
static int fetch_collaterals(struct call *c, struct http_response *out)
{
    AUTO(buf_done) struct buf path = buf_new(URL_MAX);
    char separator = '?';
    buf_str(&path, "/collaterals/");
    put_segment(&path, c->nonce_text);
    if (c->bank) {
        buf_printf(&path, "%cpcr_bank=%s", separator, c->bank);
        separator = '&';
    }
    if (c->fresh)
        buf_printf(&path, "%cfresh=1", separator);
    AUTO(free_str) char *text = buf_take_str(&path);
    if (!text)
        return fail(STATUS_ENVIRONMENT, c->command->name, "no memory", NULL);
    int rc = get(c, text, c->pin, c->target.tls && !c->pin, out);
    if (rc)
        return rc;
    if (c->insecure) {
        note(c, "not checked", "--insecure: neither the peer's TLS key nor the document");
        return 0;
    }
    rc = check(c, out);
    if (!rc && c->target.tls && !c->pin)
        rc = judge_peer(c, out);
    if (rc) {
        http_response_done(out);
        return rc;
    }
    hex_to(c->peer_pin, bytes_of(out->peer_spki_sha256, 32));
    return 0;
}

/* How the peer is judged on https. */
#define JUDGE_OPTIONS(c)                                                                                     \
    { "trust-emulator", OPTION_TEXT, &(c).roots }, { "certs", OPTION_TEXT, &(c).certs },                     \
        { "accept-tcb", OPTION_TEXT, &(c).accept_tcb },                                                      \
    {                                                                                                        \
        "accept-self-asserted-ak", OPTION_FLAG, &(c).self_asserted                                           \
    }

static int run_collaterals(int argc, char **argv)
{
    struct call c = { .command = &command_collaterals };
    const struct option_row rows[] = {
        { "nonce", OPTION_TEXT, &c.nonce },
        { "o", OPTION_TEXT, &c.file },
        { "bank", OPTION_TEXT, &c.bank },
        { "fresh", OPTION_FLAG, &c.fresh },
        { "pin", OPTION_TEXT, &c.pin },
        { "insecure", OPTION_FLAG, &c.insecure },
        JUDGE_OPTIONS(c),
    };
    AUTO(http_response_done) struct http_response r = { 0 };
    int rc = options_parse(c.command, argc, argv, rows, ARRAY_SIZE(rows), &c.url, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (c.bank && !digest_by_name(c.bank))
        return fail(STATUS_USAGE, c.bank, "no such bank", "one of sha256, sha384");
    if (c.bank)
        c.bank = digest_name(digest_by_name(c.bank));
    if ((rc = prepare(&c)) || (rc = fetch_collaterals(&c, &r)))
        return rc;
    return write_out(&r.body, c.file);
}

/* A golden measurement carries no proof: the key that hands it out is the one that the collaterals vouch for.
 */
static int run_golden(int argc, char **argv)
{
    struct call c = { .command = &command_golden };
    const struct option_row rows[] = {
        { "o", OPTION_TEXT, &c.file },
        { "all", OPTION_FLAG, &c.all },
        { "pcrs", OPTION_TEXT, &c.pcrs },
        { "pin", OPTION_TEXT, &c.pin },
        { "insecure", OPTION_FLAG, &c.insecure },
        JUDGE_OPTIONS(c),
    };
    AUTO(http_response_done) struct http_response collaterals = { 0 }, r = { 0 };
    char path[256];
    int rc = options_parse(c.command, argc, argv, rows, ARRAY_SIZE(rows), &c.url, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (c.pcrs && (strlen(c.pcrs) > 100 || strspn(c.pcrs, "0123456789,") != strlen(c.pcrs)))
        return fail(STATUS_USAGE, c.pcrs, "no list of PCRs", "write 0,4,9");
    if ((rc = prepare(&c)))
        return rc;
    if (c.target.tls && !c.pin && !c.insecure) {
        if ((rc = fetch_collaterals(&c, &collaterals)))
            return rc;
        c.pin = c.peer_pin;
    }
    snprintf(path, sizeof(path), "/golden-measurement%s%s%s%s", c.all || c.pcrs ? "?" : "",
             c.all ? "all=1" : "", c.all && c.pcrs ? "&" : "", c.pcrs ? "pcrs=" : "");
    snprintf(path + strlen(path), sizeof(path) - strlen(path), "%s", c.pcrs ? c.pcrs : "");
    rc = get(&c, path, c.insecure ? NULL : c.pin, c.target.tls && c.insecure, &r);
    return rc ? rc : write_out(&r.body, c.file);
}

#define ADDRESS_HELP                                                                                         \
    "URL may be a bare host or address: https on port 8000, for 127.0.0.1 and localhost http on port "       \
    "7999.\n"                                                                                                \
    "unix:/path is an agent's Unix socket.\n"                                                                \
    "\n"

#define TLS_HELP                                                                                             \
    "  --pin SHA256  the peer's key must be this one (SHA-256 of its SubjectPublicKeyInfo, 64 hex digits)\n" \
    "  --insecure    takes any key and checks nothing\n"                                                     \
    "  --trust-emulator ROOTS.pem, --certs DIR, --accept-tcb S,..., --accept-self-asserted-ak  as for "      \
    "verify\n"

const struct command command_collaterals = {
    "collaterals",
    "URL [--nonce auto|TEXT] [-o FILE] [--bank B] [--fresh] [--pin SHA256] [--insecure] [--trust-emulator "
    "ROOTS.pem]",
    "Fetches a collaterals document from an agent",
    ADDRESS_HELP "  --nonce TEXT  1 to 30 bytes; auto (the default) makes 15 random bytes, as 30 hex digits\n"
                 "  -o FILE       writes FILE, whole or not at all, instead of standard output\n"
                 "  --bank B      quotes this PCR bank (sha256, sha384)\n"
                 "  --fresh       on Azure: a new hardware report for this nonce\n" TLS_HELP "\n"
                 "On https without --pin the whole document is verified, offline, with the key of the "
                 "connection: whoever answers\n"
                 "must be the machine of the evidence. Else nonce and magic and the TPM quote under the "
                 "document's own AK are\n"
                 "checked, and standard error says what was not.\n"
                 "Exit status 1: a check says no; nothing is written then.\n",
    run_collaterals,
};

const struct command command_golden = {
    "golden",
    "URL [-o FILE] [--all] [--pcrs 0,4,9] [--pin SHA256] [--insecure] [--trust-emulator ROOTS.pem]",
    "Fetches the golden measurement of a machine from its agent",
    ADDRESS_HELP "  -o FILE       writes FILE, whole or not at all, instead of standard output\n"
                 "  --all         pins PCRs 1, 5, 6 and 10 as well\n"
                 "  --pcrs LIST   pins these PCRs\n" TLS_HELP "\n"
                 "On https the collaterals are fetched and checked first (see collaterals), and the golden "
                 "measurement is\n"
                 "taken from the same TLS key.\n",
    run_golden,
};
