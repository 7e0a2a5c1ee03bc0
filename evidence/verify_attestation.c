#include "evidence/verify_attestation.h"

#include "base/auto.h"
#include "evidence/collect.h"
#include "tee/hcl_report.h"
#include "tpm/ak_verify.h"
#include "tpm/quote_verify.h"

#include <openssl/err.h>

#define REPORT_DATA 64

/* An attestation under way. */
struct run {
    const struct attestation *a;
    const struct verify_attestation_options *o;
    struct checks *checks;
    struct attestation_verdict *out;
    struct tpm_public area;
    bool has_area;
    X509 *cert; /* of the AK, or NULL */
    EVP_PKEY *ak;
    struct bytes extra_data; /* of the first authentic quote */
};

static void run_done(struct run *r)
{
    X509_free(r->cert);
    EVP_PKEY_free(r->ak);
}

/* ---- the key ---- */

static void find_key(struct run *r)
{
    struct err err = { 0 };
    r->has_area = r->a->ak_pub.n && tpm_public_parse(r->a->ak_pub, &r->area, &err) == 0;
    if (r->a->ak_pub.n && !r->has_area)
        checks_add_rc(r->checks, "tpm.ak_attributes", -1, NULL, &err);
    if (r->a->ak_cert.n && x509_parse(r->a->ak_cert, &r->cert, &err) < 0)
        checks_add_rc(r->checks, "tpm.ak_chain", -1, NULL, &err);
    if (r->has_area && tpm_public_key(&r->area, &r->ak, &err) == 0)
        return;
    if (!r->has_area && r->cert && (r->ak = X509_get_pubkey(r->cert)))
        return;
    ERR_clear_error();
    checks_add(r->checks, "tpm.quote_signature", CHECK_FAILED,
               "no attestation key: neither ak_pub nor ak_cert has one");
}

static void judge_certificate(struct run *r)
{
    const struct verify_vendor_trust *google = &r->o->trust->vendor[VERIFY_GOOGLE];
    X509 *pool[ATTESTATION_CERTS_MAX + VERIFY_POOL_MAX];
    struct ak_judged judged;
    struct err err = { 0 };
    size_t n = 0, owned;
    if (!r->cert) {
        checks_add(r->checks, "tpm.ak_chain", CHECK_NOT_APPLICABLE, "no AK certificate");
        checks_add(r->checks, "tpm.ak_anchor", CHECK_NOT_APPLICABLE,
                   "not judged: whose the key is must be known otherwise");
        return;
    }
    for (size_t i = 0; i < r->a->intermediate_count; i++)
        n += x509_parse(r->a->intermediate_certs[i], &pool[n], &err) == 0;
    owned = n;
    for (size_t i = 0; i < google->pooled; i++)
        pool[n++] = google->pool[i];
    const struct ak_cert_request rq = {
        .cert = r->cert, .pool = pool, .pool_n = n, .anchors = google->anchor, .anchors_n = google->anchors
    };
    ak_cert_judge(&rq, &judged);
    while (owned)
        X509_free(pool[--owned]);
    bool held = ak_cert_check(&judged, r->cert, r->ak, r->o->at, false, r->checks);
    checks_add(r->checks, "tpm.ak_anchor", held ? CHECK_OK : CHECK_FAILED, "%s",
               held ? "certified by Google's CA" : "key named by the guest only: no certificate that holds");
}

/* ---- the quotes ---- */

static void judge_log(struct run *r, const struct attestation_quote *quote,
                      const struct tpm_quote_verdict *verdict, const struct tpm_eventlog *log,
                      const struct tpm_replay *replay)
{
    struct tpm_log_verdict ignored;
    if (!tpm_replay_bank(replay, quote->pcrs.alg)) {
        checks_warn(r->checks, "the boot log has no %s digests: that quote's PCRs are not explained",
                    digest_name(quote->pcrs.alg));
        return;
    }
    tpm_log_verify(log, replay, &quote->pcrs, tpm_quote_covers(verdict, quote->pcrs.alg), r->checks,
                   &ignored);
}

