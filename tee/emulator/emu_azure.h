/** tee/emulator/emu_azure.h: Azure's paravisor: the HCL report in the TPM's NV memory, made anew when the
 * guest writes the user-data index. The index is larger than libtpms allows, so a filter in front of the TPM
 * answers for it. Source: microsoft/openvmm openhcl_attestation_protocol; recorded HCL reports. */
#ifndef CVM_TEE_EMULATOR_EMU_AZURE_H
#define CVM_TEE_EMULATOR_EMU_AZURE_H

#include "base/buf.h"
#include "tee/emulator/store.h"

#include <tss2/tss2_tcti.h>

#define HCL_NV_SIZE     2600
#define HCL_REPORT_AREA 1184
#define USER_DATA_SIZE  64

/** The hardware below the paravisor: a report over 64 bytes. */
struct hcl_hardware {
    uint32_t report_type; /* 2: SNP, 4: TDX */
    int (*report)(void *ctx, const uint8_t report_data[static 64], uint8_t out[static HCL_REPORT_AREA],
                  struct err *err);
    void *ctx;
};

struct paravisor;

/** @param ak, ek     TPMT_PUBLICs of RSA keys
 *  @param user_data  what the user-data index holds now (USER_DATA_SIZE bytes), or empty */
MUST_USE int paravisor_new(const struct store *s, const char *shape, const struct hcl_hardware *hardware,
                           struct bytes ak, struct bytes ek, struct bytes user_data, struct paravisor **out,
                           struct err *err);
void paravisor_free(struct paravisor *p);

/** The content of the index 0x01400001 now. */
MUST_USE int paravisor_report(struct paravisor *p, uint8_t out[static HCL_NV_SIZE], struct err *err);

/** The guest wrote to the user-data index; a fresh report follows a little later. */
void paravisor_user_data(struct paravisor *p, size_t offset, struct bytes data);

/** A TCTI in front of inner (which stays the caller's). @return NULL when memory is short */
TSS2_TCTI_CONTEXT *paravisor_tcti(struct paravisor *p, TSS2_TCTI_CONTEXT *inner);

/** The TCTI behind it; frees the filter. */
TSS2_TCTI_CONTEXT *paravisor_tcti_free(TSS2_TCTI_CONTEXT *filter);

#endif
