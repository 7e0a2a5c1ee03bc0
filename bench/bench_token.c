/* The answer of an appraisal beside the one signature that it cannot do without: RSA-3072, PS384. */
#include "stats.h"

#include "base/auto.h"
#include "base/jwt.h"

#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS  20
#define BATCH   10
#define BITS    3072
#define SALT    (-1) /* RSA_PSS_SALTLEN_DIGEST */
#define HEX_MAX 97

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_token: %s failed\n", what);
    exit(1);
}

/* Claims of the size that a TD with a virtual TPM has: 24 registers, 30 values of 48 bytes. */
static json_t *make_claims(void)
{
    char hex[HEX_MAX], name[16];
    json_t *tdx = json_object(), *pcrs = json_array();
    memset(hex, 'a', sizeof(hex) - 1);
    hex[HEX_MAX - 1] = '\0';
    for (int i = 0; i < 30; i++) {
        snprintf(name, sizeof(name), "claim_%d", i);
        json_object_set_new(tdx, name, json_string(hex));
    }
    for (int i = 0; i < 24; i++)
        json_array_append_new(pcrs, json_pack("{s:s,s:i,s:s}", "alg", "SHA-256", "index", i, "digest", hex));
    return json_pack("{s:o,s:{s:o},s:s,s:I}", "tdx", tdx, "tpm", "pcrs", pcrs, "iss", "bench", "exp",
                     (json_int_t)1800000000);
}

static void bare(EVP_PKEY *key, struct bytes data)
{
    uint8_t signature[BITS / 8];
    size_t n = sizeof(signature);
    EVP_PKEY_CTX *pkey = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    must(ctx && EVP_DigestSignInit(ctx, &pkey, EVP_sha384(), NULL, key) == 1
             && EVP_PKEY_CTX_set_rsa_padding(pkey, RSA_PKCS1_PSS_PADDING) == 1
             && EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, SALT) == 1
             && EVP_DigestSign(ctx, signature, &n, data.p, data.n) == 1,
         "bare signature");
    EVP_MD_CTX_free(ctx);
}

static size_t token(EVP_PKEY *key, const json_t *claims)
{
    AUTO(buf_done) struct buf out = buf_new(JWT_MAX);
    struct err err = { 0 };
    must(jwt_sign(key, JWT_PS384, "key", NULL, claims, &out, &err) == 0 && !out.failed, "token");
    return out.n;
}

int main(void)
{
    AUTO(pkey_drop) EVP_PKEY *key = EVP_RSA_gen(BITS);
    AUTO(json_drop) json_t *claims = make_claims();
    struct samples one = { 0 }, ours = { 0 };
    uint8_t data[8192];
    must(key && claims, "set-up");
    size_t size = token(key, claims);
    memset(data, 'x', sizeof(data));
    for (int r = 0; r < ROUNDS; r++) {
        double from = now_us();
        for (int i = 0; i < BATCH; i++)
            bare(key, bytes_of(data, size < sizeof(data) ? size : sizeof(data)));
        double middle = now_us();
        for (int i = 0; i < BATCH; i++)
            token(key, claims);
        samples_add(&one, (middle - from) / BATCH);
        samples_add(&ours, (now_us() - middle) / BATCH);
    }
    double base = samples_quantile(&one, 0.5), all = samples_quantile(&ours, 0.5);
    printf("token of %zu bytes: %.0f us, bare RSA-%d signature %.0f us\n", size, all, BITS, base);
    stats_row("token over one RSA-3072 signature", all / base, "x", 1.10, true);
    samples_done(&one);
    samples_done(&ours);
    return 0;
}