/* The nonce; with zeros behind it where the quote has 32 bytes, as Cocos and our agents ask for it. */
static struct bytes expected_extra(const struct run *r, const struct attestation_quote *quote,
                                   uint8_t padded[static ATTESTATION_NONCE])
{
    struct tpm_attest attest;
    struct err ignored;
    size_t n = r->o->nonce.n;
    if (n == 0 || n >= ATTESTATION_NONCE || tpm_attest_parse(quote->quote, &attest, &ignored) < 0
        || attest.extra_data.n != ATTESTATION_NONCE)
        return r->o->nonce;
    memset(padded, 0, ATTESTATION_NONCE);
    memcpy(padded, r->o->nonce.p, n);
    return bytes_of(padded, ATTESTATION_NONCE);
}

static void judge_quotes(struct run *r, const struct tpm_eventlog *log, const struct tpm_replay *replay)
{
    for (size_t i = 0; i < r->a->quote_count; i++) {
        const struct attestation_quote *quote = &r->a->quotes[i];
        uint8_t padded[ATTESTATION_NONCE];
        const struct tpm_quote_request rq = {
            .quote = quote->quote,
            .signature = quote->raw_sig,
            .ak = r->ak,
            .ak_public = r->has_area ? &r->area : NULL,
            .public_due = !r->cert,
            .banks = &quote->pcrs,
            .bank_count = quote->pcrs.alg ? 1 : 0,
            .pcrs_due = true,
            .extra_data_asked = r->o->nonce.n > 0,
            .extra_data = expected_extra(r, quote, padded),
        };
        struct tpm_quote_verdict verdict;
        tpm_quote_verify(&rq, r->checks, &verdict);
        if (verdict.authentic && !r->extra_data.n)
            r->extra_data = verdict.attest.extra_data;
        if (log)
            judge_log(r, quote, &verdict, log, replay);
    }
}

static void judge_tpm(struct run *r)
{
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { .count = 0 };
    struct tpm_replay replay;
    struct err err = { 0 };
    if (!r->a->quote_count)
        checks_add(r->checks, "tpm.quote_format", CHECK_FAILED, "no quote");
    if (!r->a->event_log.n) {
        checks_add(r->checks, "tpm.eventlog_replay", CHECK_NOT_APPLICABLE, "no boot log");
        judge_quotes(r, NULL, NULL);
    } else if (tpm_eventlog_parse(r->a->event_log, EVENTLOG_TPM, &log, &err) < 0
               || tpm_eventlog_replay(&log, &replay, &err) < 0) {
        checks_add_rc(r->checks, "tpm.eventlog_replay", -1, NULL, &err);
        judge_quotes(r, NULL, NULL);
    } else {
        judge_quotes(r, &log, &replay);
        if (!checks_find(r->checks, "tpm.eventlog_replay"))
            checks_add(r->checks, "tpm.eventlog_replay", CHECK_FAILED, "the log explains no quote");
    }
    if (r->a->canonical_event_log.n)
        checks_warn(r->checks, "the canonical event log is not judged");
}

/* ---- the TEE ---- */

static void add_cert(struct bytes der, X509 **list, size_t *n, struct checks *checks)
{
    struct err err = { 0 };
    if (der.n && x509_parse(der, &list[*n], &err) == 0)
        ++*n;
    else if (der.n)
        checks_warn(checks, "a certificate that cannot be read: %.200s", err.cause);
}

