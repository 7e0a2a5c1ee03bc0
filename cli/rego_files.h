/** cli/rego_files.h: files of Rego for commands. */
#ifndef CVM_CLI_REGO_FILES_H
#define CVM_CLI_REGO_FILES_H

#include "policy/rego/policy.h"

#define REGO_FILES_MAX 64

struct rego_files {
    size_t n;
    struct rego_source source[REGO_FILES_MAX];
};

/** Reads all files of a list that ends with NULL. @return 0, or the exit status with the message printed */
int rego_files_read(const char *const *path, struct rego_files *out);

/** For AUTO(rego_files_done). */
void rego_files_done(struct rego_files *files);

/** Compiles n files from the first one on. @return 0, or STATUS_INPUT with the message, the line and a caret
 * printed
 */
int rego_files_compile(const struct rego_files *files, size_t first, size_t n,
                       const struct rego_options *options, struct rego **out);

/** Prints a refusal: one line as every command does, then the text's line and a caret below the place. */
int rego_refused(const struct rego_source *source, const struct rego_place *place, const struct err *err);

/** Compiles and evaluates again and again, and prints what it takes. @return the exit status */
int rego_files_bench(const struct rego_files *files, const struct rego_run *run, bool strict,
                     const char *query);

#endif
