/* The facts of each emulated platform, after recorded samples of the real ones. */
#include "base/auto.h"
#include "tee/emulator/emu.h"

#include <string.h>

#define POLICY_PLAIN 0x30000 /* SMT, reserved one */
#define POLICY_AZURE 0x3001F
#define EC2_CSP      "CN=cc-us-east-2.amazonaws.com"

#define GENOA                                                                                                \
    .product = "Genoa", .version = 3, .cpuid = { 0x19, 0x11, 0x01 },                                         \
    .tcb = { 0x0A, 0, 0, 0, 0, 0, 0x17, 0x54 }, .firmware = { 0x28, 0x37, 0x01 }, .chip_id_size = 64,        \
    .platform_info = 0x25

static const struct snp_facts genoa = { GENOA, .policy = POLICY_PLAIN };
static const struct snp_facts genoa_azure = {
    GENOA,
    .policy = POLICY_AZURE,
    .guest_svn = 0x1000B,
    .family_id = { 0x01, 0x23, 0x20 },
    .image_id = 0x02,
    .id_key = "paravisor",
};
static const struct snp_facts turin = {
    .product = "Turin",
    .version = 5,
    .cpuid = { 0x1A, 0x02, 0x01 },
    .tcb = { 0, 1, 0, 2, 0, 0, 0, 0x47 },
    .firmware = { 0x3D, 0x37, 0x01 },
    .chip_id_size = 8,
    .policy = POLICY_PLAIN,
    .platform_info = 0x67,
};
static const struct snp_facts milan_vlek = {
    .product = "Milan",
    .version = 3,
    .cpuid = { 0x19, 0x01, 0x01 },
    .tcb = { 0x04, 0, 0, 0, 0, 0, 0x18, 0xDB },
    .firmware = { 0x1D, 0x37, 0x01 },
    .chip_id_size = 64,
    .policy = POLICY_PLAIN,
    .platform_info = 0x25,
    .csp_id = EC2_CSP,
};

#define TD_ATTRIBUTES 0x10000000 /* SEPT_VE_DISABLE */

static const struct tdx_facts td10 = {
    .quote_version = 4, .td_attributes = TD_ATTRIBUTES, .xfam = 0x600E7, .measured = true
};
static const struct tdx_facts td15 = {
    .quote_version = 5, .td_attributes = TD_ATTRIBUTES, .xfam = 0x600E7, .measured = true
};
static const struct tdx_facts td_gcp = {
    .quote_version = 4, .td_attributes = TD_ATTRIBUTES, .xfam = 0x600E7, .buffer = 8000, .measured = true
};
static const struct tdx_facts td_azure = {
    .quote_version = 4, .td_attributes = TD_ATTRIBUTES, .xfam = 0x618E7, .tail = 70
};

/* CPUID registers EAX, EBX, ECX, EDX. 1: signature, hypervisor bit. 0x8000001F: SEV, ES, SNP, VMPL, C-bit 51.
 */
#define AMD(signature)                                                                                       \
    { 0, 0, { 0x10, 0x68747541, 0x444D4163, 0x69746E65 } }, { 1, 0, { (signature), 0, 1u << 31, 0 } },       \
        { 0x80000000, 0, { 0x80000021, 0, 0, 0 } },                                                          \
    {                                                                                                        \
        0x8000001F, 0,                                                                                       \
        {                                                                                                    \
            0x3A, 51, 0, 0                                                                                   \
        }                                                                                                    \
    }
#define INTEL                                                                                                \
    { 0, 0, { 0x21, 0x756E6547, 0x6C65746E, 0x49656E69 } }, { 1, 0, { 0xC06F2, 0, 1u << 31, 0 } },           \
    {                                                                                                        \
        0x80000000, 0,                                                                                       \
        {                                                                                                    \
            0x80000008, 0, 0, 0                                                                              \
        }                                                                                                    \
    }
#define TDX_GUEST                                                                                            \
    {                                                                                                        \
        0x21, 0,                                                                                             \
        {                                                                                                    \
            0, 0x65746E49, 0x20202020, 0x5844546C                                                            \
        }                                                                                                    \
    }
/* Hyper-V TLFS: vendor, isolation without root partition, paravisor and its type. */
#define HYPER_V(type)                                                                                        \
    { 0x40000000, 0, { 0x4000000C, 0x7263694D, 0x666F736F, 0x76482074 } },                                   \
        { 0x40000003, 0, { 0, 1u << 22, 0, 0 } },                                                            \
    {                                                                                                        \
        0x4000000C, 0,                                                                                       \
        {                                                                                                    \
            1, (type), 0, 0                                                                                  \
        }                                                                                                    \
    }

