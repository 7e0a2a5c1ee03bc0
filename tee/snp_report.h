/** tee/snp_report.h: the AMD SEV-SNP attestation report (ATTESTATION_REPORT), versions 2 to 5.
 *  Parsed is not trusted: nothing here looks at a signature; the views and numbers are what the bytes say.
 *  Source: AMD 56860 "SEV Secure Nested Paging Firmware ABI", MSG_REPORT_RSP and ATTESTATION_REPORT,
 * TCB_VERSION, guest policy and PLATFORM_INFO. All integers are little-endian. */
#ifndef CVM_TEE_SNP_REPORT_H
#define CVM_TEE_SNP_REPORT_H

#include "base/buf.h"

#include <jansson.h>

#define SNP_REPORT_SIZE      1184 /* the same for all versions */
#define SNP_SIGNED_SIZE      0x2A0
#define SNP_RESPONSE_SIZE    4000 /* MSG_REPORT_RSP as the ioctl hands it out */
#define SNP_RESPONSE_HEADER  0x20
#define SNP_VERSION_MIN      2
#define SNP_VERSION_MAX      5
#define SNP_SCALAR_FIELD     72 /* bytes of r and of s in the report, little-endian, zero-extended */
#define SNP_SCALAR_SIZE      48 /* of them in use: P-384 */
#define SNP_ALGO_P384_SHA384 1
#define SNP_VMPL_HOST        0xFFFFFFFFu /* the host asked for the report, not the guest */

/** Where each field begins: for writers (the emulator). The parser's views are checked against it by a test.
 */
enum snp_offset {
    SNP_OFF_VERSION = 0x000,
    SNP_OFF_GUEST_SVN = 0x004,
    SNP_OFF_POLICY = 0x008,
    SNP_OFF_FAMILY_ID = 0x010,
    SNP_OFF_IMAGE_ID = 0x020,
    SNP_OFF_VMPL = 0x030,
    SNP_OFF_SIGNATURE_ALGO = 0x034,
    SNP_OFF_CURRENT_TCB = 0x038,
    SNP_OFF_PLATFORM_INFO = 0x040,
    SNP_OFF_FLAGS = 0x048,
    SNP_OFF_REPORT_DATA = 0x050,
    SNP_OFF_MEASUREMENT = 0x090,
    SNP_OFF_HOST_DATA = 0x0C0,
    SNP_OFF_ID_KEY_DIGEST = 0x0E0,
    SNP_OFF_AUTHOR_KEY_DIGEST = 0x110,
    SNP_OFF_REPORT_ID = 0x140,
    SNP_OFF_REPORT_ID_MA = 0x160,
    SNP_OFF_REPORTED_TCB = 0x180,
    SNP_OFF_CPUID_FAM_ID = 0x188, /* version 3 and up */
    SNP_OFF_CPUID_MOD_ID = 0x189,
    SNP_OFF_CPUID_STEP = 0x18A,
    SNP_OFF_CHIP_ID = 0x1A0,
    SNP_OFF_COMMITTED_TCB = 0x1E0,
    SNP_OFF_CURRENT_VERSION = 0x1E8, /* build, minor, major; one byte each */
    SNP_OFF_COMMITTED_VERSION = 0x1EC,
    SNP_OFF_LAUNCH_TCB = 0x1F0,
    SNP_OFF_LAUNCH_MIT_VECTOR = 0x1F8, /* version 5 and up */
    SNP_OFF_CURRENT_MIT_VECTOR = 0x200,
    SNP_OFF_SIGNATURE_R = 0x2A0,
    SNP_OFF_SIGNATURE_S = 0x2E8,
};

/** Guest policy, bit numbers; bits 7:0 are the ABI's minor, 15:8 its major minimum. */
enum snp_policy_bit {
    SNP_POLICY_SMT = 16,
    SNP_POLICY_RESERVED_ONE = 17, /* must be 1 */
    SNP_POLICY_MIGRATE_MA = 18,
    SNP_POLICY_DEBUG = 19,
    SNP_POLICY_SINGLE_SOCKET = 20,
    SNP_POLICY_CXL_ALLOW = 21,
    SNP_POLICY_MEM_AES_256_XTS = 22,
    SNP_POLICY_RAPL_DIS = 23,
    SNP_POLICY_CIPHERTEXT_HIDING_DRAM = 24,
    SNP_POLICY_PAGE_SWAP_DISABLE = 25,
};

/** PLATFORM_INFO, bit numbers. */
enum snp_platform_bit {
    SNP_PLATFORM_SMT_EN = 0,
    SNP_PLATFORM_TSME_EN = 1,
    SNP_PLATFORM_ECC_EN = 2,
    SNP_PLATFORM_RAPL_DIS = 3,
    SNP_PLATFORM_CIPHERTEXT_HIDING_DRAM_EN = 4,
    SNP_PLATFORM_ALIAS_CHECK_COMPLETE = 5,
    SNP_PLATFORM_TIO_EN = 7,
};

/** The signing key as the report's flags name it (bits 4:2); other values are reserved. */
enum snp_signing_key { SNP_KEY_VCEK = 0, SNP_KEY_VLEK = 1, SNP_KEY_NONE = 7 };

enum snp_product { SNP_UNKNOWN, SNP_MILAN, SNP_GENOA, SNP_TURIN, SNP_VENICE, SNP_PRODUCTS };

