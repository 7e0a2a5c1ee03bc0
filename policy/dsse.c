#include "policy/dsse.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"

#include <openssl/err.h>
#include <string.h>

#define SIGNATURE_MAX 128

static void drop_md(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

void dsse_put_pae(struct buf *out, struct bytes type, struct bytes payload)
{
    buf_printf(out, "DSSEv1 %zu ", type.n);
    buf_put(out, type);
    buf_printf(out, " %zu ", payload.n);
    buf_put(out, payload);
}

/* Ed25519 hashes by itself. */
static int hash_of(const EVP_PKEY *key, const EVP_MD **out, struct err *err)
{
    char text[64];
    if (!EVP_PKEY_is_a(key, "ED25519") && !pem_key_is_p256(key))
        return err_set(err, ERR_INPUT, 0, "the key is %s: statements are signed with P-256 or Ed25519",
                       pem_key_text(key, text, sizeof(text)));
    *out = EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();
    return 0;
}

static int key_id(EVP_PKEY *key, char out[static 65], struct err *err)
{
    AUTO(buf_done) struct buf spki = buf_new(4096);
    uint8_t hash[32];
    if (spki_put_der(key, &spki, err) < 0)
        return -1;
    sha256(buf_bytes(&spki), hash);
    hex_to(out, bytes_of(hash, sizeof(hash)));
    return 0;
}

static json_t *envelope_of(const char *type, struct bytes payload, const char *id, struct bytes signature)
{
    return json_pack("{s:s, s:o, s:[{s:s, s:o}]}", "payloadType", type, "payload", json_b64(payload),
                     "signatures", "keyid", id, "sig", json_b64(signature));
}

int dsse_sign(const char *type, struct bytes payload, struct bytes key_pem, json_t **out, struct err *err)
{
    AUTO(buf_done) struct buf pae = buf_new(DSSE_SIZE_MAX + 256);
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    AUTO(drop_md) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t signature[SIGNATURE_MAX];
    size_t n = sizeof(signature);
    const EVP_MD *md;
    char id[65];
    if (pem_private_key(key_pem, &key, err) < 0 || hash_of(key, &md, err) < 0 || key_id(key, id, err) < 0)
        return -1;
    dsse_put_pae(&pae, bytes_str(type), payload);
    if (buf_check(&pae, "the statement", err) < 0)
        return -1;
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, md, NULL, key) == 1
              && EVP_DigestSign(ctx, signature, &n, pae.p, pae.n) == 1;
    ERR_clear_error();
    json_t *envelope = ok ? envelope_of(type, payload, id, bytes_of(signature, n)) : NULL;
    if (!envelope)
        return err_set(err, ERR_IO, 0, "libcrypto did not sign");
    *out = envelope;
    return 0;
}

bool dsse_is_envelope(const json_t *value)
{
    return json_is_string(json_object_get(value, "payload"))
           && json_is_string(json_object_get(value, "payloadType"))
           && json_is_array(json_object_get(value, "signatures"));
}

static bool verifies(EVP_PKEY *key, const EVP_MD *md, struct bytes signature, struct bytes text)
{
    AUTO(drop_md) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) == 1
              && EVP_DigestVerify(ctx, signature.p, signature.n, text.p, text.n) == 1;
    ERR_clear_error();
    return ok;
}

/* The keyid is a hint that nobody signed: every signature is tried. */
static int any_verifies(const json_t *signatures, EVP_PKEY *key, const EVP_MD *md, struct bytes text,
                        bool *out, struct err *err)
{
    *out = false;
    if (json_array_size(signatures) > DSSE_SIGNATURES_MAX)
        return err_set(err, ERR_INPUT, 0, "more than %d signatures", DSSE_SIGNATURES_MAX);
    for (size_t i = 0; i < json_array_size(signatures) && !*out; i++) {
        AUTO(buf_done) struct buf signature = buf_new(PEM_KEY_MAX);
        if (json_get_b64(json_array_get(signatures, i), "sig", &signature, err) < 0)
            return -1;
        *out = verifies(key, md, buf_bytes(&signature), text);
    }
    return 0;
}

int dsse_verify(const json_t *envelope, const char *type, struct bytes public_pem, struct buf *payload,
                struct err *err)
{
    AUTO(buf_done) struct buf body = buf_new(DSSE_SIZE_MAX), pae = buf_new(DSSE_SIZE_MAX + 256);
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    const EVP_MD *md;
    bool yes;
    if (!dsse_is_envelope(envelope))
        return err_set(err, ERR_INPUT, 0, "not a DSSE envelope");
    if (strcmp(json_string_value(json_object_get(envelope, "payloadType")), type) != 0)
        return err_set(err, ERR_INPUT, 0, "its payloadType is not %s", type);
    if (pem_public_key(public_pem, &key, err) < 0 || hash_of(key, &md, err) < 0
        || json_get_b64(envelope, "payload", &body, err) < 0)
        return -1;
    dsse_put_pae(&pae, bytes_str(type), buf_bytes(&body));
    if (buf_check(&pae, "the statement", err) < 0
        || any_verifies(json_object_get(envelope, "signatures"), key, md, buf_bytes(&pae), &yes, err) < 0)
        return -1;
    if (!yes)
        return err_set(err, ERR_UNAUTHENTICATED, 0, "no signature is this key's over this statement");
    buf_put(payload, buf_bytes(&body));
    return buf_check(payload, "the statement", err);
}
