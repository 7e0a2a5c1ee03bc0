/** tpm/rtmr.h: a runtime measurement register of a TDX guest, through the kernel: Linux 6.16 and later have
 * one file a register below /sys/class/misc/tdx_guest/measurements: reading it gives 48 bytes, writing 48
 * bytes extends. Source: Documentation/ABI/testing/sysfs-devices-virtual-misc-tdx_guest of the kernel. */
#ifndef CVM_TPM_RTMR_H
#define CVM_TPM_RTMR_H

#include "base/bytes.h"

#define RTMR_BYTES 48

/** How a register is reached. Returns 0 or -1 with ERR_IO. */
struct rtmr_io {
    int (*read)(void *ctx, uint8_t out[static RTMR_BYTES], struct err *err);
    int (*extend)(void *ctx, const uint8_t digest[static RTMR_BYTES], struct err *err);
    void *ctx;
};

/** The kernel's file; its path is the context and must stay. */
struct rtmr_io rtmr_file(const char *path);

/** Where the kernel has RTMR3 below sys ("/sys"). @return 0 with the path, or -1 with ERR_NOT_FOUND: an older
 * kernel, or no TDX guest; ERR_IO: it is there and we may not write it */
MUST_USE int rtmr3_find(const char *sys, char *out, size_t size, struct err *err);

#endif
