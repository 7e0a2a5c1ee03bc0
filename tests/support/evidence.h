/** tests/support/evidence.h: real recorded evidence, read where it lies ($CVM_EVIDENCE, else
 * ../shared/evidence). */
#ifndef CVM_TESTS_EVIDENCE_H
#define CVM_TESTS_EVIDENCE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#include <cmocka.h>

/** A file that a test owns: a heap block of exactly n bytes, so that ASan sees one byte too far. */
struct sample {
    uint8_t *p;
    size_t n;
};

/** The evidence folder, or NULL if this machine has none (the test then calls skip_without_evidence()). */
const char *test_evidence(void);

/** Skips the running test, saying so, when there is no evidence folder. */
void skip_without_evidence(void);

/** Loads a file below the evidence folder; fails the test if it is not there. Free with sample_done(). */
struct sample sample_load(const char *relative);

/** Loads any file; fails the test if it cannot. */
struct sample sample_load_path(const char *path);

/** A heap copy of exactly n bytes (n may be 0). */
uint8_t *heap_copy(const uint8_t *p, size_t n);

static inline struct bytes sample_bytes(const struct sample *s)
{
    return bytes_of(s->p, s->n);
}

void sample_done(struct sample *s);

/** Both, one behind the other; frees them. */
struct sample sample_join(struct sample a, struct sample b);

/** Calls fn with each file of a folder that is not hidden. */
void each_file(const char *folder, void (*fn)(const char *path));

/** Removes a file; fails the test if it cannot. */
void remove_file(const char *path);

#endif
