/** tee/snp_verify_internal.h: what snp_vek.c hands to snp_verify.c. */
#ifndef CVM_TEE_SNP_VERIFY_INTERNAL_H
#define CVM_TEE_SNP_VERIFY_INTERNAL_H

#include "tee/snp_verify.h"

/** Judged without a clock; why: if not ok. */
struct snp_judged {
    bool ok;
    char why[224];
};

struct snp_vek {
    X509 *cert;    /* owned */
    EVP_PKEY *key; /* the certificate's */
    struct snp_judged chain;
    /* only if chain.ok */
    struct vek_cert facts; /* views into cert */
    enum snp_signing_key kind;
    enum snp_product product;
    size_t anchor;
    time_t from, until; /* the whole path is valid */
    /* the CRL, if there is one */
    bool crl_asked, crl_authentic;
    struct snp_judged crl;
    time_t crl_from, crl_until; /* until 0: it does not say */
};

static inline void judged_no(struct snp_judged *j, const char *why)
{
    j->ok = false;
    snprintf(j->why, sizeof(j->why), "%s", why);
}

static inline void judged_error(struct snp_judged *j, const struct err *err)
{
    char text[ERR_TEXT_MAX];
    j->ok = false;
    snprintf(j->why, sizeof(j->why), "%.200s", err_text(err, text, sizeof(text)));
}

#endif
