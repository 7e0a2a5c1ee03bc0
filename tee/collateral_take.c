/* What makes bytes the right ones for an item. Sources: AMD 57230, chapter 4 (KDS); Intel PCS API version 4;
 * Intel SGX PCCS design guide (CRLs as hexadecimal text). */
#include "base/auto.h"
#include "base/enc.h"
#include "tee/collateral_internal.h"
#include "tee/p256.h"
#include "tee/tdx_tcb.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_TEXT_MAX HTTP_HEADER_VALUE_MAX

/* What an item is taken from, and who may have signed it. */
struct taking {
    const struct collateral_id *id;
    struct bytes data, chain;
    X509 *const *pool;
    size_t pool_n;
    struct collateral_item *out;
};

typedef int take_fn(const struct taking *t, struct err *err);

/* ---- who signed ---- */

static bool is_root(const X509 *cert)
{
    return X509_NAME_cmp(X509_get_issuer_name(cert), X509_get_subject_name(cert)) == 0;
}

/* A chain that does not end in what is built in would fail the verifier's check: it must not stay in a cache.
 */
static int anchored(const struct taking *t, X509 *const *certs, size_t n, struct err *err)
{
    struct chain_result path;
    const struct chain_request rq = { certs[0], certs + 1, n - 1, t->pool, t->pool_n, 0 };
    if (t->pool_n == 0)
        return 0;
    return chain_verify(&rq, &path, err) < 0 ? err_while(err, "look for a built-in root") : 0;
}

static bool crl_is_by(X509_CRL *crl, X509 *issuer)
{
    bool good = X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(issuer)) == 0
                && X509_CRL_verify(crl, X509_get0_pubkey(issuer)) == 1;
    ERR_clear_error();
    return good;
}

/* A CRL without a chain of its own: by a built-in root. */
static int crl_by_root(const struct taking *t, X509_CRL *crl, struct err *err)
{
    for (size_t i = 0; i < t->pool_n; i++)
        if (is_root(t->pool[i]) && crl_is_by(crl, t->pool[i]))
            return 0;
    return t->pool_n ? err_set(err, ERR_DENIED, 0, "a CRL that no built-in root has signed") : 0;
}

static int put_crl(const struct taking *t, X509_CRL *crl, struct err *err)
{
    time_t from, to;
    unsigned char *der = NULL;
    if (crl_times(crl, &from, &to, err) < 0)
        return -1;
    int n = i2d_X509_CRL(crl, &der);
    if (n <= 0)
        return err_set(err, ERR_IO, 0, "cannot write a CRL");
    t->out->data = buf_new(TDX_CRL_MAX);
    buf_put(&t->out->data, bytes_of(der, (size_t)n));
    OPENSSL_free(der);
    t->out->next_update = to;
    return buf_check(&t->out->data, "a CRL", err);
}

/* The common name of an AMD root is "ARK-Milan". */
static int of_product(const X509_NAME *name, enum snp_product product, struct err *err)
{
    char cn[64] = "", want[64];
    snprintf(want, sizeof(want), "ARK-%s", snp_product_name(product));
    X509_NAME_get_text_by_NID(name, NID_commonName, cn, sizeof(cn));
    return strcmp(cn, want) == 0 ? 0 : err_set(err, ERR_DENIED, 0, "it is by \"%.40s\", want %s", cn, want);
}

/* ---- AMD ---- */

static int put_pair(const struct taking *t, X509 *const chain[VEK_CHAIN_CERTS], struct err *err)
{
    if (!cert_signed_by(chain[0], chain[1]) || !is_root(chain[1]))
        return err_set(err, ERR_DENIED, 0, "the second certificate is not the root above the first");
    if (of_product(X509_get_subject_name(chain[1]), t->id->product, err) < 0
        || anchored(t, chain, VEK_CHAIN_CERTS, err) < 0)
        return -1;
    t->out->data = buf_new(STORE_FILE_MAX);
    for (size_t i = 0; i < VEK_CHAIN_CERTS; i++)
        if (x509_put_der(chain[i], &t->out->data, err) < 0)
            return -1;
    return 0;
}

static int take_amd_chain(const struct taking *t, struct err *err)
{
    X509 *chain[VEK_CHAIN_CERTS] = { 0 };
    int n = x509_parse_chain(t->data, chain, VEK_CHAIN_CERTS, err);
    if (n < 0)
        return -1;
    int rc = n == VEK_CHAIN_CERTS ? put_pair(t, chain, err)
                                  : err_set(err, ERR_INPUT, 0, "%d certificates, want 2", n);
    certs_drop(chain, (size_t)n);
    return rc;
}

