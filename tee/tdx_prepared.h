/** tee/tdx_prepared.h: what tdx_prepare.c hands to tdx_verify.c. */
#ifndef CVM_TEE_TDX_PREPARED_H
#define CVM_TEE_TDX_PREPARED_H

#include "tee/tdx_verify.h"

/** Judged without a clock; why: if not ok. */
struct judged {
    bool ok;
    char why[224];
};

/** When something holds: a path of certificates, a document, a CRL. */
struct window {
    time_t from, to;
};

/** A chain to an anchor; meaningful if judged.ok. */
struct tdx_chain {
    struct window dates; /* of all certificates */
    X509 *anchor;        /* owned */
    size_t anchor_index;
};

enum tdx_dated { DATED_TCB_INFO, DATED_QE_IDENTITY, DATED_PCK_CRL, DATED_ROOT_CRL, DATED };

struct tdx_prepared_collateral {
    struct judged tcb_info, qe_identity; /* signature, by a certificate that chains to an anchor */
    struct tdx_chain tcb_info_chain, qe_identity_chain;
    struct judged tcb_info_content, qe_identity_content; /* read after their signature */
    struct tdx_tcb_info info;
    struct tdx_qe_identity identity;
    struct judged pck_crl, root_crl; /* signature */
    bool tcb_signer_revoked;
    struct tdx_chain pck_crl_chain;
    X509_CRL *pck_revoked, *root_revoked; /* owned */
    X509 *pck_crl_issuer, *root_crl_issuer;
    struct window dated[DATED]; /* of what is authentic */
    time_t latest_signed;
};

struct tdx_prepared_signer {
    uint8_t *raw; /* what it was made from: tdx_signer_bytes() */
    size_t raw_n;
    EVP_PKEY *attestation_key;   /* owned; NULL: no point of P-256 */
    struct judged report, bound; /* the enclave's report: by the PCK; names the attestation key */
    struct judged chain;
    struct tdx_chain path;
    X509 *leaf, *ca;       /* owned; leaf is there whenever one could be read, ca when the chain holds */
    struct pck_cert facts; /* views into leaf; only if the chain holds */
};

#endif
