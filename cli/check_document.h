/** cli/check_document.h: what a client can say about a collaterals document at the moment it is fetched: it
 * answers this question, and it belongs to the TLS key that handed it over. This is not verification: whose
 * TPM and whose TEE made it is judged by "cvm-cli verify". */
#ifndef CVM_CLI_CHECK_DOCUMENT_H
#define CVM_CLI_CHECK_DOCUMENT_H

#include "base/buf.h"

struct document_check {
    struct bytes nonce;         /* as asked */
    bool external;              /* asked over TLS: the magic must say so */
    const uint8_t *spki_sha256; /* of the TLS peer, or NULL: its key is not looked at */
    const uint8_t *spki_sha384;
};

/** Checks, in this order: nonce and magic of the document; the TPM quote's signature by the document's own
 * AK, its extraData and PCR digest; with a peer: tls_spki_sha256, the journal's first tls-key event, and the
 * journal against PCR 14.
 *  @param checked  appends what was checked, separated by ", "
 *  @param left     appends what could not be: no TPM in the document, no AK public area
 *  @return 0, or -1: ERR_DENIED (a check says no), ERR_INPUT (not a collaterals document) */
MUST_USE int document_check(struct bytes document, const struct document_check *want, struct buf *checked,
                            struct buf *left, struct err *err);

#endif
