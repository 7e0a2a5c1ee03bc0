/** tee/emulator/emu_tsm.h: configfs-tsm in memory, with the kernel's rules.
 *  Source: Linux Documentation/ABI/testing/configfs-tsm-report, drivers/virt/coco/guest/report.c. */
#ifndef CVM_TEE_EMULATOR_EMU_TSM_H
#define CVM_TEE_EMULATOR_EMU_TSM_H

#include "base/buf.h"
#include "tee/lower.h"

#define TSM_INBLOB   64
#define TSM_ENTRIES  256         /* at a time; the kernel's limit is its memory */
#define TSM_BLOB_MAX (32u << 10) /* of the kernels that have 64-byte inblobs */

/** The TEE driver behind it. */
struct tsm_driver {
    const char *name; /* "sev_guest" */
    bool privlevels;  /* has privlevel, privlevel_floor and auxblob */
    /** Makes a report. @return 0 or -errno */
    int (*report)(void *ctx, const uint8_t inblob[static TSM_INBLOB], unsigned privlevel, struct buf *out,
                  struct buf *aux);
    void *ctx;
};

struct tsm_fs;

/** driver NULL: a kernel without configfs-tsm, every call answers -ENOENT. */
MUST_USE int tsm_fs_new(const struct tsm_driver *driver, struct tsm_fs **out, struct err *err);
void tsm_fs_free(struct tsm_fs *fs);

/** The interface for struct lower; callable from several threads. */
struct tsm_io tsm_fs_io(struct tsm_fs *fs);

#endif
