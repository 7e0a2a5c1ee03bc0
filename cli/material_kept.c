/* What a document's evidence needs of the collateral service: from the folder of `collateral preload`, and
 * from the vendors if that is asked for. */
#include "cli/material.h"

#include "base/auto.h"
#include "cli/commands.h"
#include "evidence/verify_document.h"
#include "tee/collateral.h"
#include "tee/tdx_quote.h"

#include <string.h>

/* The trusted certificates as the service takes them. */
struct trusted {
    struct buf storage;
    struct bytes der[CHAIN_POOL_MAX];
    struct chain_pool pool;
};

static void trusted_done(struct trusted *t)
{
    buf_done(&t->storage);
}

static bool is_listed(X509 *const *list, size_t n, const X509 *cert)
{
    for (size_t i = 0; i < n; i++)
        if (X509_cmp(list[i], cert) == 0)
            return true;
    return false;
}

/* Extra roots stand in every vendor's list. */
static int fill_trusted(const struct verify_trust *trust, struct trusted *out, struct err *err)
{
    X509 *seen[CHAIN_POOL_MAX];
    size_t n = 0, end[CHAIN_POOL_MAX];
    out->storage = buf_new((size_t)CHAIN_POOL_MAX * CERT_MAX);
    for (size_t v = 0; v < VERIFY_VENDORS; v++) {
        const struct verify_vendor_trust *t = &trust->vendor[v];
        for (size_t i = 0; i < t->anchors + t->pooled; i++) {
            X509 *cert = i < t->anchors ? t->anchor[i] : t->pool[i - t->anchors];
            if (is_listed(seen, n, cert))
                continue;
            if (n == CHAIN_POOL_MAX)
                return err_set(err, ERR_TOO_LARGE, 0, "more than %d trusted certificates", CHAIN_POOL_MAX);
            if (x509_put_der(cert, &out->storage, err) < 0)
                return -1;
            seen[n] = cert;
            end[n++] = out->storage.n;
        }
    }
    for (size_t i = 0, from = 0; i < n; from = end[i++])
        out->der[i] = bytes_of(out->storage.p + from, end[i] - from);
    out->pool = (struct chain_pool){ out->der, n };
    return 0;
}

/* ---- what the evidence needs ---- */

struct need {
    struct collateral_service *c;
    const struct verify_trust *trust;
    const struct material_evidence *evidence;
    bool tell; /* what could not be fetched is worth a line */
    struct material *out;
};

static void tell(const struct need *n, const char *what, const struct err *err)
{
    if (n->tell)
        fail_err(0, what, "cannot be had", err);
}

static void add_der(struct material *out, struct bytes der)
{
    AUTO(x509_drop) X509 *cert = NULL;
    struct err ignored = { 0 };
    if (der.n && x509_parse(der, &cert, &ignored) == 0)
        cert_files_add(&out->certs, &cert, 1);
}

/* The CRL of the product that the VEK certificate names. */
static void add_amd_crl(const struct need *n, struct bytes vek_der)
{
    AUTO(x509_drop) X509 *cert = NULL;
    AUTO(collateral_item_done) struct collateral_item item = { 0 };
    struct vek_cert vek;
    struct err err = { 0 };
    if (n->out->crl || x509_parse(vek_der, &cert, &err) < 0 || vek_cert_parse(cert, &vek, &err) < 0
        || vek.product == SNP_UNKNOWN)
        return;
    const struct collateral_id id = { .kind = COLLATERAL_AMD_CRL,
                                      .product = vek.product,
                                      .vlek = vek.csp_id[0] != '\0' };
    if (collateral_get(n->c, &id, &item, &err) < 0
        || crl_parse(buf_bytes(&item.data), &n->out->crl, &err) < 0)
        tell(n, "AMD's revocation list", &err);
}

static void add_snp(const struct need *n)
{
    AUTO(vek_certs_done) struct vek_certs certs = { 0 };
    struct err err = { 0 };
    const struct material_evidence *e = n->evidence;
    if (e->vek_cert.n) {
        add_amd_crl(n, e->vek_cert);
        return;
    }
    if (collateral_vek(n->c, e->tee_report, &certs, &err) < 0) {
        tell(n, "the VEK certificate", &err);
        return;
    }
    add_der(n->out, buf_bytes(&certs.vek));
    for (size_t i = 0; i < certs.chain_n; i++)
        add_der(n->out, buf_bytes(&certs.chain[i]));
    add_amd_crl(n, buf_bytes(&certs.vek));
}

