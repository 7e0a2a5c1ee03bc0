/* What does not depend on a quote: signatures, chains and CRLs of the collateral, and signers of quotes. */
#include "tee/tdx_prepared.h"

#include "base/auto.h"
#include "base/digest.h"
#include "tee/p256.h"

#include <openssl/obj_mac.h>
#include <stdio.h>

/* Common names of Intel SGX PCK Certificate and CRL Profile, sections 1.3 and 1.4: any certificate below the
 * root has a key, but only these may say these things. */
static const char *const tcb_signers[] = { "Intel SGX TCB Signing", NULL };
static const char *const pck_cas[] = { "Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA", NULL };
static const char *const pck_leaves[] = { "Intel SGX PCK Certificate", NULL };

static void hold(struct judged *j)
{
    *j = (struct judged){ .ok = true };
}

static void refuse(struct judged *j, const char *why)
{
    j->ok = false;
    snprintf(j->why, sizeof(j->why), "%s", why);
}

static void refuse_err(struct judged *j, const char *what, const struct err *err)
{
    j->ok = false;
    snprintf(j->why, sizeof(j->why), "%s: %.190s", what, err->cause);
}

/* ---- chains ---- */

static bool has_common_name(const X509 *cert, const char *const *wanted)
{
    const X509_NAME *name = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0)
        return false;
    const ASN1_STRING *cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    const struct bytes is = bytes_of(ASN1_STRING_get0_data(cn), (size_t)ASN1_STRING_length(cn));
    for (; *wanted; wanted++)
        if (bytes_equal(is, bytes_str(*wanted)))
            return true;
    return false;
}

/* The time in which every certificate of the path is valid. */
static int path_dates(const struct chain_result *path, struct window *out, struct err *err)
{
    struct window all = { 0, INT64_MAX }, one;
    for (size_t i = 0; i < path->n; i++) {
        if (asn1_time_value(X509_get0_notBefore(path->path[i]), &one.from, err) < 0
            || asn1_time_value(X509_get0_notAfter(path->path[i]), &one.to, err) < 0)
            return -1;
        if (i == 0 || one.from > all.from)
            all.from = one.from;
        if (one.to < all.to)
            all.to = one.to;
    }
    *out = all;
    return 0;
}

/* Tools write chains in either order. */
static X509 *leaf_of(const struct tdx_certs *certs, const char *const *names)
{
    for (size_t i = 0; i < certs->n; i++)
        if (has_common_name(certs->list[i], names))
            return certs->list[i];
    return certs->n ? certs->list[0] : NULL;
}

/* The path must have one certificate a role, named so, and then the anchor. */
static int chain_to_anchor(X509 *leaf, const struct tdx_certs *certs, const struct tdx_anchors *anchors,
                           const char *const *const *roles, size_t roles_n, struct tdx_chain *out,
                           struct chain_result *path, struct err *err)
{
    struct chain_result found;
    struct window dates;
    if (!leaf)
        return err_set(err, ERR_DENIED, 0, "no issuer chain");
    const struct chain_request rq = { leaf, certs->list, certs->n, anchors->list, anchors->n, 0 };
    if (chain_verify(&rq, &found, err) < 0
        || chain_root_fits(certs->list, certs->n, found.path[found.n - 1], err) < 0
        || path_dates(&found, &dates, err) < 0)
        return -1;
    if (found.n != roles_n + 1)
        return err_set(err, ERR_DENIED, 0, "the chain has %zu certificates, want %zu", found.n, roles_n + 1);
    for (size_t i = 0; i < roles_n; i++)
        if (!has_common_name(found.path[i], roles[i]))
            return err_set(err, ERR_DENIED, 0, "certificate %zu of the chain is not a \"%s\"", i,
                           roles[i][0]);
    if (!p256_is_key(X509_get0_pubkey(found.path[0])))
        return err_set(err, ERR_DENIED, 0, "the certificate's key is not on P-256");
    X509_up_ref(found.path[roles_n]);
    *out = (struct tdx_chain){ dates, found.path[roles_n], found.anchor };
    *path = found;
    return 0;
}

/* ---- collateral ---- */

static void judge_signed(const struct tdx_signed *doc, const struct tdx_certs *certs,
                         const struct tdx_anchors *anchors, struct tdx_prepared_collateral *p,
                         struct tdx_chain *chain, struct judged *out)
{
    static const char *const *const roles[] = { tcb_signers };
    struct chain_result path;
    struct err err = { 0 };
    if (!doc->raw)
        refuse(out, "it is not in the collateral");
    else if (!doc->has_signature)
        refuse(out, "the collateral has no signature of it");
    else if (chain_to_anchor(leaf_of(certs, tcb_signers), certs, anchors, roles, ARRAY_SIZE(roles), chain,
                             &path, &err)
             < 0)
        refuse_err(out, "its signing certificate", &err);
    else if (!p256_verify(X509_get0_pubkey(path.path[0]), bytes_of(doc->raw, doc->raw_n),
                          bytes_of(doc->signature, sizeof(doc->signature))))
        refuse(out, "the signature is not by the signing certificate over these bytes");
    else if (p->root_crl.ok && crl_revokes(p->root_revoked, path.path[0])) {
        p->tcb_signer_revoked = true;
        refuse(out, "its signing certificate is revoked");
    } else
        hold(out);
}

