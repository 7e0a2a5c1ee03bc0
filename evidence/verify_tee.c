/* The hardware's part: the SNP report or TDX quote, and the root that it reached. */
#include "evidence/verify_internal.h"

#include "base/auto.h"
#include "tee/vek_cert.h"

#include <openssl/err.h>

#define CERTS_MAX (DOCUMENT_CHAIN_MAX + VERIFY_POOL_MAX + 32)

/* Certificates at hand; those of the document and of the material are untrusted. */
struct pool {
    X509 *list[CERTS_MAX];
    size_t n, owned; /* the first so many */
};

static void pool_done(struct pool *p)
{
    for (size_t i = 0; i < p->owned; i++)
        X509_free(p->list[i]);
}

static void pool_add(struct pool *p, X509 *const *certs, size_t n)
{
    for (size_t i = 0; i < n && p->n < CERTS_MAX; i++)
        p->list[p->n++] = certs[i];
}

/* What cannot be read is left out, and said: a chain may hold without it. */
static void pool_parse(struct pool *p, const struct document_list *chain, const char *what,
                       struct checks *checks)
{
    for (size_t i = 0; i < chain->n; i++) {
        struct err err = { 0 };
        if (x509_parse(chain->item[i], &p->list[p->n], &err) < 0)
            checks_warn(checks, "%s[%zu] is no certificate: %.150s", what, i, err.cause);
        else
            p->owned = ++p->n;
    }
}

/* ---- SEV-SNP ---- */

/* The VEK of the material that the report names: reported TCB, and chip id where it is shown. */
static X509 *find_vek(const struct verify_material *m, struct bytes raw)
{
    struct snp_report report;
    struct vek_cert vek;
    struct err ignored;
    if (!m || snp_report_parse(raw, &report, &ignored) < 0)
        return NULL;
    for (size_t i = 0; i < m->certs_n; i++) {
        if (vek_cert_parse(m->certs[i], &vek, &ignored) < 0)
            continue;
        struct snp_tcb tcb = snp_tcb_decode(vek.product, report.reported_tcb);
        bool chip = !vek.hwid.n || bytes_zero(report.chip_id)
                    || (vek.hwid.n <= report.chip_id.n && !memcmp(vek.hwid.p, report.chip_id.p, vek.hwid.n));
        if (chip && snp_tcb_at_least(&vek.tcb, &tcb) && snp_tcb_at_least(&tcb, &vek.tcb))
            return m->certs[i];
    }
    return NULL;
}

bool verify_material_has_vek(const struct verify_material *m, struct bytes report)
{
    return find_vek(m, report) != NULL;
}

static int no_vek(const struct verify_material *m, struct err *err)
{
    for (size_t i = 0; m && i < m->absent_n; i++)
        if (!strcmp(m->absent[i].what, VERIFY_ABSENT_VEK))
            return err_set(err, ERR_NOT_FOUND, 0, "no VCEK or VLEK: not in the document, and %.200s",
                           m->absent[i].why);
    return err_set(err, ERR_NOT_FOUND, 0, "no VCEK or VLEK: neither the document nor --certs has it");
}

static void free_vek(void *vek)
{
    snp_vek_free(vek);
}

/* True if what is judged with the material at hand has a name to be cached by. */
static bool cacheable(const struct verify_material *m)
{
    return !m || m->id || (!m->certs_n && !m->snp_crl);
}