static void set_drop(struct collateral_tdx **t)
{
    if (*t)
        collateral_tdx_done(*t);
    free(*t);
}

/* Collateral of the folder takes the place of loose PCS files if it is for this platform. */
static int add_tdx(const struct need *n, struct err *err)
{
    AUTO(set_drop) struct collateral_tdx *t = calloc(1, sizeof(*t));
    AUTO(tdx_collateral_drop) struct tdx_collateral *parts = NULL;
    const struct verify_vendor_trust *intel = &n->trust->vendor[VERIFY_INTEL];
    const struct tdx_anchors anchors = { intel->anchor, intel->anchors };
    struct tdx_prepared_collateral *prepared = NULL;
    struct tdx_quote quote;
    uint8_t fmspc[6];
    enum collateral_ca ca;
    struct err why = { 0 };
    if (!t)
        return err_set(err, ERR_IO, 0, "out of memory");
    if (n->evidence->has_collateral || tdx_quote_parse(n->evidence->tee_report, &quote, &why) < 0
        || collateral_of_pck(quote.pck_chain, fmspc, &ca, &why) < 0)
        return 0; /* nothing to ask for, or nothing to ask with: the verifier says what is wrong */
    if (collateral_tdx(n->c, bytes_of(fmspc, sizeof(fmspc)), ca, t, &why) < 0) {
        tell(n, "Intel's collateral", &why);
        return 0;
    }
    for (size_t i = 0; i < TDX_SET; i++)
        if (t->why[i].kind != ERR_NONE)
            tell(n, "Intel's collateral", &t->why[i]);
    if (n->out->tdx && !t->item[TDX_SET_TCB_INFO].data.n)
        return 0;
    if (collateral_tdx_open(t, &parts, err) < 0
        || tdx_prepare_collateral(parts, &anchors, &prepared, err) < 0)
        return -1;
    tdx_prepared_collateral_free(n->out->tdx);
    n->out->tdx = prepared;
    return 0;
}

static void add_ak(const struct need *n)
{
    AUTO(ak_chain_done) struct ak_chain chain = { 0 };
    struct err err = { 0 };
    if (!n->evidence->ak_cert.n || n->evidence->has_ak_chain)
        return;
    if (collateral_ak_chain(n->c, n->evidence->ak_cert, &chain, &err) < 0) {
        tell(n, "the issuers of the AK certificate", &err);
        return;
    }
    for (size_t i = 0; i < chain.n; i++)
        add_der(n->out, buf_bytes(&chain.cert[i]));
}

int material_add_kept(const struct material_request *request, const struct material_evidence *evidence,
                      struct material *out)
{
    AUTO(collateral_drop) struct collateral_service *c = NULL;
    AUTO(trusted_done) struct trusted trusted = { 0 };
    const char *where = request->folder ? request->folder : "collateral";
    struct err err = { 0 };
    if (fill_trusted(request->trust, &trusted, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, where, "cannot use the roots", &err);
    const struct collateral_source source = { .dir = request->folder,
                                              .offline = !request->fetch,
                                              .allow_expired = true, /* the verifier judges dates */
                                              .at = request->at,
                                              .http = http_curl(),
                                              .kds_url = request->kds_url,
                                              .pcs_url = request->pcs_url,
                                              .pool = &trusted.pool };
    if (collateral_new(&source, &c, &err) < 0)
        return fail_err(err.kind == ERR_INPUT ? STATUS_USAGE : STATUS_INPUT, where, "cannot be used", &err);
    const struct need n = { c, request->trust, evidence, request->fetch, out };
    if (evidence->tee == TEE_SEV_SNP)
        add_snp(&n);
    if (evidence->tee == TEE_TDX && add_tdx(&n, &err) < 0)
        return fail_err(status_of(&err), where, "cannot use the collateral", &err);
    add_ak(&n);
    out->view = (struct verify_material){ out->certs.list, out->certs.n, out->crl, out->tdx };
    return 0;
}

int material_add_for_document(const struct material_request *request, struct bytes document,
                              struct material *out)
{
    AUTO(document_done) struct document d = { 0 };
    struct err ignored = { 0 };
    if (document_parse(document, &d, &ignored) < 0)
        return 0; /* the verifier says so */
    const struct material_evidence evidence = { .tee = d.tee,
                                                .tee_report = d.tee_report,
                                                .vek_cert = d.vek_cert,
                                                .ak_cert = d.ak_cert,
                                                .has_collateral = d.collateral != NULL,
                                                .has_ak_chain = d.ak_cert_chain.n != 0 };
    return material_add_kept(request, &evidence, out);
}
