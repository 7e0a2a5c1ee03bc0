/** tpm/sealed.h: a secret that a TPM gives back only while chosen PCRs of its SHA-256 bank hold the values
 * that they held when it was sealed. The blob is kept where others can write it, so it is parsed as hostile
 * bytes, and the TPM's own ticket says in which state it was made: a blob that another system sealed for this
 * one, with a secret that it knows, is refused. Source: TCG TPM 2.0 Library Part 1, 19.7 and 35.3; Part
 * 2, 12.2.4, 15.1; Part 3, 18.3 and 23.7. */
#ifndef CVM_TPM_SEALED_H
#define CVM_TPM_SEALED_H

#include "tpm/tpm.h"

#define SEALED_BLOB_MAX   2048
#define SEALED_SECRET_MAX 64

/** A parsed blob: the marshalled parts one behind the other, nothing between and nothing behind them. */
struct sealed {
    struct bytes public_area;   /* TPM2B_PUBLIC with its size */
    struct bytes private_area;  /* TPM2B_PRIVATE with its size */
    struct bytes creation_data; /* TPM2B_CREATION_DATA with its size */
    struct bytes ticket;        /* TPMT_TK_CREATION */
    struct bytes policy;        /* 32 bytes: what has to hold for the secret to be given */
    uint32_t mask;              /* PCRs that were recorded when it was made */
    struct bytes pcr_digest;    /* 32 bytes: SHA-256 over their values, lowest first */
};

/** Splits a blob. Only a sealed object as tpm_seal() makes it passes: that one type, attributes and hash, no
 * other way to its secret than the policy, the SHA-256 bank alone.
 *  @param out  views into raw; written only on success
 *  @return 0, or -1 with ERR_INPUT and the part */
MUST_USE int sealed_parse(struct bytes raw, struct sealed *out, struct err *err);

/** SHA-256 over the values of the PCRs in pcrs->mask, lowest first. */
void sealed_pcr_digest(const struct tpm_pcrs *pcrs, uint8_t out[static 32]);

/** The policy "these PCRs have this digest": TPM2_PolicyPCR from an empty policy. */
void sealed_policy(uint32_t mask, const uint8_t pcr_digest[static 32], uint8_t out[static 32]);

/** Seals a secret to the present values of the PCRs in mask. On its way to the TPM it is encrypted under a
 * key that only the holder of the storage key's private half can compute.
 *  @param secret  1 to SEALED_SECRET_MAX bytes
 *  @param blob    receives at most SEALED_BLOB_MAX bytes
 *  @param pcrs    receives the values that it was sealed to */
MUST_USE int tpm_seal(struct tpm *t, struct bytes secret, uint32_t mask, struct buf *blob,
                      struct tpm_pcrs *pcrs, struct err *err);

/** Gives the secret back. The blob must be one that this TPM made for these PCRs while they held the values
 * that they hold now.
 *  @param secret  receives at most SEALED_SECRET_MAX bytes, encrypted on their way as above
 *  @return 0, or -1: ERR_INPUT (no such blob), ERR_DENIED (other PCRs, other values, another TPM, or made by
 *  somebody else) */
MUST_USE int tpm_unseal(struct tpm *t, struct bytes blob, uint32_t mask, struct buf *secret, struct err *err);

#endif