/* CRLs are judged as of their own date; the clock comes later. */
static int crl_signed(X509_CRL *crl, X509 *issuer, struct window *dates, struct err *err)
{
    if (crl_times(crl, &dates->from, &dates->to, err) < 0)
        return -1;
    if (!dates->to)
        return err_set(err, ERR_DENIED, 0, "it has no nextUpdate");
    return crl_verify(crl, issuer, dates->from, err);
}

static void judge_root_crl(X509_CRL *crl, const struct tdx_anchors *anchors,
                           struct tdx_prepared_collateral *p)
{
    struct err err = { 0 };
    refuse(&p->root_crl, "there is no root CA CRL in the collateral");
    for (size_t i = 0; crl && i < anchors->n && !p->root_crl.ok; i++) {
        if (crl_signed(crl, anchors->list[i], &p->dated[DATED_ROOT_CRL], &err) < 0) {
            refuse_err(&p->root_crl, "root CA CRL", &err);
            continue;
        }
        X509_CRL_up_ref(crl);
        X509_up_ref(anchors->list[i]);
        p->root_revoked = crl;
        p->root_crl_issuer = anchors->list[i];
        hold(&p->root_crl);
    }
}

static void judge_pck_crl(const struct tdx_collateral *c, const struct tdx_anchors *anchors,
                          struct tdx_prepared_collateral *p)
{
    static const char *const *const roles[] = { pck_cas };
    const struct tdx_certs *certs = &c->pck_crl_chain;
    struct chain_result path;
    struct err err = { 0 };
    if (!c->pck_crl)
        refuse(&p->pck_crl, "there is no PCK CRL in the collateral");
    else if (chain_to_anchor(leaf_of(certs, pck_cas), certs, anchors, roles, ARRAY_SIZE(roles),
                             &p->pck_crl_chain, &path, &err)
             < 0)
        refuse_err(&p->pck_crl, "PCK CRL issuer", &err);
    else if (crl_signed(c->pck_crl, path.path[0], &p->dated[DATED_PCK_CRL], &err) < 0)
        refuse_err(&p->pck_crl, "PCK CRL", &err);
    else if (p->root_crl.ok && crl_revokes(p->root_revoked, path.path[0]))
        refuse(&p->pck_crl, "the PCK CRL's issuer is revoked");
    else {
        X509_CRL_up_ref(c->pck_crl);
        X509_up_ref(path.path[0]);
        p->pck_revoked = c->pck_crl;
        p->pck_crl_issuer = path.path[0];
        hold(&p->pck_crl);
    }
}

/* Only now the documents are read: their bytes are Intel's. */
static void read_documents(const struct tdx_collateral *c, struct tdx_prepared_collateral *p)
{
    struct err err = { 0 };
    p->tcb_info_content = p->tcb_info;
    p->qe_identity_content = p->qe_identity;
    if (p->tcb_info.ok) {
        if (tdx_tcb_info_parse(bytes_of(c->tcb_info.raw, c->tcb_info.raw_n), &p->info, &err) < 0)
            refuse_err(&p->tcb_info_content, "TCB info cannot be used", &err);
        p->dated[DATED_TCB_INFO] = (struct window){ p->info.issued, p->info.next_update };
    }
    if (p->qe_identity.ok) {
        if (tdx_qe_identity_parse(bytes_of(c->qe_identity.raw, c->qe_identity.raw_n), &p->identity, &err) < 0)
            refuse_err(&p->qe_identity_content, "QE identity cannot be used", &err);
        p->dated[DATED_QE_IDENTITY] = (struct window){ p->identity.issued, p->identity.next_update };
    }
}

int tdx_prepare_collateral(const struct tdx_collateral *c, const struct tdx_anchors *anchors,
                           struct tdx_prepared_collateral **out, struct err *err)
{
    struct tdx_prepared_collateral *p = calloc(1, sizeof(*p));
    if (!p)
        return err_set(err, ERR_IO, 0, "out of memory");
    judge_root_crl(c->root_ca_crl, anchors, p);
    judge_signed(&c->tcb_info, &c->tcb_info_chain, anchors, p, &p->tcb_info_chain, &p->tcb_info);
    judge_signed(&c->qe_identity, &c->qe_identity_chain, anchors, p, &p->qe_identity_chain, &p->qe_identity);
    judge_pck_crl(c, anchors, p);
    read_documents(c, p);
    const bool authentic[DATED] = { [DATED_TCB_INFO] = p->tcb_info_content.ok,
                                    [DATED_QE_IDENTITY] = p->qe_identity_content.ok,
                                    [DATED_PCK_CRL] = p->pck_crl.ok,
                                    [DATED_ROOT_CRL] = p->root_crl.ok };
    for (size_t i = 0; i < DATED; i++)
        if (authentic[i] && p->dated[i].from > p->latest_signed)
            p->latest_signed = p->dated[i].from;
    *out = p;
    return 0;
}