/** TCB_VERSION by component; compare component by component, never as one number. */
struct snp_tcb {
    uint8_t bootloader, tee, snp, microcode;
    uint8_t fmc; /* Turin and later */
    bool has_fmc;
};

struct snp_version {
    uint8_t build, minor, major;
};

/** A report in parts. Views point into the bytes parsed. */
struct snp_report {
    struct bytes raw; /* the report alone: SNP_REPORT_SIZE bytes */
    uint32_t version, guest_svn;
    uint64_t policy;
    struct bytes family_id, image_id; /* 16 each */
    uint32_t vmpl, signature_algo;
    struct bytes current_tcb; /* TCBs: 8 bytes as stored; snp_tcb_decode() */
    uint64_t platform_info;
    uint32_t flags;
    bool author_key_en, mask_chip_key;             /* flags, decoded */
    uint8_t signing_key;                           /* enum snp_signing_key, or a reserved value */
    struct bytes report_data;                      /* 64 */
    struct bytes measurement;                      /* 48 */
    struct bytes host_data;                        /* 32 */
    struct bytes id_key_digest, author_key_digest; /* 48 each */
    struct bytes report_id, report_id_ma;          /* 32 each */
    struct bytes reported_tcb;
    bool has_cpuid; /* version 3 and up */
    uint8_t cpuid_fam_id, cpuid_mod_id, cpuid_step;
    struct bytes chip_id; /* 64 */
    struct bytes committed_tcb;
    struct snp_version current, committed;
    struct bytes launch_tcb;
    bool has_mit_vectors; /* version 5 and up */
    uint64_t launch_mit_vector, current_mit_vector;
    struct bytes signature_r, signature_s; /* SNP_SCALAR_FIELD bytes each, little-endian */
    enum snp_product product;              /* SNP_UNKNOWN where the report does not say: most of version 2 */
    bool reserved_zero; /* every reserved field is zero, as the ABI of this version has it */
};

/** Splits a report: the bare 1184 bytes, or the firmware's response with the report at 0x20 (4000 bytes with
 * a zero tail as the ioctl gives it, or cut right after the report) when its status is 0.
 *  @param raw  untrusted, any length
 *  @param out  views into raw, valid while raw is; written only on success
 *  @return 0, or -1 with ERR_INPUT: another length or version, or a response that carries an error */
MUST_USE int snp_report_parse(struct bytes raw, struct snp_report *out, struct err *err);

/** The bytes that the signature covers: 0x000 to 0x29F of a bare report (at least that long). */
struct bytes snp_report_signed(struct bytes report);

/** Appends the signature as DER (ECDSA-Sig-Value), for ECDSA P-384 over SHA-384 of snp_report_signed().
 *  @return 0, or -1 with ERR_INPUT: another algorithm, no signing key, r or s zero or too long */
MUST_USE int snp_report_signature_der(const struct snp_report *report, struct buf *out, struct err *err);

/** Product of a combined CPUID family and model; SNP_UNKNOWN if no row fits. */
enum snp_product snp_product_of(uint8_t family, uint8_t model);

/** "Milan", "Genoa", "Turin", "Venice" as the KDS spells them, "" for SNP_UNKNOWN. */
const char *snp_product_name(enum snp_product product);

/** Product by name, any case; a stepping as in "Milan-B0" is ignored. SNP_UNKNOWN if no row fits. */
enum snp_product snp_product_by_name(struct bytes name);

/** Components of a TCB_VERSION in the product's layout; SNP_UNKNOWN is read as Milan and Genoa have it.
 *  @param tcb  8 bytes as stored; fewer give zeros */
struct snp_tcb snp_tcb_decode(enum snp_product product, struct bytes tcb);

/** The reverse, for writers and key requests: 8 bytes as stored. */
void snp_tcb_encode(enum snp_product product, const struct snp_tcb *tcb, uint8_t out[static 8]);

/** True if every component of a is at least that of b. */
bool snp_tcb_at_least(const struct snp_tcb *a, const struct snp_tcb *b);

/** Bytes of chip_id that name the chip: 8 on Turin and later, else 64. */
size_t snp_chip_id_size(enum snp_product product);

/** "vcek", "vlek", "none", or "reserved". */
const char *snp_signing_key_name(uint8_t signing_key);

/** New object {"bootloader","tee","snp","microcode"(,"fmc")}, or NULL when memory is short. */
json_t *snp_tcb_json(const struct snp_tcb *tcb);

/** New object with the policy decoded: abi_major, abi_minor and one boolean a bit. NULL: memory is short. */
json_t *snp_policy_json(uint64_t policy);

/** New object with one boolean a bit of PLATFORM_INFO. NULL: memory is short. */
json_t *snp_platform_info_json(uint64_t platform_info);

/** The report as JSON, "type": "snp_report" first; names as in the vendor's table. signature_r and
 * signature_s are the stored 72 bytes (little-endian); "signature" has r and s as 48 bytes, big-endian, as
 * ECDSA tools want them. TCB objects are decoded for the report's product; "..._tcb_raw" are the stored 8
 * bytes. sig_algo and key_info repeat signature_algo and flags under the names that other tools use.
 *  @return 0 with a new reference in *out, or -1 with ERR_IO when memory is short */
MUST_USE int snp_report_json(const struct snp_report *report, json_t **out, struct err *err);

#endif
