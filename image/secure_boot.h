/** image/secure_boot.h: Secure Boot's variables, and what a firmware with them does with a program.
 *  Source: UEFI 2.10, sections 3.3 and 32.4; EDK II SecurityPkg (DxeImageVerificationLib, AuthVariableLib):
 * checked against boots of OVMF 2022.11, 2025.02 and 2026.08. */
#ifndef CVM_IMAGE_SECURE_BOOT_H
#define CVM_IMAGE_SECURE_BOOT_H

#include "image/pe.h"
#include "image/varstore.h"

/** Views; an empty one is a variable that is not set. */
struct secure_boot {
    bool on; /* a platform key is enrolled, and nobody switched it off */
    struct bytes pk, kek, db, dbx;
    bool has_dbt; /* a variable that is measured elsewhere: PCR 7 is not known then */
};

/** From the flash of a machine. @return 0, or -1 with ERR_INPUT: a variable is no list of signatures */
MUST_USE int secure_boot_read(const struct varstore *store, struct secure_boot *out, struct err *err);

/** Checks variables that came as files, and sets on. @return 0, or -1 with ERR_INPUT, naming the variable */
MUST_USE int secure_boot_check(struct secure_boot *keys, struct err *err);

/** What of db lets a program start: the first entry that a signature of it chains to, or its hash. A program
 * that dbx forbids does not start.
 *  @param out  the entry as it is measured, a view into db
 *  @return 0, or -1 with ERR_DENIED: the firmware refuses the program; ERR_INPUT: the lists or the signatures
 * are damaged; ERR_IO */
MUST_USE int secure_boot_authority(const struct secure_boot *keys, const struct pe *pe, struct bytes *out,
                                   struct err *err);

#endif
