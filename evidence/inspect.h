/** evidence/inspect.h: decoding of evidence files for reading by people and scripts. What it is is told from
 * the content; nothing is verified here.
 *
 * A new type is one row in inspect.c and one decoder. */
#ifndef CVM_EVIDENCE_INSPECT_H
#define CVM_EVIDENCE_INSPECT_H

#include "base/json.h"

struct inspect_type {
    const char *name; /* as printed in "type", and as --type takes it */
    const char *what; /* for help texts */
    /** True if the first bytes can be no other type: damage after them is this type's error. NULL: never told
     * from the content, only asked for by name. */
    bool (*looks)(struct bytes data);
    /** Adds the members to out. @return 0, or -1 with ERR_INPUT and the offset */
    int (*decode)(struct bytes data, json_t *out, struct err *err);
};

/** All types; *n receives the count. */
const struct inspect_type *inspect_types(size_t *n);

/** The row of that name, or NULL. */
const struct inspect_type *inspect_type_by_name(const char *name);

/** The row that the content says, or NULL. */
const struct inspect_type *inspect_recognise(struct bytes data);

/** Decodes data as that type and as no other.
 *  @param out  a new object whose first member is "type"
 *  @return 0, or -1 with ERR_INPUT (with the offset where parsing stopped) or ERR_TOO_LARGE */
MUST_USE int inspect_decode(const struct inspect_type *type, struct bytes data, json_t **out,
                            struct err *err);

#endif
