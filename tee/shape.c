#include "tee/shape.h"

#include "base/auto.h"

/* Handles and NV indices: Azure paravisor, Google vTPM (go-tpm-tools client/handles.go). */
#define AZURE_AK      0x81000003u
#define AZURE_AK_CERT 0x01C101D0u
#define GCE_RSA_CERT  0x01C10000u
#define GCE_RSA       0x01C10001u
#define GCE_ECC_CERT  0x01C10002u
#define GCE_ECC       0x01C10003u

#define AK_OWN   .ak = { { TPM_AK_PRIMARY, 0, 0 } }, .ak_count = 1
#define AK_AZURE .ak = { { TPM_AK_PERSISTENT, AZURE_AK, AZURE_AK_CERT } }, .ak_count = 1
#define AK_GOOGLE                                                                                            \
    .ak = { { TPM_AK_NV_TEMPLATE, GCE_ECC, GCE_ECC_CERT },                                                   \
            { TPM_AK_NV_TEMPLATE, GCE_RSA, GCE_RSA_CERT },                                                   \
            { TPM_AK_PRIMARY, 0, 0 } },                                                                      \
    .ak_count = 3

static const struct shape shapes[] = {
    { .name = "snp", .tee = TEE_SEV_SNP, .report = REPORT_KERNEL },
    { .name = "tdx", .tee = TEE_TDX, .report = REPORT_KERNEL },
    { .name = "snp-vtpm", .tee = TEE_SEV_SNP, .tpm = true, .report = REPORT_KERNEL, AK_OWN },
    { .name = "tdx-vtpm", .tee = TEE_TDX, .tpm = true, .report = REPORT_KERNEL, AK_OWN },
    { .name = "azure-snp",
      .tee = TEE_SEV_SNP,
      .cloud = CLOUD_AZURE,
      .tpm = true,
      .report = REPORT_HCL,
      .imds_certificates = true,
      AK_AZURE },
    { .name = "azure-tdx",
      .tee = TEE_TDX,
      .cloud = CLOUD_AZURE,
      .tpm = true,
      .report = REPORT_HCL,
      AK_AZURE },
    { .name = "gcp-snp",
      .tee = TEE_SEV_SNP,
      .cloud = CLOUD_GCP,
      .tpm = true,
      .report = REPORT_KERNEL,
      AK_GOOGLE },
    { .name = "gcp-tdx",
      .tee = TEE_TDX,
      .cloud = CLOUD_GCP,
      .tpm = true,
      .report = REPORT_KERNEL,
      AK_GOOGLE },
    { .name = "aws-snp",
      .tee = TEE_SEV_SNP,
      .cloud = CLOUD_AWS,
      .tpm = true,
      .report = REPORT_KERNEL,
      .vlek = true,
      AK_OWN },
    { .name = "none-vtpm", .tee = TEE_NONE, .tpm = true, AK_OWN },
};

const struct shape shape_none = { .name = "none", .tee = TEE_NONE };

const char *tee_name(enum tee_type tee)
{
    static const char *const names[] = { "none", "tdx", "sev_snp" };
    return (size_t)tee < ARRAY_SIZE(names) ? names[tee] : "none";
}

const char *cloud_name(enum cloud_type cloud)
{
    static const char *const names[] = { "none", "gcp", "azure", "aws" };
    return (size_t)cloud < ARRAY_SIZE(names) ? names[cloud] : "none";
}

const struct shape *shape_by_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
        if (!strcmp(shapes[i].name, name))
            return &shapes[i];
    return NULL;
}

static const struct shape *row(enum tee_type tee, enum cloud_type cloud, bool tpm, bool hcl)
{
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
        const struct shape *s = &shapes[i];
        if (s->tee == tee && s->cloud == cloud && s->tpm == tpm && (s->report == REPORT_HCL) == hcl)
            return s;
    }
    return NULL;
}

const struct shape *shape_find(enum tee_type tee, enum cloud_type cloud, bool tpm, bool hcl)
{
    if (hcl) /* only the paravisor of Azure and of its kin keeps a report there, whatever DMI says */
        return tee == TEE_NONE || !tpm ? NULL : row(tee, CLOUD_AZURE, true, true);
    const struct shape *exact = row(tee, cloud, tpm, false);
    return exact ? exact : row(tee, CLOUD_NONE, tpm, false); /* a cloud's VM without its usual parts */
}

const struct shape *shape_all(size_t *n)
{
    *n = ARRAY_SIZE(shapes);
    return shapes;
}
