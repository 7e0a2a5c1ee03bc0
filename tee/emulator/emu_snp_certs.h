/** tee/emulator/emu_snp_certs.h: the certificates of the software secure processor. Internal. */
#ifndef CVM_TEE_EMULATOR_EMU_SNP_CERTS_H
#define CVM_TEE_EMULATOR_EMU_SNP_CERTS_H

#include "tee/emulator/emu_snp.h"

#define CERT_MAX_CRL 16384

struct snp_certs {
    struct identity ark, signer, vek;
    struct buf crl;
};

MUST_USE int snp_certs_load(struct snp_certs *c, const struct store *s, const char *shape,
                            const struct snp_facts *f, struct bytes hwid, struct err *err);
void snp_certs_done(struct snp_certs *c);

#endif
