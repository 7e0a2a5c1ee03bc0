/** image/siglist.h: EFI_SIGNATURE_LISTs: the contents of the Secure Boot variables PK, KEK, db and dbx.
 *  Source: UEFI 2.10, section 32.4.1. Little-endian. */
#ifndef CVM_IMAGE_SIGLIST_H
#define CVM_IMAGE_SIGLIST_H

#include "base/bytes.h"

/** Most entries that are looked at: Microsoft's dbx has some hundreds. */
#define SIGLIST_ENTRIES_MAX 8192

enum siglist_kind { SIGLIST_OTHER, SIGLIST_X509, SIGLIST_SHA256 };

struct siglist_entry {
    enum siglist_kind kind;
    struct bytes whole; /* EFI_SIGNATURE_DATA: the owner's GUID and data, as firmware measures what it used */
    struct bytes data;  /* a certificate in DER, or a hash */
};

/** Where a walk is; begin with { reader_of(variable) } and zeros. */
struct siglist_walk {
    struct reader rest;
    struct reader list; /* what is left of the list */
    size_t entry_size, entries;
    enum siglist_kind kind;
};

/** The next entry. @return 1 with *out, 0 at the end, or -1 with ERR_INPUT: sizes that do not fit, cut short,
 * or more entries than are looked at */
MUST_USE int siglist_next(struct siglist_walk *walk, struct siglist_entry *out, struct err *err);

/** Reads all entries. @return 0, or -1 as siglist_next() */
MUST_USE int siglist_check(struct bytes variable, struct err *err);

#endif
