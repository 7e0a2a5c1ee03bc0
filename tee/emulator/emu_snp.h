/** tee/emulator/emu_snp.h: a software AMD secure processor: the chain ARK, ASK or ASVK, VCEK or VLEK as AMD
 * issues them, and ATTESTATION_REPORTs signed by the last.
 *  Source: AMD 56860 (report), AMD 57230 (certificates, KDS). */
#ifndef CVM_TEE_EMULATOR_EMU_SNP_H
#define CVM_TEE_EMULATOR_EMU_SNP_H

#include "tee/emulator/pki.h"
#include "tee/snp_report.h"

/** What is fixed for a processor and its guest. */
struct snp_facts {
    const char *product; /* as the KDS spells it */
    uint8_t version;     /* of the report */
    uint8_t cpuid[3];    /* combined family, model, stepping */
    uint8_t tcb[8];
    uint8_t firmware[3]; /* build, minor, major */
    uint8_t chip_id_size;
    uint64_t policy, platform_info;
    uint32_t guest_svn;
    uint8_t family_id[4], image_id;
    const char *id_key; /* whose key signed the ID block, NULL: none */
    const char *csp_id; /* signed by a VLEK of this cloud provider; NULL: by the chip's VCEK */
};

struct snp_machine;

/** Loads or makes keys and certificates. firmware names what was launched: the measurement derives from it.
 */
MUST_USE int snp_machine_new(const struct store *s, const char *shape, const struct snp_facts *facts,
                             struct snp_machine **out, struct err *err);
void snp_machine_free(struct snp_machine *m);

/** Signs a report. Callable from several threads. */
MUST_USE int snp_machine_report(const struct snp_machine *m, const uint8_t report_data[static 64],
                                uint32_t vmpl, uint8_t out[static SNP_REPORT_SIZE], struct err *err);

/** What the outside knows of the machine; borrowed. */
struct snp_public {
    const struct snp_facts *facts;
    X509 *ark, *signer, *vek; /* signer: ASK or ASVK */
    struct bytes crl;         /* DER, by the ARK */
    struct bytes hwid;        /* facts->chip_id_size bytes */
};
struct snp_public snp_machine_public(const struct snp_machine *m);

/** The certificate table that a host hands to the guest: GUIDs as AMD 56421 (GHCB) prints them.
 *  @param whole  VEK, signer and ARK; false: the VEK only */
void snp_machine_table(const struct snp_machine *m, bool whole, struct buf *out);

#endif
