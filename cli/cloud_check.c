/* The options of deploy-* and cleanup-*: what is nonsense, and what the record says otherwise. */
#include "cli/cloud_arguments.h"

#include "base/auto.h"
#include "cli/commands.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_ALL 54 /* fits every name that is made from it on every cloud */

int cloud_bad_option(const char *option, const char *value, const char *want)
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
    char copy[CLOUD_LIST_MAX], *rest = copy, *item;
    size_t n = 0;
    if (strlen(list) >= sizeof(copy))
        return cloud_bad_option("additional_ports", list, "at most 64 ports");
    snprintf(copy, sizeof(copy), "%s", list);
    while ((item = strsep(&rest, ","))) {
        char *end;
        long port = strtol(item, &end, 10);
        if (*item < '1' || *item > '9' || *end || port < 1 || port > 65535 || ++n > CLOUD_PORTS_MAX)
            return cloud_bad_option("additional_ports", list,
                                    "numbers from 1 to 65535 with commas between, at most 64");
    }
    return 0;
}

static bool has_upper(const char *text)
{
    for (; text && *text; text++)
        if (isupper((unsigned char)*text))
            return true;
    return false;
}

/* Names that a cloud takes in small letters only: its own refusal would come after minutes. */
static int check_case(const struct cloud_arguments *a, const struct cloud *cloud)
{
    const bool gcp = cloud == &cloud_gcp;
    if (gcp && a->vm_name
        && (has_upper(a->vm_name) || !islower((unsigned char)a->vm_name[0])
            || a->vm_name[strlen(a->vm_name) - 1] == '-'))
        return cloud_bad_option(
            "vm_name", a->vm_name,
            "Google Cloud wants small letters, digits and -, a letter first and no - last");
    if (gcp && a->data_disk
        && (has_upper(a->data_disk) || !islower((unsigned char)a->data_disk[0]) || strchr(a->data_disk, '_')))
        return cloud_bad_option("attach-disk", a->data_disk,
                                "Google Cloud wants small letters, digits and -, a letter first");
    if (has_upper(a->bucket))
        return cloud_bad_option("bucket", a->bucket, "buckets have small letters only");
    if (has_upper(a->storage_account))
        return cloud_bad_option("storage_account", a->storage_account, "3 to 24 small letters and digits");
    return 0;
}

int cloud_check_words(const struct cloud_arguments *a, const struct cloud *cloud)
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
            return cloud_bad_option(rows[i].option, rows[i].value, rows[i].want);
    if (a->disk_size
        && (strspn(a->disk_size, "0123456789") != strlen(a->disk_size) || strtol(a->disk_size, NULL, 10) < 1))
        return cloud_bad_option("disk-size", a->disk_size, "a number of GB");
    if (a->disk && (strchr(a->disk, '\'') || a->disk[0] == '-' || !*a->disk))
        return cloud_bad_option("disk", a->disk, "a path without quotes, and not -");
    if (a->secure_boot_certs && (strpbrk(a->secure_boot_certs, "',") || !*a->secure_boot_certs))
        return cloud_bad_option("secure-boot-certs", a->secure_boot_certs,
                                "a folder without quotes and commas");
    int rc = check_case(a, cloud);
    return rc || !a->ports || !*a->ports ? rc : check_ports(a->ports);
}

/* ---- the record's ---- */

static bool in_list(const char *list, const char *item)
{
    size_t n = strlen(item);
    for (const char *p = list; (p = strstr(p, item)); p += n)
        if ((p == list || p[-1] == ',') && (p[n] == ',' || p[n] == '\0'))
            return true;
    return false;
}

/* The record's list, and after it what is new: an item keeps its number. 8000 is open anyway. */
static int merge_ports(struct deployment *d, const char *given)
{
    char list[2 * CLOUD_LIST_MAX], copy[2 * CLOUD_LIST_MAX], *rest = copy, *item;
    snprintf(list, sizeof(list), "%s", cloud_var(d, "additional_ports"));
    snprintf(copy, sizeof(copy), "%s", list);
    while ((item = strsep(&rest, ",")))
        if (*item && !in_list(given, item))
            return cloud_bad_option("additional_ports", *given ? given : "\"\"",
                                    "this machine's record has more: name them too, or run cleanup first");
    snprintf(copy, sizeof(copy), "%s", given);
    rest = copy;
    while ((item = strsep(&rest, ",")))
        if (*item && strcmp(item, "8000") != 0 && !in_list(list, item))
            snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", *list ? "," : "", item);
    if (strlen(list) >= CLOUD_LIST_MAX)
        return cloud_bad_option("additional_ports", given, "at most 64 ports");
    return cloud_set(d, "additional_ports", list);
}

static int differs(const char *option, const char *value, const char *have)
{
    char why[200];
    snprintf(why, sizeof(why), "this machine's record has %.80s: give the same, or run cleanup first",
             *have ? have : "none");
    return cloud_bad_option(option, value, why);
}

int cloud_take_arguments(struct deployment *d, const struct cloud_arguments *a)
{
    const struct {
        const char *name, *option, *value;
    } rows[] = {
        { "vm_type", "vm_type", a->vm_type },
        { "region", "region", a->region },
        { "data_disk", "attach-disk", a->data_disk },
        { "disk_size", "disk-size", a->disk_size },
        { "resource_group", "resource_group", a->resource_group },
        { "storage_account", "storage_account", a->storage_account },
        { "gallery_name", "gallery_name", a->gallery_name },
        { "project_id", "project_id", a->project_id },
        { "bucket", "bucket", a->bucket },
        { "secure_boot_certs", "secure-boot-certs", a->secure_boot_certs },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (!rows[i].value)
            continue;
        if (json_object_get(d->vars, rows[i].name) && strcmp(cloud_var(d, rows[i].name), rows[i].value) != 0)
            return differs(rows[i].option, rows[i].value, cloud_var(d, rows[i].name));
        if (cloud_set(d, rows[i].name, rows[i].value))
            return STATUS_ENVIRONMENT;
    }
    int rc = a->disk ? cloud_set(d, "disk", a->disk) : 0;
    return rc || !a->ports ? rc : merge_ports(d, a->ports);
}
