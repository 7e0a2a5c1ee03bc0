/** image/pe.h: PE32+ programs of UEFI: sections, and the Authenticode hash that firmware measures into PCR 4.
 *  Source: Microsoft PE format; Windows Authenticode Portable Executable Signature Format 1.0. Little-endian.
 */
#ifndef CVM_IMAGE_PE_H
#define CVM_IMAGE_PE_H

#include "base/digest.h"

#define PE_SECTIONS_MAX 96
#define PE_FILE_MAX     (256u << 20)

struct pe_section {
    char name[9];
    uint32_t virtual_size;
    struct bytes raw; /* as it lies in the file, padding included */
};

struct pe {
    struct bytes file;
    size_t checksum_at, certificates_at; /* offsets of the fields that the hash leaves out */
    size_t header_size;
    struct bytes certificates; /* the attribute certificate table: signatures; may be empty */
    struct pe_section section[PE_SECTIONS_MAX];
    size_t n; /* in the file's order of headers */
};

/** Splits a program. @return 0, or -1 with ERR_INPUT: not PE32+ for x86-64, cut short, sections outside the
 * file or one upon another */
MUST_USE int pe_parse(struct bytes file, struct pe *out, struct err *err);

/** The content of a section without its padding. @return 0, or -1 with ERR_NOT_FOUND, or ERR_INPUT when there
 * are two */
MUST_USE int pe_content(const struct pe *pe, const char *name, struct bytes *out, struct err *err);

/** The Authenticode hash: everything but the checksum and the signatures. */
MUST_USE int pe_authenticode(const struct pe *pe, uint16_t alg, struct digest *out, struct err *err);

#endif
