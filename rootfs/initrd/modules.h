/** rootfs/initrd/modules.h: loads kernel modules: those that every boot needs, and those of the devices that
 * are there. The kernel checks their signatures (module.sig_enforce=1). */
#ifndef CVM_ROOTFS_INITRD_MODULES_H
#define CVM_ROOTFS_INITRD_MODULES_H

#include "rootfs/initrd/boot.h"

/** Loads a list of modules, one space between their names, from /modules/NAME.ko; loaded ones are fine.
 *  @return 0, or -1 with ERR_IO and the name */
MUST_USE int modules_load(const char *names, struct err *err);

/** Loads what drives the devices below <sys>/bus that nothing was loaded for yet. A module that does not load
 * is reported and left out: the root disk may hang on another one.
 *  @param load  modules_load(), or a test's stand-in
 *  @return how many lists were loaded */
size_t modules_coldplug(struct boot *boot, const char *sys, int (*load)(const char *names, struct err *err),
                        void (*report)(const struct err *err));

#endif
