/** tpm/signature.h: TPMT_SIGNATURE as bytes in, and out in the form that libcrypto verifies. Big-endian.
 *  Source: TCG TPM 2.0 Library Part 2, revision 1.59, section 11.3. */
#ifndef CVM_TPM_SIGNATURE_H
#define CVM_TPM_SIGNATURE_H

#include "base/buf.h"
#include "base/digest.h"

#include <jansson.h>

/** Signature and encryption schemes, TPM_ALG_ID (TCG Algorithm Registry, table 3). */
enum {
    TPM_SCHEME_NULL = 0x0010,
    TPM_SCHEME_RSASSA = 0x0014,
    TPM_SCHEME_RSAES = 0x0015,
    TPM_SCHEME_RSAPSS = 0x0016,
    TPM_SCHEME_OAEP = 0x0017,
    TPM_SCHEME_ECDSA = 0x0018
};

struct tpm_signature {
    uint16_t scheme;   /* RSASSA, RSAPSS or ECDSA */
    uint16_t hash;     /* a known hash; SHA-1 too: refusing it is the verifier's part */
    bool bare;         /* there was no TPMT_SIGNATURE around it: scheme and hash are the caller's word */
    struct bytes rsa;  /* RSASSA, RSAPSS: 256, 384 or 512 bytes */
    struct bytes r, s; /* ECDSA: at most 66 bytes each; TPMs strip leading zeros or do not */
};

/** Parses a TPMT_SIGNATURE and all of it.
 *  @param out  views into raw; written only on success
 *  @return 0, or -1 with ERR_INPUT: another scheme, unknown hash, sizes that no key of ours has, trailing
 * bytes */
MUST_USE int tpm_signature_parse(struct bytes raw, struct tpm_signature *out, struct err *err);

/** Takes a bare RSA signature of 256, 384 or 512 bytes, as some recorded quotes have it. Never a fallback
 * inside tpm_signature_parse(): the caller asks for it and says scheme (RSASSA or RSAPSS) and hash.
 *  @return 0, or -1 with ERR_INPUT: another length, scheme or hash */
MUST_USE int tpm_signature_parse_bare(struct bytes raw, uint16_t scheme, uint16_t hash,
                                      struct tpm_signature *out, struct err *err);

/** Appends what EVP_DigestVerify takes: SEQUENCE { r, s } in DER for ECDSA, the bytes themselves for RSA. */
MUST_USE int tpm_signature_to_der(const struct tpm_signature *sig, struct buf *out, struct err *err);

/** "rsassa", "rsapss", "ecdsa", "null", ...; NULL for an unknown scheme. */
const char *tpm_scheme_name(uint16_t scheme);

/** The fields as a new JSON object: "sig_alg", "hash", and "sig" or "r" and "s" in hex. NULL when memory is
 * short. */
json_t *tpm_signature_json(const struct tpm_signature *sig);

#endif
