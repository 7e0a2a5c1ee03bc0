/** volume/settings.h: how the image's builder wants the volume: a file in the verified root, never on a disk
 * that the host writes. */
#ifndef CVM_VOLUME_SETTINGS_H
#define CVM_VOLUME_SETTINGS_H

#include "base/bytes.h"

#include <stdbool.h>

#define VOLUME_SETTINGS_FILE "/etc/cvm-agent/volume.json"
#define VOLUME_SETTINGS_MAX  4096

/** The register that the agent extends with its first event: zero until then, and part of every profile. */
#define VOLUME_HISTORY_PCR 15

struct volume_settings {
    const char *profile; /* literal: "standard" or "strong" */
    uint32_t mask;       /* its PCRs */
    bool accept_host_vtpm;
    bool workload; /* the private copy of the workload and the container engine's storage lie on it */
};

/** Reads {"seal":"standard"|"strong","accept_host_vtpm":bool,"workload":bool}; what is absent: standard,
 * false, false.
 *  @return 0, or -1 with ERR_INPUT: not JSON, an unknown key, another profile */
MUST_USE int volume_settings_parse(struct bytes text, struct volume_settings *out, struct err *err);

#endif