static int take_amd_crl(const struct taking *t, struct err *err)
{
    AUTO(crl_drop) X509_CRL *crl = NULL;
    if (crl_parse(t->data, &crl, err) < 0 || of_product(X509_CRL_get_issuer(crl), t->id->product, err) < 0
        || crl_by_root(t, crl, err) < 0)
        return -1;
    return put_crl(t, crl, err);
}

/* ---- Intel ---- */

static int put_texts(const struct taking *t, time_t next_update, struct err *err)
{
    t->out->data = buf_new(TDX_COLLATERAL_PART_MAX);
    buf_put(&t->out->data, t->data);
    t->out->next_update = next_update;
    return buf_check(&t->out->data, "collateral", err);
}

static int put_chain(const struct taking *t, struct err *err)
{
    t->out->chain = buf_new(CHAIN_TEXT_MAX);
    buf_put(&t->out->chain, t->chain);
    return buf_check(&t->out->chain, "an issuer chain", err);
}

/* The chain that came with a document signs it, and ends in a root that is built in. */
static int signed_by_chain(const struct taking *t, const struct tdx_signed *doc,
                           const struct tdx_certs *certs, struct err *err)
{
    EVP_PKEY *key = X509_get0_pubkey(certs->list[0]);
    if (!doc->has_signature)
        return err_set(err, ERR_INPUT, 0, "it has no signature");
    if (!key || !p256_is_key(key)
        || !p256_verify(key, bytes_of(doc->raw, doc->raw_n),
                        bytes_of(doc->signature, sizeof(doc->signature))))
        return err_set(err, ERR_DENIED, 0, "its signature is not by the issuer chain that came with it");
    return anchored(t, certs->list, certs->n, err);
}

static void info_drop(struct tdx_tcb_info **info)
{
    if (*info)
        tdx_tcb_info_done(*info);
    free(*info);
}

static void identity_drop(struct tdx_qe_identity **identity)
{
    if (*identity)
        tdx_qe_identity_done(*identity);
    free(*identity);
}

static int take_tcb_info(const struct taking *t, struct err *err)
{
    AUTO(tdx_collateral_drop) struct tdx_collateral *c = tdx_collateral_new();
    AUTO(info_drop) struct tdx_tcb_info *info = calloc(1, sizeof(*info));
    if (!c || !info)
        return err_set(err, ERR_IO, 0, "out of memory");
    if (tdx_collateral_set(c, TDX_PART_TCB_INFO, t->data, err) < 0
        || tdx_collateral_set(c, TDX_PART_TCB_INFO_CHAIN, t->chain, err) < 0
        || signed_by_chain(t, &c->tcb_info, &c->tcb_info_chain, err) < 0
        || tdx_tcb_info_parse(bytes_of(c->tcb_info.raw, c->tcb_info.raw_n), info, err) < 0)
        return -1;
    if (memcmp(info->fmspc, t->id->fmspc, sizeof(info->fmspc)) != 0) {
        char is[13];
        return err_set(err, ERR_DENIED, 0, "it is of the platform %s",
                       hex_to(is, bytes_of(info->fmspc, sizeof(info->fmspc))));
    }
    return put_chain(t, err) < 0 ? -1 : put_texts(t, info->next_update, err);
}

static int take_qe_identity(const struct taking *t, struct err *err)
{
    AUTO(tdx_collateral_drop) struct tdx_collateral *c = tdx_collateral_new();
    AUTO(identity_drop) struct tdx_qe_identity *identity = calloc(1, sizeof(*identity));
    if (!c || !identity)
        return err_set(err, ERR_IO, 0, "out of memory");
    if (tdx_collateral_set(c, TDX_PART_QE_IDENTITY, t->data, err) < 0
        || tdx_collateral_set(c, TDX_PART_QE_IDENTITY_CHAIN, t->chain, err) < 0
        || signed_by_chain(t, &c->qe_identity, &c->qe_identity_chain, err) < 0
        || tdx_qe_identity_parse(bytes_of(c->qe_identity.raw, c->qe_identity.raw_n), identity, err) < 0)
        return -1;
    return put_chain(t, err) < 0 ? -1 : put_texts(t, identity->next_update, err);
}

/* "Intel SGX PCK Platform CA" or "... Processor CA". */
static bool ca_of(const X509_NAME *name, enum collateral_ca *out)
{
    static const char *const common[COLLATERAL_CAS] = { "Intel SGX PCK Platform CA",
                                                        "Intel SGX PCK Processor CA" };
    char cn[64] = "";
    X509_NAME_get_text_by_NID(name, NID_commonName, cn, sizeof(cn));
    for (size_t i = 0; i < COLLATERAL_CAS; i++)
        if (strcmp(cn, common[i]) == 0) {
            *out = (enum collateral_ca)i;
            return true;
        }
    return false;
}

