/** workload/signature_policy.h: which images may be used: the publisher's containers-policy.json, checked and
 * written anew for the engine. Source: containers-policy.json(5). Of it: the requirements "reject",
 * "insecureAcceptAnything" and "sigstoreSigned" with one of keyPath, keyData and an optional signedIdentity;
 * a key is put into the policy itself, so that the engine reads no other file. Anything else is an error with
 * its path.
 */
#ifndef CVM_WORKLOAD_SIGNATURE_POLICY_H
#define CVM_WORKLOAD_SIGNATURE_POLICY_H

#include "base/http.h"
#include "base/json.h"
#include "workload/engine.h"

struct compose;
struct workload_policy;
struct workload_tree;

#define SIGNATURE_POLICY_MAX (256u << 10) /* the file, and what we write */

/** Reads a key file: path as written in the policy.
 *  @param out  PEM text is appended
 *  @return 0, or -1 with *err set */
typedef int signature_key_reader(void *ctx, const char *path, struct buf *out, struct err *err);

struct signature_policy {
    struct buf json; /* for the engine */
    /* .tar images of that kind may pass: verification is off, or every requirement of the transport's scope
     * "" is insecureAcceptAnything */
    bool accepts_docker_archive, accepts_oci_archive;
    bool verifies; /* verification is on */
    json_t *rules; /* the policy as checked, with its keys; NULL if verification is off */
};

/** The policy of a workload whose image_signature_verification is off: everything passes. */
MUST_USE int signature_policy_off(struct signature_policy *out, struct err *err);

/** Checks text and writes the engine's policy. The default is reject, whatever the file leaves out; a default
 * of insecureAcceptAnything is refused. sigstoreSigned is for images of registries: below another transport
 * it is refused. Archives are rejected unless the scope "" of docker-archive or oci-archive accepts them.
 *  @param text  the file; empty: reject everything
 *  @return 0 with signature_policy_done() due, or -1: ERR_INPUT with the path of the member, ERR_TOO_LARGE,
 * or what the key reader says */
MUST_USE int signature_policy_read(struct bytes text, signature_key_reader *key, void *ctx,
                                   struct signature_policy *out, struct err *err);

/** Has the engine let in the image of a service whose signature is not looked at (skip_measurement): all of
 * its repository, so that an update may bring another tag, or archives. Whose images are judged is still the
 * caller's to say; p->rules do not change.
 *  @param reference  the image's name, as the compose file has it
 *  @param archive    it comes from a .tar
 *  @return 0, or -1 with ERR_INPUT, ERR_TOO_LARGE; *p is as before */
MUST_USE int signature_policy_spare(struct signature_policy *p, const char *reference, bool archive,
                                    struct err *err);

/** The signature policy of a workload: off, or its file with the keys that it names. Where no archive may
 * pass there must be none but those of skip_measurement.
 *  @param tree  read, or taken
 *  @return as signature_policy_read(); also ERR_DENIED (an archive), ERR_NOT_FOUND (no such file), ERR_IO */
MUST_USE int signature_policy_load(const struct workload_tree *tree, const struct compose *c,
                                   const struct workload_policy *policy, struct signature_policy *out,
                                   struct err *err);

/** Judges an image of a registry, before it is pulled: the rules of the most specific scope that fits its
 * name, all of them. Signatures are checked here, because the engine of Debian 12 is built without it; the
 * engine's own policy lets such scopes pass and rejects everything else.
 *  @param http    the client for the registry
 *  @param pinned  the name to pull: with the digest that was judged where a signature was wanted, else
 * reference
 *  @return 0, or -1: ERR_DENIED (rejected, no signature that fits), ERR_NOT_FOUND, ERR_UNAVAILABLE, ERR_INPUT
 */
MUST_USE int signature_policy_judge(const struct signature_policy *p, const struct http *http,
                                    const char *reference, const struct engine_auth *auth,
                                    const atomic_bool *cancel, char *pinned, size_t size, struct err *err);

/** True if both demand the same of every image: rules and keys. The engine's policy alone has no keys. */
bool signature_policy_same(const struct signature_policy *a, const struct signature_policy *b);

/** For AUTO(); an empty struct is fine. */
void signature_policy_done(struct signature_policy *p);

#endif
