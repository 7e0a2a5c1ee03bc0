/** image/uki.h: a Unified Kernel Image: systemd's stub with kernel, initrd and command line as sections.
 *  Source: UAPI Group Unified Kernel Image specification; systemd-stub(7), version 252. */
#ifndef CVM_IMAGE_UKI_H
#define CVM_IMAGE_UKI_H

#include "image/pe.h"

/** Longest command line that the kernel takes. */
#define UKI_CMDLINE_MAX 4096

struct uki {
    struct pe pe;
    struct bytes linux_, osrel, cmdline, initrd;
    struct bytes sbat; /* of the stub; a stub that measures it is of another version */
};

/** Splits an image. @return 0, or -1 with ERR_INPUT: not a PE program, a section is missing or there twice, a
 * command line with NUL, or longer than the kernel takes, or not ASCII */
MUST_USE int uki_parse(struct bytes file, struct uki *out, struct err *err);

/** Finds "NAME=VALUE" among the words of the command line. @return false if it is not there or there twice */
bool uki_option(const struct uki *uki, const char *name, struct bytes *out);

#endif
