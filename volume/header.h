/** volume/header.h: the first bytes of the volume's partition. They belong to the host until a MAC under the
 * sealed secret says that they are ours; before that, one token is read from them and nothing else.
 *
 *   0        mark (4096 bytes) of a partition that may be formatted, or a LUKS2 header
 *   32 KiB   key slots
 *   2 MiB - 4096   MAC block: text and HMAC-SHA256 over all before it
 *   2 MiB    encrypted data with their integrity tags
 *
 * Source: LUKS2 On-Disk Format Specification 1.1.1, sections 2 and 3. */
#ifndef CVM_VOLUME_HEADER_H
#define CVM_VOLUME_HEADER_H

#include "base/json.h"
#include "tpm/tpm.h"

#define VOLUME_PARTITION   "cvm-volume"
#define VOLUME_HEADER_SIZE (2u << 20)
#define VOLUME_BLOCK       4096u
#define VOLUME_MAC_AT      (VOLUME_HEADER_SIZE - VOLUME_BLOCK)
#define VOLUME_LUKS_SIZE   16384u /* of each of the two headers, its JSON included */

/** The first block of a partition that may be formatted: this text, then zeros. scripts/build-image writes
 * it. */
#define VOLUME_MARK "cvm-agent: an empty volume, to be formatted at the first boot\n"

enum volume_state { VOLUME_EMPTY, VOLUME_LUKS, VOLUME_FOREIGN };

/** What the first block says; foreign: neither. header: at least one block. */
enum volume_state volume_header_state(struct bytes header);

/** The member of the header that leads to the key. */
struct volume_token {
    struct buf sealed;          /* blob of tpm/sealed.h */
    struct tpm_pcrs pcrs;       /* values when it was sealed; untrusted, only for messages */
    struct buf recovery;        /* the recovery key under the owner's public key; empty: there is none */
    uint8_t recovery_owner[32]; /* SHA-256 of that public key (DER SubjectPublicKeyInfo) */
};

void volume_token_done(struct volume_token *token);

/** Finds the one token of ours in a LUKS2 header.
 *  @param header  VOLUME_HEADER_SIZE bytes as they lay on the disk; untrusted
 *  @param out     to be released by volume_token_done(); written only on success
 *  @return 0, or -1 with ERR_INPUT and what is wrong, ERR_NOT_FOUND: no such token */
MUST_USE int volume_token_find(struct bytes header, struct volume_token *out, struct err *err);

/** The token as LUKS2 stores it, for both key slots that it leads to. @return a new reference, or NULL */
json_t *volume_token_json(const struct volume_token *token);

/** Names the PCRs of mask whose values are not those of then: "4, 9", or "none". Returns out. */
char *volume_pcrs_differing(const struct tpm_pcrs *then, const struct tpm_pcrs *now, char *out, size_t size);

#endif
