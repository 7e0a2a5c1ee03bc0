#include "agent/token_key.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdlib.h>

/* Contract, section 2: PS384, with an RSA key of this size. */
#define KEY_BITS     3072
#define KEY_FILE_MAX 65536

struct token_key {
    pthread_mutex_t lock; /* over all below */
    EVP_PKEY *key;
    char *jwks;
    char *kid;
    pthread_t maker;
    bool making;
};

static int describe_key(EVP_PKEY *key, char **kid, char **keys, struct err *err)
{
    AUTO(buf_done) struct buf name = buf_new(64);
    AUTO(buf_done) struct buf text = buf_new(16384);
    AUTO(json_drop) json_t *ps = NULL;
    AUTO(json_drop) json_t *rs = NULL;
    AUTO(json_drop) json_t *set = NULL;
    char id[64], other[72];
    if (jwk_thumbprint(key, &name, err) < 0 || buf_check(&name, "key", err) < 0)
        return -1;
    snprintf(id, sizeof(id), "%.*s", (int)name.n, (const char *)name.p);
    snprintf(other, sizeof(other), "%s-rs256", id);
    if (jwk_json(key, JWT_PS384, id, &ps, err) < 0 || jwk_json(key, JWT_RS256, other, &rs, err) < 0)
        return -1;
    set = json_pack("{s:[O,O]}", "keys", ps, rs);
    if (!set)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a token's key");
    json_put(&text, set, false);
    buf_u8(&text, '\n');
    *kid = buf_take_str(&name);
    *keys = buf_take_str(&text);
    return *kid && *keys ? 0 : err_set(err, ERR_IO, ENOMEM, "no memory for a token's key");
}

int token_key_need(struct token_key *k, struct err *err)
{
    int rc = 0;
    pthread_mutex_lock(&k->lock);
    if (!k->key) {
        EVP_PKEY *key = EVP_RSA_gen(KEY_BITS);
        rc = key ? describe_key(key, &k->kid, &k->jwks, err)
                 : err_set(err, ERR_IO, 0, "libcrypto makes no RSA key");
        if (rc == 0)
            k->key = MOVE(key);
        EVP_PKEY_free(key);
    }
    pthread_mutex_unlock(&k->lock);
    return rc;
}

/* Several agents behind one address sign with one key, so that each one's /certs has it. */
static int read_key(struct token_key *k, const char *path, struct err *err)
{
    AUTO(free_u8) uint8_t *text = NULL;
    size_t n = 0;
    if (!*path)
        return 0;
    if (file_read(path, KEY_FILE_MAX, &text, &n, err) < 0)
        return err_while(err, "token_key");
    BIO *bio = BIO_new_mem_buf(text, (int)n);
    AUTO(pkey_drop) EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (char[]){ "" }) : NULL;
    BIO_free(bio);
    OPENSSL_cleanse(text, n);
    if (!key || !EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_get_bits(key) < KEY_BITS)
        return err_set(err, ERR_INPUT, 0,
                       "token_key: want an RSA key of %d bits or more in PEM, not encrypted", KEY_BITS);
    if (describe_key(key, &k->kid, &k->jwks, err) < 0)
        return err_while(err, "token_key");
    k->key = MOVE(key);
    return 0;
}

static void *make_key(void *arg)
{
    struct err err = { 0 };
    if (token_key_need(arg, &err) < 0)
        log_err(LOG_LEVEL_ERROR, "token-key", &err);
    return NULL;
}

int token_key_new(const char *path, struct token_key **out, struct err *err)
{
    struct token_key *k = calloc(1, sizeof(*k));
    if (!k)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a token's key");
    pthread_mutex_init(&k->lock, NULL);
    if (read_key(k, path, err) < 0) {
        token_key_free(k);
        return -1;
    }
    k->making =
        !k->key && pthread_create(&k->maker, NULL, make_key, k) == 0; /* else the first request makes it */
    *out = k;
    return 0;
}

void token_key_free(struct token_key *k)
{
    if (!k)
        return;
    if (k->making)
        pthread_join(k->maker, NULL);
    EVP_PKEY_free(k->key);
    free(k->jwks);
    free(k->kid);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

const char *token_key_jwks(const struct token_key *k)
{
    return k->jwks;
}

int token_key_sign(struct token_key *k, bool rs256, const json_t *claims, struct buf *out, struct err *err)
{
    char kid[72];
    if (token_key_need(k, err) < 0)
        return -1;
    snprintf(kid, sizeof(kid), "%s%s", k->kid, rs256 ? "-rs256" : "");
    return jwt_sign(k->key, rs256 ? JWT_RS256 : JWT_PS384, kid, NULL, claims, out, err);
}
