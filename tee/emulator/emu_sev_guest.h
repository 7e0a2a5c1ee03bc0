/** tee/emulator/emu_sev_guest.h: the sev-guest driver over the software secure processor.
 *  Source: Linux drivers/virt/coco/sev-guest/sev-guest.c, Documentation/virt/coco/sev-guest.rst. */
#ifndef CVM_TEE_EMULATOR_EMU_SEV_GUEST_H
#define CVM_TEE_EMULATOR_EMU_SEV_GUEST_H

#include "tee/emulator/emu_snp.h"

struct sev_guest {
    const struct snp_machine *machine;
    struct bytes table; /* what the host hands out; empty: nothing */
};

/** One ioctl, callable from several threads. @return 0 or -errno */
int sev_guest_ioctl(const struct sev_guest *g, unsigned long request, void *arg);

/** A report for configfs-tsm. @return 0 or -errno */
int sev_guest_tsm(const struct sev_guest *g, const uint8_t inblob[static 64], unsigned privlevel,
                  struct buf *out, struct buf *aux);

#endif
