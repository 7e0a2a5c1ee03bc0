/** image/ovmf_sev.h: what an OVMF image tells the host about starting it under SEV-SNP. Source: EDK II,
 * OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm and Ia16/ResetVectorVtf0.asm. Little-endian. */
#ifndef CVM_IMAGE_OVMF_SEV_H
#define CVM_IMAGE_OVMF_SEV_H

#include "base/bytes.h"

#define SEV_PAGE         4096u
#define SEV_SECTIONS_MAX 32
#define SEV_MEMORY_MAX   (64u << 20) /* all sections together: OVMF's take 128 KiB */

enum sev_section_type {
    SEV_SECTION_MEMORY = 1,
    SEV_SECTION_SECRETS = 2,
    SEV_SECTION_CPUID = 3,
    SEV_SECTION_SVSM_CAA = 4,
    SEV_SECTION_KERNEL_HASHES = 0x10,
};

struct sev_section {
    uint32_t gpa, size; /* whole pages, below the firmware, none overlapping another */
    enum sev_section_type type;
};

struct ovmf_sev {
    struct bytes file; /* whole pages; loaded so that it ends at 4 GiB */
    struct sev_section section[SEV_SECTIONS_MAX];
    size_t n;             /* in the firmware's order, which is the order of measuring */
    uint32_t reset_eip;   /* where all processors but the first start; 0: not said */
    uint32_t hashes_gpa;  /* where the table of a kernel's hashes goes; 0: nowhere */
    uint32_t hashes_size; /* room there */
};

/** Reads the metadata. The result borrows the file.
 *  @return 0; or -1 with ERR_NOT_FOUND (firmware without SEV-SNP metadata), ERR_UNAVAILABLE (a version or a
 *  kind of section that is not known: what it would measure is not known either) or ERR_INPUT (damaged) */
MUST_USE int ovmf_sev_parse(struct bytes file, struct ovmf_sev *out, struct err *err);

#endif
