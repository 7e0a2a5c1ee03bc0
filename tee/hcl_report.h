/** tee/hcl_report.h: the report of Azure's paravisor (HCL, OpenHCL): a hardware report and the runtime claims
 * that its report_data is the hash of. Parsed is not trusted: the hardware report's signature, and the hash,
 * are the verifier's business; "user-data" is the guest's own. Source: microsoft/openvmm
 * openhcl_attestation_protocol (igvm_attest/get.rs); kinvolk/azure-cvm-tooling (az-cvm-vtpm/src/hcl).
 * Integers are little-endian. */
#ifndef CVM_TEE_HCL_REPORT_H
#define CVM_TEE_HCL_REPORT_H

#include "base/buf.h"

#include <jansson.h>

#define HCL_SIGNATURE      "HCLA"
#define HCL_HEADER_SIZE    0x20
#define HCL_HW_REPORT_SIZE 0x4A0 /* the area: an SNP report, or a TDREPORT and zeros */
#define HCL_OFF_RUNTIME    0x4C0
#define HCL_RUNTIME_HEADER 20
#define HCL_REPORT_MAX     (16u << 10)
#define HCL_USER_DATA      64
#define HCL_KEYS_MAX       16
#define HCL_KEY_AK         "HCLAkPub"
#define HCL_KEY_EK         "HCLEkPub"

enum hcl_request_type { HCL_KEY_RELEASE = 1, HCL_AK_CERTIFICATE = 2, HCL_WRAPPED_KEY = 3 };
enum hcl_report_type { HCL_VBS = 1, HCL_SNP = 2, HCL_TVM = 3, HCL_TDX = 4 };
enum hcl_hash_type { HCL_SHA256 = 1, HCL_SHA384 = 2, HCL_SHA512 = 3 };

struct hcl_report {
    uint32_t version; /* 1 or 2 */
    uint32_t report_size, request_type, status;
    struct bytes hw; /* the hardware report alone: 1184 (SNP) or 1024 bytes (TDX), else the whole area */
    uint32_t data_size, data_version; /* of the runtime data, their header included */
    uint32_t report_type, hash_type;
    bool has_host_requests; /* runtime data version 2 */
    uint32_t host_requests;
    struct bytes var_data; /* the runtime claims: JSON as the hardware report has hashed it */
    size_t total_len;      /* of the blob with its padding */
};

/** Splits a report as NV memory holds it; what follows the claims must be zero padding.
 *  @param raw  untrusted, any length
 *  @param out  views into raw, valid while raw is; written only on success
 *  @return 0, or -1: ERR_TOO_LARGE (over HCL_REPORT_MAX), ERR_INPUT */
MUST_USE int hcl_report_parse(struct bytes raw, struct hcl_report *out, struct err *err);

/** The hardware report: for snp_report_parse() or tdreport_parse(), as report_type says. */
struct bytes hcl_report_hw(const struct hcl_report *report);

/** The runtime claims exactly as hashed. */
struct bytes hcl_var_data(const struct hcl_report *report);

/** What report_data of the hardware report must be: the hash of the claims and zeros.
 *  @return 0, or -1 with ERR_IO: libcrypto refused */
MUST_USE int hcl_expected_report_data(const struct hcl_report *report, uint8_t out[static 64],
                                      struct err *err);

/** Runtime claims, parsed; free with hcl_claims_done(). */
struct hcl_claims {
    json_t *root;             /* the whole object */
    json_t *vm_configuration; /* borrowed from root; NULL if there is none */
    bool has_user_data;       /* older paravisors have none */
    uint8_t user_data[HCL_USER_DATA];
};

/** Parses claims strictly: one JSON object, "keys" an array of at most HCL_KEYS_MAX objects with distinct
 * "kid", "vm-configuration" an object, "user-data" 64 bytes in hex.
 *  @return 0, or -1: ERR_INPUT, ERR_TOO_LARGE */
MUST_USE int hcl_claims_parse(struct bytes var_data, struct hcl_claims *out, struct err *err);

/** For AUTO(hcl_claims_done). */
void hcl_claims_done(struct hcl_claims *c);

/** Appends the SubjectPublicKeyInfo (DER) of the RSA key with that kid.
 *  @return 0, or -1: ERR_NOT_FOUND (no such key), ERR_INPUT (no RSA key of 2048 to 4096 bits with an odd
 * exponent), ERR_TOO_LARGE (modulus or exponent over 512 and 4 bytes) */
MUST_USE int hcl_key_spki(const struct hcl_claims *c, const char *kid, struct buf *out, struct err *err);

/** hcl_key_spki() of the attestation key, straight from a report. */
MUST_USE int hcl_ak_spki(const struct hcl_report *report, struct buf *out, struct err *err);

/** The "user-data" that the guest had written when the report was made.
 *  @return 0, or -1 with ERR_NOT_FOUND: these claims have none */
MUST_USE int hcl_user_data(const struct hcl_claims *c, uint8_t out[static HCL_USER_DATA], struct err *err);

/** "VBS", "SNP", "TVM", "TDX", or "". */
const char *hcl_report_type_name(uint32_t report_type);

/** "sha256", "sha384", "sha512", or "". */
const char *hcl_hash_type_name(uint32_t hash_type);

/** The report as JSON, "type": "hcl_report" first, with the hardware report decoded under "snp_report" or
 * "tdreport" and the claims under "runtime_data", "vm_configuration" and "user_data". What does not parse is
 * null, with the reason under "hw_report_error" or "runtime_data_error".
 *  @return 0 with a new reference in *out, or -1 with ERR_IO when memory is short */
MUST_USE int hcl_report_json(const struct hcl_report *report, json_t **out, struct err *err);

#endif
