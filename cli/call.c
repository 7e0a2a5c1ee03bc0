#include "cli/call.h"

#include "appraisal/appraise.h"
#include "cli/check_document.h"
#include "cli/material.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"

#include <ctype.h>
#include <openssl/rand.h>
#include <string.h>
#include <time.h>

#define NONCE_AUTO 15 /* random bytes; in hex they fill CALL_NONCE_MAX */
#define URL_MAX    1024

/* "cvm-cli: collaterals: WHAT: WHY": remarks on standard error that are no failure. */
void call_note(const struct call *c, const char *what, const char *why)
{
    (void)fail(0, c->command->name, what, why);
}

int call_prepare(struct call *c)
{
    struct err err = { 0 };
    uint8_t random[NONCE_AUTO], pin[32];
    if (target_parse(c->url, c->https || c->pin, &c->target, &err) < 0)
        return fail_err(STATUS_USAGE, *c->url ? c->url : c->command->name, "no address", &err);
    if (c->pin && hex_decode_fixed(bytes_str(c->pin), pin, sizeof(pin), &err) < 0)
        return fail_err(STATUS_USAGE, c->command->name, "--pin wants 64 hex digits", &err);
    if (c->pin && !c->target.tls)
        return fail(STATUS_USAGE, c->command->name, "--pin needs https", c->target.base);
    if (!c->nonce || strcmp(c->nonce, "auto") == 0) {
        if (RAND_bytes(random, sizeof(random)) != 1)
            return fail(STATUS_ENVIRONMENT, c->command->name, "no random bytes", NULL);
        hex_to(c->nonce_text, bytes_of(random, sizeof(random)));
    } else if (!*c->nonce || strlen(c->nonce) > CALL_NONCE_MAX) {
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
int call_refused(const struct call *c, const char *url, const struct http_response *r)
{
    AUTO(json_drop) json_t *json = NULL;
    struct err ignored;
    char what[64];
    const char *why = NULL;
    snprintf(what, sizeof(what), "the agent answers %u", r->status);
    if (json_parse(buf_bytes(&r->body), CALL_ANSWER_MAX, &json, &ignored) == 0)
        why = json_string_value(json_object_get(json, "error"));
    (void)c;
    return fail(STATUS_ENVIRONMENT, url, what, why);
}

/* GET; an answer other than 200 is a failure, printed. */
int call_get(const struct call *c, const char *path, const char *pin, bool any_key, struct http_response *out)
{
    struct http client = http_curl();
    struct err err = { 0 };
    char url[URL_MAX + TARGET_MAX];
    snprintf(url, sizeof(url), "%s%s", c->target.base, path);
    const struct http_request request = {
        .method = "GET",
        .url = url,
        .headers = { "Accept: application/json" },
        .deadline_ms = CALL_DEADLINE_MS,
        .max_body = CALL_ANSWER_MAX,
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
        call_refused(c, url, out);
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
        call_note(c, "checked", "the peer's TLS key is the pinned one");
    if (yes && *yes)
        call_note(c, "checked", yes);
    if (rest && *rest)
        call_note(c, "not checked", rest);
    if (!c->target.tls && !c->target.loopback)
        call_note(c, "plain http", "nothing says who answered");
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
    call_note(c, "verified",
              "hardware evidence, its binding to this question, and this connection's TLS key in it");
    return 0;
}

/* Fetches and checks the collaterals document. */
int call_collaterals(struct call *c, struct http_response *out)
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
    int rc = call_get(c, text, c->pin, c->target.tls && !c->pin, out);
    if (rc)
        return rc;
    if (c->insecure) {
        call_note(c, "not checked", "--insecure: neither the peer's TLS key nor the document");
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
