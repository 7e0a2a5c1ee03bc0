/* The TEE device's part of a collection, on the TEE worker. */
#include "evidence/collect_internal.h"

#include <stddef.h>

/* The certificate has come, or not: look once more and end the part. */
static void certificates_fetched(void *arg, const struct err *err)
{
    struct evidence *e = arg;
    struct err why = { 0 };
    if (vek_lookup(e->c->veks, buf_bytes(&e->tee.report), buf_bytes(&e->tee.certs), &e->certs, &why) < 0)
        evidence_missing(e, "vek_cert", err ? err->cause : why.cause);
    else if (!e->certs.chain_n)
        evidence_missing(e, "cert_chain", err ? err->cause : why.cause);
    evidence_part_done(e, NULL);
}

void collect_certificates(struct evidence *e, bool thim)
{
    struct err why = { 0 }, no_fetch = { 0 };
    int rc = vek_lookup(e->c->veks, buf_bytes(&e->tee.report), buf_bytes(&e->tee.certs), &e->certs, &why);
    if (rc == 0 && e->certs.chain_n) {
        evidence_part_done(e, NULL);
        return;
    }
    vek_certs_done(&e->certs);
    e->certs = (struct vek_certs){ 0 };
    if (vek_fetch(e->c->veks, buf_bytes(&e->tee.report), thim, VEK_WAIT_MS, certificates_fetched, e,
                  &no_fetch)
        < 0)
        certificates_fetched(e, rc < 0 ? &no_fetch : &why);
}

void collect_kernel_part(struct job *job)
{
    struct evidence *e = (struct evidence *)((char *)job - offsetof(struct evidence, tee_job));
    struct err err = { 0 };
    if (evidence_given_up(e))
        return;
    if (tee_report_get(e->c->lower, e->c->shape->tee, e->report_data, &e->tee, &err) < 0) {
        err_while(&err, "get the hardware report");
        if (err.kind != ERR_LIMITED)
            err.kind = ERR_UNAVAILABLE; /* it was there at start: the device's trouble, and it may pass */
        evidence_part_done(e, &err);
        return;
    }
    if (e->c->shape->tee == TEE_SEV_SNP)
        collect_certificates(e, e->c->shape->imds_certificates);
    else
        collect_collateral(e);
}
