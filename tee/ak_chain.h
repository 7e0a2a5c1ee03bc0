/** tee/ak_chain.h: the certificates above an attestation key's certificate (Google, Microsoft): from the
 * built-in pool, else from the address that a certificate names for its issuer (AIA caIssuers, http), kept
 * like the VEK certificates. Unverified material for the document; a verifier judges it. */
#ifndef CVM_TEE_AK_CHAIN_H
#define CVM_TEE_AK_CHAIN_H

#include "tee/vek.h"

#define AK_CHAIN_MAX 4

struct ak_chain {
    struct buf cert[AK_CHAIN_MAX]; /* DER, issuer of the leaf first; the last is self-issued if complete */
    size_t n;
};

/** For AUTO(ak_chain_done). */
void ak_chain_done(struct ak_chain *c);

/** Finds the chain without waiting; each certificate really signs the one before.
 *  @param leaf  AK certificate, DER (zero padding of an NV index allowed)
 *  @return 0 with a chain up to a self-issued certificate, or -1: ERR_NOT_FOUND with a sentence for the
 *          document's "missing" (out then holds nothing), ERR_INPUT: not a certificate */
MUST_USE int ak_chain_get(struct vek_store *s, struct bytes leaf, struct ak_chain *out, struct err *why);

/** Fetches what is missing in the background, as vek_fetch() does: one flight a leaf.
 *  @return 0 and done will be called; or -1 and it will not: ERR_NOT_FOUND (no address to ask) */
MUST_USE int ak_chain_fetch(struct vek_store *s, struct bytes leaf, unsigned deadline_ms, vek_done_fn *done,
                            void *arg, struct err *err);

#endif
