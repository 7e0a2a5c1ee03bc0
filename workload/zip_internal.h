/** workload/zip_internal.h: what the parts of the zip reader share; not for users. */
#ifndef CVM_WORKLOAD_ZIP_INTERNAL_H
#define CVM_WORKLOAD_ZIP_INTERNAL_H

#include "workload/zip.h"

/** Judges a name as the zip has it and writes its path below workload/.
 *  @return 0, or -1 with ERR_INPUT */
MUST_USE int zip_name_check(struct bytes name, bool *folder, struct bytes *path, struct err *err);

/** Refuses names that are there twice, that differ in case only, and files that others lie below.
 *  @return 0, or -1 with ERR_INPUT, ERR_IO (memory) */
MUST_USE int zip_names_check(const struct zip *z, struct err *err);

/** A name for messages: what is not printable ASCII becomes '?', cut at 100 bytes. Returns out. */
#define ZIP_SHOWN 104
const char *zip_shown(struct bytes name, char out[static ZIP_SHOWN]);

#endif
