/* deploy-azure|gcp|aws and cleanup-azure|gcp|aws. */
#include "base/auto.h"
#include "base/file.h"
#include "cli/cloud.h"
#include "cli/cloud_run.h"
#include "cli/commands.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define NAME_MAX_ALL 54 /* fits every name that is made from it on every cloud */

struct arguments {
    const char *vm_name, *vm_type, *region, *ports, *disk, *data_disk, *disk_size, *workload, *artifacts,
        *poll;
    const char *resource_group, *storage_account, *gallery_name; /* Azure */
    const char *project_id, *bucket;                             /* Google Cloud, AWS */
    bool dry_run, keep, add_workload;
};

/* ---- what is given ---- */

static int bad(const char *option, const char *value, const char *want)
{
    char what[128];
    snprintf(what, sizeof(what), "--%s %.60s", option, value);
    return fail(STATUS_USAGE, what, "not possible", want);
}

static bool made_of(const char *text, const char *more, size_t min, size_t max)
{
    size_t n = strlen(text);
    for (const char *p = text; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr(more, *p))
            return false;
    return n >= min && n <= max;
}

static int check_ports(const char *list)
{
    char copy[512], *rest = copy, *item;
    size_t n = 0;
    if (strlen(list) >= sizeof(copy))
        return bad("additional_ports", list, "at most 64 ports");
    snprintf(copy, sizeof(copy), "%s", list);
    while ((item = strsep(&rest, ","))) {
        char *end;
        long port = strtol(item, &end, 10);
        if (!isdigit((unsigned char)*item) || *end || port < 1 || port > 65535 || ++n > CLOUD_PORTS_MAX)
            return bad("additional_ports", list, "numbers from 1 to 65535 with commas between, at most 64");
    }
    return 0;
}

/* Every value becomes a word of a command, or a part of one: what a tool could read otherwise is refused. */
static int check_words(const struct arguments *a)
{
    const struct {
        const char *option, *value, *more, *want;
        size_t min, max;
    } rows[] = {
        { "vm_name", a->vm_name, "-", "letters, digits and - (1 to 54)", 1, NAME_MAX_ALL },
        { "vm_type", a->vm_type, "_-.", "a machine type", 2, 64 },
        { "region", a->region, " -", "a region", 2, 64 },
        { "resource_group", a->resource_group, "_-.()", "letters, digits, _ - . ( )", 1, 90 },
        { "storage_account", a->storage_account, "", "3 to 24 letters and digits", 3, 24 },
        { "gallery_name", a->gallery_name, "_.", "letters, digits, _ and .", 1, 80 },
        { "project_id", a->project_id, "-:.", "a project id", 4, 64 },
        { "bucket", a->bucket, "-_.", "a bucket's name", 3, 63 },
        { "attach-disk", a->data_disk, "-_", "letters, digits, - and _", 1, 63 },
        { "disk-size", a->disk_size, "", "a number of GB", 1, 5 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].value
            && (!made_of(rows[i].value, rows[i].more, rows[i].min, rows[i].max) || rows[i].value[0] == '-'))
            return bad(rows[i].option, rows[i].value, rows[i].want);
    if (a->disk_size
        && (strspn(a->disk_size, "0123456789") != strlen(a->disk_size) || atoi(a->disk_size) < 1))
        return bad("disk-size", a->disk_size, "a number of GB");
    if (a->disk && strchr(a->disk, '\''))
        return bad("disk", a->disk, "a path without quotes");
    return a->ports && *a->ports ? check_ports(a->ports) : 0;
}

/* ---- what follows from it ---- */

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* Types that are confidential; others would boot and prove nothing. */
static int check_type(const struct deployment *d)
{
    const char *type = cloud_var(d, "vm_type"), *region = cloud_var(d, "region");
    if (d->cloud == &cloud_azure && !has(type, "_DC") && !has(type, "_EC"))
        return bad("vm_type", type,
                   "a confidential size: Standard_DC*as_v5 (SEV-SNP) or Standard_DC*es_v5 (TDX)");
    if (d->cloud == &cloud_gcp && strncmp(type, "n2d-", 4) != 0 && strncmp(type, "c3-", 3) != 0)
        return bad("vm_type", type, "c3-* (TDX) or n2d-* (SEV-SNP)");
    if (d->cloud != &cloud_aws)
        return 0;
    if (strncmp(type, "m6a.", 4) != 0 && strncmp(type, "c6a.", 4) != 0 && strncmp(type, "r6a.", 4) != 0)
        return bad("vm_type", type, "m6a.*, c6a.* or r6a.* (SEV-SNP)");
    if (strcmp(region, "us-east-2") != 0 && strcmp(region, "eu-west-1") != 0)
        return bad("region", region, "us-east-2 or eu-west-1: where AWS has SEV-SNP");
    return 0;
}

