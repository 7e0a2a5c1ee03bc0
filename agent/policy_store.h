/** agent/policy_store.h: the Rego policies that appraisals may name: those that an operator puts through
 * PUT /policies, kept below the state folder, and those of a folder of the verified root, which nobody
 * changes. Each is compiled once, when it comes in; a held policy stays valid while another takes its place.
 * Callable from any thread. */
#ifndef CVM_AGENT_POLICY_STORE_H
#define CVM_AGENT_POLICY_STORE_H

#include "policy/rego/policy.h"

#define POLICY_STORE_MAX 100 /* policies at once */
#define STORED_NAME_MAX  128
#define STORED_TEXT_MAX  REGO_POLICY_TEXT_MAX
#define STORED_ID_SIZE   37 /* a UUID and its terminator */
#define STORED_HASH_SIZE 65 /* base64 of SHA-384 */

struct policy_store;

/** What is known of one policy. */
struct stored_policy {
    char id[STORED_ID_SIZE];
    char name[STORED_NAME_MAX + 1];
    unsigned version; /* from 1; counts what was put under this name */
    char hash[STORED_HASH_SIZE];
};

/** Opens the store. A kept policy that cannot be read, or no longer compiles, is left out and logged.
 *  @param state      folder; policies lie in STATE/policies
 *  @param directory  folder of *.rego files, each under its name without ".rego"; "" or NULL: none. All must
 *                    compile
 *  @return 0, or -1: ERR_IO, ERR_INPUT or ERR_TOO_LARGE (a file of directory, named) */
MUST_USE int policy_store_new(const char *state, const char *directory, struct policy_store **out,
                              struct err *err);

/** NULL is fine. Nothing may be held any more. */
void policy_store_free(struct policy_store *s);

/** Compiles and keeps a policy, in place of an older one of that name; on disk first.
 *  @param name     letters, digits, "_:./- " (1 to 128)
 *  @param created  true if the name is new
 *  @return 0, or -1: ERR_INPUT (the name; the policy, with line and column), ERR_TOO_LARGE, ERR_DENIED (a
 *  policy of the verified root has that name), ERR_LIMITED (the store is full), ERR_IO */
MUST_USE int policy_store_put(struct policy_store *s, const char *name, struct bytes text,
                              struct stored_policy *out, bool *created, struct err *err);

/** Appends [{"id","name","version","hash"}...]. */
MUST_USE int policy_store_list(struct policy_store *s, struct buf *out, struct err *err);

/** Appends the text as it was put. @return 0, or -1 with ERR_NOT_FOUND */
MUST_USE int policy_store_text(struct policy_store *s, const char *id, struct buf *out, struct err *err);

/** A policy in use. */
struct held_policy {
    struct stored_policy info;
    const struct rego *rego;
    void *held;
};

/** Finds by id, else by name. policy_release() it.
 *  @return 0, or -1 with ERR_NOT_FOUND */
MUST_USE int policy_store_hold(struct policy_store *s, const char *id_or_name, struct held_policy *out,
                               struct err *err);

/** An empty struct is fine. */
void policy_release(struct held_policy *h);

#endif
