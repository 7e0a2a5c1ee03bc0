/** image/firmware.h: what an OVMF image says about the measurements it will make: whether it was built with
 * Secure Boot, its release, and the volume of its drivers. Source: UEFI PI 1.8, volume 3 (firmware volumes,
 * files, sections); EDK II MdeModulePkg/Include/Guid/LzmaDecompress.h. Little-endian. */
#ifndef CVM_IMAGE_FIRMWARE_H
#define CVM_IMAGE_FIRMWARE_H

#include "base/digest.h"

#define FIRMWARE_MAX          (64u << 20)
#define FIRMWARE_UNPACKED_MAX (64u << 20)

#define FIRMWARE_VERSION_MAX 32

/** Releases of EDK II (year and month) whose logs were read, the first and the last; and the last that leaves
 * the firmware at the first attempt. */
#define FIRMWARE_FIRST      202211u
#define FIRMWARE_EXITS_ONCE 202502u
#define FIRMWARE_LAST       202608u

enum firmware_release {
    FIRMWARE_CHECKED, /* its measurements are known; so is one that names no release: Debian 12's does not */
    FIRMWARE_RETRIES_EXIT, /* the same, but ExitBootServices may fail once, and PCR 5 then says so */
    FIRMWARE_UNCHECKED,    /* older, or newer than any that was looked at */
};

struct firmware {
    bool secure_boot;                   /* has the driver that makes the variable SecureBoot */
    struct digest dxe;                  /* of the driver volume, as measured into PCR 0 */
    char version[FIRMWARE_VERSION_MAX]; /* "2025.02-8+deb13u1"; empty: it names none */
    enum firmware_release release;
};

/** Unpacks an image ("OVMF_CODE_4M.fd" or "OVMF.fd") and looks into it.
 *  @param alg  the bank that dxe is for
 *  @return 0, or -1 with ERR_INPUT: no volume with packed drivers, or damaged; ERR_TOO_LARGE; ERR_IO */
MUST_USE int firmware_parse(struct bytes file, uint16_t alg, struct firmware *out, struct err *err);

#endif
