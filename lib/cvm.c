/* libcvm: the stable face of appraisal/. Arguments become the request of appraise(); nothing is decided here.
 */
#include "lib/cvm.h"

#include "appraisal/appraise.h"
#include "base/auto.h"
#include "base/chain.h"
#include "evidence/inspect.h"
#include "policy/golden.h"
#include "tee/tdx_collateral.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define CERTS_MAX  64
#define NONCE_MAX  30
#define ANSWER_MAX (64u << 20)
#define KEY_MAX    65536u

struct cvm_verifier {
    struct verify_trust trust;
    struct verify_options options;
    struct policies policies;
    struct buf golden, golden_key;
    uint8_t nonce[NONCE_MAX];
    char *rules;
    bool has_time;
    X509 *certs[CERTS_MAX];
    size_t certs_n;
    X509_CRL *crl;
    struct tdx_collateral *collateral; /* judged once the roots are known */
    char error[ERR_TEXT_MAX];
};

static enum cvm_status status_of(const struct err *err)
{
    switch (err->kind) {
    case ERR_INPUT:
    case ERR_TOO_LARGE:
        return CVM_MALFORMED;
    case ERR_DENIED:
    case ERR_UNAUTHENTICATED:
        return CVM_REFUSED;
    default:
        return CVM_ENVIRONMENT;
    }
}

static enum cvm_status done(struct cvm_verifier *v)
{
    v->error[0] = '\0';
    return CVM_VERIFIED;
}

static enum cvm_status fail(struct cvm_verifier *v, enum cvm_status status, const struct err *err)
{
    err_text(err, v->error, sizeof(v->error));
    return status;
}

static enum cvm_status fail_text(struct cvm_verifier *v, enum cvm_status status, const char *text)
{
    snprintf(v->error, sizeof(v->error), "%s", text);
    return status;
}

const char *cvm_version(void)
{
    return CVM_VERSION;
}

struct cvm_verifier *cvm_verifier_new(void)
{
    struct cvm_verifier *v = calloc(1, sizeof(*v));
    struct err err = { 0 };
    if (v && trust_load(&v->trust, &err) < 0) {
        cvm_verifier_free(v);
        return NULL;
    }
    if (v) {
        v->golden = buf_new(GOLDEN_SIZE_MAX);
        v->golden_key = buf_new(KEY_MAX);
        v->options.accept_tcb = TDX_ACCEPT_DEFAULT;
    }
    return v;
}

void cvm_verifier_free(struct cvm_verifier *v)
{
    if (!v)
        return;
    verify_trust_done(&v->trust);
    policies_done(&v->policies);
    buf_done(&v->golden);
    buf_done(&v->golden_key);
    while (v->certs_n > 0)
        X509_free(v->certs[--v->certs_n]);
    X509_CRL_free(v->crl);
    tdx_collateral_free(v->collateral);
    free(v->rules);
    free(v);
}

const char *cvm_error(const struct cvm_verifier *v)
{
    return v->error;
}

enum cvm_status cvm_set_nonce(struct cvm_verifier *v, const void *nonce, size_t size)
{
    if (!nonce || size == 0 || size > NONCE_MAX)
        return fail_text(v, CVM_USAGE, "a nonce has 1 to 30 bytes");
    memcpy(v->nonce, nonce, size);
    v->options.nonce = bytes_of(v->nonce, size);
    return done(v);
}

enum cvm_status cvm_set_time(struct cvm_verifier *v, const char *time)
{
    struct err err = { 0 };
    if (!time || rfc3339_parse(time, &v->options.at, &err) < 0)
        return time ? fail(v, CVM_USAGE, &err) : fail_text(v, CVM_USAGE, "no time");
    v->has_time = true;
    return done(v);
}

/* No bytes would mean to appraise(): none was asked for. */
static enum cvm_status keep(struct cvm_verifier *v, struct buf *out, const char *text, size_t size)
{
    struct err err = { 0 };
    struct buf copy = buf_new(out->max);
    if (!text || size == 0)
        return fail_text(v, CVM_USAGE, "the input is empty");
    buf_put(&copy, bytes_of(text, size));
    if (buf_check(&copy, "the input", &err) < 0) {
        buf_done(&copy);
        return fail(v, CVM_USAGE, &err);
    }
    buf_done(out);
    *out = copy;
    return done(v);
}

enum cvm_status cvm_set_golden(struct cvm_verifier *v, const char *json, size_t size)
{
    return keep(v, &v->golden, json, size);
}

enum cvm_status cvm_set_golden_key(struct cvm_verifier *v, const char *pem, size_t size)
{
    return keep(v, &v->golden_key, pem, size);
}

enum cvm_status cvm_add_policy(struct cvm_verifier *v, const char *name, const char *text, size_t size)
{
    struct err err = { 0 };
    if (!name || !text)
        return fail_text(v, CVM_USAGE, "a policy has a name and a text");
    if (policies_add(&v->policies, name, bytes_of(text, size), NULL, &err) < 0)
        return fail(v, status_of(&err), &err);
    return done(v);
}

enum cvm_status cvm_add_certificates(struct cvm_verifier *v, const void *certs, size_t size)
{
    struct err err = { 0 };
    int n = x509_parse_chain(bytes_of(certs, size), v->certs + v->certs_n, CERTS_MAX - v->certs_n, &err);
    if (n < 0)
        return fail(v, status_of(&err), &err);
    v->certs_n += (size_t)n;
    return done(v);
}

enum cvm_status cvm_set_snp_crl(struct cvm_verifier *v, const void *crl, size_t size)
{
    struct err err = { 0 };
    X509_CRL *parsed = NULL;
    if (crl_parse(bytes_of(crl, size), &parsed, &err) < 0)
        return fail(v, status_of(&err), &err);
    X509_CRL_free(v->crl);
    v->crl = parsed;
    return done(v);
}