/* The judged VEK from the cache, else judged now. @return 0, or -1 with why there is none */
static int hold_vek(struct verification *v, struct verify_held *out, struct err *err)
{
    const struct document *d = v->document;
    const struct verify_material *m = v->options->material;
    const struct verify_vendor_trust *amd = &v->options->trust->vendor[VERIFY_AMD];
    bool keep = v->options->cache && cacheable(m);
    AUTO(buf_done) struct buf made_from = buf_new((DOCUMENT_CHAIN_MAX + 2) * (CERT_MAX + 16));
    AUTO(pool_done) struct pool pool = { .n = 0 };
    AUTO(x509_drop) X509 *own = NULL;
    uint8_t key[32];
    buf_str(&made_from, "snp");
    buf_put(&made_from, bytes_of(v->options->trust->id, 32));
    buf_tpm2b(&made_from, bytes_of(m ? m->id : NULL, m && m->id ? 32 : 0));
    buf_tpm2b(&made_from, d->vek_cert);
    for (size_t i = 0; i < d->cert_chain.n; i++)
        buf_tpm2b(&made_from, d->cert_chain.item[i]);
    if (buf_check(&made_from, "VEK and chain", err) < 0)
        return -1;
    sha256(buf_bytes(&made_from), key);
    if (keep && verify_cache_get(v->options->cache, key, out))
        return 0;
    if (d->vek_cert.n && x509_parse(d->vek_cert, &own, err) < 0)
        return err_while(err, "sev_snp.vek_cert");
    pool_parse(&pool, &d->cert_chain, "sev_snp.cert_chain", v->checks);
    const size_t given = pool.n;
    keep = keep && given == d->cert_chain.n; /* else the warnings are due the next time too */
    if (m)
        pool_add(&pool, m->certs, m->certs_n);
    pool_add(&pool, amd->pool, amd->pooled);
    const struct snp_vek_request rq = {
        .vek = own ? own : find_vek(m, d->tee_report),
        .pool = pool.list,
        .pool_n = pool.n,
        .given = given,
        .anchors = amd->anchor,
        .anchors_n = amd->anchors,
        .crl = m ? m->snp_crl : NULL,
    };
    struct snp_vek *vek;
    if (!rq.vek)
        return no_vek(m, err);
    if (snp_vek_new(&rq, &vek, err) < 0)
        return err_while(err, "sev_snp.vek_cert");
    verify_cache_add(keep ? v->options->cache : NULL, key, vek, free_vek, out);
    return 0;
}

static void verify_snp_report(struct verification *v)
{
    struct verify_result *r = v->result;
    AUTO(verify_held_done) struct verify_held held = { NULL, NULL, NULL, NULL };
    struct err err = { 0 };
    char why[ERR_TEXT_MAX];
    if (hold_vek(v, &held, &err) < 0) {
        checks_add_rc(v->checks, "snp.vek_chain", -1, NULL, &err);
        if (!v->options->material || !v->options->material->absent_n) /* else it is said already */
            checks_warn(v->checks, "%.200s", err_text(&err, why, sizeof(why)));
    }
    const struct snp_rules rules = { v->options->at, v->options->accept_expired };
    snp_verify_by(v->document->tee_report, held.object, &rules, v->checks, &r->snp);
    r->tee_authentic = r->snp.authentic;
    if (!r->tee_authentic)
        return;
    r->emulated = verify_trust_is_extra(v->options->trust, VERIFY_AMD, r->snp.anchor);
    v->report_data = r->snp.report.report_data;
}

/* ---- TDX ---- */

static void free_signer(void *signer)
{
    tdx_prepared_signer_free(signer);
}

static void free_collateral(void *collateral)
{
    tdx_prepared_collateral_free(collateral);
}

static int hold_signer(struct verification *v, struct tdx_anchors anchors, struct verify_held *out,
                       struct err *err)
{
    struct tdx_quote quote;
    struct tdx_prepared_signer *signer;
    struct err ignored;
    uint8_t key[32];
    if (tdx_quote_parse(v->document->tee_report, &quote, &ignored) < 0)
        return 0; /* tdx_verify() says what is wrong */
    verify_cache_key(v, "signer", tdx_signer_bytes(&quote), key);
    if (verify_cache_get(v->options->cache, key, out))
        return 0;
    if (tdx_prepare_signer(&quote, &anchors, &signer, err) < 0)
        return -1;
    verify_cache_add(v->options->cache, key, signer, free_signer, out);
    return 0;
}

