/** tpm/public.h: TPMT_PUBLIC, the public area of a TPM key (RSA and ECC). Big-endian.
 *  Source: TCG TPM 2.0 Library Part 2, revision 1.59, section 12.2.4; Part 1, section 16 (names). */
#ifndef CVM_TPM_PUBLIC_H
#define CVM_TPM_PUBLIC_H

#include "base/buf.h"
#include "base/x509.h"

#include <jansson.h>

enum { TPM_KEY_RSA = 0x0001, TPM_KEY_ECC = 0x0023 };
enum { TPM_CURVE_P256 = 3, TPM_CURVE_P384 = 4, TPM_CURVE_P521 = 5 };

/** TPMA_OBJECT, those bits that somebody decides on. */
enum {
    TPM_ATTR_FIXED_TPM = 1u << 1,
    TPM_ATTR_FIXED_PARENT = 1u << 4,
    TPM_ATTR_SENSITIVE_DATA_ORIGIN = 1u << 5,
    TPM_ATTR_USER_WITH_AUTH = 1u << 6,
    TPM_ATTR_ADMIN_WITH_POLICY = 1u << 7,
    TPM_ATTR_RESTRICTED = 1u << 16,
    TPM_ATTR_DECRYPT = 1u << 17,
    TPM_ATTR_SIGN = 1u << 18
};

struct tpm_public {
    struct bytes raw;  /* the TPMT_PUBLIC without a size prefix: what the Name hashes */
    uint16_t type;     /* TPM_KEY_RSA or TPM_KEY_ECC */
    uint16_t name_alg; /* a known hash */
    uint32_t attributes;
    struct bytes auth_policy;
    uint16_t sym_alg, sym_bits, sym_mode; /* sym_alg 0x0010 (NULL) for signing keys, the others then 0 */
    uint16_t scheme, scheme_hash;         /* scheme 0x0010: none; scheme_hash 0 where the scheme has none */
    uint16_t key_bits;                    /* RSA */
    uint32_t exponent;                    /* RSA; 65537 where the area says 0 */
    struct bytes modulus;                 /* RSA; empty in some templates */
    uint16_t curve, kdf, kdf_hash;        /* ECC */
    struct bytes x, y;                    /* ECC; at most the curve's size, empty in some templates */
};

/** Parses a TPMT_PUBLIC with or without the TPM2B size prefix, and all of it. A template parses too.
 *  @param out  views into raw; written only on success
 *  @return 0, or -1 with ERR_INPUT and the offset */
MUST_USE int tpm_public_parse(struct bytes raw, struct tpm_public *out, struct err *err);

/** The key for libcrypto; the caller frees with EVP_PKEY_free(). ERR_INPUT: a template without a key, a point
 * that is not on its curve, an even modulus. */
MUST_USE int tpm_public_key(const struct tpm_public *pub, EVP_PKEY **out, struct err *err);

/** Whether it is this key's; NULL: none.
 *  @return 0 with *same written, or -1 as tpm_public_key() */
MUST_USE int tpm_public_is(const struct tpm_public *pub, EVP_PKEY *key, bool *same, struct err *err);

/** Appends the DER SubjectPublicKeyInfo of the key. */
MUST_USE int tpm_public_spki(const struct tpm_public *pub, struct buf *out, struct err *err);

/** Appends the Name: name_alg as two bytes, and the hash of the public area with it. */
MUST_USE int tpm_public_name(const struct tpm_public *pub, struct buf *out, struct err *err);

/** Checks that the key can only sign what its TPM made: restricted, sign, not decrypt, fixedTPM, with a
 * signing scheme. @return 0, or -1 with ERR_DENIED and everything that is wrong in one sentence */
MUST_USE int tpm_public_check_ak(const struct tpm_public *pub, struct err *err);

/** The fields as a new JSON object. NULL when memory is short. */
json_t *tpm_public_json(const struct tpm_public *pub);

#endif