enum cvm_status cvm_set_tdx_collateral(struct cvm_verifier *v, const char *json, size_t size)
{
    struct err err = { 0 };
    struct tdx_collateral *parsed = NULL;
    if (tdx_collateral_parse(bytes_of(json, size), &parsed, &err) < 0)
        return fail(v, status_of(&err), &err);
    tdx_collateral_free(v->collateral);
    v->collateral = parsed;
    return done(v);
}

enum cvm_status cvm_trust_emulator(struct cvm_verifier *v, const char *pem, size_t size)
{
    struct err err = { 0 };
    if (verify_trust_add_extra(&v->trust, bytes_of(pem, size), &err) < 0)
        return fail(v, status_of(&err), &err);
    return done(v);
}

enum cvm_status cvm_accept(struct cvm_verifier *v, unsigned what)
{
    if (what & ~(unsigned)(CVM_ACCEPT_SELF_ASSERTED_AK | CVM_ACCEPT_EXPIRED))
        return fail_text(v, CVM_USAGE, "a bit that this version of the library does not know");
    v->options.accept_self_asserted_ak = what & CVM_ACCEPT_SELF_ASSERTED_AK;
    v->options.accept_expired = what & CVM_ACCEPT_EXPIRED;
    return done(v);
}

enum cvm_status cvm_accept_tcb(struct cvm_verifier *v, const char *statuses)
{
    struct err err = { 0 };
    if (!statuses)
        return fail_text(v, CVM_USAGE, "no statuses");
    if (tdx_accept_parse(statuses, &v->options.accept_tcb, &err) < 0)
        return fail(v, CVM_USAGE, &err);
    return done(v);
}

enum cvm_status cvm_accept_binding(struct cvm_verifier *v, const char *rules)
{
    struct err err = { 0 };
    if (!rules)
        return fail_text(v, CVM_USAGE, "no rules");
    if (verify_binding_names_check(rules, &err) < 0)
        return fail(v, CVM_USAGE, &err);
    char *copy = strdup(rules);
    if (!copy)
        return fail_text(v, CVM_ENVIRONMENT, "out of memory");
    free(v->rules);
    v->options.accept_binding = v->rules = copy;
    return done(v);
}

/* A JSON value as text; NULL: memory is short. */
static char *text_of(const json_t *value)
{
    AUTO(buf_done) struct buf text = buf_new(ANSWER_MAX);
    json_put(&text, value, true);
    buf_u8(&text, '\n');
    return buf_take_str(&text);
}

/* Hands the answer out, and says of a refusal what its first sentence says. */
static enum cvm_status conclude(struct cvm_verifier *v, const struct appraisal *a, char **answer)
{
    AUTO(json_drop) json_t *json = appraisal_json(a);
    if (!json || (answer && !(*answer = text_of(json))))
        return fail_text(v, CVM_ENVIRONMENT, "no memory for the answer");
    if (json_is_true(json_object_get(json, "success")))
        return done(v);
    const char *why = json_string_value(json_object_get(json, "error"));
    return fail_text(v, CVM_REFUSED, why ? why : "not verified");
}

enum cvm_status cvm_verify(struct cvm_verifier *v, const void *document, size_t size, char **answer)
{
    AUTO(appraisal_done) struct appraisal appraisal = { NULL, NULL };
    AUTO(tdx_prepared_collateral_drop) struct tdx_prepared_collateral *tdx = NULL;
    const struct verify_vendor_trust *intel = &v->trust.vendor[VERIFY_INTEL];
    const struct tdx_anchors anchors = { intel->anchor, intel->anchors };
    struct err err = { 0 };
    if (answer)
        *answer = NULL;
    if (v->golden_key.n && !v->golden.n)
        return fail_text(v, CVM_USAGE, "a key for a golden measurement, and no golden measurement");
    if (v->collateral && tdx_prepare_collateral(v->collateral, &anchors, &tdx, &err) < 0) {
        err_while(&err, "use the TDX collateral");
        return fail(v, status_of(&err), &err);
    }
    const struct verify_material material = {
        .certs = v->certs, .certs_n = v->certs_n, .snp_crl = v->crl, .tdx = tdx
    };
    struct appraise_request request = { .collaterals = bytes_of(document, size),
                                        .golden = buf_bytes(&v->golden),
                                        .golden_key = buf_bytes(&v->golden_key),
                                        .policies = &v->policies,
                                        .verify = v->options };
    request.verify.trust = &v->trust;
    request.verify.material = &material;
    if (!v->has_time)
        request.verify.at = time(NULL);
    if (appraise(&request, &appraisal, &err) < 0)
        return fail(v, status_of(&err), &err);
    return conclude(v, &appraisal, answer);
}

static enum cvm_status sentence(char **out, enum cvm_status status, const char *text)
{
    *out = strdup(text);
    return status;
}

enum cvm_status cvm_inspect(const void *data, size_t size, const char *type, char **out)
{
    AUTO(json_drop) json_t *decoded = NULL;
    char text[ERR_TEXT_MAX];
    struct err err = { 0 };
    const struct bytes bytes = bytes_of(data, size);
    const struct inspect_type *row = type ? inspect_type_by_name(type) : inspect_recognise(bytes);
    if (!row)
        return type ? sentence(out, CVM_USAGE, "no such type")
                    : sentence(out, CVM_MALFORMED, "not recognised");
    if (inspect_decode(row, bytes, &decoded, &err) < 0)
        return sentence(out, status_of(&err), err_text(&err, text, sizeof(text)));
    *out = text_of(decoded);
    return *out ? CVM_VERIFIED : CVM_ENVIRONMENT;
}

void cvm_free(char *text)
{
    free(text);
}
