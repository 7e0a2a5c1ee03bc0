/** cli/measuring.h: what a workload directory will be measured as. */
#ifndef CVM_CLI_MEASURING_H
#define CVM_CLI_MEASURING_H

#include "workload/measure.h"

/** Reads a workload directory as the agent does.
 *  @param images  a JSON file {"service":"sha256:..."} of image ids, or NULL
 *  @param out     measure_plan_free() frees it; written only on success
 *  @return 0, or an exit status with the message printed */
int measure_directory(const char *dir, const char *images, struct measure_plan **out);

#endif
