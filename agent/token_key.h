/** agent/token_key.h: the RSA key that signs appraisal tokens: of a file that several agents share, or made
 * at the start, in the background. Callable from several threads. */
#ifndef CVM_AGENT_TOKEN_KEY_H
#define CVM_AGENT_TOKEN_KEY_H

#include "base/jwt.h"

struct token_key;

/** @param path  a PEM file, or empty: a key is made */
MUST_USE int token_key_new(const char *path, struct token_key **out, struct err *err);

/** NULL is fine. */
void token_key_free(struct token_key *k);

/** The key is there when this returns; who needs it while it is made waits. */
MUST_USE int token_key_need(struct token_key *k, struct err *err);

/** The answer of /certs; after token_key_need(). Valid as long as the key. */
const char *token_key_jwks(const struct token_key *k);

/** Appends a token. @param rs256  instead of PS384 */
MUST_USE int token_key_sign(struct token_key *k, bool rs256, const json_t *claims, struct buf *out,
                            struct err *err);

#endif
