/** tests/support/made_snp.h: a vendor of a test's own: ARK, ASK or ASVK, VEK, CRL and reports, named and
 * signed as AMD's are, good or wrong in one place. */
#ifndef CVM_TESTS_MADE_SNP_H
#define CVM_TESTS_MADE_SNP_H

#include "base/buf.h"
#include "made_certs.h"

#define MADE_SNP_SIZE 1184

struct made_snp {
    EVP_PKEY *ark_key, *ask_key, *vek_key;
    X509 *ark, *ask, *vek;
};

/** What is different from a good VCEK chain of a Milan. NULL and 0: as usual. */
struct made_snp_spec {
    const char *ark_cn, *ask_cn, *vek_cn, *product;
    bool vlek;
    bool no_pss;        /* the VEK is signed by RSA PKCS#1 */
    const uint8_t *tcb; /* bootloader, TEE, SNP, microcode; default 3, 0, 22, 209 */
    time_t vek_from, vek_until;
    const struct made_snp *keys; /* whose keys to use again; making RSA keys takes its time */
};

/** Makes keys (unless given) and certificates; free with made_snp_done(). */
struct made_snp made_snp(const struct made_snp_spec *spec);
void made_snp_done(struct made_snp *m);

/** A version 3 report of a Milan that fits the default chain, not signed yet. */
void made_snp_report(uint8_t out[static MADE_SNP_SIZE]);

/** Signs the report as it is, with the VEK's key. */
void made_snp_sign(const struct made_snp *m, uint8_t report[static MADE_SNP_SIZE]);

#endif
