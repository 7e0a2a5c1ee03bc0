/** agent/owner_version.h: the number of the last update that the owner signed: an older one is not taken
 * again. Kept for the boot below the state folder; where the TPM is inside the TEE (Azure) in an NV index
 * too, beyond the boot. */
#ifndef CVM_AGENT_OWNER_VERSION_H
#define CVM_AGENT_OWNER_VERSION_H

#include "evidence/collect.h"

/** In the range that the TCG leaves to owners: "CVM" and 1. */
#define OWNER_VERSION_INDEX 0x01800C51u

struct owner_version {
    struct collector *collector;
    const char *state, *boot_id;
};

/** @param out  0 when there was none
 *  @return 0, or -1: ERR_UNAVAILABLE (TPM), ERR_INPUT (the file is damaged), ERR_IO */
MUST_USE int owner_version_last(const struct owner_version *v, uint64_t *out, struct err *err);

MUST_USE int owner_version_accept(const struct owner_version *v, uint64_t version, struct err *err);

#endif
