#include "evidence/verify_supply.h"

#include "base/auto.h"
#include "tee/tdx_quote.h"
#include "tee/vek_cert.h"

#include <errno.h>

struct supply_evidence supply_evidence_of(const struct document *d)
{
    return (struct supply_evidence){ .tee = d->tee,
                                     .tee_report = d->tee_report,
                                     .vek_cert = d->vek_cert,
                                     .ak_cert = d->ak_cert,
                                     .has_collateral = d->collateral != NULL,
                                     .has_ak_chain = d->ak_cert_chain.n != 0 };
}

bool supply_due(const struct supply_evidence *e)
{
    return (e->tee == TEE_SEV_SNP && !e->vek_cert.n) || (e->tee == TEE_TDX && !e->has_collateral)
           || (e->ak_cert.n && !e->has_ak_chain);
}

/* One supply under way. */
struct want {
    const struct supply_request *rq;
    const struct supply_evidence *e;
    struct supply *out;
    struct buf named; /* what id is the digest of */
};

static void absent(struct want *w, const char *what, const struct err *err)
{
    struct supply *s = w->out;
    if (s->absent_n == SUPPLY_ABSENT_MAX)
        return;
    char *why = s->why[s->absent_n];
    err_text(err, why, ERR_TEXT_MAX);
    s->absent[s->absent_n++] = (struct verify_absent){ what, why };
}

static void add_cert(struct want *w, const struct buf *der)
{
    AUTO(x509_drop) X509 *cert = NULL;
    struct err ignored = { 0 };
    if (!der->n || w->out->certs == SUPPLY_CERTS_MAX || x509_parse(buf_bytes(der), &cert, &ignored) < 0)
        return;
    buf_tpm2b(&w->named, buf_bytes(der));
    w->out->cert[w->out->certs++] = MOVE(cert);
}

/* The CRL of the product that the VEK certificate names. Optional: what cannot be had is still said. */
static void add_crl(struct want *w, struct bytes vek_der)
{
    AUTO(x509_drop) X509 *cert = NULL;
    AUTO(collateral_item_done) struct collateral_item item = { 0 };
    struct vek_cert vek;
    struct err err = { 0 };
    if (!w->rq->revocation || x509_parse(vek_der, &cert, &err) < 0 || vek_cert_parse(cert, &vek, &err) < 0
        || vek.product == SNP_UNKNOWN)
        return;
    const struct collateral_id id = { .kind = COLLATERAL_AMD_CRL,
                                      .product = vek.product,
                                      .vlek = vek.csp_id[0] != '\0' };
    if (collateral_get(w->rq->service, &id, &item, &err) < 0
        || crl_parse(buf_bytes(&item.data), &w->out->crl, &err) < 0) {
        absent(w, SUPPLY_ABSENT_CRL, &err);
        return;
    }
    uint8_t digest[32]; /* of hundreds of kilobytes, perhaps */
    sha256(buf_bytes(&item.data), digest);
    buf_tpm2b(&w->named, bytes_of(digest, sizeof(digest)));
}

static void add_snp(struct want *w)
{
    AUTO(vek_certs_done) struct vek_certs certs = { 0 };
    struct err err = { 0 };
    if (w->e->vek_cert.n) {
        add_crl(w, w->e->vek_cert);
        return;
    }
    if (collateral_vek(w->rq->service, w->e->tee_report, &certs, &err) < 0) {
        absent(w, VERIFY_ABSENT_VEK, &err);
        return;
    }
    add_cert(w, &certs.vek);
    for (size_t i = 0; i < certs.chain_n; i++)
        add_cert(w, &certs.chain[i]);
    add_crl(w, buf_bytes(&certs.vek));
}

static void add_ak(struct want *w)
{
    AUTO(ak_chain_done) struct ak_chain chain = { 0 };
    struct err err = { 0 };
    if (!w->e->ak_cert.n || w->e->has_ak_chain)
        return;
    if (collateral_ak_chain(w->rq->service, w->e->ak_cert, &chain, &err) < 0) {
        absent(w, "the issuers of the AK certificate", &err);
        return;
    }
    for (size_t i = 0; i < chain.n; i++)
        add_cert(w, &chain.cert[i]);
}

/* ---- Intel's collateral ---- */

static void set_drop(struct collateral_tdx **t)
{
    if (*t)
        collateral_tdx_done(*t);
    free(*t);
}

static void free_prepared(void *prepared)
{
    tdx_prepared_collateral_free(prepared);
}

