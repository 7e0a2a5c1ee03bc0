/** cli/verify_snp.h: the SNP part that verify-snp and verify-azure share: certificates from files, and the
 * report judged with them. */
#ifndef CVM_CLI_VERIFY_SNP_H
#define CVM_CLI_VERIFY_SNP_H

#include "base/checks.h"
#include "cli/anchors.h"
#include "cli/commands.h"
#include "tee/snp_verify.h"

/** Options; paths are NULL when not given. */
struct snp_files {
    const char *vek, *certtable, *crl;
    struct option_list chain;
};

/** What was read. */
struct snp_material {
    struct cert_files vek;  /* the first one is the VEK; others of its file, and of tables, go to the pool */
    struct cert_files pool; /* the chain that was given, else the built-in ASKs and ASVKs */
    struct anchors anchors; /* the built-in ARKs */
    X509_CRL *crl;
    struct snp_vek *judged; /* NULL: no VEK, or no_vek says what is wrong with it */
    char no_vek[200];
};

/** Reads the files and judges the VEK.
 *  @param signing_key  the report's, to choose the entry of a certificate table by
 *  @return 0, or the exit status with the message printed */
int snp_material_read(const struct snp_files *files, uint8_t signing_key, struct snp_material *out);

/** For AUTO(snp_material_done) struct snp_material m = { 0 }. */
void snp_material_done(struct snp_material *m);

/** snp_verify() with the material; what was missing or unusable is in the details. */
void snp_material_verify(const struct snp_material *m, struct bytes report, time_t at, struct checks *checks,
                         struct snp_verdict *out);

/** What an authentic report says, for the answer: product, signing key, TCB, measurement, and so on; a new
 * object, or NULL when memory is short. */
json_t *snp_verdict_json(const struct snp_verdict *verdict);

#endif