static int judge_snp(struct run *r, struct err *err)
{
    const struct verify_vendor_trust *amd = &r->o->trust->vendor[VERIFY_AMD];
    AUTO(snp_vek_drop) struct snp_vek *vek = NULL;
    X509 *list[2 + VERIFY_POOL_MAX], *leaf[1];
    size_t n = 0, leaves = 0, owned;
    struct err why = { 0 };
    add_cert(r->a->vlek_cert.n ? r->a->vlek_cert : r->a->vcek_cert, leaf, &leaves, r->checks);
    add_cert(r->a->ask_cert, list, &n, r->checks);
    add_cert(r->a->ark_cert, list, &n, r->checks);
    owned = n;
    for (size_t i = 0; i < amd->pooled; i++)
        list[n++] = amd->pool[i];
    const struct snp_vek_request rq = { .vek = leaves ? leaf[0] : NULL,
                                        .pool = list,
                                        .pool_n = n,
                                        .given = owned,
                                        .anchors = amd->anchor,
                                        .anchors_n = amd->anchors,
                                        .crl = r->o->material ? r->o->material->snp_crl : NULL };
    int rc = leaves ? snp_vek_new(&rq, &vek, &why) : 0;
    while (owned)
        X509_free(list[--owned]);
    if (leaves)
        X509_free(leaf[0]);
    if (rc < 0 && why.kind == ERR_IO) {
        *err = why;
        return -1;
    }
    if (rc < 0)
        checks_add_rc(r->checks, "snp.vek_chain", -1, NULL, &why);
    snp_verify(buf_bytes(&r->a->snp_report), vek, r->o->at, r->checks, &r->out->snp);
    r->out->tee_authentic = r->out->snp.authentic;
    return 0;
}

static void judge_tdx(struct run *r)
{
    const struct verify_vendor_trust *intel = &r->o->trust->vendor[VERIFY_INTEL];
    const struct tdx_request rq = {
        .quote = buf_bytes(&r->a->tdx_quote),
        .collateral = r->o->material ? r->o->material->tdx : NULL,
        .anchors = { intel->anchor, intel->anchors },
        .at = r->o->at,
        .accept = r->o->accept_tcb,
    };
    tdx_verify(&rq, r->checks, &r->out->tdx);
    r->out->tee_authentic = r->out->tdx.authentic;
}

/* ---- what the TEE's report binds ---- */

struct padded {
    uint8_t b[REPORT_DATA];
};

/* Agents and go-tpm-tools put zeros behind what is shorter. */
static struct padded pad(struct bytes value)
{
    struct padded p = { { 0 } };
    memcpy(p.b, value.p, value.n < sizeof(p.b) ? value.n : sizeof(p.b));
    return p;
}

static bool same(struct bytes report_data, const uint8_t *want)
{
    return report_data.n == REPORT_DATA && !memcmp(report_data.p, want, REPORT_DATA);
}

/* What the request may have had as report_data: as the caller knows, else as the message says (a hash over it
 * proves that), else nothing or the nonce. */
static size_t candidates(const struct run *r, struct bytes nonce, struct padded out[static 3])
{
    size_t n = 0;
    if (r->o->report_data.n) {
        out[n++] = pad(r->o->report_data);
        return n;
    }
    if (r->a->asked.n == REPORT_DATA)
        out[n++] = pad(r->a->asked);
    out[n++] = pad(bytes_of(NULL, 0));
    out[n++] = pad(nonce);
    return n;
}

static const struct rule {
    const char *name;
    bool ak; /* the key is bound */
    const char *what;
} rules[] = {
    { "cocos", true, "report_data is SHA3-512 over the request's and the key" },
    { "cvm-agent-attestation-v1", false, "report_data is SHA-512 over the request's and the nonce" },
    { "go-tpm-tools", false, "report_data is the nonce and zeros" },
    { "raw", false, "report_data is the request's as it is" },
    { "azure", true, "report_data is the hash of runtime data that name the key" },
};
enum { RULE_COCOS, RULE_V1, RULE_GO, RULE_RAW, RULE_AZURE };

/* Runtime data that the report binds, and that name the quotes' key; on SNP only the paravisor's report
 * counts. */
static bool is_azure(const struct run *r, struct bytes report_data)
{
    static const uint16_t algs[] = { ALG_SHA256, ALG_SHA384, ALG_SHA512 };
    AUTO(hcl_claims_done) struct hcl_claims claims = { .root = NULL };
    AUTO(buf_done) struct buf named = buf_new(8192);
    AUTO(buf_done) struct buf own = buf_new(8192);
    struct err ignored;
    bool bound = false;
    if (!r->a->runtime_data.n || !r->has_area || (r->a->snp_report.n && r->out->snp.report.vmpl != 0))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(algs); i++) {
        struct digest d;
        bound = bound
                || (digest_of(algs[i], r->a->runtime_data, &d, &ignored) == 0
                    && same(report_data, pad(digest_bytes(&d)).b));
    }
    return bound && hcl_claims_parse(r->a->runtime_data, &claims, &ignored) == 0
           && hcl_key_spki(&claims, HCL_KEY_AK, &named, &ignored) == 0
           && tpm_public_spki(&r->area, &own, &ignored) == 0
           && bytes_equal(buf_bytes(&named), buf_bytes(&own));
}

