/** tee/emulator/emu_tdx_certs.h: the certificates and collateral of the software TDX platform. Internal. */
#ifndef CVM_TEE_EMULATOR_EMU_TDX_CERTS_H
#define CVM_TEE_EMULATOR_EMU_TDX_CERTS_H

#include "tee/emulator/emu_tdx.h"

struct tdx_certs {
    struct identity root, platform_ca, tcb_signing, pck;
    struct buf chain; /* PEM: PCK, platform CA, root, as it stands in quotes */
    struct buf collateral[TDX_COLLATERALS];
};

/* The platform: what the PCK certificate and the TCB info say about it. */
extern const uint8_t tdx_fmspc[6];
extern const uint8_t tdx_cpu_svn[16]; /* SGX component SVNs */
extern const uint8_t tdx_tee_tcb_svn[16];
extern const uint8_t tdx_qe_mr_signer[32];
#define TDX_PCE_SVN       13
#define TDX_QE_ISV_PRODID 2
#define TDX_QE_ISV_SVN    6
#define TDX_QE_ATTRIBUTES 0x15 /* INIT, MODE64BIT, PROVISION_KEY: low byte of the attributes of real ones */

MUST_USE int tdx_certs_load(struct tdx_certs *c, const struct store *s, const char *shape, struct err *err);
void tdx_certs_done(struct tdx_certs *c);

/** TCB info and QE identity into c->collateral, in Intel's exact form, signed over the bytes of the inner
 * object; made anew when their time is half over. */
MUST_USE int tdx_collateral_load(struct tdx_certs *c, const struct store *s, struct err *err);

/** ECDSA P-256 with SHA-256: r and s, 32 bytes each, big-endian. */
MUST_USE int p256_sign(EVP_PKEY *key, struct bytes data, uint8_t out[static 64], struct err *err);

#endif
