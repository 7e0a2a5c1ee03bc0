/** tee/shape.h: the platform shapes. A shape is a row of facts: which TEE, which cloud, where the attestation
 * key, the report and the certificates come from. Collectors walk the row; a new shape is a new row. */
#ifndef CVM_TEE_SHAPE_H
#define CVM_TEE_SHAPE_H

#include "base/bytes.h"
#include "tpm/tpm.h"

/** Numbers as /platform answers them (contract, section 2). */
enum tee_type { TEE_NONE = 0, TEE_TDX = 1, TEE_SEV_SNP = 2 };
enum cloud_type { CLOUD_NONE = 0, CLOUD_GCP = 1, CLOUD_AZURE = 2, CLOUD_AWS = 3 };

/** Where the hardware report comes from. */
enum report_source {
    REPORT_NONE,
    REPORT_KERNEL, /* configfs-tsm, else /dev/sev-guest (SNP only); report_data is ours */
    REPORT_HCL     /* Azure: HCL report in the TPM's NV memory; report_data is the hash of the runtime data */
};

/** One place where an attestation key may be; tried in order. */
struct ak_place {
    enum tpm_ak_source source;
    uint32_t handle;      /* persistent handle or NV index of the template */
    uint32_t certificate; /* NV index of the AK certificate, 0: none */
};

#define AK_PLACES_MAX 3

struct shape {
    const char *name; /* as --emulate takes it; "none-vtpm" for a TPM without TEE */
    enum tee_type tee;
    enum cloud_type cloud;
    bool tpm; /* evidence includes a TPM quote */
    enum report_source report;
    struct ak_place
        ak[AK_PLACES_MAX]; /* ends at handle 0 unless source is TPM_AK_PRIMARY; used only with tpm */
    size_t ak_count;
    bool imds_certificates; /* VEK certificates from Azure THIM */
    bool vlek;              /* the report is signed by a VLEK; chain is ASVK */
};

/** "none", "tdx", "sev_snp" and "none", "gcp", "azure", "aws". */
const char *tee_name(enum tee_type tee);
const char *cloud_name(enum cloud_type cloud);

/** The row of that name, or NULL. */
const struct shape *shape_by_name(const char *name);

/** The row for what was detected, or NULL when there is neither TEE nor TPM. */
const struct shape *shape_find(enum tee_type tee, enum cloud_type cloud, bool tpm, bool hcl);

/** A machine that judges others and has no evidence of its own; never found, only asked for. */
extern const struct shape shape_none;

/** All rows, for help texts and tests; *n receives the count. */
const struct shape *shape_all(size_t *n);

#endif
