#include "cli/predict_launch.h"

#include "base/auto.h"
#include "cli/commands.h"
#include "image/snp_launch.h"
#include "image/tdvf.h"

#include <errno.h>
#include <stdlib.h>

#define BOOT_FILE_MAX (1u << 30)

static int unknown(struct launch_prediction *out, const char *why)
{
    snprintf(out->why, sizeof(out->why), "%s", why);
    return 0;
}

/* Nothing there, or of a kind that is not known, is no fault of the file: another firmware may be. */
static int cannot(struct launch_prediction *out, const char *path, struct err *err)
{
    if (err->kind != ERR_NOT_FOUND && err->kind != ERR_UNAVAILABLE)
        return fail_err(status_of(err), path, "cannot predict the launch", err);
    err_text(err, out->why, sizeof(out->why));
    return 0;
}

/* A whole number, decimal or after 0x; false for anything else. */
static bool number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *out = strtoull(text, &end, text[1] == 'x' ? 16 : 10);
    return !*end && errno == 0 && *out <= max;
}

static int hash_file(const char *path, uint8_t out[static 32])
{
    AUTO(free_u8) uint8_t *data = NULL;
    size_t n = 0;
    int rc = read_input(path, BOOT_FILE_MAX, &data, &n);
    if (rc == 0)
        sha256(bytes_of(data, n), out);
    return rc;
}

static int hash_kernel(const struct launch_options *o, struct kernel_hashes *out)
{
    const char *append = o->append ? o->append : "";
    int rc = hash_file(o->kernel, out->kernel);
    if (rc == 0 && o->initrd)
        rc = hash_file(o->initrd, out->initrd);
    else
        sha256(bytes_of(NULL, 0), out->initrd);
    sha256(bytes_of(append, strlen(append) + 1), out->cmdline);
    return rc;
}

/* What --vcpus and its like say. */
static int read_options(const struct launch_options *o, struct snp_launch *l)
{
    uint64_t value;
    if (o->vcpus) {
        if (!number(o->vcpus, SNP_VCPUS_MAX, &value) || value == 0)
            return fail(STATUS_USAGE, o->vcpus, "not a number of processors", "1 to 4096");
        l->vcpus = (unsigned)value;
    }
    if (o->vcpu_type && !vmsa_cpu_signature(o->vcpu_type, &l->signature))
        return fail(STATUS_USAGE, o->vcpu_type, "no such processor type",
                    "EPYC, EPYC-Rome, EPYC-Milan, EPYC-Genoa or EPYC-Turin (QEMU's names, -vN too), or CPUID "
                    "Fn0000_0001 EAX as 0x and hex digits");
    l->features = VMSA_SNP_FEATURES;
    if (o->features && (!number(o->features, UINT64_MAX, &l->features) || !(l->features & VMSA_SNP_FEATURES)))
        return fail(STATUS_USAGE, o->features, "not the features of an SEV-SNP machine",
                    "a number with bit 0 set");
    return 0;
}

static int predict_snp(const struct launch_options *o, struct snp_launch *l, const struct bytes *firmware,
                       const char *path, struct launch_prediction *out)
{
    static const char *const host[] = { "QEMU", "EC2", "Google Compute Engine" };
    struct kernel_hashes kernel;
    struct ovmf_sev ovmf;
    struct err err = { 0 };
    if (ovmf_sev_parse(*firmware, &ovmf, &err) < 0)
        return cannot(out, path, &err);
    if (l->vcpus == 0)
        return unknown(out, "the number of processors is measured: give --vcpus");
    if (l->vmm == VMM_QEMU && !o->vcpu_type)
        return unknown(out, "the type of the processors is measured: give --vcpu-type");
    if (o->kernel) {
        int rc = hash_kernel(o, &kernel);
        if (rc)
            return rc;
        l->kernel = &kernel;
    }
    if (snp_launch_digest(&ovmf, l, out->value, &err) < 0)
        return cannot(out, path, &err);
    out->kind = PREDICTED;
    snprintf(out->why, sizeof(out->why), "the firmware%s with %u processor%s, as %s starts it",
             o->kernel ? " and kernel" : "", l->vcpus, l->vcpus == 1 ? "" : "s", host[l->vmm]);
    return 0;
}

static int predict_tdx(const struct bytes *firmware, const char *path, struct launch_prediction *out)
{
    struct tdvf tdvf;
    struct err err = { 0 };
    if (tdvf_parse(*firmware, &tdvf, &err) < 0 || tdvf_mrtd(&tdvf, out->value, &err) < 0)
        return cannot(out, path, &err);
    out->kind = PREDICTED;
    return unknown(out, "the firmware, as QEMU 10.1 on Linux 6.16 starts it");
}

int launch_predict(const struct launch_options *o, const struct shape *shape, const struct bytes *firmware,
                   const char *path, struct launch_prediction *out)
{
    static const enum vmm vmm[] = { [CLOUD_NONE] = VMM_QEMU, [CLOUD_GCP] = VMM_GCE, [CLOUD_AWS] = VMM_EC2 };
    struct snp_launch launch = { 0 };
    *out = (struct launch_prediction){ .kind = UNKNOWN };
    int rc = read_options(o, &launch);
    if (rc)
        return rc;
    if ((o->initrd || o->append) && !o->kernel)
        return fail(STATUS_USAGE, "predict", "--initrd and --append need --kernel", NULL);
    if (o->kernel && (shape->tee != TEE_SEV_SNP || shape->cloud != CLOUD_NONE))
        return fail(STATUS_USAGE, "predict", "--kernel is for SEV-SNP under QEMU", "shapes snp and snp-vtpm");
    if (shape->tee == TEE_NONE)
        return 0;
    out->tee = tee_name(shape->tee);
    out->name = shape->tee == TEE_TDX ? "mr_td" : "measurement";
    if (shape->cloud == CLOUD_AZURE)
        return unknown(out, "Microsoft's paravisor, which is no file of this machine: record one boot");
    if (shape->tee == TEE_TDX && shape->cloud == CLOUD_GCP)
        return unknown(out,
                       "follows the machine type too: take it from Google's endorsement, or record one boot");
    if (!firmware)
        return unknown(out, "name the firmware with --firmware");
    if (shape->tee == TEE_TDX)
        return predict_tdx(firmware, path, out);
    launch.vmm = vmm[shape->cloud];
    return predict_snp(o, &launch, firmware, path, out);
}

json_t *launch_json(const struct launch_prediction *l)
{
    json_t *row = json_pack("{s:s, s:s}", "state", predict_kind_name(l->kind), "why", l->why);
    if (row && l->kind == PREDICTED)
        json_object_set_new(row, "value", json_hex(bytes_of(l->value, sizeof(l->value))));
    return row ? json_pack("{s:o}", l->name, row) : NULL;
}
