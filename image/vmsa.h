/** image/vmsa.h: the registers of a virtual processor before its first instruction, as the page that SEV-SNP
 * measures. Source: AMD64 APM volume 2, table B-4 (layout) and 14.1 (state at reset); what each host sets
 * otherwise: QEMU 9.1 on Linux 6.11 and newer, Amazon EC2 as of April 2026, Google's gce-tcb-verifier. */
#ifndef CVM_IMAGE_VMSA_H
#define CVM_IMAGE_VMSA_H

#include "base/bytes.h"

#define VMSA_SIZE 4096u

/** Who starts the machine. */
enum vmm { VMM_QEMU, VMM_EC2, VMM_GCE };

#define VMSA_RESET_EIP    0xFFFFFFF0u /* where the first processor starts */
#define VMSA_SNP_FEATURES 0x1u        /* SEV_FEATURES: SNP active and nothing else */

/** Writes the page.
 *  @param eip        where it starts: VMSA_RESET_EIP, or the firmware's address for all others
 *  @param signature  CPUID Fn0000_0001 EAX of the processor shown to the guest; used by QEMU alone
 *  @param features   SEV_FEATURES */
void vmsa_page(enum vmm vmm, uint32_t eip, uint32_t signature, uint64_t features,
               uint8_t out[static VMSA_SIZE]);

/** The signature (CPUID Fn0000_0001 EAX) of a processor type as QEMU names it ("EPYC-Milan-v2"), or of hex
 * digits after "0x". False: no such type. */
bool vmsa_cpu_signature(const char *type, uint32_t *out);

#endif