/* A name for all the world: the machine's letters and digits, and six random ones. Kept in the record. */
static int make_name(struct deployment *d, const char *var, size_t max)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    char name[64];
    uint8_t random[6];
    size_t n = 0;
    if (*cloud_var(d, var))
        return 0;
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return fail(STATUS_ENVIRONMENT, var, "no random bytes", NULL);
    for (const char *p = cloud_var(d, "vm_name"); *p && n + sizeof(random) < max; p++)
        if (isalnum((unsigned char)*p))
            name[n++] = (char)tolower((unsigned char)*p);
    for (size_t i = 0; i < sizeof(random); i++)
        name[n++] = letters[random[i] % (sizeof(letters) - 1)];
    name[n] = '\0';
    return cloud_set(d, var, name);
}

static int set_gcp(struct deployment *d)
{
    char allow[2048] = "tcp:8000", list[512], *rest = list, *item, region[80];
    size_t n = strlen(allow);
    snprintf(list, sizeof(list), "%s", cloud_var(d, "additional_ports"));
    while ((item = strsep(&rest, ",")))
        if (*item)
            n += (size_t)snprintf(allow + n, sizeof(allow) - n, ",tcp:%s,udp:%s", item, item);
    snprintf(region, sizeof(region), "%s", cloud_var(d, "region"));
    char *last = strrchr(region, '-'); /* the zone's letter */
    if (last && strlen(last) == 2)
        *last = '\0';
    bool snp = strncmp(cloud_var(d, "vm_type"), "n2d-", 4) == 0;
    int rc = cloud_set(d, "allow", allow);
    if (rc == 0)
        rc = cloud_set(d, "bucket_region", region);
    return rc ? rc : cloud_set(d, "confidential_type", snp ? "SEV_SNP" : "TDX");
}

static int set_project(struct deployment *d)
{
    static const char *const ask[] = { "gcloud", "config", "get-value", "project", NULL };
    AUTO(buf_done) struct buf out = buf_new(4096);
    if (*cloud_var(d, "project_id"))
        return 0;
    if (d->dry_run)
        return cloud_set(d, "project_id", "PROJECT");
    bool said = run_program(ask, true, &out) == 0 && out.n > 1;
    char name[128];
    snprintf(name, sizeof(name), "%.*s", said ? (int)strcspn((const char *)out.p, "\n") : 0,
             (const char *)out.p);
    if (!said || !made_of(name, "-:.", 4, 64))
        return fail(STATUS_USAGE, "--project_id", "not given",
                    "and gcloud has no default: gcloud config set project ID");
    return cloud_set(d, "project_id", name);
}

static int derive(struct deployment *d)
{
    char text[640];
    int rc = check_type(d);
    if (rc)
        return rc;
    if (d->cloud == &cloud_azure) {
        snprintf(text, sizeof(text), "%s_Rg", cloud_var(d, "vm_name"));
        if (!*cloud_var(d, "resource_group") && (rc = cloud_set(d, "resource_group", text)))
            return rc;
        return (rc = make_name(d, "storage_account", 24)) ? rc : make_name(d, "gallery_name", 60);
    }
    if (d->cloud == &cloud_gcp && ((rc = set_project(d)) || (rc = set_gcp(d))))
        return rc;
    snprintf(text, sizeof(text), "8000%s%s", *cloud_var(d, "additional_ports") ? "," : "",
             cloud_var(d, "additional_ports"));
    if (d->cloud == &cloud_aws && (rc = cloud_set(d, "ports", text)))
        return rc;
    return make_name(d, "bucket", 40);
}

/* ---- the commands ---- */

