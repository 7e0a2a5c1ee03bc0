#include "agent/owner.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#define SIGNATURE_MAX 256
#define P256_RS       64

static bool is_p256(EVP_PKEY *key)
{
    char group[32] = "";
    size_t n = 0;
    return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC
           && EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), &n) == 1
           && (!strcmp(group, "prime256v1") || !strcmp(group, "P-256"));
}

int owner_key_parse(struct bytes file, EVP_PKEY **out, struct err *err)
{
    static const char pem_head[] = "-----BEGIN";
    AUTO(buf_done) struct buf der = buf_new(OWNER_FILE_MAX);
    if (file.n > OWNER_FILE_MAX)
        return err_set(err, ERR_INPUT, 0, "owner.pub has %zu bytes, at most %d", file.n, OWNER_FILE_MAX);
    if (file.n >= sizeof(pem_head) && !memcmp(file.p, pem_head, sizeof(pem_head) - 1)) {
        if (x509_pem_der(file, &der, err) < 0)
            return err_while(err, "read owner.pub");
    } else {
        buf_put(&der, file);
    }
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    if (spki_parse_der(buf_bytes(&der), &key, &(struct err){ 0 }) < 0)
        return err_set(err, ERR_INPUT, 0, "owner.pub is no public key: want one PEM block PUBLIC KEY");
    if (!is_p256(key) && EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519)
        return err_set(err, ERR_INPUT, 0, "owner.pub is a key of another kind: want P-256 or Ed25519");
    *out = MOVE(key);
    return 0;
}

/* r and s, 32 bytes each → DER. */
static int der_of_rs(struct bytes rs, struct buf *out)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(rs.p, 32, NULL), *s = BN_bin2bn(rs.p + 32, 32, NULL);
    unsigned char der[SIGNATURE_MAX], *p = der;
    int n = -1;
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1)
        r = s = NULL; /* sig owns them */
    else
        goto out;
    if (i2d_ECDSA_SIG(sig, NULL) <= (int)sizeof(der))
        n = i2d_ECDSA_SIG(sig, &p);
    if (n > 0)
        buf_put(out, bytes_of(der, (size_t)n));
out:
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return n > 0 ? 0 : -1;
}

static bool ecdsa_ok(EVP_PKEY *key, struct bytes der, const uint8_t digest[static 32])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool ok = ctx && EVP_PKEY_verify_init(ctx) == 1 && EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1
              && EVP_PKEY_verify(ctx, der.p, der.n, digest, 32) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static bool p256_ok(EVP_PKEY *key, struct bytes sig, const uint8_t digest[static 32])
{
    AUTO(buf_done) struct buf der = buf_new(SIGNATURE_MAX);
    uint8_t again[32];
    if (sig.n == P256_RS && der_of_rs(sig, &der) == 0)
        sig = buf_bytes(&der);
    sha256(bytes_of(digest, 32), again);
    return ecdsa_ok(key, sig, digest) || ecdsa_ok(key, sig, again);
}

static bool ed25519_ok(EVP_PKEY *key, struct bytes sig, const uint8_t digest[static 32])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1
              && EVP_DigestVerify(ctx, sig.p, sig.n, digest, 32) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

int owner_verify(EVP_PKEY *key, const char *text, const uint8_t digest[static 32], struct err *err)
{
    AUTO(buf_done) struct buf sig = buf_new(SIGNATURE_MAX);
    struct err why = { 0 };
    if (!text || !*text)
        return err_set(err, ERR_DENIED, 0,
                       "this machine has an owner: send his signature in X-Owner-Signature");
    if (b64_decode(bytes_str(text), &sig, &why) < 0 || buf_check(&sig, "signature", &why) < 0)
        return err_set(err, ERR_DENIED, 0, "X-Owner-Signature is not base64 of a signature");
    bool ok = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? ed25519_ok(key, buf_bytes(&sig), digest)
                                                            : p256_ok(key, buf_bytes(&sig), digest);
    if (!ok)
        return err_set(err, ERR_DENIED, 0, "X-Owner-Signature is not the owner's signature of this request");
    return 0;
}
