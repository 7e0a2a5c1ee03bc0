/* deploy-azure|gcp|aws and cleanup-azure|gcp|aws. */
#include "base/auto.h"
#include "base/file.h"
#include "cli/cloud_arguments.h"
#include "cli/commands.h"

#include <stdlib.h>
#include <string.h>

static int open_record(const struct cloud_arguments *a, struct deployment *d, char file[static 512])
{
    struct err err = { 0 };
    const char *name = a->vm_name ? a->vm_name : "cvm-test";
    d->state_file = file;
    if (path_set(file, 512, &err, "%s/%s_%s.json", a->artifacts, d->cloud->name, name) < 0)
        return fail_err(STATUS_USAGE, "--artifacts", "too long", &err);
    return cloud_set(d, "vm_name", name);
}

/* The folder of records holds the random text of the names too, so a run without effect makes it. */
static int make_folder(const char *folder)
{
    struct err err = { 0 };
    return dir_make(folder, 0700, &err) < 0 ? fail_err(STATUS_ENVIRONMENT, folder, "cannot be made", &err)
                                            : 0;
}

/* What is read of a folder of certificates, by the tools. */
static int check_certs(const struct deployment *d)
{
    static const char *const gcp[] = { "PK.der", "KEK.der", "db.der", NULL };
    static const char *const aws[] = { "uefi-data.b64", NULL };
    const char *folder = cloud_var(d, "secure_boot_certs");
    char path[600];
    struct err err = { 0 };
    for (const char *const *name = d->cloud == &cloud_gcp ? gcp : aws; *folder && *name; name++) {
        AUTO(free_u8) uint8_t *text = NULL;
        size_t n;
        if (path_set(path, sizeof(path), &err, "%s/%s", folder, *name) < 0
            || file_read(path, 1u << 20, &text, &n, &err) < 0)
            return fail_err(STATUS_INPUT, path, "no such file", &err);
    }
    return 0;
}

static int read_options(const struct command *command, int argc, char **argv, const struct cloud *cloud,
                        bool cleanup, struct cloud_arguments *a)
{
    const struct option_row rows[] = {
        { "vm_name", OPTION_TEXT, &a->vm_name },
        { "artifacts", OPTION_TEXT, &a->artifacts },
        { "dry-run", OPTION_FLAG, &a->dry_run },
        { "vm_type", OPTION_TEXT, &a->vm_type },
        { "region", OPTION_TEXT, &a->region },
        { "additional_ports", OPTION_TEXT, &a->ports },
        { "disk", OPTION_TEXT, &a->disk },
        { "attach-disk", OPTION_TEXT, &a->data_disk },
        { "disk-size", OPTION_TEXT, &a->disk_size },
        { "add-workload", OPTION_FLAG, &a->add_workload },
        { "workload", OPTION_TEXT, &a->workload },
        { "keep", OPTION_FLAG, &a->keep },
        { "poll", OPTION_TEXT, &a->poll },
        { cloud == &cloud_azure ? "resource_group" : "bucket", OPTION_TEXT,
          cloud == &cloud_azure ? &a->resource_group : &a->bucket },
        { cloud == &cloud_azure ? "gallery_name" : "secure-boot-certs", OPTION_TEXT,
          cloud == &cloud_azure ? &a->gallery_name : &a->secure_boot_certs },
        { cloud == &cloud_azure ? "storage_account" : "project_id", OPTION_TEXT,
          cloud == &cloud_azure ? &a->storage_account : &a->project_id }, /* last: AWS has none of them */
    };
    size_t n = cleanup ? 3 : ARRAY_SIZE(rows) - (cloud == &cloud_aws ? 1 : 0);
    int rc = options_parse(command, argc, argv, rows, n, NULL, 0, 0);
    if (rc)
        return rc;
    a->artifacts = a->artifacts ? a->artifacts : "_artifacts";
    return cloud_check_words(a, cloud);
}

static int deploy(const struct command *command, const struct cloud *cloud, int argc, char **argv)
{
    AUTO(deployment_done) struct deployment d = { .poll_seconds = 30 };
    struct cloud_arguments a = { .vm_name = NULL };
    char file[512];
    int rc = read_options(command, argc, argv, cloud, false, &a);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    d.dry_run = a.dry_run;
    d.keep = a.keep;
    if (a.poll && (d.poll_seconds = (unsigned)strtoul(a.poll, NULL, 10)) > 3600)
        return cloud_bad_option("poll", a.poll, "seconds, at most 3600");
    if ((rc = cloud_start(&d, cloud)) || (rc = open_record(&a, &d, file)) || (rc = cloud_load(&d, false))
        || (rc = cloud_take_arguments(&d, &a)) || (rc = make_folder(a.artifacts))
        || (rc = cloud_set_defaults(&d, a.artifacts)) || (!d.dry_run && (rc = check_certs(&d))))
        return rc;
    if ((rc = cloud_prepare_disk(&d, &a, a.artifacts)) == 0)
        rc = cloud_deploy(&d);
    cloud_drop_disk(&d);
    return rc;
}

