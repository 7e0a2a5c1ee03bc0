/** cli/cloud_arguments.h: what is given to deploy-* and cleanup-*, checked, and what follows from it. */
#ifndef CVM_CLI_CLOUD_ARGUMENTS_H
#define CVM_CLI_CLOUD_ARGUMENTS_H

#include "cli/cloud.h"

struct cloud_arguments {
    const char *vm_name, *vm_type, *region, *ports, *disk, *data_disk, *disk_size, *workload, *artifacts,
        *poll;
    const char *resource_group, *storage_account, *gallery_name; /* Azure */
    const char *project_id, *bucket;                             /* Google Cloud, AWS */
    const char *secure_boot_certs;                               /* Google Cloud, AWS */
    bool dry_run, keep, add_workload;
};

/** "--OPTION VALUE: not possible: WANT". @return STATUS_USAGE */
int cloud_bad_option(const char *option, const char *value, const char *want);

/** Is every value such that it can be a word of a command, or a part of one? @return 0, or STATUS_USAGE */
int cloud_check_words(const struct cloud_arguments *a, const struct cloud *cloud);

/** Sets what is given; what is in the record already must be the same, but for the disk, and for ports, which
 * may be more. @return 0, or the exit status with the message printed */
int cloud_take_arguments(struct deployment *d, const struct cloud_arguments *a);

/** Sets what is neither given nor in the record: types, regions, and names, made of the machine's name and of
 * a random text that is kept in the folder of records, so that they are the same in the next run.
 *  @return 0, or the exit status with the message printed */
int cloud_set_defaults(struct deployment *d, const char *folder);

/** Which file is brought to the cloud ("upload"), and what is told of it ("disk_now"): the disk that is
 * given, or with add_workload a copy of it with the workload, made in a folder of its own.
 *  @return 0, or the exit status with the message printed */
int cloud_prepare_disk(struct deployment *d, const struct cloud_arguments *a, const char *folder);

/** Removes that folder. */
void cloud_drop_disk(const struct deployment *d);

#endif
