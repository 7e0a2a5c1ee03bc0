/** policy/golden_parse.h: what the parsers of golden.c and golden_pcrs.c share. */
#ifndef CVM_POLICY_GOLDEN_PARSE_H
#define CVM_POLICY_GOLDEN_PARSE_H

#include "policy/golden.h"

/** Room for the path of a member as messages name it. */
#define GOLDEN_PATH_MAX 128

/** Writes "path.key" (key cut) into out. Returns out. */
char *golden_path(char out[static GOLDEN_PATH_MAX], const char *path, const char *key);

/** A hex string, with or without 0x, of exactly n bytes. */
MUST_USE int golden_hex(const json_t *v, const char *path, uint8_t *out, size_t n, struct err *err);

/** An integer, or a string 0x... of at most 16 digits. */
MUST_USE int golden_number(const json_t *v, const char *path, uint64_t max, uint64_t *out, struct err *err);

/** One member of an object: its name and who reads it. */
struct golden_member {
    const char *name;
    int (*parse)(const json_t *v, const char *path, struct golden *g, struct err *err);
};

/** Walks an object; a member that the table does not have is refused. */
MUST_USE int golden_walk(const json_t *object, const char *path, const struct golden_member *table, size_t n,
                         struct golden *g, struct err *err);

/** "tpm" of our form. */
MUST_USE int golden_parse_tpm(const json_t *v, const char *path, struct golden *g, struct err *err);

/** "pcrs" of the automata form, a list, or of the flat form, an object. */
MUST_USE int golden_parse_pcrs(const json_t *v, const char *path, struct golden *g, struct err *err);

#endif
