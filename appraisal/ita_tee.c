/* The hardware's part of an appraisal request: a TD quote or an SEV-SNP report. */
#include "appraisal/ita_internal.h"

#include "base/auto.h"
#include "evidence/claims.h"

#include <errno.h>
#include <openssl/err.h>

#define POOL_MAX (ITA_CHAIN_MAX + VERIFY_POOL_MAX + 4)

/* A policy weighs these; what is revoked or has no level is never accepted. */
#define STATUSES                                                                                             \
    "SWHardeningNeeded,ConfigurationNeeded,ConfigurationAndSWHardeningNeeded,OutOfDate,"                     \
    "OutOfDateConfigurationNeeded"

static int no_memory(struct err *err)
{
    return err_set(err, ERR_IO, ENOMEM, "no memory for an appraisal");
}

static int put_claims(struct ita_judging *j, const char *name, json_t *claims, struct err *err)
{
    return json_object_set_new(j->result->claims, name, claims) < 0 ? no_memory(err) : 0;
}

/* ---- TDX ---- */

static void collateral_of_request(const json_t *given, struct tdx_collateral **out, struct checks *checks)
{
    AUTO(buf_done) struct buf text = buf_new(TDX_COLLATERAL_MAX);
    struct err err = { 0 };
    json_put(&text, given, false);
    if (buf_check(&text, "collateral", &err) < 0 || tdx_collateral_parse(buf_bytes(&text), out, &err) < 0)
        checks_warn(checks, "tdx.collateral cannot be read: %.200s", err.cause);
}

static void collateral_of_service(const struct ita_judging *j, struct tdx_collateral **out)
{
    struct checks *checks = &j->result->checks;
    AUTO(collateral_tdx_done) struct collateral_tdx set = { .complete = false };
    struct tdx_quote quote;
    struct err err = { 0 };
    uint8_t fmspc[6];
    enum collateral_ca ca;
    if (!j->options->service)
        checks_warn(checks, "no collateral: send it as \"collateral\", this agent fetches none");
    else if (tdx_quote_parse(j->request->quote, &quote, &err) < 0
             || collateral_of_pck(quote.pck_chain, fmspc, &ca, &err) < 0
             || collateral_tdx(j->options->service, bytes_of(fmspc, sizeof(fmspc)), ca, &set, &err) < 0
             || collateral_tdx_open(&set, out, &err) < 0)
        checks_warn(checks, "no collateral: %.240s", err.cause);
}

int ita_judge_tdx(struct ita_judging *j, struct err *err)
{
    AUTO(tdx_collateral_drop) struct tdx_collateral *collateral = NULL;
    AUTO(tdx_prepared_collateral_drop) struct tdx_prepared_collateral *prepared = NULL;
    const struct verify_vendor_trust *intel = &j->options->trust->vendor[VERIFY_INTEL];
    const struct tdx_anchors anchors = { intel->anchor, intel->anchors };
    struct checks *checks = &j->result->checks;
    struct tdx_verdict verdict;
    uint32_t accept;
    if (j->request->collateral)
        collateral_of_request(j->request->collateral, &collateral, checks);
    else
        collateral_of_service(j, &collateral);
    if (collateral && tdx_prepare_collateral(collateral, &anchors, &prepared, err) < 0)
        return -1;
    if (tdx_accept_parse(STATUSES, &accept, err) < 0)
        return -1;
    const struct tdx_request rq = { .quote = j->request->quote,
                                    .collateral = prepared,
                                    .anchors = anchors,
                                    .at = j->options->at,
                                    .accept = accept };
    tdx_verify(&rq, checks, &verdict);
    j->tee_holds = verdict.authentic && checks_all_hold(checks);
    if (!j->tee_holds)
        return 0;
    j->report_data = verdict.quote.body.report_data;
    return put_claims(j, "tdx", claims_tdx(&verdict, NULL, NULL), err);
}

/* ---- SEV-SNP ---- */

struct certs {
    X509 *vek;
    X509 *pool[POOL_MAX];
    size_t pooled, owned; /* the first so many of the pool are ours */
};

static void certs_done(struct certs *c)
{
    X509_free(c->vek);
    for (size_t i = 0; i < c->owned; i++)
        X509_free(c->pool[i]);
}

static void pool_parse(struct certs *c, struct bytes der, struct checks *checks)
{
    struct err err = { 0 };
    if (c->pooled < POOL_MAX && x509_parse(der, &c->pool[c->pooled], &err) == 0)
        c->owned = ++c->pooled;
    else
        checks_warn(checks, "a certificate of the chain cannot be read: %.150s", err.cause);
}

static void certs_of_request(const struct ita_request *r, struct certs *out, struct checks *checks)
{
    struct err err = { 0 };
    if (x509_parse(r->vek_cert, &out->vek, &err) < 0)
        checks_warn(checks, "vek_cert is no certificate: %.150s", err.cause);
    for (size_t i = 0; i < r->cert_chain.n; i++)
        pool_parse(out, r->cert_chain.item[i], checks);
}

static void certs_of_service(const struct ita_judging *j, struct certs *out, struct checks *checks)
{
    struct vek_certs found = { 0 };
    struct err err = { 0 };
    if (!j->options->service) {
        checks_warn(checks, "no VEK: send it as \"vek_cert\", this agent fetches none");
        return;
    }
    if (collateral_vek(j->options->service, j->request->report, &found, &err) < 0
        || x509_parse(buf_bytes(&found.vek), &out->vek, &err) < 0)
        checks_warn(checks, "no VEK: %.240s", err.cause);
    for (size_t i = 0; out->vek && i < found.chain_n; i++)
        pool_parse(out, buf_bytes(&found.chain[i]), checks);
    vek_certs_done(&found);
}

static int prepare_vek(const struct ita_judging *j, struct certs *certs, struct snp_vek **out,
                       struct err *err)
{
    const struct verify_vendor_trust *amd = &j->options->trust->vendor[VERIFY_AMD];
    struct checks *checks = &j->result->checks;
    struct err why = { 0 };
    if (j->request->vek_cert.n)
        certs_of_request(j->request, certs, checks);
    else
        certs_of_service(j, certs, checks);
    const size_t given = certs->pooled;
    for (size_t i = 0; i < amd->pooled && certs->pooled < POOL_MAX; i++)
        certs->pool[certs->pooled++] = amd->pool[i];
    if (!certs->vek)
        return 0;
    const struct snp_vek_request rq = { .vek = certs->vek,
                                        .pool = certs->pool,
                                        .pool_n = certs->pooled,
                                        .given = given,
                                        .anchors = amd->anchor,
                                        .anchors_n = amd->anchors };
    if (snp_vek_new(&rq, out, &why) == 0)
        return 0;
    if (why.kind == ERR_IO) {
        *err = why;
        return -1;
    }
    checks_warn(checks, "the VEK cannot be used: %.200s", why.cause);
    return 0;
}

int ita_judge_snp(struct ita_judging *j, struct err *err)
{
    AUTO(certs_done) struct certs certs = { .vek = NULL };
    AUTO(snp_vek_drop) struct snp_vek *vek = NULL;
    struct checks *checks = &j->result->checks;
    struct snp_verdict verdict;
    if (prepare_vek(j, &certs, &vek, err) < 0)
        return -1;
    ERR_clear_error();
    snp_verify(j->request->report, vek, j->options->at, checks, &verdict);
    j->tee_holds = verdict.authentic && checks_all_hold(checks);
    if (!j->tee_holds)
        return 0;
    j->report_data = verdict.report.report_data;
    return put_claims(j, "sevsnp", claims_snp(&verdict, NULL, NULL), err);
}