static int cleanup(const struct command *command, const struct cloud *cloud, int argc, char **argv)
{
    AUTO(deployment_done) struct deployment d = { .poll_seconds = 30 };
    struct cloud_arguments a = { .vm_name = NULL };
    char file[512];
    int rc = read_options(command, argc, argv, cloud, true, &a);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    d.dry_run = a.dry_run;
    if ((rc = cloud_start(&d, cloud)) || (rc = open_record(&a, &d, file)) || (rc = cloud_load(&d, true)))
        return rc;
    return cloud_cleanup(&d);
}

#define DEPLOY_HELP(DISK, SUFFIX)                                                                            \
    "Each step is printed, and skipped if what it makes is there. What is begun and made is kept in a\n"     \
    "record (_artifacts/CLOUD_NAME.json): a run that was killed goes on, and cleanup removes that and\n"     \
    "nothing else. When a step fails, what this run has made is taken back. Another run for the same "       \
    "machine\n"                                                                                              \
    "may bring another disk and more ports; other options must be those of the record.\n"                    \
    "\n"                                                                                                     \
    "  --vm_name NAME            default cvm-test\n"                                                         \
    "  --additional_ports LIST   \"80,443\": to be opened beside 8000\n"                                     \
    "  --disk FILE               the disk image; default: the first that is there of " DISK ",\n"            \
    "                            cvm." SUFFIX " and build/disk/cvm." SUFFIX ", as build-image names them\n"  \
    "  --attach-disk NAME        a data disk; made if there is none of that name\n"                          \
    "  --disk-size GB            its size; default 10\n"                                                     \
    "  --add-workload            bring a copy of the disk with the workload of --workload\n"                 \
    "                            (in later runs too, until --disk names another)\n"                          \
    "  --workload DIR            default workload\n"                                                         \
    "  --artifacts DIR           where records lie; default _artifacts\n"                                    \
    "  --dry-run                 print the exact commands of the run to come, run nothing\n"                 \
    "  --keep                    leave what was made when a step fails\n"                                    \
    "  --poll SECONDS            between looks at what takes long; default 30\n"

#define CLEANUP_HELP                                                                                         \
    "Removes what deploy has begun and made, last first, and its record; what was there before stays, and "  \
    "so\n"                                                                                                   \
    "does a data disk. What cannot be looked for or removed stays in the record.\n"                          \
    "\n"                                                                                                     \
    "  --vm_name NAME    default cvm-test\n"                                                                 \
    "  --artifacts DIR   where records lie; default _artifacts\n"                                            \
    "  --dry-run         print the commands, run nothing\n"

#define CLOUD_COMMANDS(id, title, disk, suffix, args, help)                                                  \
    static int run_deploy_##id(int argc, char **argv)                                                        \
    {                                                                                                        \
        return deploy(&command_deploy_##id, &cloud_##id, argc, argv);                                        \
    }                                                                                                        \
    static int run_cleanup_##id(int argc, char **argv)                                                       \
    {                                                                                                        \
        return cleanup(&command_cleanup_##id, &cloud_##id, argc, argv);                                      \
    }                                                                                                        \
    const struct command command_deploy_##id = { "deploy-" #id, args,                                        \
                                                 "Brings a disk image to " title                             \
                                                 " and starts a machine of it",                              \
                                                 DEPLOY_HELP(disk, suffix) help, run_deploy_##id };          \
    const struct command command_cleanup_##id = { "cleanup-" #id, "[--vm_name NAME] [--dry-run]",            \
                                                  "Removes what deploy-" #id " has made", CLEANUP_HELP,      \
                                                  run_cleanup_##id };

CLOUD_COMMANDS(
    azure, "Azure", "azure_disk.vhd", "vhd",
    "[--vm_name NAME] [--resource_group G] [--storage_account S] [--gallery_name G] [--dry-run] ...",
    "  --resource_group NAME     default NAME_Rg\n"
    "  --storage_account NAME    default: made of NAME\n"
    "  --gallery_name NAME       default: made of NAME\n"
    "  --vm_type TYPE            default Standard_DC2es_v5\n"
    "  --region REGION           default \"East US 2\"\n")
CLOUD_COMMANDS(gcp, "Google Cloud", "gcp_disk.tar.gz", "tar.gz",
               "[--vm_name NAME] [--project_id ID] [--bucket B] [--dry-run] ...",
               "  --project_id ID           default: gcloud's\n"
               "  --bucket NAME             default: made of NAME\n"
               "  --secure-boot-certs DIR   PK.der, KEK.der and db.der: the machine boots by them alone\n"
               "  --vm_type TYPE            default c3-standard-4\n"
               "  --region ZONE             default asia-southeast1-b\n")
CLOUD_COMMANDS(
    aws, "AWS", "aws_disk.vmdk", "vmdk", "[--vm_name NAME] [--bucket B] [--dry-run] ...",
    "  --bucket NAME             default: made of NAME\n"
    "  --secure-boot-certs DIR   uefi-data.b64, variables with your keys: the machine boots by them alone\n"
    "  --vm_type TYPE            default m6a.large\n"
    "  --region REGION           default us-east-2\n")
