/** workload/path.h: paths that a workload's files name, brought into one form: below the workload directory,
 * without
 * "." and "..", with single slashes. */
#ifndef CVM_WORKLOAD_PATH_H
#define CVM_WORKLOAD_PATH_H

#include "base/bytes.h"

#include <stdbool.h>

/** Where published workloads suppose they lie; such absolute paths are taken as paths inside. */
#define WORKLOAD_PUBLISHED_ROOT "/data/workload"

/** "./config/a", "config//a", "/data/workload/config/a" → "config/a"; the directory itself → "".
 *  @return 0, or -1 with ERR_DENIED: it leads out of the workload, or ERR_TOO_LARGE */
MUST_USE int workload_path(const char *text, char *out, size_t size, struct err *err);

/** True if path is base or lies below it (both in the form above). */
bool workload_path_below(const char *path, const char *base);

#endif