void tdx_prepared_collateral_free(struct tdx_prepared_collateral *p)
{
    if (!p)
        return;
    tdx_tcb_info_done(&p->info);
    tdx_qe_identity_done(&p->identity);
    X509_free(p->tcb_info_chain.anchor);
    X509_free(p->qe_identity_chain.anchor);
    X509_free(p->pck_crl_chain.anchor);
    X509_CRL_free(p->pck_revoked);
    X509_CRL_free(p->root_revoked);
    X509_free(p->pck_crl_issuer);
    X509_free(p->root_crl_issuer);
    free(p);
}

/* ---- the signer ---- */

static void judge_pck(const struct tdx_certs *certs, const struct tdx_anchors *anchors,
                      struct tdx_prepared_signer *p)
{
    static const char *const *const roles[] = { pck_leaves, pck_cas };
    struct chain_result path;
    struct err err = { 0 };
    if (chain_to_anchor(p->leaf, certs, anchors, roles, ARRAY_SIZE(roles), &p->path, &path, &err) < 0) {
        refuse_err(&p->chain, "PCK certificate", &err);
        return;
    }
    X509_up_ref(path.path[1]);
    p->ca = path.path[1];
    if (pck_cert_parse(p->leaf, &p->facts, &err) < 0)
        refuse_err(&p->chain, "PCK certificate", &err);
    else
        hold(&p->chain);
}

static void judge_chain(const struct tdx_quote *quote, const struct tdx_anchors *anchors,
                        struct tdx_prepared_signer *p)
{
    struct tdx_certs certs = { 0 };
    struct err err = { 0 };
    int n = x509_parse_chain(quote->pck_chain, certs.list, TDX_CHAIN_MAX, &err);
    if (n < 0) {
        refuse_err(&p->chain, "PCK chain", &err);
        return;
    }
    certs.n = (size_t)n;
    X509_up_ref(certs.list[0]);
    p->leaf = certs.list[0];
    if (quote->inner_cert_data_type == TDX_CERT_PCK_CHAIN)
        judge_pck(&certs, anchors, p);
    else
        refuse(&p->chain, "the quote carries no PCK certificate chain (certification data type 5)");
    while (certs.n > 0)
        X509_free(certs.list[--certs.n]);
}

static void judge_report(const struct tdx_quote *quote, struct tdx_prepared_signer *p)
{
    EVP_PKEY *key = p->leaf ? X509_get0_pubkey(p->leaf) : NULL;
    if (!p256_is_key(key))
        refuse(&p->report, "impossible: there is no PCK certificate with a P-256 key");
    else if (!p256_verify(key, quote->qe_report.raw, quote->qe_report_signature))
        refuse(&p->report, "the quoting enclave's report is not signed by the PCK");
    else
        hold(&p->report);
}

static void judge_binding(const struct tdx_quote *quote, struct judged *out)
{
    const struct bytes parts[] = { quote->attestation_key, quote->qe_auth_data };
    const struct bytes data = quote->qe_report.report_data;
    struct digest want;
    struct err err = { 0 };
    if (digest_parts(ALG_SHA256, parts, ARRAY_SIZE(parts), &want, &err) < 0)
        refuse_err(out, "libcrypto", &err);
    else if (memcmp(data.p, want.b, want.n) != 0 || !bytes_zero(bytes_of(data.p + want.n, data.n - want.n)))
        refuse(out,
               "the quoting enclave's report data are not SHA-256(attestation key, authentication data)");
    else
        hold(out);
}

struct bytes tdx_signer_bytes(const struct tdx_quote *quote)
{
    const uint8_t *from = quote->attestation_key.p;
    return bytes_of(from, (size_t)(quote->certification_data.p - from) + quote->certification_data.n);
}

int tdx_prepare_signer(const struct tdx_quote *quote, const struct tdx_anchors *anchors,
                       struct tdx_prepared_signer **out, struct err *err)
{
    const struct bytes raw = tdx_signer_bytes(quote);
    struct tdx_prepared_signer *p = calloc(1, sizeof(*p));
    struct err ignored = { 0 };
    if (!p || !(p->raw = malloc(raw.n))) {
        free(p);
        return err_set(err, ERR_IO, 0, "out of memory");
    }
    memcpy(p->raw, raw.p, raw.n);
    p->raw_n = raw.n;
    if (p256_key(quote->attestation_key, &p->attestation_key, &ignored) < 0)
        p->attestation_key = NULL;
    judge_chain(quote, anchors, p);
    judge_report(quote, p);
    judge_binding(quote, &p->bound);
    *out = p;
    return 0;
}

void tdx_prepared_signer_free(struct tdx_prepared_signer *p)
{
    if (!p)
        return;
    free(p->raw);
    EVP_PKEY_free(p->attestation_key);
    X509_free(p->path.anchor);
    X509_free(p->leaf);
    X509_free(p->ca);
    free(p);
}
