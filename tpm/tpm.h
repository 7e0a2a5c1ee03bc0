/** tpm/tpm.h: one TPM 2.0 connection over ESYS: keys, quotes, PCRs, NV memory.
 *  A struct tpm is owned by one thread (the TPM worker); nothing here locks. No call leaves a session or a
 * transient object behind, whatever happens. TPM_RC_RETRY, YIELDED and TESTING are retried with a deadline.
 *  Source: TCG TPM 2.0 Library Parts 1-3, revision 1.59. */
#ifndef CVM_TPM_TPM_H
#define CVM_TPM_TPM_H

#include "base/buf.h"
#include "base/digest.h"

#include <tss2/tss2_tcti.h>

#define TPM_PCRS      24
#define TPM_PCRS_ALL  0x00FFFFFFu
#define TPM_BANKS_MAX 8
#define TPM_NV_MAX    65536 /* an NV index size is a u16 */

struct tpm;

/** Opens a TCTI by its tctildr name ("device:/dev/tpmrm0", "swtpm:path=/run/x.sock") and ESYS over it. Stale
 * transient objects and sessions that an earlier, killed instance left are flushed.
 *  @return 0, or -1 with ERR_UNAVAILABLE (nobody answers, the reason in the text) or ERR_INPUT (not a TCTI
 * name) */
MUST_USE int tpm_open(const char *tcti, struct tpm **out, struct err *err);

/** As tpm_open(), over a TCTI that the caller made (soft TPM, filters). The TCTI is not owned: the caller
 * finalises it after tpm_close(). */
MUST_USE int tpm_open_tcti(TSS2_TCTI_CONTEXT *tcti, struct tpm **out, struct err *err);

/** Closes ESYS and what tpm_open() opened. NULL is fine. */
void tpm_close(struct tpm *t);

/** True for errors after which the connection itself should be closed and opened anew (I/O, device gone). */
bool tpm_error_is_fatal(const struct err *err);

/* ---- PCRs ---- */

/** Active banks: TCG algorithm ids with all 24 PCRs allocated, in the TPM's order. */
struct tpm_banks {
    size_t n;
    uint16_t alg[TPM_BANKS_MAX];
};
MUST_USE int tpm_banks_get(struct tpm *t, struct tpm_banks *out, struct err *err);

/** Values of one bank; pcr[i] is valid where mask has bit i. */
struct tpm_pcrs {
    uint16_t alg;
    uint32_t mask;
    struct digest pcr[TPM_PCRS];
};

/** Reads the PCRs of mask (24 at once takes three commands); begins again when the PCR update counter moved
 * between two commands. @return 0, or -1 with ERR_NOT_FOUND when the bank is not active */
MUST_USE int tpm_pcr_read(struct tpm *t, uint16_t alg, uint32_t mask, struct tpm_pcrs *out, struct err *err);

/** TPM2_PCR_Extend of one PCR in all banks given at once; digests[i].alg says which bank. */
MUST_USE int tpm_pcr_extend(struct tpm *t, unsigned pcr, const struct digest *digests, size_t n,
                            struct err *err);

/** TPM2_PCR_Reset (16 and 23 only; others: ERR_DENIED). */
MUST_USE int tpm_pcr_reset(struct tpm *t, unsigned pcr, struct err *err);

/* ---- Keys ---- */

/** Where an attestation key comes from. */
enum tpm_ak_source {
    TPM_AK_PERSISTENT,  /* a persistent handle, as Azure's 0x81000003 */
    TPM_AK_NV_TEMPLATE, /* endorsement primary from the TPMT_PUBLIC in an NV index, as GCP's 0x01C10001,
                           0x01C10003 */
    TPM_AK_PRIMARY /* our own restricted P-256 signing primary in the endorsement hierarchy, always the same
                      key */
};

struct tpm_ak {
    uint32_t esys;          /* ESYS_TR while loaded */
    bool persistent;        /* nothing to flush */
    struct buf public_area; /* TPMT_PUBLIC as marshalled by the TPM */
    struct buf spki;        /* DER SubjectPublicKeyInfo rebuilt from it */
};

/** Loads or creates the key and reads its public area. handle: the persistent handle or the template's NV
 * index. The key must be restricted, sign, not decrypt, have a scheme: else ERR_DENIED.
 *  @return 0, or -1 with ERR_NOT_FOUND when the handle or NV index does not exist */
MUST_USE int tpm_ak_load(struct tpm *t, enum tpm_ak_source source, uint32_t handle, struct tpm_ak *out,
                         struct err *err);

/** Flushes the key (unless persistent) and frees its buffers. */
void tpm_ak_done(struct tpm *t, struct tpm_ak *ak);

/** TPM2_Quote with the key's own scheme over the PCRs of mask in one bank.
 *  @param extra   qualifying data, at most 64 bytes
 *  @param attest  receives the TPMS_ATTEST without its size prefix
 *  @param sig     receives the marshalled TPMT_SIGNATURE */
MUST_USE int tpm_quote(struct tpm *t, const struct tpm_ak *ak, uint16_t alg, uint32_t mask,
                       struct bytes extra, struct buf *attest, struct buf *sig, struct err *err);

/* ---- A signing key of this boot ---- */

/** The P-256 key that the null hierarchy's seed, new at each TPM reset, gives for this salt: the same one
 * until the next reset, then gone. Made for each call and flushed: nothing stays in the TPM.
 *  @param xy  the public point, x and y of 32 bytes each */
MUST_USE int tpm_boot_key(struct tpm *t, const uint8_t salt[static 32], uint8_t xy[static 64],
                          struct err *err);

/** Signs a SHA-256 with it (ECDSA).
 *  @param rs  r and s of 32 bytes each */
MUST_USE int tpm_boot_key_sign(struct tpm *t, const uint8_t salt[static 32], const uint8_t digest[static 32],
                               uint8_t xy[static 64], uint8_t rs[static 64], struct err *err);

/* ---- NV memory, owner authorisation with the empty password ---- */

/** Size in bytes of an index. @return 0, or -1 with ERR_NOT_FOUND */
MUST_USE int tpm_nv_size(struct tpm *t, uint32_t index, size_t *out, struct err *err);

/** Reads a whole index in chunks of TPM_PT_NV_BUFFER_MAX; appends to out. Authorises as the index's
 * attributes allow (owner, else the index itself). */
MUST_USE int tpm_nv_read(struct tpm *t, uint32_t index, struct buf *out, struct err *err);

/** Writes all of data at offset 0 in chunks. */
MUST_USE int tpm_nv_write(struct tpm *t, uint32_t index, struct bytes data, struct err *err);

/** Defines an ordinary index, nameAlg SHA-256, ownerread + ownerwrite (+ authread + authwrite + no_da). */
MUST_USE int tpm_nv_define(struct tpm *t, uint32_t index, size_t size, struct err *err);

/** TPM2_NV_UndefineSpace with owner authorisation. */
MUST_USE int tpm_nv_undefine(struct tpm *t, uint32_t index, struct err *err);

/* ---- Provisioning, for the emulator ---- */

/** Creates a primary key from a marshalled TPMT_PUBLIC template in the endorsement (or owner) hierarchy and,
 * unless persistent is 0, makes it persistent at that handle (replacing what was there). The transient object
 * is flushed.
 *  @param public_area  receives the TPMT_PUBLIC of the key */
MUST_USE int tpm_primary_provision(struct tpm *t, bool endorsement, struct bytes template_,
                                   uint32_t persistent, struct buf *public_area, struct err *err);

#endif
