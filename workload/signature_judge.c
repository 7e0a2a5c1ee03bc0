/* An image of a registry against the signature policy. */
#include "workload/signature_policy.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "workload/registry.h"
#include "workload/signature_engine.h"
#include "workload/sigstore.h"

#include <stdio.h>
#include <string.h>

#define ARCHITECTURE "amd64"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* Source: containers-policy.json(5), "docker:": the full name, then its repository, each namespace above it,
 * the host with its port, wildcards over the host's parents without it, and "" for the whole transport. */
static json_t *find_rules(const struct signature_policy *p, const struct image_name *name)
{
    const json_t *scopes = json_object_get(json_object_get(p->rules, "transports"), "docker");
    char scope[3 * REGISTRY_NAME_MAX];
    snprintf(scope, sizeof(scope), "%s/%s%s%s", name->host, name->repository, *name->digest ? "@" : ":",
             *name->digest ? name->digest : name->tag);
    json_t *found = json_object_get(scopes, scope);
    snprintf(scope, sizeof(scope), "%s/%s", name->host, name->repository);
    while (!found && *scope) {
        found = json_object_get(scopes, scope);
        char *slash = strrchr(scope, '/');
        scope[slash ? slash - scope : 0] = '\0';
    }
    for (const char *dot = strchr(name->host, '.'); !found && dot; dot = strchr(dot + 1, '.')) {
        snprintf(scope, sizeof(scope), "*%.*s", (int)strcspn(dot, ":"), dot);
        found = json_object_get(scopes, scope);
    }
    found = found ? found : json_object_get(scopes, "");
    return found ? found : json_object_get(p->rules, "default");
}

/* The manifest as the registry has it, and its digest. */
static int fetch(struct registry *r, const char *reference, struct buf *manifest,
                 char digest[static REGISTRY_DIGEST_SIZE], struct err *err)
{
    uint8_t hash[32];
    if (registry_get(r, "manifests", reference, manifest, err) < 0)
        return -1;
    sha256(buf_bytes(manifest), hash);
    memcpy(digest, "sha256:", 7);
    hex_to(digest + 7, bytes_of(hash, sizeof(hash)));
    if (!strncmp(reference, "sha256:", 7) && strcmp(reference, digest) != 0)
        return err_set(err, ERR_DENIED, 0, "the registry gave another image than %.80s", reference);
    return 0;
}

static int check_all(struct registry *r, const char *digest, const json_t *rules, struct err *err)
{
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const json_t *rule = json_array_get(rules, i);
        if (!strcmp(text_of(rule, "type"), "sigstoreSigned") && sigstore_verify(r, digest, rule, err) < 0)
            return -1;
    }
    return 0;
}

/* Of an index: the image for this machine. @return false: none, or this is no index */
static bool our_instance(const struct buf *manifest, char digest[static REGISTRY_DIGEST_SIZE])
{
    AUTO(json_drop) json_t *index = NULL;
    if (json_parse(buf_bytes(manifest), REGISTRY_MANIFEST_MAX, &index, NULL) < 0)
        return false;
    const json_t *list = json_object_get(index, "manifests");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i), *platform = json_object_get(one, "platform");
        const char *text = text_of(one, "digest");
        if (strcmp(text_of(platform, "os"), "linux") != 0
            || strcmp(text_of(platform, "architecture"), ARCHITECTURE)
            || strlen(text) != REGISTRY_DIGEST_SIZE - 1 || strncmp(text, "sha256:", 7) != 0
            || strspn(text + 7, "0123456789abcdef") != 64)
            continue;
        memcpy(digest, text, REGISTRY_DIGEST_SIZE);
        return true;
    }
    return false;
}

/* Tools sign the index, or each image in it: either will do, and what was signed is what is pulled. */
static int judge_signed(struct registry *r, const json_t *rules, char digest[static REGISTRY_DIGEST_SIZE],
                        struct err *err)
{
    AUTO(buf_done)
    struct buf manifest = buf_new(REGISTRY_MANIFEST_MAX), instance = buf_new(REGISTRY_MANIFEST_MAX);
    char inner[REGISTRY_DIGEST_SIZE], got[REGISTRY_DIGEST_SIZE];
    const char *reference = *r->name->digest ? r->name->digest : r->name->tag;
    if (fetch(r, reference, &manifest, digest, err) < 0)
        return -1;
    if (check_all(r, digest, rules, err) == 0)
        return 0;
    if (!our_instance(&manifest, inner))
        return -1;
    if (fetch(r, inner, &instance, got, err) < 0 || check_all(r, got, rules, err) < 0)
        return -1;
    memcpy(digest, got, sizeof(got));
    return 0;
}

int signature_policy_judge(const struct signature_policy *p, const struct http *http, const char *reference,
                           const struct engine_auth *auth, const atomic_bool *cancel, char *pinned,
                           size_t size, struct err *err)
{
    struct image_name name;
    char digest[REGISTRY_DIGEST_SIZE] = "";
    if (image_name_parse(reference, &name, err) < 0)
        return -1;
    struct registry r = { .http = *http, .name = &name, .auth = auth, .cancel = cancel };
    const json_t *rules = p->verifies ? find_rules(p, &name) : NULL;
    if (p->verifies && (!rules || signature_rules_have(rules, "reject")))
        return err_set(err, ERR_DENIED, 0, "the signature policy rejects %.150s", reference);
    if (signature_rules_have(rules, "sigstoreSigned")) {
        int rc = judge_signed(&r, rules, digest, err);
        registry_done(&r);
        if (rc < 0)
            return -1;
    }
    int n = *digest ? snprintf(pinned, size, "%s/%s@%s", name.host, name.repository, digest)
                    : snprintf(pinned, size, "%s", reference);
    return n > 0 && (size_t)n < size ? 0 : err_set(err, ERR_TOO_LARGE, 0, "%.120s is too long", reference);
}
