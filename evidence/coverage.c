/* What each register vouches for, and who could have forged it. Where the TPM lives decides most of it:
 * inside the TEE on Azure (paravisor), with the cloud's hypervisor elsewhere. Sources: vendors' guest
 * attestation documents; docs/threat-model.md. */
#include "evidence/claims.h"

#include "base/auto.h"

enum where { ANYWHERE, ON_AZURE, NOT_ON_AZURE };
enum needs { SNP, TDX, TDX_RTMRS_LIVE, TDX_RTMRS_DEAD, TPM_VOUCHED, TPM_SELF };

static const char cpu_vendor[] = "the CPU vendor only";
static const char paravisor[] = "whoever controls the paravisor's image (Microsoft); the host cannot";
static const char hypervisor[] = "the operator of the host, who runs the virtual TPM";
static const char anyone[] = "the host: it can boot another system, make a key and sign any value";
static const char guest_root[] = "also root in the guest: the register can be reset";

static const struct row {
    const char *name;
    enum needs needs;
    enum where where;
    const char *vouches_for, *forgeable_by;
} rows[] = {
    { "sev_snp.measurement", SNP, ON_AZURE,
      "Microsoft's paravisor as launched: not the guest's disk or kernel", cpu_vendor },
    { "sev_snp.measurement", SNP, NOT_ON_AZURE,
      "the firmware as launched, not the ACPI tables whose code the kernel runs; kernel and command line "
      "only where the firmware has hashes of them inside",
      cpu_vendor },
    { "sev_snp.host_data", SNP, ANYWHERE, "what the host set at launch", "the host, at launch" },
    { "sev_snp.report_data", SNP, ANYWHERE, "what the guest asked the processor to sign",
      "the guest's own software" },
    { "tdx.mr_td", TDX, ON_AZURE, "Microsoft's paravisor as launched: not the guest's disk or kernel",
      cpu_vendor },
    { "tdx.mr_td", TDX, NOT_ON_AZURE, "the virtual firmware as launched", cpu_vendor },
    { "tdx.rtmr0", TDX_RTMRS_LIVE, ANYWHERE, "firmware settings, ACPI tables and boot variables",
      cpu_vendor },
    { "tdx.rtmr1", TDX_RTMRS_LIVE, ANYWHERE, "boot loader and kernel", cpu_vendor },
    { "tdx.rtmr2", TDX_RTMRS_LIVE, ANYWHERE, "kernel command line, initrd and what the boot loader measured",
      cpu_vendor },
    { "tdx.rtmr3", TDX_RTMRS_LIVE, ANYWHERE, "the workload's history, where the kernel lets it be extended",
      "root in the guest can add events, not take them away" },
    { "tdx.rtmr0-3", TDX_RTMRS_DEAD, ANYWHERE, "nothing: this platform does not extend them", cpu_vendor },
    { "tpm.pcr0-7", TPM_VOUCHED, ON_AZURE, "the guest's firmware, its settings, Secure Boot and boot path",
      paravisor },
    { "tpm.pcr0-7", TPM_VOUCHED, NOT_ON_AZURE,
      "firmware, its settings, Secure Boot and boot path; ACPI tables where the firmware measures them (PCR "
      "1)",
      hypervisor },
    { "tpm.pcr8-13", TPM_VOUCHED, ON_AZURE, "boot loader, kernel, initrd and command line", paravisor },
    { "tpm.pcr8-13", TPM_VOUCHED, NOT_ON_AZURE, "boot loader, kernel, initrd and command line", hypervisor },
    { "tpm.pcr14", TPM_VOUCHED, ON_AZURE, "the management journal, by replay", paravisor },
    { "tpm.pcr14", TPM_VOUCHED, NOT_ON_AZURE, "the management journal, by replay", hypervisor },
    { "tpm.pcr15", TPM_VOUCHED, ON_AZURE, "the workload's history, by replay", paravisor },
    { "tpm.pcr15", TPM_VOUCHED, NOT_ON_AZURE, "the workload's history, by replay", hypervisor },
    { "tpm.pcr16", TPM_VOUCHED, ANYWHERE, "live patches, by replay", guest_root },
    { "tpm.pcr23", TPM_VOUCHED, ANYWHERE, "the workload that runs now, by replay", guest_root },
    { "tpm.pcr0-23", TPM_SELF, ANYWHERE, "nothing against the host: the key was named by the guest only",
      anyone },
};

json_t *coverage_json(enum tee_type tee, enum cloud_type cloud, bool tpm, bool rtmrs, bool ak)
{
    json_t *o = json_object();
    const bool met[] = {

        [SNP] = tee == TEE_SEV_SNP,
        [TDX] = tee == TEE_TDX,
        [TDX_RTMRS_LIVE] = tee == TEE_TDX && rtmrs,
        [TDX_RTMRS_DEAD] = tee == TEE_TDX && !rtmrs,
        [TPM_VOUCHED] = tpm && ak,
        [TPM_SELF] = tpm && !ak,
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];
        bool here = r->where == ANYWHERE || (r->where == ON_AZURE) == (cloud == CLOUD_AZURE);
        if (here && met[r->needs])
            json_object_set_new(o, r->name,
                                json_pack("{s:s,s:s}", "vouches_for", r->vouches_for, "forgeable_by",
                                          r->forgeable_by));
    }
    return o;
}
