/** volume/volume.h: makes and opens the volume. What is done depends on the partition's first block alone:
 * the mark of an empty one is formatted, a LUKS2 header is opened if the TPM gives its key and the key
 * vouches for the header, and all else is left as it is. */
#ifndef CVM_VOLUME_VOLUME_H
#define CVM_VOLUME_VOLUME_H

#include "tpm/tpm.h"
#include "volume/header.h"
#include "volume/luks.h"
#include "volume/settings.h"

#define VOLUME_NAME "cvm-volume" /* below /dev/mapper */

/** Where the workload lies on the volume too, this first part of it is kept, and the rest is new at each
 * boot. */
#define VOLUME_STATE_NAME    "cvm-state"
#define VOLUME_STATE_SECTORS (16u << 11) /* 16 MiB */

struct volume {
    const char *partition;   /* "/dev/vda5" */
    const char *header_file; /* in private memory; made anew and removed */
    struct volume_settings settings;
    struct bytes recovery_pem; /* empty: no recovery */
    void (*progress)(unsigned percent);
    uint8_t *header; /* VOLUME_HEADER_SIZE bytes */
    char uuid[LUKS_UUID_SIZE];
    struct volume_token token; /* of the open volume */
};

void volume_done(struct volume *v);

/** The device that is kept: all of the open volume, or its first part, which is activated by this. */
MUST_USE int volume_state_device(const struct volume *v, const char **device, struct err *err);

/** Formats a marked partition, with a new key sealed to the present state. Ends with nothing active. */
MUST_USE int volume_create(struct volume *v, struct tpm *t, struct err *err);

/** Opens the volume as /dev/mapper/cvm-volume from the header in v->header; fills uuid and token.
 *  @return 0, or -1 with ERR_DENIED (not sealed for this state or by another, not our header), ERR_INPUT,
 *  ERR_NOT_FOUND (no token), ERR_IO */
MUST_USE int volume_open(struct volume *v, struct tpm *t, struct err *err);

#endif