static const struct cpuid_row cpu_genoa[] = { AMD(0x00A10F11) };
static const struct cpuid_row cpu_milan[] = { AMD(0x00A00F11) };
static const struct cpuid_row cpu_turin[] = { AMD(0x00B00F21) };
static const struct cpuid_row cpu_tdx[] = { INTEL, TDX_GUEST };
/* Azure hides the SNP and TDX leaves behind Hyper-V's. */
static const struct cpuid_row cpu_azure_snp[] = { { 0, 0, { 0x10, 0x68747541, 0x444D4163, 0x69746E65 } },
                                                  { 1, 0, { 0x00A10F11, 0, 1u << 31, 0 } },
                                                  HYPER_V(2) };
static const struct cpuid_row cpu_azure_tdx[] = { INTEL, HYPER_V(3) };
#define CPU(rows) .cpuid = (rows), .cpuid_count = ARRAY_SIZE(rows)

#define PLAIN_FIRMWARE                                                                                       \
    {                                                                                                        \
        "cvm-agent emulated firmware 1.0", -1                                                                \
    }
#define DMI_PLAIN                                                                                            \
    {                                                                                                        \
        { "sys_vendor", "QEMU" },                                                                            \
        {                                                                                                    \
            "product_name", "Standard PC (Q35 + ICH9, 2009)"                                                 \
        }                                                                                                    \
    }
#define DMI_AZURE                                                                                            \
    {                                                                                                        \
        { "sys_vendor", "Microsoft Corporation" }, { "product_name", "Virtual Machine" },                    \
        {                                                                                                    \
            "chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77"                                          \
        }                                                                                                    \
    }
#define DMI_GCP                                                                                              \
    {                                                                                                        \
        { "sys_vendor", "Google" }, { "product_name", "Google Compute Engine" },                             \
        {                                                                                                    \
            "product_serial", "GoogleCloud-00000000000000000000000000000000"                                 \
        }                                                                                                    \
    }
#define DMI_AWS                                                                                              \
    {                                                                                                        \
        { "sys_vendor", "Amazon EC2" }, { "product_name", "m6a.large" },                                     \
            { "product_uuid", "ec200000-0000-0000-0000-000000000000" },                                      \
        {                                                                                                    \
            "product_serial", "ec200000-0000-0000-0000-000000000000"                                         \
        }                                                                                                    \
    }

static const struct platform platforms[] = {
    { "snp", &turin, NULL, true, true, CERTS_NONE, PLAIN_FIRMWARE, DMI_PLAIN, CPU(cpu_turin) },
    { "tdx", NULL, &td10, true, false, CERTS_NONE, PLAIN_FIRMWARE, DMI_PLAIN, CPU(cpu_tdx) },
    { "snp-vtpm", &genoa, NULL, true, true, CERTS_CHAIN, PLAIN_FIRMWARE, DMI_PLAIN, CPU(cpu_genoa) },
    { "tdx-vtpm", NULL, &td15, true, false, CERTS_NONE, PLAIN_FIRMWARE, DMI_PLAIN, CPU(cpu_tdx) },
    { "azure-snp",
      &genoa_azure,
      NULL,
      false,
      false,
      CERTS_NONE,
      { "Hyper-V UEFI Release v4.1", -1 },
      DMI_AZURE,
      CPU(cpu_azure_snp) },
    { "azure-tdx",
      NULL,
      &td_azure,
      false,
      false,
      CERTS_NONE,
      { "Hyper-V UEFI Release v4.1", -1 },
      DMI_AZURE,
      CPU(cpu_azure_tdx) },
    { "gcp-snp",
      &genoa,
      NULL,
      true,
      true,
      CERTS_CHAIN,
      { "GCE Virtual Firmware v2", 4 },
      DMI_GCP,
      CPU(cpu_genoa) },
    { "gcp-tdx",
      NULL,
      &td_gcp,
      true,
      false,
      CERTS_NONE,
      { "GCE Virtual Firmware v2", 3 },
      DMI_GCP,
      CPU(cpu_tdx) },
    { "aws-snp",
      &milan_vlek,
      NULL,
      false,
      true,
      CERTS_LEAF,
      { "edk2-stable202211", -1 },
      DMI_AWS,
      CPU(cpu_milan) },
};

const struct platform *platform_by_name(const char *shape)
{
    for (size_t i = 0; i < ARRAY_SIZE(platforms); i++)
        if (!strcmp(platforms[i].shape, shape))
            return &platforms[i];
    return NULL;
}
