/* tee/detect.h and tee/shape.h: machines as DMI files, CPUID values, devices and NV memory. */
#include "fake_nv.h"

#include "base/auto.h"
#include "base/file.h"
#include "tee/detect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define AZURE_TAG "7783-7084-3265-9085-8269-3286-77"
#define SNP_HCL   "azure-snp/milan-v3-report-vtpm/hcl_report.bin"
#define TDX_HCL   "azure-tdx/v4-00806f-ita/hcl_report.bin"

struct machine {
    const char *name;
    const char *dmi_file, *dmi_value; /* NULL: no such file */
    const char *provider;             /* NULL: no configfs-tsm */
    int sev_guest;                    /* what the device answers */
    const char *dev;                  /* a device file, or NULL */
    const char *hcl;                  /* file of the HCL report, or NULL */
    bool tpm, isolated;
    uint8_t hcl_type; /* report type to set, 0: as recorded */
    /* expected */
    enum tee_type tee;
    enum cloud_type cloud;
    const char *via, *shape; /* NULL: none */
};

static char root[] = "/tmp/cvm-detect-XXXXXX", sys[64], dev[64];

static int tsm_make(void *ctx, const char *entry)
{
    (void)entry;
    return ((const struct machine *)ctx)->provider ? 0 : -ENOENT;
}

static int tsm_remove(void *ctx, const char *entry)
{
    (void)ctx, (void)entry;
    return 0;
}

static ssize_t tsm_read(void *ctx, const char *entry, const char *attr, uint8_t *out, size_t max)
{
    (void)entry;
    if (strcmp(attr, "provider"))
        return -ENOENT;
    return snprintf((char *)out, max, "%s\n", ((const struct machine *)ctx)->provider);
}

static int sev_guest(void *ctx, unsigned long number, void *arg)
{
    (void)number, (void)arg;
    return ((const struct machine *)ctx)->sev_guest;
}

/* Hyper-V with hardware isolation, as the TLFS numbers it. */
static void cpuid(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    static const struct {
        uint32_t leaf, r[4];
    } rows[] = { { 0x40000000, { 0x4000000C, 0x7263694D, 0x666F736F, 0x76482074 } },
                 { 0x40000003, { 0, 1u << 22, 0, 0 } },
                 { 0x4000000C, { 1, 2, 0, 0 } } };
    (void)subleaf;
    memset(out, 0, 16);
    for (size_t i = 0; i < ARRAY_SIZE(rows) && ((const struct machine *)ctx)->isolated; i++)
        if (rows[i].leaf == leaf)
            memcpy(out, rows[i].r, 16);
}