static int take_pck_crl(const struct taking *t, struct err *err)
{
    AUTO(tdx_collateral_drop) struct tdx_collateral *c = tdx_collateral_new();
    enum collateral_ca ca;
    if (!c)
        return err_set(err, ERR_IO, 0, "out of memory");
    if (tdx_collateral_set(c, TDX_PART_PCK_CRL, t->data, err) < 0
        || tdx_collateral_set(c, TDX_PART_PCK_CRL_CHAIN, t->chain, err) < 0)
        return -1;
    if (!ca_of(X509_CRL_get_issuer(c->pck_crl), &ca) || ca != t->id->ca)
        return err_set(err, ERR_DENIED, 0, "it is not by the PCK %s CA", collateral_ca_name(t->id->ca));
    if (!crl_is_by(c->pck_crl, c->pck_crl_chain.list[0]))
        return err_set(err, ERR_DENIED, 0, "its signature is not by the issuer chain that came with it");
    if (anchored(t, c->pck_crl_chain.list, c->pck_crl_chain.n, err) < 0 || put_chain(t, err) < 0)
        return -1;
    return put_crl(t, c->pck_crl, err);
}

static int take_root_crl(const struct taking *t, struct err *err)
{
    AUTO(tdx_collateral_drop) struct tdx_collateral *c = tdx_collateral_new();
    if (!c)
        return err_set(err, ERR_IO, 0, "out of memory");
    if (tdx_collateral_set(c, TDX_PART_ROOT_CA_CRL, t->data, err) < 0
        || crl_by_root(t, c->root_ca_crl, err) < 0)
        return -1;
    return put_crl(t, c->root_ca_crl, err);
}

static int read_pck(const X509 *leaf, uint8_t fmspc[static 6], enum collateral_ca *ca, struct err *err)
{
    struct pck_cert pck;
    if (pck_cert_parse(leaf, &pck, err) < 0)
        return -1;
    if (!ca_of(X509_get_issuer_name(leaf), ca))
        return err_set(err, ERR_INPUT, 0,
                       "a PCK certificate by neither Intel's Platform CA nor Processor CA");
    memcpy(fmspc, pck.fmspc.p, 6);
    return 0;
}

int collateral_of_pck(struct bytes pck_chain, uint8_t fmspc[static 6], enum collateral_ca *ca,
                      struct err *err)
{
    X509 *certs[TDX_CHAIN_MAX] = { 0 };
    int n = x509_parse_chain(pck_chain, certs, TDX_CHAIN_MAX, err);
    if (n < 0)
        return -1;
    int rc = n == 0 ? err_set(err, ERR_INPUT, 0, "no PCK certificate") : read_pck(certs[0], fmspc, ca, err);
    certs_drop(certs, (size_t)n);
    return rc;
}

static take_fn *const takes[COLLATERAL_KINDS] = {
    [COLLATERAL_AMD_CHAIN] = take_amd_chain, [COLLATERAL_AMD_CRL] = take_amd_crl,
    [COLLATERAL_TCB_INFO] = take_tcb_info,   [COLLATERAL_QE_IDENTITY] = take_qe_identity,
    [COLLATERAL_PCK_CRL] = take_pck_crl,     [COLLATERAL_ROOT_CRL] = take_root_crl,
};

int collateral_take(const struct collateral_id *id, struct bytes data, struct bytes chain, X509 *const *pool,
                    size_t pool_n, struct collateral_item *out, struct err *err)
{
    AUTO(collateral_item_done) struct collateral_item item = { 0 };
    const struct taking t = { id, data, chain, pool, pool_n, &item };
    if (data.n > collateral_max(id->kind))
        return err_set(err, ERR_TOO_LARGE, 0, "%zu bytes, at most %zu are read", data.n,
                       collateral_max(id->kind));
    if (takes[id->kind](&t, err) < 0)
        return -1;
    *out = item;
    item = (struct collateral_item){ 0 };
    return 0;
}

int collateral_take_answer(const struct collateral_id *id, struct bytes body, const char *header,
                           X509 *const *pool, size_t pool_n, struct collateral_item *out, struct err *err)
{
    AUTO(buf_done) struct buf chain = buf_new(CHAIN_TEXT_MAX);
    if (!header
        && (id->kind == COLLATERAL_TCB_INFO || id->kind == COLLATERAL_QE_IDENTITY
            || id->kind == COLLATERAL_PCK_CRL))
        return err_set(err, ERR_INPUT, 0, "no issuer chain came with it in the answer's headers");
    if (header && percent_decode(bytes_str(header), &chain, err) < 0)
        return err_while(err, "read the issuer chain");
    return collateral_take(id, body, buf_bytes(&chain), pool, pool_n, out, err);
}
