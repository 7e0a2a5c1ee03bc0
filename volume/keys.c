#include "volume/keys.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/x509.h"
#include "volume/header.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <sys/random.h>

#define LABEL     "cvm-agent/volume-v1"
#define MAC_TEXT  "cvm-agent volume: HMAC-SHA256\n"
#define RSA_LEAST 3072
#define RSA_MOST  8192
#define SPKI_MAX  2048

int volume_secret_new(uint8_t out[static VOLUME_SECRET], struct err *err)
{
    if (getrandom(out, VOLUME_SECRET, 0) != VOLUME_SECRET)
        return err_set(err, ERR_IO, (uint32_t)errno, "no random bytes: %s", strerror(errno));
    return 0;
}

static int hmac(const uint8_t key[static VOLUME_SECRET], struct bytes text, uint8_t out[static VOLUME_SECRET],
                struct err *err)
{
    unsigned n = 0;
    if (!HMAC(EVP_sha256(), key, VOLUME_SECRET, text.p, text.n, out, &n) || n != VOLUME_SECRET)
        return err_set(err, ERR_IO, 0, "libcrypto computes no HMAC");
    return 0;
}

int volume_key(const uint8_t secret[static VOLUME_SECRET], const char *purpose,
               uint8_t out[static VOLUME_SECRET], struct err *err)
{
    uint8_t text[sizeof(LABEL) + 64]; /* the label with its terminator */
    size_t n = strlen(purpose);
    if (n > 64)
        return err_set(err, ERR_INPUT, 0, "a purpose of %zu bytes", n);
    memcpy(text, LABEL, sizeof(LABEL));
    memcpy(text + sizeof(LABEL), purpose, n);
    return hmac(secret, bytes_of(text, sizeof(LABEL) + n), out, err);
}

int volume_mac(const uint8_t secret[static VOLUME_SECRET], struct bytes header, uint8_t *block,
               struct err *err)
{
    uint8_t key[VOLUME_SECRET], mac[VOLUME_SECRET];
    if (header.n != VOLUME_HEADER_SIZE)
        return err_set(err, ERR_INPUT, 0, "a header of %zu bytes", header.n);
    int rc = volume_key(secret, "header", key, err) < 0
                     || hmac(key, bytes_of(header.p, VOLUME_MAC_AT), mac, err) < 0
                 ? -1
                 : 0;
    OPENSSL_cleanse(key, sizeof(key));
    if (rc < 0)
        return -1;
    memset(block, 0, VOLUME_BLOCK);
    memcpy(block, MAC_TEXT, sizeof(MAC_TEXT) - 1);
    memcpy(block + sizeof(MAC_TEXT) - 1, mac, sizeof(mac));
    return 0;
}

int volume_mac_check(const uint8_t secret[static VOLUME_SECRET], struct bytes header, struct err *err)
{
    uint8_t block[VOLUME_BLOCK];
    if (volume_mac(secret, header, block, err) < 0)
        return -1;
    if (CRYPTO_memcmp(block, header.p + VOLUME_MAC_AT, VOLUME_BLOCK) != 0)
        return err_set(err, ERR_DENIED, 0, "the header is not the one that was made with the sealed key");
    return 0;
}

static void ctx_drop(EVP_PKEY_CTX **c)
{
    EVP_PKEY_CTX_free(*c);
}

static int read_owner(struct bytes pem, EVP_PKEY **out, struct err *err)
{
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    struct err why = { 0 };
    if (spki_parse(pem, &key, &why) < 0 || EVP_PKEY_base_id(key) != EVP_PKEY_RSA
        || EVP_PKEY_bits(key) < RSA_LEAST || EVP_PKEY_bits(key) > RSA_MOST)
        return err_set(err, ERR_INPUT, 0, "the recovery key is no RSA public key of %d to %d bits in PEM",
                       RSA_LEAST, RSA_MOST);
    *out = MOVE(key);
    return 0;
}

int volume_recovery_encrypt(struct bytes pem, const uint8_t key[static VOLUME_SECRET], struct buf *out,
                            uint8_t owner[static 32], struct err *err)
{
    AUTO(pkey_drop) EVP_PKEY *to = NULL;
    AUTO(buf_done) struct buf spki = buf_new(SPKI_MAX);
    size_t n = 0;
    if (pem.n > VOLUME_BLOCK)
        return err_set(err, ERR_INPUT, 0, "a recovery key of %zu bytes", pem.n);
    if (read_owner(pem, &to, err) < 0 || spki_put_der(to, &spki, err) < 0)
        return -1;
    AUTO(ctx_drop) EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(to, NULL);
    if (!c || EVP_PKEY_encrypt_init(c) <= 0 || EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) <= 0
        || EVP_PKEY_CTX_set_rsa_oaep_md(c, EVP_sha256()) <= 0
        || EVP_PKEY_CTX_set_rsa_mgf1_md(c, EVP_sha256()) <= 0
        || EVP_PKEY_encrypt(c, NULL, &n, key, VOLUME_SECRET) <= 0)
        return err_set(err, ERR_IO, 0, "libcrypto does not encrypt to the recovery key");
    uint8_t *room = buf_room(out, n);
    if (!room || EVP_PKEY_encrypt(c, room, &n, key, VOLUME_SECRET) <= 0)
        return err_set(err, ERR_IO, 0, "libcrypto does not encrypt to the recovery key");
    sha256(buf_bytes(&spki), owner);
    return 0;
}
