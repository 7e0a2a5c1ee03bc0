/** agent/kmodule.h: what a kernel module says of itself: its .modinfo section. Pure. Source: ELF-64 object
 * file format; include/linux/moduleparam.h and module.h of Linux ("name", "livepatch"). */
#ifndef CVM_AGENT_KMODULE_H
#define CVM_AGENT_KMODULE_H

#include "base/bytes.h"

#define KMODULE_NAME_MAX 55 /* MODULE_NAME_LEN of 64-bit kernels, with its terminator 56 */

struct kmodule {
    char name[KMODULE_NAME_MAX + 1];
    bool livepatch;
};

/** @return 0, or -1 with ERR_INPUT: no 64-bit little-endian module, or without a name */
MUST_USE int kmodule_parse(struct bytes file, struct kmodule *out, struct err *err);

#endif
