#include "workload/sigstore.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/x509.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#define STATEMENT_TYPE "application/vnd.dev.cosign.simplesigning.v1+json"
#define ANNOTATION     "dev.cosignproject.cosign/signature"
#define PAYLOAD_MAX    (64u << 10)
#define KEY_MAX        16384u
#define SIGNATURE_MAX  512u
#define LAYERS_MAX     64

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool verifies(struct bytes payload, struct bytes signature, struct bytes pem)
{
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    struct err why = { 0 };
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = spki_parse(pem, &key, &why) == 0 && ctx && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC
                && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1
                && EVP_DigestVerify(ctx, signature.p, signature.n, payload.p, payload.n) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

static bool same_repository(const struct image_name *a, const struct image_name *b)
{
    return !strcmp(a->host, b->host) && !strcmp(a->repository, b->repository);
}

/* A name with a digest has no tag that could be compared: its repository is. */
static bool same_or_repository(const struct image_name *want, const struct image_name *said)
{
    if (*want->digest)
        return same_repository(want, said);
    return same_repository(want, said) && *said->tag && !strcmp(want->tag, said->tag);
}

/* A name below prefix is known by the same name below signedPrefix. */
static int remap(const struct image_name *name, const json_t *identity, struct image_name *out)
{
    const char *prefix = text_of(identity, "prefix");
    char full[2 * REGISTRY_NAME_MAX + 2], text[4 * REGISTRY_NAME_MAX];
    size_t n = strlen(prefix);
    *out = *name;
    snprintf(full, sizeof(full), "%s/%s", name->host, name->repository);
    if (strncmp(full, prefix, n) != 0 || (full[n] && full[n] != '/'))
        return 0;
    snprintf(text, sizeof(text), "%s%s:%s", text_of(identity, "signedPrefix"), full + n,
             *name->tag ? name->tag : "latest");
    if (image_name_parse(text, out, NULL) < 0)
        return -1;
    memcpy(out->digest, name->digest, sizeof(out->digest));
    return 0;
}

/* What a tool writes without a tag stands for the repository. */
static bool identity_fits(const char *said_text, const struct image_name *name, const json_t *identity)
{
    struct image_name said, want;
    const char *type = identity ? text_of(identity, "type") : "matchRepoDigestOrExact";
    if (image_name_parse(said_text, &said, NULL) < 0)
        return false;
    bool tagged = strchr(strchr(said_text, '/') ? strrchr(said_text, '/') : said_text, ':') != NULL;
    if (!tagged)
        said.tag[0] = '\0';
    if (!strcmp(type, "matchRepository"))
        return same_repository(name, &said);
    if (!strcmp(type, "matchExact"))
        return !*name->digest && same_or_repository(name, &said);
    if (!strcmp(type, "matchRepoDigestOrExact"))
        return same_or_repository(name, &said);
    if (!strcmp(type, "exactReference"))
        return image_name_parse(text_of(identity, "dockerReference"), &want, NULL) == 0
               && same_or_repository(&want, &said);
    if (!strcmp(type, "exactRepository"))
        return image_name_parse(text_of(identity, "dockerRepository"), &want, NULL) == 0
               && same_repository(&want, &said);
    return !strcmp(type, "remapIdentity") && remap(name, identity, &want) == 0
           && same_or_repository(&want, &said);
}

int sigstore_check_statement(struct bytes payload, struct bytes signature, struct bytes key,
                             const char *digest, const struct image_name *name, const json_t *identity,
                             struct err *err)
{
    AUTO(json_drop) json_t *statement = NULL;
    if (!verifies(payload, signature, key)) /* signature first, meaning afterwards */
        return err_set(err, ERR_DENIED, 0, "a signature that the key did not make");
    if (json_parse(payload, PAYLOAD_MAX, &statement, err) < 0)
        return err_while(err, "signed statement");
    const json_t *critical = json_object_get(statement, "critical");
    const char *of = text_of(json_object_get(critical, "image"), "docker-manifest-digest");
    const char *who = text_of(json_object_get(critical, "identity"), "docker-reference");
    if (strcmp(text_of(critical, "type"), "cosign container image signature") != 0)
        return err_set(err, ERR_DENIED, 0, "a signed statement of another kind");
    if (strcmp(of, digest) != 0)
        return err_set(err, ERR_DENIED, 0, "a signature of another image, %.80s", of);
    if (!identity_fits(who, name, identity))
        return err_set(err, ERR_DENIED, 0, "a signature for the name %.120s", who);
    return 0;
}

/* The layer's blob is the statement; its annotation the signature. */
static int check_layer(struct registry *r, const char *digest, const json_t *layer, struct bytes key,
                       const json_t *identity, struct err *err)
{
    AUTO(buf_done) struct buf payload = buf_new(PAYLOAD_MAX), signature = buf_new(SIGNATURE_MAX);
    const char *blob = text_of(layer, "digest");
    uint8_t want[32], got[32];
    if (strncmp(blob, "sha256:", 7) != 0
        || hex_decode_fixed(bytes_str(blob + 7), want, sizeof(want), err) < 0)
        return err_set(err, ERR_INPUT, 0, "a signature without a digest");
    if (json_get_b64(json_object_get(layer, "annotations"), ANNOTATION, &signature, err) < 0
        || registry_get(r, "blobs", blob, &payload, err) < 0)
        return -1;
    sha256(buf_bytes(&payload), got);
    if (memcmp(want, got, sizeof(want)) != 0)
        return err_set(err, ERR_DENIED, 0, "the registry gave another blob than %.80s", blob);
    return sigstore_check_statement(buf_bytes(&payload), buf_bytes(&signature), key, digest, r->name,
                                    identity, err);
}

static int signatures(struct registry *r, const char *digest, json_t **out, struct err *err)
{
    AUTO(buf_done) struct buf manifest = buf_new(REGISTRY_MANIFEST_MAX);
    struct err why = { 0 };
    char tag[REGISTRY_DIGEST_SIZE + 8];
    snprintf(tag, sizeof(tag), "sha256-%s.sig", digest + 7);
    if (registry_get(r, "manifests", tag, &manifest, &why) < 0) {
        if (why.kind == ERR_NOT_FOUND)
            return err_set(err, ERR_DENIED, 0,
                           "%.100s/%.100s has no signature, and the signature policy wants one",
                           r->name->host, r->name->repository);
        if (err)
            *err = why;
        return -1;
    }
    return json_parse(buf_bytes(&manifest), REGISTRY_MANIFEST_MAX, out, err) < 0
               ? err_while(err, "signatures of the image")
               : 0;
}

int sigstore_verify(struct registry *r, const char *digest, const json_t *requirement, struct err *err)
{
    AUTO(json_drop) json_t *manifest = NULL;
    AUTO(buf_done) struct buf key = buf_new(KEY_MAX);
    if (json_get_b64(requirement, "keyData", &key, err) < 0 || signatures(r, digest, &manifest, err) < 0)
        return -1;
    const json_t *layers = json_object_get(manifest, "layers");
    struct err last = { 0 };
    err_set(&last, ERR_DENIED, 0, "there is none");
    for (size_t i = 0; i < json_array_size(layers) && i < LAYERS_MAX; i++) {
        const json_t *layer = json_array_get(layers, i);
        if (strcmp(text_of(layer, "mediaType"), STATEMENT_TYPE) != 0)
            continue;
        if (check_layer(r, digest, layer, buf_bytes(&key), json_object_get(requirement, "signedIdentity"),
                        &last)
            == 0)
            return 0;
    }
    return err_set(err, last.kind == ERR_UNAVAILABLE ? ERR_UNAVAILABLE : ERR_DENIED, 0,
                   "no signature of %.60s/%.60s fits the signature policy: %.120s", r->name->host,
                   r->name->repository, last.cause);
}