static const struct machine machines[] = {
    { .name = "nothing", .sev_guest = -ENOENT },
    { .name = "TPM only", .sev_guest = -ENOENT, .tpm = true, .shape = "none-vtpm" },
    { .name = "bare SNP by provider",
      .provider = "sev_guest",
      .sev_guest = -EINVAL,
      .tee = TEE_SEV_SNP,
      .via = "configfs-tsm",
      .shape = "snp" },
    { .name = "bare SNP by device",
      .sev_guest = -EINVAL,
      .tee = TEE_SEV_SNP,
      .via = "sev-guest",
      .shape = "snp" },
    { .name = "SNP device without permission",
      .sev_guest = -EACCES,
      .tee = TEE_SEV_SNP,
      .via = "sev-guest",
      .shape = "snp" },
    { .name = "TDX by device",
      .sev_guest = -ENOENT,
      .dev = "tdx_guest",
      .tee = TEE_TDX,
      .via = "tdx_guest",
      .shape = "tdx" },
    { .name = "provider over device",
      .provider = "tdx_guest",
      .sev_guest = -EINVAL,
      .tpm = true,
      .tee = TEE_TDX,
      .via = "configfs-tsm",
      .shape = "tdx-vtpm" },
    { .name = "unknown provider", .provider = "arm_cca_guest", .sev_guest = -ENOENT },
    { .name = "GCP SNP",
      .dmi_file = "product_name",
      .dmi_value = "Google Compute Engine",
      .provider = "sev_guest",
      .sev_guest = -EINVAL,
      .tpm = true,
      .tee = TEE_SEV_SNP,
      .cloud = CLOUD_GCP,
      .via = "configfs-tsm",
      .shape = "gcp-snp" },
    { .name = "GCP without TEE: DMI never makes one",
      .dmi_file = "product_name",
      .dmi_value = "Google Compute Engine",
      .sev_guest = -ENOENT,
      .tpm = true,
      .cloud = CLOUD_GCP,
      .shape = "none-vtpm" },
    { .name = "GCP by serial",
      .dmi_file = "product_serial",
      .dmi_value = "GoogleCloud-1234",
      .provider = "tdx_guest",
      .sev_guest = -ENOENT,
      .tpm = true,
      .tee = TEE_TDX,
      .cloud = CLOUD_GCP,
      .via = "configfs-tsm",
      .shape = "gcp-tdx" },
    { .name = "AWS SNP without NitroTPM",
      .dmi_file = "sys_vendor",
      .dmi_value = "Amazon EC2",
      .sev_guest = -EINVAL,
      .tee = TEE_SEV_SNP,
      .cloud = CLOUD_AWS,
      .via = "sev-guest",
      .shape = "snp" },
    { .name = "AWS SNP",
      .dmi_file = "sys_vendor",
      .dmi_value = "Amazon EC2",
      .sev_guest = -EINVAL,
      .tpm = true,
      .tee = TEE_SEV_SNP,
      .cloud = CLOUD_AWS,
      .via = "sev-guest",
      .shape = "aws-snp" },
    { .name = "Azure SNP",
      .dmi_file = "chassis_asset_tag",
      .dmi_value = AZURE_TAG,
      .sev_guest = -ENOENT,
      .hcl = SNP_HCL,
      .tpm = true,
      .tee = TEE_SEV_SNP,
      .cloud = CLOUD_AZURE,
      .via = "HCL report",
      .shape = "azure-snp" },
    { .name = "Azure TDX",
      .dmi_file = "chassis_asset_tag",
      .dmi_value = AZURE_TAG,
      .sev_guest = -ENOENT,
      .hcl = TDX_HCL,
      .tpm = true,
      .tee = TEE_TDX,
      .cloud = CLOUD_AZURE,
      .via = "HCL report",
      .shape = "azure-tdx" },
    { .name = "Azure with a native provider",
      .dmi_file = "chassis_asset_tag",
      .dmi_value = AZURE_TAG,
      .provider = "sev_guest",
      .sev_guest = -EINVAL,
      .hcl = SNP_HCL,
      .tpm = true,
      .tee = TEE_SEV_SNP,
      .cloud = CLOUD_AZURE,
      .via = "configfs-tsm",
      .shape = "snp-vtpm" },
    { .name = "Azure, trusted launch only",
      .dmi_file = "chassis_asset_tag",
      .dmi_value = AZURE_TAG,
      .sev_guest = -ENOENT,
      .hcl = SNP_HCL,
      .hcl_type = 3,
      .tpm = true,
      .cloud = CLOUD_AZURE,
      .shape = "none-vtpm" },
    { .name = "Azure tag without TPM",
      .dmi_file = "chassis_asset_tag",
      .dmi_value = AZURE_TAG,
      .sev_guest = -ENOENT,
      .cloud = CLOUD_AZURE },
    { .name = "Hyper-V isolation without the tag",
      .sev_guest = -ENOENT,
      .hcl = SNP_HCL,
      .tpm = true,
      .isolated = true,
      .tee = TEE_SEV_SNP,
      .via = "HCL report",
      .shape = "azure-snp" },
    { .name = "an HCL report on another machine is not looked at",
      .sev_guest = -ENOENT,
      .hcl = SNP_HCL,
      .tpm = true,
      .shape = "none-vtpm" },
};

static void write_dmi(const struct machine *m, bool make)
{
    char path[256];
    struct err err = { 0 };
    if (!m->dmi_file)
        return;
    snprintf(path, sizeof(path), "%s/class/dmi/id/%s", sys, m->dmi_file);
    if (!make)
        unlink(path);
    else if (file_write_atomic(path, bytes_str(m->dmi_value), 0600, &err) < 0)
        fail_msg("%s", err.cause);
}

