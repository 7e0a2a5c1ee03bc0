/** base/file.h: whole files, with named maxima. */
#ifndef CVM_BASE_FILE_H
#define CVM_BASE_FILE_H

#include "base/bytes.h"

#include <sys/types.h>

/** Largest evidence, log or policy file that a tool reads. */
#define FILE_MAX_DEFAULT (64u << 20)

/** Reads a whole file, pseudo-files of /sys and /proc included (their size is not known before).
 *  @param max  one byte more is ERR_TOO_LARGE
 *  @param out  heap memory of *n bytes plus a terminating NUL that is not counted; the caller frees
 *  @return 0, or -1: ERR_NOT_FOUND (no such file), ERR_TOO_LARGE, ERR_IO with errno in code */
MUST_USE int file_read(const char *path, size_t max, uint8_t **out, size_t *n, struct err *err);

/** Reads a short text file into out without its trailing white space. */
MUST_USE int file_read_line(const char *path, char *out, size_t size, struct err *err);

/** Writes a new file beside path, fsyncs it, renames it over path and fsyncs the folder: old or new, never
 * half. */
MUST_USE int file_write_atomic(const char *path, struct bytes data, mode_t mode, struct err *err);

/** mkdir -p for the last two levels at most; existing folders are fine. */
MUST_USE int dir_make(const char *path, mode_t mode, struct err *err);

/** snprintf into out that fails loudly (ERR_TOO_LARGE) instead of cutting a path. */
__attribute__((format(printf, 4, 5))) MUST_USE int path_set(char *out, size_t size, struct err *err,
                                                            const char *fmt, ...);

#endif
