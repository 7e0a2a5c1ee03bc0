/* A VEK and what is above it, judged once. */
#include "base/auto.h"
#include "base/chain.h"
#include "tee/snp_verify_internal.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <string.h>

/* AMD 57230, chapter 2: who signs whom is in the common names. */
static const struct {
    const char *vek, *signer;
} names[] = {
    [SNP_KEY_VCEK] = { "SEV-VCEK", "SEV-" },
    [SNP_KEY_VLEK] = { "SEV-VLEK", "SEV-VLEK-" },
};

static bool common_name(X509 *cert, char *out, size_t size)
{
    int n = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, out, (int)size);
    return n > 0 && (size_t)n < size && strlen(out) == (size_t)n;
}

/* The product that follows prefix in the certificate's common name. */
static enum snp_product product_after(X509 *cert, const char *prefix)
{
    char cn[64];
    size_t n = strlen(prefix);
    if (!common_name(cert, cn, sizeof(cn)) || strncmp(cn, prefix, n) != 0)
        return SNP_UNKNOWN;
    return snp_product_by_name(bytes_str(cn + n));
}

/* The signature algorithm that AMD uses throughout: RSASSA-PSS over SHA-384. */
static bool pss_sha384(X509 *cert)
{
    int digest = NID_undef;
    return X509_get_signature_nid(cert) == NID_rsassaPss
           && X509_get_signature_info(cert, &digest, NULL, NULL, NULL) == 1 && digest == NID_sha384;
}

/* The three certificates of a path: do they say of each other what AMD's say? */
static int check_names(struct snp_vek *v, const struct chain_result *path, struct err *err)
{
    char cn[64];
    if (path->n != 3)
        return err_set(err, ERR_DENIED, 0, "the path has %zu certificates; VEK, ASK or ASVK, and ARK are 3",
                       path->n);
    if (!pss_sha384(path->path[0]) || !pss_sha384(path->path[1]))
        return err_set(err, ERR_DENIED, 0, "a certificate is not signed by RSASSA-PSS over SHA-384");
    v->product = product_after(path->path[2], "ARK-");
    if (v->product == SNP_UNKNOWN)
        return err_set(err, ERR_DENIED, 0, "the anchor names no product that is known");
    if (!common_name(path->path[0], cn, sizeof(cn)) || strcmp(cn, names[v->kind].vek) != 0)
        return err_set(err, ERR_DENIED, 0, "the certificate is not called %s", names[v->kind].vek);
    if (product_after(path->path[1], names[v->kind].signer) != v->product)
        return err_set(err, ERR_DENIED, 0, "the %s's issuer is not %s%s", v->kind ? "VLEK" : "VCEK",
                       names[v->kind].signer, snp_product_name(v->product));
    if (v->facts.product != v->product)
        return err_set(err, ERR_DENIED, 0, "the certificate is for product %.40s, its ARK for %s",
                       v->facts.product_name, snp_product_name(v->product));
    return 0;
}

static int judge_chain(struct snp_vek *v, const struct snp_vek_request *rq, struct chain_result *path,
                       struct err *err)
{
    const struct chain_request chain = { .leaf = rq->vek,
                                         .pool = rq->pool,
                                         .pool_n = rq->pool_n,
                                         .anchors = rq->anchors,
                                         .anchors_n = rq->anchors_n };
    if (chain_verify(&chain, path, err) < 0
        || chain_root_fits(rq->pool, rq->given, path->path[path->n - 1], err) < 0
        || vek_cert_parse(rq->vek, &v->facts, err) < 0)
        return -1;
    v->kind = v->facts.hwid.n ? SNP_KEY_VCEK : SNP_KEY_VLEK;
    if (check_names(v, path, err) < 0)
        return -1;
    v->anchor = path->anchor;
    return chain_dates(path, &v->from, &v->until, err);
}

/* The CRL is the ARK's: it lists ASKs and ASVKs. Dates are judged later, by each report's clock. */
static void judge_crl(struct snp_vek *v, X509_CRL *crl, const struct chain_result *path)
{
    struct err err = { 0 };
    if (!v->chain.ok) {
        judged_no(&v->crl, "no trusted ARK to judge the CRL by");
        return;
    }
    X509 *ark = path->path[2];
    if (crl_times(crl, &v->crl_from, &v->crl_until, &err) < 0
        || crl_verify(crl, ark, v->crl_from, &err) < 0) {
        judged_error(&v->crl, &err);
        return;
    }
    v->crl_authentic = true;
    if (crl_revokes(crl, path->path[1]))
        judged_no(&v->crl, "the certificate that signed the VEK is revoked");
    else if (crl_revokes(crl, path->path[0]))
        judged_no(&v->crl, "the VEK is revoked");
    else
        v->crl.ok = true;
}

static bool on_p384(EVP_PKEY *key)
{
    char group[32];
    return key && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1
           && OBJ_txt2nid(group) == NID_secp384r1;
}

int snp_vek_new(const struct snp_vek_request *request, struct snp_vek **out, struct err *err)
{
    struct chain_result path = { .n = 0 };
    struct err why = { 0 };
    EVP_PKEY *key = X509_get0_pubkey(request->vek);
    bool p384 = on_p384(key);
    ERR_clear_error();
    if (!p384)
        return err_set(err, ERR_INPUT, 0, "the VEK's key is not on P-384");
    AUTO(snp_vek_drop) struct snp_vek *v = calloc(1, sizeof(*v));
    if (!v || X509_up_ref(request->vek) != 1)
        return err_set(err, ERR_IO, 0, "memory is short");
    v->cert = request->vek;
    v->key = key;
    if (judge_chain(v, request, &path, &why) == 0)
        v->chain.ok = true;
    else
        judged_error(&v->chain, &why);
    v->crl_asked = request->crl != NULL;
    if (v->crl_asked)
        judge_crl(v, request->crl, &path);
    *out = MOVE(v);
    return 0;
}

void snp_vek_free(struct snp_vek *v)
{
    if (v)
        X509_free(v->cert);
    free(v);
}