static int open_record(const struct arguments *a, struct deployment *d, char file[static 512])
{
    struct err err = { 0 };
    const char *folder = a->artifacts ? a->artifacts : "_artifacts";
    const char *name = a->vm_name ? a->vm_name : "cvm-test";
    d->vars = json_object();
    d->made = json_array();
    d->found = json_array();
    d->state_file = file;
    if (!d->vars || !d->made || !d->found)
        return fail(STATUS_ENVIRONMENT, "cloud", "cannot start", "memory is short");
    if (path_set(file, 512, &err, "%s/%s_%s.json", folder, d->cloud->name, name) < 0)
        return fail_err(STATUS_USAGE, "--artifacts", "too long", &err);
    if (!d->dry_run && dir_make(folder, 0700, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, folder, "cannot be made", &err);
    return cloud_set(d, "vm_name", name);
}

static int set_given(const struct arguments *a, struct deployment *d)
{
    const struct {
        const char *name, *value;
    } rows[] = {
        { "vm_type", a->vm_type },
        { "region", a->region },
        { "additional_ports", a->ports },
        { "disk", a->disk },
        { "data_disk", a->data_disk },
        { "disk_size", a->disk_size },
        { "resource_group", a->resource_group },
        { "storage_account", a->storage_account },
        { "gallery_name", a->gallery_name },
        { "project_id", a->project_id },
        { "bucket", a->bucket },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].value && cloud_set(d, rows[i].name, rows[i].value))
            return STATUS_ENVIRONMENT;
    return 0;
}

static int set_defaults(struct deployment *d)
{
    const bool azure = d->cloud == &cloud_azure, gcp = d->cloud == &cloud_gcp;
    const char *const rows[][2] = {
        { "vm_type", azure ? "Standard_DC2es_v5"
                     : gcp ? "c3-standard-4"
                           : "m6a.large" },
        { "region", azure ? "East US 2"
                    : gcp ? "asia-southeast1-b"
                          : "us-east-2" },
        { "disk", azure ? "azure_disk.vhd"
                  : gcp ? "gcp_disk.tar.gz"
                        : "aws_disk.vmdk" },
        { "disk_size", "10" },
        { "additional_ports", "" },
        { "data_disk", "" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (!json_object_get(d->vars, rows[i][0]) && cloud_set(d, rows[i][0], rows[i][1]))
            return STATUS_ENVIRONMENT;
    return derive(d);
}

static int check_disk(struct deployment *d)
{
    struct stat st;
    char id[64];
    if (stat(cloud_var(d, "disk"), &st) < 0 || !S_ISREG(st.st_mode))
        return fail(STATUS_INPUT, cloud_var(d, "disk"), "no such disk image",
                    "cvm-cli build-image makes one, --disk names another");
    snprintf(id, sizeof(id), "%lld:%lld", (long long)st.st_size, (long long)st.st_mtime);
    return cloud_set(d, "disk_now", id);
}

static int add_workload(const struct arguments *a, const struct deployment *d)
{
    const struct command *update = command_find("update-disk");
    char name[] = "update-disk";
    char *argv[] = { name, (char *)(uintptr_t)cloud_var(d, "disk"),
                     (char *)(uintptr_t)(a->workload ? a->workload : "workload"), NULL };
    if (!a->add_workload || d->dry_run)
        return 0;
    return update ? update->run(3, argv)
                  : fail(STATUS_USAGE, "--add-workload", "not possible", "no update-disk here");
}

static int read_options(const struct command *command, int argc, char **argv, const struct cloud *cloud,
                        bool cleanup, struct arguments *a)
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
        { cloud == &cloud_azure ? "storage_account" : "project_id", OPTION_TEXT,
          cloud == &cloud_azure ? &a->storage_account : &a->project_id },
        { "gallery_name", OPTION_TEXT, &a->gallery_name },
    };
    size_t n = cleanup ? 3 : cloud == &cloud_azure ? 16 : cloud == &cloud_gcp ? 15 : 14;
    int rc = options_parse(command, argc, argv, rows, n, NULL, 0, 0);
    return rc ? rc : check_words(a);
}

