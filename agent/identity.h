/** agent/identity.h: the key by which the machine signs messages for its workload (contract, section 2):
 * P-256, in the TPM, of this boot. The journal names it before it signs. Not locked: operate's thread alone.
 */
#ifndef CVM_AGENT_IDENTITY_H
#define CVM_AGENT_IDENTITY_H

#include "agent/journal.h"

#define IDENTITY_SIZE 32

struct identity;

struct identity_options {
    struct collector *collector;
    struct journal *journal; /* NULL: no key is made */
    const char *state, *boot_id;
};

MUST_USE int identity_new(const struct identity_options *options, struct identity **out, struct err *err);
void identity_free(struct identity *i);

/** The hash of the key: keccak256 of x and y. Makes a key if this boot has none.
 *  @param renew  a new key in place of the one there is
 *  @return 0, or -1: ERR_UNAVAILABLE (no TPM, no journal), ERR_IO */
MUST_USE int identity_hash(struct identity *i, bool renew, uint8_t hash[static IDENTITY_SIZE],
                           struct err *err);

/** Signs the SHA-256 of a message. @param rs  r and s of 32 bytes each */
MUST_USE int identity_sign(struct identity *i, struct bytes message, bool renew,
                           uint8_t hash[static IDENTITY_SIZE], uint8_t rs[static 64], struct err *err);

#endif
