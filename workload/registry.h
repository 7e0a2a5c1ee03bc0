/** workload/registry.h: reads manifests and blobs of a container registry: what the signature check needs
 * before the engine pulls. Source: OCI distribution-spec v1.1 (pull), and the token protocol of the
 * distribution project ("Token Authentication Specification"). Internal to workload/. */
#ifndef CVM_WORKLOAD_REGISTRY_H
#define CVM_WORKLOAD_REGISTRY_H

#include "base/http.h"
#include "workload/engine.h"

#define REGISTRY_NAME_MAX     255
#define REGISTRY_MANIFEST_MAX (4u << 20)
#define REGISTRY_DIGEST_SIZE  72 /* "sha256:", 64 hex digits, terminator */

/** host/repository[:tag][@digest], taken apart. */
struct image_name {
    char host[REGISTRY_NAME_MAX + 1]; /* with its port */
    char repository[REGISTRY_NAME_MAX + 1];
    char tag[129];                     /* "" if there is a digest only */
    char digest[REGISTRY_DIGEST_SIZE]; /* "" if there is none */
};

/** @param text  any reference; a short one is completed as compose_image_reference() does
 *  @return 0, or -1 with ERR_INPUT */
MUST_USE int image_name_parse(const char *text, struct image_name *out, struct err *err);

struct registry {
    struct http http;
    const struct image_name *name;
    const struct engine_auth *auth; /* NULL: anonymous */
    const atomic_bool *cancel;
    char authorization[16384]; /* header line, once the registry has asked for it; wiped by registry_done() */
};

void registry_done(struct registry *r);

/** GET of "manifests/REFERENCE" or "blobs/DIGEST" of the repository, over TLS except on loopback; logs in
 * when asked, follows three redirects.
 *  @param out  appended to; at most out->max bytes
 *  @return 0, or -1: ERR_NOT_FOUND, ERR_DENIED (credentials), ERR_TOO_LARGE, ERR_INPUT, ERR_UNAVAILABLE */
MUST_USE int registry_get(struct registry *r, const char *kind, const char *what, struct buf *out,
                          struct err *err);

/** True if host (with or without a port) is this machine. */
bool registry_on_loopback(const char *host);

#endif