static int deploy(const struct command *command, const struct cloud *cloud, int argc, char **argv)
{
    AUTO(deployment_done) struct deployment d = { .cloud = cloud, .poll_seconds = 30 };
    struct arguments a = { .vm_name = NULL };
    char file[512];
    int rc = read_options(command, argc, argv, cloud, false, &a);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    d.dry_run = a.dry_run;
    d.keep = a.keep;
    if (a.poll && (d.poll_seconds = (unsigned)strtoul(a.poll, NULL, 10)) > 3600)
        return bad("poll", a.poll, "seconds, at most 3600");
    if ((rc = open_record(&a, &d, file)) || (rc = set_given(&a, &d))
        || (!d.dry_run && (rc = cloud_load(&d, false))) || (rc = set_defaults(&d))
        || (rc = add_workload(&a, &d)) || (!d.dry_run && (rc = check_disk(&d))))
        return rc;
    return cloud_deploy(&d);
}

static int cleanup(const struct command *command, const struct cloud *cloud, int argc, char **argv)
{
    AUTO(deployment_done) struct deployment d = { .cloud = cloud };
    struct arguments a = { .vm_name = NULL };
    char file[512];
    int rc = read_options(command, argc, argv, cloud, true, &a);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    d.dry_run = a.dry_run;
    if ((rc = open_record(&a, &d, file)) || (rc = cloud_load(&d, true)))
        return rc;
    return cloud_cleanup(&d);
}

#define DEPLOY_HELP                                                                                          \
    "Each step is printed, and skipped if what it makes is there. What was made is kept in a record\n"       \
    "(_artifacts/CLOUD_NAME.json): an interrupted run goes on, and cleanup removes that and nothing else.\n" \
    "When a step fails, what this run has made is taken back.\n"                                             \
    "\n"                                                                                                     \
    "  --vm_name NAME            default cvm-test\n"                                                         \
    "  --additional_ports LIST   \"80,443\": to be opened beside 8000\n"                                     \
    "  --disk FILE               the disk image; default: as build-image names it\n"                         \
    "  --attach-disk NAME        a data disk; made if there is none of that name\n"                          \
    "  --disk-size GB            its size; default 10\n"                                                     \
    "  --add-workload            put --workload DIR (default workload) on the disk first\n"                  \
    "  --artifacts DIR           where records lie; default _artifacts\n"                                    \
    "  --dry-run                 print the exact commands, run nothing\n"                                    \
    "  --keep                    leave what was made when a step fails\n"                                    \
    "  --poll SECONDS            between looks at what takes long; default 30\n"

#define CLEANUP_HELP                                                                                         \
    "Removes what deploy has made, last first, and its record; what was there before stays.\n"               \
    "\n"                                                                                                     \
    "  --vm_name NAME    default cvm-test\n"                                                                 \
    "  --artifacts DIR   where records lie; default _artifacts\n"                                            \
    "  --dry-run         print the commands, run nothing\n"

#define CLOUD_COMMANDS(id, title, args, help)                                                                \
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
                                                 DEPLOY_HELP help, run_deploy_##id };                        \
    const struct command command_cleanup_##id = { "cleanup-" #id, "[--vm_name NAME] [--dry-run]",            \
                                                  "Removes what deploy-" #id " has made", CLEANUP_HELP,      \
                                                  run_cleanup_##id };

CLOUD_COMMANDS(
    azure, "Azure",
    "[--vm_name NAME] [--resource_group G] [--storage_account S] [--gallery_name G] [--dry-run] ...",
    "  --resource_group NAME     default NAME_Rg\n"
    "  --storage_account NAME    default: made up\n"
    "  --gallery_name NAME       default: made up\n"
    "  --vm_type TYPE            default Standard_DC2es_v5\n"
    "  --region REGION           default \"East US 2\"\n")
CLOUD_COMMANDS(gcp, "Google Cloud", "[--vm_name NAME] [--project_id ID] [--bucket B] [--dry-run] ...",
               "  --project_id ID           default: gcloud's\n"
               "  --bucket NAME             default: made up\n"
               "  --vm_type TYPE            default c3-standard-4\n"
               "  --region ZONE             default asia-southeast1-b\n")
CLOUD_COMMANDS(aws, "AWS", "[--vm_name NAME] [--bucket B] [--dry-run] ...",
               "  --bucket NAME             default: made up\n"
               "  --vm_type TYPE            default m6a.large\n"
               "  --region REGION           default us-east-2\n")