static int set_key(const struct want *w, const struct collateral_tdx *t, uint8_t out[static 32],
                   struct err *err)
{
    static const char kind[] = "collateral set";
    struct bytes parts[2 + 2 * TDX_SET] = { bytes_of(kind, sizeof(kind)), bytes_of(w->rq->trust->id, 32) };
    size_t lengths[2 * TDX_SET], n = 2;
    struct digest d;
    for (size_t i = 0; i < TDX_SET; i++) {
        parts[n++] = buf_bytes(&t->item[i].data);
        parts[n++] = buf_bytes(&t->item[i].chain);
    }
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
        lengths[i] = parts[2 + i].n;
    struct digest inner;
    if (digest_parts(ALG_SHA256, parts, n, &inner, err) < 0)
        return -1;
    const struct bytes outer[] = { digest_bytes(&inner), bytes_of(lengths, sizeof(lengths)) };
    if (digest_parts(ALG_SHA256, outer, ARRAY_SIZE(outer), &d, err) < 0)
        return -1;
    memcpy(out, d.b, 32);
    return 0;
}

/* Judged once for all quotes that it is for. */
static int hold_set(struct want *w, const struct collateral_tdx *t, struct err *err)
{
    const struct verify_vendor_trust *intel = &w->rq->trust->vendor[VERIFY_INTEL];
    const struct tdx_anchors anchors = { intel->anchor, intel->anchors };
    AUTO(tdx_collateral_drop) struct tdx_collateral *parts = NULL;
    struct tdx_prepared_collateral *prepared;
    uint8_t key[32];
    if (set_key(w, t, key, err) < 0)
        return -1;
    if (verify_cache_get(w->rq->cache, key, &w->out->tdx))
        return 0;
    if (collateral_tdx_open(t, &parts, err) < 0
        || tdx_prepare_collateral(parts, &anchors, &prepared, err) < 0)
        return -1;
    verify_cache_add(w->rq->cache, key, prepared, free_prepared, &w->out->tdx);
    return 0;
}

static int add_tdx(struct want *w, struct err *err)
{
    static const char what[] = "Intel's collateral";
    AUTO(set_drop) struct collateral_tdx *t = calloc(1, sizeof(*t));
    struct tdx_quote quote;
    uint8_t fmspc[6];
    enum collateral_ca ca;
    struct err why = { 0 };
    if (!t)
        return err_set(err, ERR_IO, ENOMEM, "no memory for collateral");
    if (w->e->has_collateral || tdx_quote_parse(w->e->tee_report, &quote, &why) < 0
        || collateral_of_pck(quote.pck_chain, fmspc, &ca, &why) < 0)
        return 0; /* nothing to ask for, or nothing to ask with: the verifier says what is wrong */
    if (collateral_tdx(w->rq->service, bytes_of(fmspc, sizeof(fmspc)), ca, t, &why) < 0) {
        absent(w, what, &why);
        return 0;
    }
    for (size_t i = 0; i < TDX_SET; i++)
        if (t->why[i].kind != ERR_NONE)
            absent(w, what, &t->why[i]);
    w->out->tdx_expired = t->expired;
    return hold_set(w, t, err);
}

/* ---- all of it ---- */

int supply_get(const struct supply_request *request, const struct supply_evidence *evidence,
               struct supply *out, struct err *err)
{
    struct want w = { request, evidence, out, buf_new((size_t)SUPPLY_CERTS_MAX * (CERT_MAX + 16)) };
    int rc = 0;
    *out = (struct supply){ .certs = 0 };
    if (evidence->tee == TEE_SEV_SNP)
        add_snp(&w);
    if (evidence->tee == TEE_TDX)
        rc = add_tdx(&w, err);
    if (rc == 0) {
        add_ak(&w);
        rc = buf_check(&w.named, "material", err);
        sha256(buf_bytes(&w.named), out->id);
    }
    buf_done(&w.named);
    if (rc < 0)
        supply_done(out);
    return rc;
}

struct verify_material supply_material(const struct supply *s)
{
    return (struct verify_material){ .certs = s->cert,
                                     .certs_n = s->certs,
                                     .snp_crl = s->crl,
                                     .tdx = s->tdx.object,
                                     .id = s->id,
                                     .absent = s->absent,
                                     .absent_n = s->absent_n };
}

void supply_done(struct supply *s)
{
    while (s->certs)
        X509_free(s->cert[--s->certs]);
    X509_CRL_free(s->crl);
    s->crl = NULL;
    verify_held_done(&s->tdx);
}
