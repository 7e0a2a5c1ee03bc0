/** tee/emulator/emu_ak.h: what a cloud puts into the virtual TPM before the guest starts: attestation keys or
 * their templates, and certificates over them from the cloud's own CA.
 *  Source: google/go-tpm-tools client/handles.go; recorded Google and Azure AK certificates. */
#ifndef CVM_TEE_EMULATOR_EMU_AK_H
#define CVM_TEE_EMULATOR_EMU_AK_H

#include "tee/emulator/pki.h"
#include "tpm/tpm.h"

#define AZURE_AK_HANDLE 0x81000003u
#define AZURE_EK_HANDLE 0x81010001u
#define AZURE_AK_CERT   0x01C101D0u

/** Where certificates say that their issuer's lies (AIA); answered by the emulated network. */
#define GOOGLE_INTERMEDIATE_URL                                                                              \
    "http://privateca-content-00000000-0000-0000-0000-000000000000.storage.googleapis.com/emulated/ca.crt"
#define GOOGLE_ROOT_URL                                                                                      \
    "http://privateca-content-00000000-0000-0000-0000-000000000001.storage.googleapis.com/emulated/ca.crt"
#define AZURE_CA_URL "http://www.microsoft.com/pkiops/certs/emulated-virtual-tpm-ca.crt"

/** The cloud's CA: root, and an intermediate under it (Google only). */
struct ak_ca {
    struct identity root, intermediate;
};
void ak_ca_done(struct ak_ca *ca);

MUST_USE int google_ca_load(struct ak_ca *ca, const struct store *s, struct err *err);
MUST_USE int azure_ca_load(struct ak_ca *ca, const struct store *s, struct err *err);

/** Templates and certificates into the NV indices 0x01C10000 to 0x01C10003, where they are not there yet. */
MUST_USE int google_provision(const struct ak_ca *ca, const struct store *s, const char *shape,
                              struct tpm *tpm, struct err *err);

/** AK and EK at their handles, the AK's certificate in its index.
 *  @param ak, ek  receive the TPMT_PUBLICs */
MUST_USE int azure_provision(const struct ak_ca *ca, const struct store *s, const char *shape,
                             struct tpm *tpm, struct buf *ak, struct buf *ek, struct err *err);

#endif
