/* The disk that deploy-* brings to a cloud, with another workload if that is wished. */
#include "cli/cloud_arguments.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/file.h"
#include "cli/cloud_run.h"
#include "cli/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* From the cloud's format to a raw disk and back, as build-image writes it; and the names of the file: the
 * published tools' and those of build-image, here and in a source tree. */
static const struct format {
    const struct cloud *cloud;
    const char *suffix, *tool, *tool_hint;
    const char *names[3];
    cloud_command unpack, pack;
} formats[] = {
    { &cloud_azure,
      "vhd",
      "qemu-img",
      "install qemu-utils",
      { "azure_disk.vhd", "cvm.vhd", "build/disk/cvm.vhd" },
      { "qemu-img", "convert", "-f", "vpc", "-O", "raw", "${disk}", "${work}/disk.raw" },
      { "qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "subformat=fixed,force_size=on",
        "${work}/disk.raw", "${upload}" } },
    { &cloud_gcp,
      "tar.gz",
      "tar",
      "install tar",
      { "gcp_disk.tar.gz", "cvm.tar.gz", "build/disk/cvm.tar.gz" },
      { "tar", "--extract", "--gzip", "--sparse", "--file=${disk}", "--directory=${work}", "disk.raw" },
      { "tar", "--create", "--format=oldgnu", "--sparse", "--owner=0", "--group=0", "--numeric-owner",
        "--mode=0644", "--mtime=@0", "--use-compress-program=gzip -n", "--file=${upload}",
        "--directory=${work}", "disk.raw" } },
    { &cloud_aws,
      "vmdk",
      "qemu-img",
      "install qemu-utils",
      { "aws_disk.vmdk", "cvm.vmdk", "build/disk/cvm.vmdk" },
      { "qemu-img", "convert", "-f", "vmdk", "-O", "raw", "${disk}", "${work}/disk.raw" },
      { "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized",
        "${work}/disk.raw", "${upload}" } },
};

static const cloud_command update = { "cvm-cli", "update-disk", "${work}/disk.raw", "${workload}" };

static const struct format *format_of(const struct cloud *cloud)
{
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
        if (formats[i].cloud == cloud)
            return &formats[i];
    return NULL;
}

/* The first of its names that is there; the first of all where none is. */
static int choose(struct deployment *d, const struct format *f)
{
    const char *name = f->names[0];
    if (*cloud_var(d, "disk"))
        return 0;
    for (size_t i = ARRAY_SIZE(f->names); i > 0; i--)
        if (access(f->names[i - 1], F_OK) == 0)
            name = f->names[i - 1];
    return cloud_set(d, "disk", name);
}

