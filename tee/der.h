/** tee/der.h: the few DER elements that vendors' certificate extensions are made of (X.690, DER).
 *  Lengths must be in their shortest form; a read succeeds and advances, or fails and changes nothing. */
#ifndef CVM_TEE_DER_H
#define CVM_TEE_DER_H

#include "base/bytes.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_OCTETS = 0x04,
    DER_OID = 0x06,
    DER_ENUMERATED = 0x0A,
    DER_UTF8 = 0x0C,
    DER_IA5 = 0x16,
    DER_SEQUENCE = 0x30,
    DER_CONTEXT = 0xA0, /* constructed, context-specific; plus the tag number */
};

/** Takes one element with this tag; *content is what is inside. */
MUST_USE bool der_take(struct reader *r, uint8_t tag, struct bytes *content);

/** Takes an INTEGER or ENUMERATED of 0 to max. */
MUST_USE bool der_uint(struct reader *r, uint8_t tag, uint64_t max, uint64_t *out);

/** Takes a BOOLEAN (DER: 0x00 or 0xFF). */
MUST_USE bool der_bool(struct reader *r, bool *out);

/** Takes a string element into out, terminated; it must fit and have only printable ASCII. */
MUST_USE bool der_text(struct reader *r, uint8_t tag, char *out, size_t size);

#endif
