/** tee/snp_verify.h: an SEV-SNP report, judged. Pure: bytes, certificates, anchors and a clock in; checks and
 * a verdict out.
 *
 * What does not depend on the report is done once: the VEK's chain and its CRL. What is left for each report
 * is one P-384 verification and comparisons. Signatures come first; what the report or the VEK says counts
 * only after both hold. Sources: AMD 56860 (report, signing keys, guest policy), AMD 57230 (VCEK, VLEK,
 * chains, CRL). */
#ifndef CVM_TEE_SNP_VERIFY_H
#define CVM_TEE_SNP_VERIFY_H

#include "base/checks.h"
#include "tee/snp_report.h"
#include "tee/vek_cert.h"

#include <time.h>

/** What a VEK is judged with. Everything is borrowed for the call only. */
struct snp_vek_request {
    X509 *vek;         /* VCEK or VLEK; untrusted */
    X509 *const *pool; /* ASK, ASVK and whatever else; untrusted, any order */
    size_t pool_n;
    size_t given;         /* the first so many of the pool came with the report: see chain_root_fits() */
    X509 *const *anchors; /* ARKs that are trusted; the product is in their name (CN=ARK-Milan) */
    size_t anchors_n;
    X509_CRL *crl; /* of the ARK; NULL: revocation is not asked for */
};

/** A VEK whose chain and CRL have been judged, without a clock: it can be kept and used by several threads at
 * once. Never written after it is made. */
struct snp_vek;

/** Judges a VEK. What does not hold is recorded in the object and fails the checks of every report.
 *  @return 0 with a new object in *out, or -1: ERR_INPUT (the key is not on P-384), ERR_IO (memory) */
MUST_USE int snp_vek_new(const struct snp_vek_request *request, struct snp_vek **out, struct err *err);
void snp_vek_free(struct snp_vek *v);

/** For AUTO(snp_vek_drop) struct snp_vek *v. */
static inline void snp_vek_drop(struct snp_vek **v)
{
    snp_vek_free(*v);
}

struct snp_verdict {
    bool parsed;              /* report is filled in */
    struct snp_report report; /* views into the report's bytes */
    bool authentic; /* a VEK below an anchor signed this report; dates and CRL are checks of their own */
    /* only if authentic */
    enum snp_product product;                            /* by the certificates */
    struct snp_tcb reported, current, committed, launch; /* in the product's layout */
    uint64_t vek_tcb;                                    /* the certificate's, as the report stores TCBs */
    size_t anchor;                                       /* which of the request's */
    char vek_product[VEK_TEXT_MAX];                      /* "Milan-B1", as the certificate says */
    char csp_id[VEK_TEXT_MAX];                           /* VLEK: whom AMD gave it to; "" on a VCEK */
    time_t latest_signed; /* thisUpdate of an authentic CRL; 0: none. A clock before it is wrong */
};

/** What a report is judged by besides its certificates. */
struct snp_rules {
    time_t at;
    bool accept_expired; /* a CRL whose nextUpdate is over: a warning then */
};

/** Makes the checks snp.format, snp.report_signature, snp.vek_chain, snp.vek_validity, snp.vek_tcb,
 * snp.vek_chip_id, snp.crl, snp.debug, snp.migration and document.clock. Each name is recorded whatever
 * happens; a check that an earlier failure made impossible is false.
 *  @param raw  the report or the ioctl's response; untrusted, any length
 *  @param vek  NULL: there is none */
void snp_verify_by(struct bytes raw, const struct snp_vek *vek, const struct snp_rules *rules,
                   struct checks *checks, struct snp_verdict *out);

/** snp_verify_by(), nothing expired accepted. */
static inline void snp_verify(struct bytes raw, const struct snp_vek *vek, time_t at, struct checks *checks,
                              struct snp_verdict *out)
{
    snp_verify_by(raw, vek, &(struct snp_rules){ .at = at }, checks, out);
}

#endif
