/* What follows from the options of deploy-*: types and regions, and names for all the world. */
#include "cli/cloud_arguments.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/file.h"
#include "cli/cloud_run.h"
#include "cli/commands.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>

/* Types that are confidential; others would boot and prove nothing. */
static int check_type(const struct deployment *d)
{
    const char *type = cloud_var(d, "vm_type"), *region = cloud_var(d, "region");
    if (d->cloud == &cloud_azure && !strstr(type, "_DC") && !strstr(type, "_EC"))
        return cloud_bad_option(
            "vm_type", type, "a confidential size: Standard_DC*as_v5 (SEV-SNP) or Standard_DC*es_v5 (TDX)");
    if (d->cloud == &cloud_gcp && strncmp(type, "n2d-", 4) != 0 && strncmp(type, "c3-", 3) != 0)
        return cloud_bad_option("vm_type", type, "c3-* (TDX) or n2d-* (SEV-SNP)");
    if (d->cloud != &cloud_aws)
        return 0;
    if (strncmp(type, "m6a.", 4) != 0 && strncmp(type, "c6a.", 4) != 0 && strncmp(type, "r6a.", 4) != 0)
        return cloud_bad_option("vm_type", type, "m6a.*, c6a.* or r6a.* (SEV-SNP)");
    if (strcmp(region, "us-east-2") != 0 && strcmp(region, "eu-west-1") != 0)
        return cloud_bad_option("region", region, "us-east-2 or eu-west-1: where AWS has SEV-SNP");
    return 0;
}

/* The random text that names are made of: so a run that prints commands and the run after it agree, and
 * nobody else can have taken the names before. */
static int read_seed(const char *folder, char seed[static 33])
{
    char path[PATH_MAX], line[64];
    uint8_t random[16];
    struct err err = { 0 };
    if (path_set(path, sizeof(path), &err, "%s/names.seed", folder) < 0)
        return fail_err(STATUS_USAGE, "--artifacts", "too long", &err);
    if (file_read_line(path, line, sizeof(line), &err) == 0) {
        if (strlen(line) != 32)
            return fail(STATUS_INPUT, path, "is not ours", "32 hex digits; names are made of them");
        snprintf(seed, 33, "%.32s", line);
        return 0;
    }
    if (err.kind != ERR_NOT_FOUND)
        return fail_err(STATUS_INPUT, path, "cannot be read", &err);
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return fail(STATUS_ENVIRONMENT, path, "no random bytes", NULL);
    hex_to(seed, bytes_of(random, sizeof(random)));
    snprintf(line, sizeof(line), "%s\n", seed);
    if (file_write_atomic(path, bytes_of(line, strlen(line)), 0600, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, path, "cannot be written", &err);
    return 0;
}

/* The machine's letters and digits, and eight that only this folder gives. */
static int make_name(struct deployment *d, const char *var, size_t max, const char *seed)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    char name[64], from[256];
    uint8_t hash[32];
    size_t n = 0, own = 8;
    if (*cloud_var(d, var))
        return 0;
    snprintf(from, sizeof(from), "%s %s %s %s", seed, d->cloud->name, cloud_var(d, "vm_name"), var);
    sha256(bytes_of(from, strlen(from)), hash);
    for (const char *p = cloud_var(d, "vm_name"); *p && n + own < max; p++)
        if (isalnum((unsigned char)*p))
            name[n++] = (char)tolower((unsigned char)*p);
    for (size_t i = 0; i < own; i++)
        name[n++] = letters[hash[i] % (sizeof(letters) - 1)];
    name[n] = '\0';
    return cloud_set(d, var, name);
}

static int set_gcp(struct deployment *d)
{
    char allow[2048] = "tcp:8000", list[CLOUD_LIST_MAX], *rest = list, *item, region[80];
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
    bool secure = *cloud_var(d, "secure_boot_certs");
    const char *const rows[][2] = {
        { "allow", allow },
        { "bucket_region", region },
        { "confidential_type", snp ? "SEV_SNP" : "TDX" },
        { "min_cpu_platform", snp ? "AMD Milan" : "" }, /* an n2d may be an older one, without SEV-SNP */
        { "no_secure_boot", secure ? "" : "yes" },
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(rows); i++)
        rc = cloud_set(d, rows[i][0], rows[i][1]);
    return rc;
}

static int set_project(struct deployment *d)
{
    static const char *const ask[] = { "gcloud", "config", "get-value", "project", NULL };
    AUTO(buf_done) struct buf out = buf_new(4096);
    AUTO(buf_done) struct buf errors = buf_new(1u << 16);
    char name[128];
    if (*cloud_var(d, "project_id"))
        return 0;
    if (d->dry_run) {
        printf("project_id=$(%s %s %s %s)\n", ask[0], ask[1], ask[2], ask[3]);
        return 0;
    }
    bool said = run_program(ask, &out, &errors) == 0 && out.n > 1;
    snprintf(name, sizeof(name), "%.*s", said ? (int)strcspn((const char *)out.p, "\n") : 0,
             (const char *)out.p);
    struct cloud_arguments a = { .project_id = name };
    if (!said || strcmp(name, "(unset)") == 0 || cloud_check_words(&a, d->cloud) != 0)
        return fail(STATUS_USAGE, "--project_id", "not given",
                    "and gcloud has no default: gcloud config set project ID");
    return cloud_set(d, "project_id", name);
}

static int set_names(struct deployment *d, const char *folder)
{
    char text[CLOUD_LIST_MAX + 128], seed[33];
    int rc = read_seed(folder, seed);
    if (rc || (rc = make_name(d, "deployment", 40, seed)))
        return rc;
    if (d->cloud == &cloud_azure) {
        snprintf(text, sizeof(text), "%s_Rg", cloud_var(d, "vm_name"));
        if (!*cloud_var(d, "resource_group") && (rc = cloud_set(d, "resource_group", text)))
            return rc;
        return (rc = make_name(d, "storage_account", 24, seed)) ? rc : make_name(d, "gallery_name", 60, seed);
    }
    if (d->cloud == &cloud_gcp && ((rc = set_project(d)) || (rc = set_gcp(d))))
        return rc;
    snprintf(text, sizeof(text), "8000%s%s", *cloud_var(d, "additional_ports") ? "," : "",
             cloud_var(d, "additional_ports"));
    if (d->cloud == &cloud_aws && (rc = cloud_set(d, "ports", text)))
        return rc;
    return make_name(d, "bucket", 40, seed);
}

int cloud_set_defaults(struct deployment *d, const char *folder)
{
    const bool azure = d->cloud == &cloud_azure, gcp = d->cloud == &cloud_gcp;
    const char *const rows[][2] = {
        { "vm_type", azure ? "Standard_DC2es_v5"
                     : gcp ? "c3-standard-4"
                           : "m6a.large" },
        { "region", azure ? "East US 2"
                    : gcp ? "asia-southeast1-b"
                          : "us-east-2" },
        { "disk_size", "10" },
        { "additional_ports", "" },
        { "data_disk", "" },
        { "secure_boot_certs", "" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (!json_object_get(d->vars, rows[i][0]) && cloud_set(d, rows[i][0], rows[i][1]))
            return STATUS_ENVIRONMENT;
    int rc = check_type(d);
    return rc ? rc : set_names(d, folder);
}
