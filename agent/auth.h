/** agent/auth.h: who may manage this machine (contract, section 8): one bearer token, given out once a boot
 * or preset by the deployer. Only its SHA-256 is kept, below the state folder too, so that it outlives a
 * restart of the agent within the boot. Callable from any thread. */
#ifndef CVM_AGENT_AUTH_H
#define CVM_AGENT_AUTH_H

#include "agent/limits.h"
#include "base/bytes.h"

/** A token that we make: letters and digits, 190 bits. */
#define TOKEN_SIZE 32
/** Who a token is in the journal: 32 hex digits of its SHA-256, enough that nobody finds a second one. */
#define TOKEN_ID_SIZE 33
/** Wrong tokens that one address may show in a minute. */
#define TOKEN_TRIES 5

struct auth;

struct auth_options {
    const char *state;   /* folder of auth.json */
    const char *boot_id; /* a token of another boot is forgotten */
    const char *preset;  /* content of a token_hash file: hex SHA-256, white space around it; NULL: none */
};

/** Reads what this boot has.
 *  @return 0, or -1: ERR_INPUT (auth.json is damaged, or the preset is no SHA-256), ERR_IO */
MUST_USE int auth_new(const struct auth_options *options, struct auth **out, struct err *err);
void auth_free(struct auth *a);

/** The id of a preset token that this boot does not use yet, into out; the caller writes it to the journal
 * and then calls auth_use_preset(). @return false: there is none */
bool auth_preset(struct auth *a, char out[static TOKEN_ID_SIZE]);

/** Puts the preset token into force once the rules are known too; never where there is an owner. */
MUST_USE int auth_use_preset(struct auth *a, struct err *err);

/** What the measured workload says; before, /api-token waits and tokens are wanted. */
struct auth_rules {
    bool required;          /* https_server.enable_auth */
    struct bytes owner_pub; /* owner.pub, PEM or DER, copied; empty: there is no owner */
};

/** With an owner a preset token is forgotten.
 *  @return 0, or -1: ERR_INPUT (owner.pub is neither P-256 nor Ed25519; the rules are then not known), ERR_IO
 * (a preset token could not be put into force) */
MUST_USE int auth_set_rules(struct auth *a, const struct auth_rules *rules, struct err *err);

/** Who calls. */
struct auth_caller {
    char token_id[TOKEN_ID_SIZE]; /* "": no token was wanted */
};

/** Checks an Authorization header in constant time.
 *  @param header  NULL: none was sent
 *  @param retry_after_s  written with ERR_LIMITED
 *  @return 0, or -1: ERR_UNAUTHENTICATED, ERR_LIMITED (too many wrong ones from this address) */
MUST_USE int auth_check(struct auth *a, const char *header, const struct address *who, uint64_t now_ms,
                        struct auth_caller *out, unsigned *retry_after_s, struct err *err);

/** May /api-token be answered? The owner's signature is checked where there is an owner.
 *  @param signature  value of X-Owner-Signature, NULL: none
 *  @return 0, or -1: ERR_UNAVAILABLE (rules are not known yet), ERR_DENIED (given, preset or not needed,
 *  or the owner has not signed) */
MUST_USE int auth_may_give(struct auth *a, const char *signature, const uint8_t spki_sha256[static 32],
                           struct err *err);

/** Whether updates must be signed. */
bool auth_has_owner(struct auth *a);

/** The owner's signature of an update, where there is an owner: over SHA-256("cvm-agent/update" 00, version
 * as u64be, SHA-384 of the zip).
 *  @param signed_  receives whether there is an owner (and he has signed)
 *  @return 0, or -1: ERR_DENIED, ERR_UNAVAILABLE */
MUST_USE int auth_check_update(struct auth *a, const char *signature, uint64_t version,
                               const uint8_t zip_sha384[static 48], bool *signed_, struct err *err);

/** A new token, not in force yet. */
MUST_USE int auth_make(char token[static TOKEN_SIZE + 1], char id[static TOKEN_ID_SIZE], struct err *err);

/** Puts a token into force, in place of the one before; on disk first. */
MUST_USE int auth_use(struct auth *a, const char *token, struct err *err);

#endif
