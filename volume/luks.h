/** volume/luks.h: LUKS2 by libcryptsetup, with a header in a file of private memory and the data on a
 * partition. AES-256-XTS, HMAC-SHA256 over each sector of 4096 bytes (dm-crypt over dm-integrity,
 * journalled). */
#ifndef CVM_VOLUME_LUKS_H
#define CVM_VOLUME_LUKS_H

#include "base/bytes.h"

#define LUKS_UUID_SIZE 40

/** The key slots: which number opens by what. */
enum { LUKS_SLOT_SEALED = 0, LUKS_SLOT_RECOVERY = 1 };

/** Makes a header in an empty file, for data that begin at VOLUME_HEADER_SIZE of the partition.
 *  @param keys  one key for each slot, 32 bytes; the second may be NULL
 *  @param token JSON text of the token */
MUST_USE int luks_format(const char *file, const char *partition, const uint8_t *const keys[2],
                         const char *token, struct err *err);

/** Activates the volume as /dev/mapper/NAME by the key of one slot.
 *  @param fresh  without journal, to be wiped
 *  @param uuid   receives the header's UUID
 *  @return 0, or -1 with ERR_DENIED (the key does not open it, or it is not of the form above), ERR_IO */
MUST_USE int luks_open(const char *file, const char *partition, const char *name, int slot,
                       const uint8_t key[static 32], bool fresh, char uuid[static LUKS_UUID_SIZE],
                       struct err *err);

/** Writes zeros over an active volume, so that each sector has its tag.
 *  @param progress  called with percents now and then, or NULL */
MUST_USE int luks_wipe(const char *file, const char *partition, const char *name, void (*progress)(unsigned),
                       struct err *err);

/** Activates a part of an open volume under a second encryption, AES-256-XTS. Parts may be used side by side.
 *  @param sectors  of 512 bytes; 0: all that follow
 *  @param kept     under a key that everybody knows, for what is there to stay: the volume's own keys protect
 * it; else under one that is made now and kept nowhere, so that what earlier boots wrote there is noise
 *  @param name     below /dev/mapper */
MUST_USE int luks_part(const char *device, uint64_t first_sector, uint64_t sectors, bool kept,
                       const char *name, struct err *err);

MUST_USE int luks_close(const char *name, struct err *err);

#endif
