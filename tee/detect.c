#include "tee/detect.h"

#include "base/auto.h"
#include "base/file.h"
#include "tee/azure.h"
#include "tee/hcl_report.h"
#include "tee/sev_guest_abi.h"
#include "tee/tsm.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define DMI_TEXT_MAX 128

/* Printable ASCII only: details come from the host and end in a terminal. */
__attribute__((format(printf, 4, 5))) static void note(struct detection *d, const char *what, bool found,
                                                       const char *fmt, ...)
{
    if (d->count == FINDINGS_MAX)
        return;
    struct finding *f = &d->findings[d->count++];
    va_list ap;
    f->what = what;
    f->found = found;
    va_start(ap, fmt);
    vsnprintf(f->detail, sizeof(f->detail), fmt, ap);
    va_end(ap);
    for (char *c = f->detail; *c; c++)
        if (*c < 0x20 || *c > 0x7E)
            *c = '?';
}

/* ---- cloud ---- */

static const struct dmi_rule {
    enum cloud_type cloud;
    const char *file, *value;
} dmi_rules[] = {
    { CLOUD_AZURE, "chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77" },
    { CLOUD_GCP, "product_name", "Google Compute Engine" },
    { CLOUD_AWS, "sys_vendor", "Amazon EC2" },
};

static bool dmi_text(const struct lower *l, const char *file, char out[static DMI_TEXT_MAX])
{
    char path[PATH_MAX];
    return path_set(path, sizeof(path), NULL, "%s/class/dmi/id/%s", l->sys, file) == 0
           && file_read_line(path, out, DMI_TEXT_MAX, NULL) == 0;
}

/* Older EC2: only the ids tell, and they are readable by root alone. */
static bool dmi_ec2_ids(const struct lower *l)
{
    char uuid[DMI_TEXT_MAX], serial[DMI_TEXT_MAX];
    return dmi_text(l, "product_uuid", uuid) && dmi_text(l, "product_serial", serial)
           && !strncasecmp(uuid, "ec2", 3) && !strncasecmp(serial, "ec2", 3);
}

static void detect_cloud(const struct lower *l, struct detection *d)
{
    char text[DMI_TEXT_MAX];
    for (size_t i = 0; i < ARRAY_SIZE(dmi_rules) && d->cloud == CLOUD_NONE; i++)
        if (dmi_text(l, dmi_rules[i].file, text) && !strcmp(text, dmi_rules[i].value))
            d->cloud = dmi_rules[i].cloud;
    if (d->cloud == CLOUD_NONE && dmi_text(l, "product_serial", text) && !strncmp(text, "GoogleCloud-", 12))
        d->cloud = CLOUD_GCP;
    if (d->cloud == CLOUD_NONE && dmi_ec2_ids(l))
        d->cloud = CLOUD_AWS;
    note(d, "cloud (DMI, the host's word)", d->cloud != CLOUD_NONE, "%s", cloud_name(d->cloud));
}

/* ---- CPUID ---- */

/* Sources: AMD APM volume 3 (leaf 8000001F), Intel TDX module specification (leaf 21), Hyper-V TLFS. */
struct cpu_hints {
    bool sev_snp, tdx, isolated; /* isolated: a Hyper-V partition with a paravisor or hardware isolation */
};

static void cpuid(const struct lower *l, uint32_t leaf, uint32_t out[4])
{
    memset(out, 0, 4 * sizeof(*out));
    if (l->cpuid.get)
        l->cpuid.get(l->cpuid.ctx, leaf, 0, out);
}

static bool cpu_isolated(const struct lower *l)
{
    uint32_t r[4];
    cpuid(l, 0x40000000, r);
    if (r[1] != 0x7263694D || r[2] != 0x666F736F || r[3] != 0x76482074 /* "Microsoft Hv" */
        || r[0] < 0x4000000C || r[0] > 0x4000FFFF)
        return false;
    cpuid(l, 0x40000003, r);
    if (!(r[1] & 1u << 22) || r[1] & 1u << 12)
        return false;
    cpuid(l, 0x4000000C, r);
    return (r[1] & 0xF) >= 2; /* 2 SNP, 3 TDX */
}

static struct cpu_hints cpu_hints(const struct lower *l)
{
    struct cpu_hints h = { 0 };
    uint32_t r[4];
    cpuid(l, 0x80000000, r);
    if (r[0] >= 0x8000001F && r[0] <= 0x8000FFFF) {
        cpuid(l, 0x8000001F, r);
        h.sev_snp = r[0] & 1u << 4;
    }
    cpuid(l, 0, r);
    if (r[0] >= 0x21) {
        cpuid(l, 0x21, r);
        h.tdx = r[1] == 0x65746E49 && r[3] == 0x5844546C && r[2] == 0x20202020; /* "IntelTDX    " */
    }
    h.isolated = cpu_isolated(l);
    return h;
}

/* ---- TEE, in the order of precedence ---- */

static bool device_exists(const struct lower *l, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    return path_set(path, sizeof(path), NULL, "%s/%s", l->dev, name) == 0 && stat(path, &st) == 0;
}

