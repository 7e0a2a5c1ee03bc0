/** tee/emulator/emu_tdx.h: a software TDX module and quoting enclave: TDREPORTs, quotes of version 4 (TD 1.0)
 * and 5 (TD 1.5), the PCK chain, and the collateral of Intel's PCS by which the platform is UpToDate.
 *  Source: Intel TDX DCAP Quoting Library API; Intel TDX module 1.5 (TDREPORT); Intel PCS API version 4. */
#ifndef CVM_TEE_EMULATOR_EMU_TDX_H
#define CVM_TEE_EMULATOR_EMU_TDX_H

#include "tee/emulator/pki.h"

#define TDREPORT_SIZE 1024
#define TDX_RTMR_SIZE 48

struct tdx_facts {
    uint8_t quote_version; /* 4, or 5 with a TD 1.5 body */
    uint64_t td_attributes, xfam;
    size_t buffer; /* the quote's buffer is padded with zeros to this size; 0: not */
    size_t tail;   /* zero bytes that follow the quote */
    bool measured; /* RTMRs hold the boot; false: zero, as under Azure's paravisor */
};

/** Collateral as the PCS answers it; also the names of the files in STATE/emulator/collateral. */
enum tdx_collateral {
    TDX_TCB_INFO,
    TDX_TCB_SIGNING_CHAIN,
    TDX_QE_IDENTITY,
    TDX_PCK_CRL,
    TDX_PCK_CRL_ISSUER_CHAIN,
    TDX_ROOT_CA_CRL,
    TDX_COLLATERALS
};

struct tdx_machine;

/** Loads or makes keys, certificates and collateral.
 *  @param rtmrs  4 x TDX_RTMR_SIZE bytes of the boot; used when facts->measured */
MUST_USE int tdx_machine_new(const struct store *s, const char *shape, const struct tdx_facts *facts,
                             const uint8_t *rtmrs, struct tdx_machine **out, struct err *err);
void tdx_machine_free(struct tdx_machine *m);

/** A TDREPORT that this machine can later turn into a quote. */
MUST_USE int tdx_machine_tdreport(struct tdx_machine *m, const uint8_t report_data[static 64],
                                  uint8_t out[static TDREPORT_SIZE], struct err *err);

/** A quote; appends. Callable from several threads. */
MUST_USE int tdx_machine_quote(struct tdx_machine *m, const uint8_t report_data[static 64], struct buf *out,
                               struct err *err);

/** A quote for a TDREPORT of this machine. @return 0, or -1 with ERR_INPUT: not one of ours */
MUST_USE int tdx_machine_quote_tdreport(struct tdx_machine *m, struct bytes tdreport, struct buf *out,
                                        struct err *err);

/** RTMR3, which the guest may extend; others do not change after the start. From any thread. */
void tdx_machine_rtmr3(struct tdx_machine *m, uint8_t out[static TDX_RTMR_SIZE]);
void tdx_machine_set_rtmr3(struct tdx_machine *m, const uint8_t value[static TDX_RTMR_SIZE]);

/** What the outside knows; borrowed. */
struct bytes tdx_machine_collateral(const struct tdx_machine *m, enum tdx_collateral which);
/** True for the platform's FMSPC in hex of either case. */
bool tdx_fmspc_is(struct bytes hex);
X509 *tdx_machine_root(const struct tdx_machine *m);

#endif