/* The document's own collateral. What cannot be read is as if it were not there. */
static int hold_collateral(struct verification *v, struct tdx_anchors anchors, struct verify_held *out,
                           struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(TDX_COLLATERAL_MAX);
    AUTO(tdx_collateral_drop) struct tdx_collateral *parts = NULL;
    struct tdx_prepared_collateral *prepared;
    struct err why = { 0 };
    uint8_t key[32];
    const json_t *given = v->document->collateral;
    if (!given)
        return 0;
    if (json_is_string(given))
        buf_put(&text, bytes_of(json_string_value(given), json_string_length(given)));
    else
        json_put(&text, given, false);
    verify_cache_key(v, "collateral", buf_bytes(&text), key);
    if (verify_cache_get(v->options->cache, key, out))
        return 0;
    if (buf_check(&text, "tdx.collateral", &why) < 0
        || tdx_collateral_parse(buf_bytes(&text), &parts, &why) < 0) {
        checks_add(v->checks, "tdx.tcb_info_signature", CHECK_FAILED, "tdx.collateral: %.200s", why.cause);
        return 0;
    }
    if (tdx_prepare_collateral(parts, &anchors, &prepared, err) < 0)
        return -1;
    verify_cache_add(v->options->cache, key, prepared, free_collateral, out);
    return 0;
}

static int verify_td_quote(struct verification *v, struct err *err)
{
    const struct verify_vendor_trust *intel = &v->options->trust->vendor[VERIFY_INTEL];
    const struct verify_material *m = v->options->material;
    struct verify_result *r = v->result;
    AUTO(verify_held_done) struct verify_held signer = { NULL, NULL, NULL, NULL };
    AUTO(verify_held_done) struct verify_held collateral = { NULL, NULL, NULL, NULL };
    struct tdx_request rq = {
        .quote = v->document->tee_report,
        .anchors = { intel->anchor, intel->anchors },
        .at = v->options->at,
        .accept = v->options->accept_tcb,
        .accept_expired = v->options->accept_expired,
    };
    if (hold_signer(v, rq.anchors, &signer, err) < 0 || hold_collateral(v, rq.anchors, &collateral, err) < 0)
        return -1;
    rq.signer = signer.object;
    rq.collateral = collateral.object ? collateral.object : m ? m->tdx : NULL;
    tdx_verify(&rq, v->checks, &r->tdx);
    r->tee_authentic = r->tdx.authentic;
    if (!r->tee_authentic)
        return 0;
    r->emulated = verify_trust_is_extra(v->options->trust, VERIFY_INTEL, r->tdx.anchor);
    v->report_data = r->tdx.quote.body.report_data;
    v->td = &r->tdx.quote.body;
    return 0;
}

/* ---- the root ---- */

static void judge_root(struct verification *v)
{
    static const char name[] = "platform.hardware_root";
    const struct verify_result *r = v->result;
    const struct document *d = v->document;
    if (d->tee == TEE_NONE) {
        checks_add(v->checks, name, CHECK_FAILED,
                   "no hardware evidence: a TPM alone proves no confidential machine");
    } else if (!r->tee_authentic && d->platform.emulated) {
        checks_add(v->checks, name, CHECK_FAILED,
                   "emulated evidence: it reaches no vendor's root; to accept it, name its roots "
                   "(--trust-emulator)");
    } else if (!r->tee_authentic) {
        checks_add(v->checks, name, CHECK_FAILED,
                   "the hardware evidence does not reach a pinned root of its vendor");
    } else if (r->emulated) {
        checks_add(v->checks, name, CHECK_OK, "a root that was given, not a vendor's: accepted as asked");
        checks_warn(v->checks, "emulated evidence: it proves nothing about hardware");
    } else {
        checks_add(v->checks, name, CHECK_OK, "a pinned root of %s", d->tee == TEE_TDX ? "Intel" : "AMD");
    }
}

int verify_tee(struct verification *v, struct err *err)
{
    const struct verify_material *m = v->options->material;
    for (size_t i = 0; m && i < m->absent_n; i++)
        checks_warn(v->checks, "missing: %s: %.240s", m->absent[i].what, m->absent[i].why);
    v->report_data = bytes_of(NULL, 0);
    if (v->document->tee == TEE_SEV_SNP)
        verify_snp_report(v);
    else if (v->document->tee == TEE_TDX && verify_td_quote(v, err) < 0)
        return -1;
    judge_root(v);
    return 0;
}
