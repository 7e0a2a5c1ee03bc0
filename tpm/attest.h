/** tpm/attest.h: TPMS_ATTEST, what a TPM signs. Big-endian. Parsed is not trusted: no signature is checked
 * here. Source: TCG TPM 2.0 Library Part 2, revision 1.59, section 10.12 (attestation structures). */
#ifndef CVM_TPM_ATTEST_H
#define CVM_TPM_ATTEST_H

#include "base/bytes.h"

#include <jansson.h>

/** TPM_GENERATED_VALUE: a restricted key signs outside data only if it does not begin with it. */
#define TPM_ATTEST_MAGIC 0xFF544347u

/** Bank selections in one quote; a TPM has at most as many as it has hash algorithms. */
#define TPM_SELECTIONS_MAX 16

/** TPMI_ST_ATTEST. */
enum tpm_attest_type {
    TPM_ATTEST_NV = 0x8014,
    TPM_ATTEST_COMMAND_AUDIT = 0x8015,
    TPM_ATTEST_SESSION_AUDIT = 0x8016,
    TPM_ATTEST_CERTIFY = 0x8017,
    TPM_ATTEST_QUOTE = 0x8018,
    TPM_ATTEST_TIME = 0x8019,
    TPM_ATTEST_CREATION = 0x801A,
    TPM_ATTEST_NV_DIGEST = 0x801C
};

/** One TPMS_PCR_SELECTION. */
struct tpm_selection {
    uint16_t alg;   /* the bank */
    uint32_t mask;  /* bit n: PCR n */
    unsigned count; /* PCRs selected */
};

struct tpm_attest {
    struct bytes raw; /* the TPMS_ATTEST without a size prefix: the bytes that the signature covers */
    uint32_t magic;
    uint16_t type;
    struct bytes qualified_signer, extra_data;
    uint64_t clock; /* milliseconds */
    uint32_t reset_count, restart_count;
    bool safe;
    uint64_t firmware_version;
    struct bytes attested; /* what follows, of any type, as bytes */
    struct {               /* decoded for type TPM_ATTEST_QUOTE only, else zero */
        size_t n;
        struct tpm_selection selections[TPM_SELECTIONS_MAX];
        struct bytes pcr_digest;
    } quote;
};

/** Parses a TPMS_ATTEST with or without the TPM2B size prefix, and all of it: trailing bytes are refused.
 *  @param out  views into raw; written only on success
 *  @return 0, or -1 with ERR_INPUT: not TPM generated (magic), unknown type, cut short, too long */
MUST_USE int tpm_attest_parse(struct bytes raw, struct tpm_attest *out, struct err *err);

/** "ATTEST_QUOTE" and so on; NULL for a type that is none. */
const char *tpm_attest_type_name(uint16_t type);

/** The fields as a new JSON object, flat: "magic", "attest_type", "attest_type_name", "qualified_signer",
 * "extra_data", "clock", "reset_count", "restart_count", "safe", "firmware_version" (16 hex digits); for a
 * quote "pcr_select":[{"hash":"sha256","alg":"0x000b","pcrs":[0,1]}] and "pcr_digest", else "attested" in
 * hex.
 * @return NULL when memory is short */
json_t *tpm_attest_json(const struct tpm_attest *attest);

#endif
