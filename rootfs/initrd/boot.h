/** rootfs/initrd/boot.h: what the image's builder wrote into the initrd: the kernel command line, the
 * parameters of the verified root, and which modules drive which devices. It is measured with the initrd;
 * nothing in it comes from the host.
 *
 * A text, one item a line:
 *   cmdline TEXT                 the whole kernel command line; holds cvm.root=ROOT-HASH
 *   blocks N                     data blocks of 4096 bytes
 *   salt HEX
 *   load MODULE...               loaded at once, in this order (files below /modules)
 *   alias PATTERN MODULE...      loaded when a device's modalias matches PATTERN (fnmatch)
 */
#ifndef CVM_ROOTFS_INITRD_BOOT_H
#define CVM_ROOTFS_INITRD_BOOT_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define BOOT_TEXT_MAX    (256u << 10)
#define BOOT_ALIASES_MAX 1024
#define BOOT_HASH_SIZE   65 /* SHA-256 in hex, and a terminator */

struct boot_alias {
    const char *pattern, *modules; /* names, one space between them */
    bool done;
};

struct boot {
    const char *cmdline, *salt, *load;
    char root_hash[BOOT_HASH_SIZE];
    uint64_t blocks;
    struct boot_alias alias[BOOT_ALIASES_MAX];
    size_t aliases;
};

/** Splits the text, which is changed and must outlive *out.
 *  @return 0, or -1 with ERR_INPUT and the line: an unknown or repeated item, a malformed value, one that is
 * missing */
MUST_USE int boot_parse(char *text, struct boot *out, struct err *err);

/** Compares the command line that the kernel was started with (a line break at its end is ignored) with the
 * one in the image. @return 0, or -1 with ERR_DENIED and the first word that differs */
MUST_USE int boot_cmdline_check(const struct boot *boot, const char *running, struct err *err);

#endif