static int hash_file(const char *path, char hex[static 65], struct err *err)
{
    AUTO(hasher_drop) struct hasher *h = NULL;
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    static uint8_t block[1u << 18];
    struct digest digest;
    ssize_t n;
    if (fd < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot open %.200s", path);
    if (hasher_new(ALG_SHA256, &h, err) < 0 || hasher_begin(h, err) < 0)
        return -1;
    while ((n = read(fd, block, sizeof(block))) > 0)
        if (hasher_put(h, bytes_of(block, (size_t)n), err) < 0)
            return -1;
    if (n < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot read %.200s", path);
    if (hasher_end(h, &digest, err) < 0)
        return -1;
    hex_to(hex, bytes_of(digest.b, digest.n));
    return 0;
}

/* A disk that was not changed is known by its size and time; one with a workload by its bytes, as it is made
 * anew in each run: the same workload on the same disk gives the same. */
static int identify(struct deployment *d)
{
    struct stat st;
    char id[64];
    if (stat(cloud_var(d, "disk"), &st) < 0 || !S_ISREG(st.st_mode))
        return d->dry_run
                   ? cloud_set(d, "disk_now", cloud_var(d, "disk_id"))
                   : fail(STATUS_INPUT, cloud_var(d, "disk"), "no such disk image",
                          "cvm-cli build-image --format azure, gcp or aws makes one, --disk names another");
    snprintf(id, sizeof(id), "%lld:%lld", (long long)st.st_size, (long long)st.st_mtime);
    return cloud_set(d, "disk_now", id);
}

static int run_update(const struct deployment *d)
{
    char self[PATH_MAX], raw[PATH_MAX];
    struct err err = { 0 };
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0)
        return fail(STATUS_ENVIRONMENT, "--add-workload", "cannot find this program", NULL);
    self[n] = '\0';
    if (path_set(raw, sizeof(raw), &err, "%s/disk.raw", cloud_var(d, "work")) < 0)
        return fail_err(STATUS_USAGE, "--artifacts", "too long", &err);
    const char *const argv[] = { self, "update-disk", raw, cloud_var(d, "workload"), NULL };
    fflush(stdout);
    int rc = run_program(argv, NULL, NULL);
    return rc >= 0 ? rc : fail(STATUS_ENVIRONMENT, "--add-workload", "update-disk cannot be run", NULL);
}

static int make_copy(struct deployment *d, const struct format *f)
{
    char raw[PATH_MAX], hex[65], id[80];
    struct err err = { 0 };
    int rc;
    if (!program_exists(f->tool))
        return fail(STATUS_ENVIRONMENT, f->tool, "not found", f->tool_hint);
    cloud_drop_disk(d); /* of a run that was killed */
    if (path_set(raw, sizeof(raw), &err, "%s/disk.raw", cloud_var(d, "work")) < 0
        || dir_make(cloud_var(d, "work"), 0700, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, cloud_var(d, "work"), "cannot be made", &err);
    printf("the workload %s goes onto a copy of %s\n", cloud_var(d, "workload"), cloud_var(d, "disk"));
    fflush(stdout);
    if (cloud_execute(d, f->unpack, "", 0, NULL, NULL) != 0)
        return fail(STATUS_INPUT, cloud_var(d, "disk"), "cannot be unpacked", "the tool says why above");
    if ((rc = run_update(d)))
        return rc;
    if (hash_file(raw, hex, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, raw, "cannot be read", &err);
    snprintf(id, sizeof(id), "workload:%s", hex);
    if (cloud_execute(d, f->pack, "", 0, NULL, NULL) != 0)
        return fail(STATUS_ENVIRONMENT, cloud_var(d, "upload"), "cannot be written",
                    "the tool says why above");
    unlink(raw);
    return cloud_set(d, "disk_now", id);
}

/* Whether the copy is the record's disk shows only when it is made: the commands are those for the same one.
 */
static int print_copy(struct deployment *d, const struct format *f)
{
    AUTO(buf_done) struct buf out = buf_new(1u << 20);
    buf_printf(&out, "# the workload onto a copy of the disk\nmkdir -p %s\n", cloud_var(d, "work"));
    cloud_put_command(&out, d, f->unpack, "", 0);
    buf_u8(&out, '\n');
    cloud_put_command(&out, d, update, "", 0);
    buf_u8(&out, '\n');
    cloud_put_command(&out, d, f->pack, "", 0);
    if (strncmp(cloud_var(d, "disk_id"), "workload:", 9) == 0) {
        buf_str(&out, "\n# if that is the disk of the record; another one replaces it");
        if (cloud_set(d, "disk_now", cloud_var(d, "disk_id")))
            return STATUS_ENVIRONMENT;
    }
    return write_out(&out, NULL);
}

int cloud_prepare_disk(struct deployment *d, const struct cloud_arguments *a, const char *folder)
{
    const struct format *f = format_of(d->cloud);
    char work[PATH_MAX], upload[PATH_MAX];
    struct err err = { 0 };
    int rc;
    if ((rc = choose(d, f)) || (rc = identify(d)) || (rc = cloud_set(d, "upload", cloud_var(d, "disk"))))
        return rc;
    json_object_del(d->vars, "work");
    /* A machine with a workload of its own keeps it until another disk is named. */
    bool add = a->add_workload || (!a->disk && strncmp(cloud_var(d, "disk_id"), "workload:", 9) == 0);
    if (!add)
        return a->workload ? cloud_bad_option("workload", a->workload, "it goes with --add-workload") : 0;
    if (path_set(work, sizeof(work), &err, "%s/%s_%s.work", folder, d->cloud->name, cloud_var(d, "vm_name"))
            < 0
        || path_set(upload, sizeof(upload), &err, "%s/disk.%s", work, f->suffix) < 0)
        return fail_err(STATUS_USAGE, "--artifacts", "too long", &err);
    if ((rc = cloud_set(d, "work", work)) || (rc = cloud_set(d, "upload", upload))
        || (a->workload && (rc = cloud_set(d, "workload", a->workload)))
        || (!*cloud_var(d, "workload") && (rc = cloud_set(d, "workload", "workload"))))
        return rc;
    return d->dry_run ? print_copy(d, f) : make_copy(d, f);
}

void cloud_drop_disk(const struct deployment *d)
{
    static const char *const files[] = { "disk.raw", "disk.vhd", "disk.tar.gz", "disk.vmdk" };
    const char *work = cloud_var(d, "work");
    char path[PATH_MAX];
    struct err err = { 0 };
    if (!*work || d->dry_run)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (path_set(path, sizeof(path), &err, "%s/%s", work, files[i]) == 0)
            unlink(path);
    rmdir(work);
}
