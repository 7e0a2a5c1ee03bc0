/** cli/boot_keys.h: Secure Boot's variables as they are named on the command line: a machine's flash, or a
 * file for each variable. */
#ifndef CVM_CLI_BOOT_KEYS_H
#define CVM_CLI_BOOT_KEYS_H

#include "image/secure_boot.h"

/** As given; NULL: not given. */
struct boot_keys_options {
    const char *vars, *pk, *kek, *db, *dbx;
};

struct boot_keys {
    bool given;
    struct secure_boot keys; /* views into the files */
    uint8_t *file[4];
};

/** Reads them. @param out  end it with boot_keys_done(), also after a failure
 *  @return 0, or the exit status with the message printed */
int boot_keys_read(const struct boot_keys_options *options, struct boot_keys *out);

/** For AUTO(boot_keys_done). */
void boot_keys_done(struct boot_keys *keys);

#endif
