/** image/varstore.h: the variables of a firmware as they lie in its flash (OVMF_VARS.fd).
 *  Source: EDK II MdeModulePkg/Include/Guid/VariableFormat.h (authenticated variables); UEFI PI 1.8, volume 3
 * (firmware volumes). Little-endian. */
#ifndef CVM_IMAGE_VARSTORE_H
#define CVM_IMAGE_VARSTORE_H

#include "base/bytes.h"

#define VARSTORE_MAX       (64u << 20)
#define VARSTORE_VARIABLES 4096

/** GUIDs of the variables that Secure Boot has, in the byte order of memory. */
extern const uint8_t varstore_global[16], varstore_image_security[16], varstore_secure_boot_enable[16];

struct varstore {
    struct bytes variables; /* what follows the store's header */
};

/** Finds the store in a file: a flash image with or without the firmware's code. Checks every variable.
 *  @param out  a view into file
 *  @return 0, or -1 with ERR_INPUT: no store, a store without authenticated variables, or damaged */
MUST_USE int varstore_parse(struct bytes file, struct varstore *out, struct err *err);

/** The data of a variable that is neither deleted nor half written. @return false if there is none */
bool varstore_find(const struct varstore *store, const uint8_t guid[static 16], const char *name,
                   struct bytes *out);

#endif
