/** image/snp_launch.h: the launch digest of SEV-SNP, MEASUREMENT in a report, from files. Source: AMD 56860
 * 1.55, SNP_LAUNCH_UPDATE (the PAGE_INFO structure and the kinds of pages); the order of pages is the host's:
 * QEMU 9.1 (target/i386/sev.c), Amazon EC2, Google's gce-tcb-verifier. */
#ifndef CVM_IMAGE_SNP_LAUNCH_H
#define CVM_IMAGE_SNP_LAUNCH_H

#include "image/ovmf_sev.h"
#include "image/vmsa.h"

#define SNP_DIGEST    48u
#define SNP_VCPUS_MAX 4096u

/** SHA-256 of what QEMU boots directly: files as given, no initrd being one of no bytes, and the command line
 * with its NUL. */
struct kernel_hashes {
    uint8_t kernel[32], initrd[32], cmdline[32];
};

struct snp_launch {
    enum vmm vmm;
    unsigned vcpus;                     /* 1 to SNP_VCPUS_MAX */
    uint32_t signature;                 /* of the processor, for QEMU */
    uint64_t features;                  /* SEV_FEATURES */
    const struct kernel_hashes *kernel; /* NULL: the firmware boots from a disk */
};

/** Adds the firmware's own pages to a digest, which is all zero at the start of a launch.
 *  @return 0, or -1 with ERR_IO */
MUST_USE int snp_launch_firmware(const struct ovmf_sev *ovmf, uint8_t digest[static SNP_DIGEST],
                                 struct err *err);

/** Adds what follows it: the pages that its metadata asks for, and the processors.
 *  @return 0, or -1: ERR_INPUT (a number of processors that is out of range, or a firmware that cannot start
 *  so many; a kernel where the host or the firmware has no room for its hashes), ERR_IO */
MUST_USE int snp_launch_rest(const struct ovmf_sev *ovmf, const struct snp_launch *launch,
                             uint8_t digest[static SNP_DIGEST], struct err *err);

/** Both, from zero. */
MUST_USE int snp_launch_digest(const struct ovmf_sev *ovmf, const struct snp_launch *launch,
                               uint8_t digest[static SNP_DIGEST], struct err *err);

#endif