static const struct rule *rule_of(const struct run *r, struct bytes report_data)
{
    struct bytes nonce = r->o->nonce.n ? r->o->nonce : r->extra_data;
    struct padded padded = pad(nonce), tried[3];
    struct bytes nonce32 = bytes_of(padded.b, ATTESTATION_NONCE);
    size_t n = candidates(r, nonce, tried);
    uint8_t want[REPORT_DATA];
    struct err ignored;
    if (is_azure(r, report_data))
        return &rules[RULE_AZURE];
    for (size_t i = 0; i < n; i++) {
        struct bytes asked = bytes_of(tried[i].b, REPORT_DATA);
        if (attestation_bind_cocos(asked, r->a->ak_pub, want, &ignored) == 0 && same(report_data, want))
            return &rules[RULE_COCOS];
        if (attestation_bind_v1(asked, nonce32, want, &ignored) == 0 && same(report_data, want))
            return &rules[RULE_V1];
    }
    if (r->o->report_data.n && same(report_data, tried[0].b))
        return &rules[RULE_RAW];
    return nonce.n && nonce.n <= REPORT_DATA && same(report_data, padded.b) ? &rules[RULE_GO] : NULL;
}

static void judge_binding(struct run *r, struct bytes report_data)
{
    const struct rule *rule = rule_of(r, report_data);
    r->out->binding = rule ? rule->name : NULL;
    if (rule)
        checks_add(r->checks, "binding.nonce", CHECK_OK, "%s: %s", rule->name, rule->what);
    else
        checks_add(r->checks, "binding.nonce", CHECK_FAILED,
                   "report_data is neither the quotes' nonce nor a hash over it; --report-data tells what "
                   "was asked with");
    bool ak = rule && rule->ak;
    checks_add(r->checks, "binding.ak", ak ? CHECK_OK : CHECK_NOT_APPLICABLE, "%s%s%s",
               rule ? rule->name : "no rule", ak ? ": " : " does not bind the key", ak ? rule->what : "");
    if (!ak)
        checks_warn(r->checks,
                    "the TEE's report does not name the attestation key: TPM and TEE share a nonce only");
}

static int judge_tee(struct run *r, struct err *err)
{
    bool snp = r->a->snp_report.n > 0;
    if (!snp && !r->a->tdx_quote.n) {
        checks_add(r->checks, "platform.hardware_root", CHECK_NOT_APPLICABLE,
                   "no TEE's report inside: a TPM alone");
        return 0;
    }
    if (snp && judge_snp(r, err) < 0)
        return -1;
    if (!snp)
        judge_tdx(r);
    checks_add(r->checks, "platform.hardware_root", r->out->tee_authentic ? CHECK_OK : CHECK_FAILED, "%s",
               r->out->tee_authentic ? "a trusted root of the vendor"
                                     : "the TEE's report does not reach a pinned root of its vendor");
    if (r->out->tee_authentic)
        judge_binding(r, snp ? r->out->snp.report.report_data : r->out->tdx.quote.body.report_data);
    return 0;
}

int verify_attestation(const struct attestation *a, const struct verify_attestation_options *options,
                       struct checks *checks, struct attestation_verdict *out, struct err *err)
{
    *out = (struct attestation_verdict){ .binding = NULL };
    AUTO(run_done) struct run r = { .a = a, .o = options, .checks = checks, .out = out };
    r.extra_data = bytes_of(NULL, 0);
    find_key(&r);
    judge_tpm(&r);
    judge_certificate(&r);
    if (judge_tee(&r, err) < 0)
        return err_while(err, "verify the attestation");
    out->freshness = !options->nonce.n                       ? "unchecked"
                     : checks_hold(checks, "tpm.extra_data") ? "fresh"
                                                             : "stale";
    return 0;
}