static enum tee_type by_provider(const struct lower *l, struct detection *d)
{
    char provider[TSM_TEXT_MAX];
    struct err err = { 0 };
    if (tsm_provider(l, provider, &err) < 0) {
        note(d, "configfs-tsm provider", false, "%s", err.cause);
        return TEE_NONE;
    }
    enum tee_type tee = tsm_provider_tee(provider);
    note(d, "configfs-tsm provider", tee != TEE_NONE, "%s%s", provider,
         tee == TEE_NONE ? ": not one that is supported" : "");
    return tee;
}

/* A request with message version 0 is refused by the driver before it reaches the firmware. */
static enum tee_type by_sev_guest(const struct lower *l, struct detection *d)
{
    struct sev_guest_request nothing = { 0 };
    int rc =
        l->sev_guest.call ? l->sev_guest.call(l->sev_guest.ctx, SEV_GUEST_GET_REPORT, &nothing) : -ENOENT;
    bool there = rc != -ENOENT && rc != -ENXIO && rc != -ENODEV && rc != -ENOTDIR;
    note(d, "device sev-guest", there, "%s",
         rc == -EACCES || rc == -EPERM ? "there, but without permission for the agent's user"
         : there                       ? "there"
                                       : "not there");
    return there ? TEE_SEV_SNP : TEE_NONE;
}

static enum tee_type by_tdx_guest(const struct lower *l, struct detection *d)
{
    bool there = device_exists(l, "tdx_guest");
    note(d, "device tdx_guest", there, "%s",
         there ? "there; a quote also needs configfs-tsm (Linux 6.7)" : "not there");
    return there ? TEE_TDX : TEE_NONE;
}

static enum tee_type by_hcl(struct tpm *tpm, struct detection *d)
{
    static const char what[] = "HCL report in the TPM (NV 0x01400001)";
    AUTO(buf_done) struct buf raw = buf_new(AZURE_HCL_MAX);
    struct hcl_report hcl;
    struct err err = { 0 };
    if (!tpm) {
        note(d, what, false, "the TPM is not open");
        return TEE_NONE;
    }
    if (azure_hcl_read(tpm, &raw, &err) < 0 || hcl_report_parse(buf_bytes(&raw), &hcl, &err) < 0) {
        note(d, what, false, "%s", err.cause);
        return TEE_NONE;
    }
    enum tee_type tee = hcl.report_type == HCL_SNP   ? TEE_SEV_SNP
                        : hcl.report_type == HCL_TDX ? TEE_TDX
                                                     : TEE_NONE;
    note(d, what, tee != TEE_NONE, "report type %u (%s)", hcl.report_type, tee_name(tee));
    return tee;
}

static void detect_tee(const struct lower *l, struct tpm *tpm, const struct cpu_hints *cpu,
                       struct detection *d)
{
    static const struct {
        const char *via;
        enum tee_type (*look)(const struct lower *l, struct detection *d);
    } kernel[] = { { "configfs-tsm", by_provider },
                   { "sev-guest", by_sev_guest },
                   { "tdx_guest", by_tdx_guest } };
    for (size_t i = 0; i < ARRAY_SIZE(kernel) && d->tee == TEE_NONE; i++) {
        d->tee = kernel[i].look(l, d);
        d->via = d->tee == TEE_NONE ? "" : kernel[i].via;
    }
    if (d->tee == TEE_NONE && (d->cloud == CLOUD_AZURE || cpu->isolated)) {
        d->tee = by_hcl(tpm, d);
        d->hcl = d->tee != TEE_NONE;
        d->via = d->hcl ? "HCL report" : "";
    }
}

void detect(const struct lower *l, struct tpm *tpm, struct detection *out)
{
    struct detection d = { .via = "" };
    struct cpu_hints cpu = cpu_hints(l);
    detect_cloud(l, &d);
    note(&d, "CPUID", cpu.sev_snp || cpu.tdx || cpu.isolated, "%s",
         cpu.sev_snp    ? "SEV-SNP (without a device below: load the driver sev-guest)"
         : cpu.tdx      ? "TDX (without a device below: load the driver tdx_guest)"
         : cpu.isolated ? "an isolated Hyper-V guest"
                        : "no TEE");
    d.tpm = l->tpm.kind && (tpm || device_exists(l, "tpmrm0") || device_exists(l, "tpm0"));
    note(&d, "TPM", d.tpm, "%s",
         !l->tpm.kind ? "not looked for: this machine has none on purpose"
         : tpm        ? l->tpm.kind
         : d.tpm      ? "its device is there, but it is not open"
                      : "no device tpmrm0: is a vTPM enabled for this VM, and its driver loaded?");
    detect_tee(l, tpm, &cpu, &d);
    *out = d;
}

void detection_text(const struct detection *d, struct buf *out)
{
    for (size_t i = 0; i < d->count; i++)
        buf_printf(out, "%s: %s\n", d->findings[i].what, d->findings[i].detail);
}
