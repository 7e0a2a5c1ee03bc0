/** cli/policy_files.h: attestation policies from files. */
#ifndef CVM_CLI_POLICY_FILES_H
#define CVM_CLI_POLICY_FILES_H

#include "appraisal/policies.h"
#include "cli/commands.h"

/** Reads --policy FILE...; the name of each is its file's, without folder and .json.
 *  @return 0, or STATUS_INPUT with the message printed */
int policy_files_load(const struct option_list *paths, struct policies *out);

#endif
