/** image/firmware.h: what an OVMF image says about the measurements it will make: whether it was built with
 * Secure Boot, and the volume of its drivers. Source: UEFI PI 1.8, volume 3 (firmware volumes, files,
 * sections); EDK II MdeModulePkg/Include/Guid/LzmaDecompress.h. Little-endian. */
#ifndef CVM_IMAGE_FIRMWARE_H
#define CVM_IMAGE_FIRMWARE_H

#include "base/digest.h"

#define FIRMWARE_MAX          (64u << 20)
#define FIRMWARE_UNPACKED_MAX (64u << 20)

struct firmware {
    bool secure_boot;  /* has the driver that makes the variable SecureBoot */
    struct digest dxe; /* of the driver volume, as measured into PCR 0 */
};

/** Unpacks an image ("OVMF_CODE_4M.fd" or "OVMF.fd") and looks into it.
 *  @param alg  the bank that dxe is for
 *  @return 0, or -1 with ERR_INPUT: no volume with packed drivers, or damaged; ERR_TOO_LARGE; ERR_IO */
MUST_USE int firmware_parse(struct bytes file, uint16_t alg, struct firmware *out, struct err *err);

#endif