static void look(const struct machine *m, struct detection *d)
{
    char path[256];
    struct tpm tpm = { 0 };
    union {
        const struct machine *in;
        void *ctx;
    } u = { m };
    struct lower l = { .sys = sys,
                       .dev = dev,
                       .proc = "/proc",
                       .tsm = { .make = tsm_make, .remove = tsm_remove, .read = tsm_read, .ctx = u.ctx },
                       .sev_guest = { sev_guest, u.ctx },
                       .cpuid = { cpuid, u.ctx },
                       .tpm = { .kind = "device" } };
    snprintf(path, sizeof(path), "%s/%s", dev, m->dev ? m->dev : "none");
    if (m->dev && file_write_atomic(path, bytes_str(""), 0600, NULL) < 0)
        fail_msg("%s", path);
    if (m->hcl) {
        tpm.hcl = sample_load(m->hcl);
        if (m->hcl_type)
            tpm.hcl.p[0x4C8] = m->hcl_type;
    }
    write_dmi(m, true);
    detect(&l, m->tpm ? &tpm : NULL, d);
    write_dmi(m, false);
    unlink(path);
    sample_done(&tpm.hcl);
}

static void every_machine_is_told(void **state)
{
    (void)state;
    skip_without_evidence();
    for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
        const struct machine *m = &machines[i];
        struct detection d;
        look(m, &d);
        const struct shape *shape = shape_find(d.tee, d.cloud, d.tpm, d.hcl);
        if (d.tee != m->tee || d.cloud != m->cloud || strcmp(d.via, m->via ? m->via : "") || d.tpm != m->tpm
            || (shape ? !m->shape || strcmp(shape->name, m->shape) : m->shape != NULL))
            fail_msg("%s: TEE %d, cloud %d, via \"%s\", shape %s", m->name, d.tee, d.cloud, d.via,
                     shape ? shape->name : "none");
    }
}

static void findings_say_what_was_looked_for(void **state)
{
    (void)state;
    struct detection d;
    look(&machines[0], &d);
    AUTO(buf_done) struct buf text = buf_new(4096);
    detection_text(&d, &text);
    AUTO(free_str) char *s = buf_take_str(&text);
    static const char *const words[] = { "cloud", "CPUID", "TPM", "configfs-tsm", "sev-guest", "tdx_guest" };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        assert_non_null(strstr(s, words[i]));
    for (size_t i = 0; i < d.count; i++)
        assert_false(d.findings[i].found);
    assert_true(d.count <= FINDINGS_MAX);
}

static void shapes_by_name(void **state)
{
    (void)state;
    size_t n;
    const struct shape *all = shape_all(&n);
    for (size_t i = 0; i < n; i++) {
        assert_ptr_equal(shape_by_name(all[i].name), &all[i]);
        assert_true(all[i].ak_count <= AK_PLACES_MAX && (all[i].tpm == (all[i].ak_count > 0)));
        assert_ptr_equal(shape_find(all[i].tee, all[i].cloud, all[i].tpm, all[i].report == REPORT_HCL),
                         &all[i]);
    }
    assert_null(shape_by_name("gcp"));
    assert_null(shape_find(TEE_NONE, CLOUD_AZURE, false, false));
    assert_string_equal(tee_name((enum tee_type)9), "none");
    assert_string_equal(cloud_name(CLOUD_AWS), "aws");
}

static int set_up(void **state)
{
    char path[128];
    static const char *const folders[] = { "sys", "dev", "sys/class", "sys/class/dmi", "sys/class/dmi/id" };
    (void)state;
    assert_non_null(mkdtemp(root));
    snprintf(sys, sizeof(sys), "%s/sys", root);
    snprintf(dev, sizeof(dev), "%s/dev", root);
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        snprintf(path, sizeof(path), "%s/%s", root, folders[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    return 0;
}

static int tear_down(void **state)
{
    char path[128];
    static const char *const folders[] = {
        "sys/class/dmi/id", "sys/class/dmi", "sys/class", "dev", "sys", ""
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        snprintf(path, sizeof(path), "%s/%s", root, folders[i]);
        rmdir(path);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_machine_is_told),
        cmocka_unit_test(findings_say_what_was_looked_for),
        cmocka_unit_test(shapes_by_name),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
