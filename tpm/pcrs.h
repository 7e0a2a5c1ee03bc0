/** tpm/pcrs.h: PCR values as files, as JSON, and as the digest that a quote carries. No TPM is asked here. */
#ifndef CVM_TPM_PCRS_H
#define CVM_TPM_PCRS_H

#include "tpm/attest.h"
#include "tpm/tpm.h"

/** Largest PCR file that is read: 24 values of SHA-512 in hex take 4 KiB. */
#define TPM_PCRS_FILE_MAX 65536

/** Parses a PCR file {"alg":"sha256","pcrs":{"0":hex,...}}; other members are ignored, not every PCR needs to
 * be there. PCR numbers are decimal without leading zeros.
 *  @return 0, or -1 with ERR_INPUT naming the member, or ERR_TOO_LARGE */
MUST_USE int tpm_pcrs_parse(struct bytes text, struct tpm_pcrs *out, struct err *err);

/** As tpm_pcrs_parse(); also takes {"sha256":{"0":hex,...},"sha384":{...}}, several banks by name, of which
 * one is read.
 *  @param alg  the bank wanted; 0: SHA-256, or the first if it is not there. A file of one bank gives that
 * one
 *  @return 0, or -1 with ERR_INPUT or ERR_TOO_LARGE */
MUST_USE int tpm_pcrs_parse_bank(struct bytes text, uint16_t alg, struct tpm_pcrs *out, struct err *err);

/** {"0":hex,...} of the values that are valid, ascending. NULL when memory is short. */
json_t *tpm_pcrs_values_json(const struct tpm_pcrs *pcrs);

/** The PCR file as a JSON object. NULL when memory is short. */
json_t *tpm_pcrs_json(const struct tpm_pcrs *pcrs);

/** The pcrDigest of a quote: hash_alg over the selected values, selection by selection in their order,
 * ascending inside each (TPM 2.0 Part 3, TPM2_Quote). hash_alg is that of the signing scheme, not of the
 * bank.
 *  @param banks  the values known, one entry a bank
 *  @return 0, or -1 with ERR_INPUT: a selected PCR has no value here, or hash_alg is unknown */
MUST_USE int tpm_pcr_digest(const struct tpm_selection *selections, size_t n, const struct tpm_pcrs *banks,
                            size_t bank_count, uint16_t hash_alg, struct digest *out, struct err *err);

#endif
