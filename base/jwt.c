#include "base/jwt_internal.h"

#include "base/auto.h"
#include "base/enc.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#define SIGNATURE_MAX 1024 /* RSA of 8192 bits */
#define RSA_BITS_MAX  8192

static const struct jwt_alg_row rows[JWT_ALGS] = {
    [JWT_RS256] = { "RS256", "RSA", NULL, NULL, "SHA256", false, 0 },
    [JWT_RS384] = { "RS384", "RSA", NULL, NULL, "SHA384", false, 0 },
    [JWT_RS512] = { "RS512", "RSA", NULL, NULL, "SHA512", false, 0 },
    [JWT_PS256] = { "PS256", "RSA", NULL, NULL, "SHA256", true, 0 },
    [JWT_PS384] = { "PS384", "RSA", NULL, NULL, "SHA384", true, 0 },
    [JWT_PS512] = { "PS512", "RSA", NULL, NULL, "SHA512", true, 0 },
    [JWT_ES256] = { "ES256", "EC", "P-256", "prime256v1", "SHA256", false, 32 },
    [JWT_ES384] = { "ES384", "EC", "P-384", "secp384r1", "SHA384", false, 48 },
};

const struct jwt_alg_row *jwt_alg_row(enum jwt_alg alg)
{
    return &rows[alg];
}

const char *jwt_alg_name(enum jwt_alg alg)
{
    return rows[alg].name;
}

bool jwt_alg_fits(enum jwt_alg alg, EVP_PKEY *key)
{
    const struct jwt_alg_row *row = &rows[alg];
    char group[32];
    if (!row->half) {
        int bits = EVP_PKEY_get_bits(key);
        return EVP_PKEY_is_a(key, "RSA") == 1 && bits >= JWT_RSA_BITS && bits <= RSA_BITS_MAX;
    }
    return EVP_PKEY_is_a(key, "EC") == 1 && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1
           && !strcmp(group, row->group);
}

int b64url_decode_strict(struct bytes text, struct buf *out, struct err *err)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '+' || text.p[i] == '/' || text.p[i] == '=')
            return err_set(err, ERR_INPUT, 0, "not base64url: '%c' at offset %zu", text.p[i], i);
    return b64_decode(text, out, err);
}

/* ---- taking apart ---- */

struct parts {
    struct bytes header, claims, signature, signed_text; /* as in the token */
    struct bytes raw;
};

static struct bytes trimmed(struct bytes t)
{
    while (t.n && isspace(t.p[t.n - 1]))
        t.n--;
    while (t.n && isspace(*t.p)) {
        t.p++;
        t.n--;
    }
    return t;
}

static int split(struct bytes token, struct parts *out, struct err *err)
{
    struct bytes t = trimmed(token);
    if (t.n > JWT_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "a token of %zu bytes, at most %u are read", t.n, JWT_MAX);
    const uint8_t *dot = t.n ? memchr(t.p, '.', t.n) : NULL;
    size_t header = dot ? (size_t)(dot - t.p) : 0, rest = dot ? t.n - header - 1 : 0;
    const uint8_t *second = rest ? memchr(dot + 1, '.', rest) : NULL;
    if (!second || memchr(second + 1, '.', (size_t)(t.p + t.n - second - 1)))
        return err_set(err, ERR_INPUT, 0, "not a signed token: want three parts with a dot between them");
    out->raw = t;
    out->header = bytes_of(t.p, header);
    out->claims = bytes_of(dot + 1, (size_t)(second - dot - 1));
    out->signature = bytes_of(second + 1, (size_t)(t.p + t.n - second - 1));
    out->signed_text = bytes_of(t.p, (size_t)(second - t.p));
    return 0;
}

static int read_part(struct bytes part, const char *what, json_t **out, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(JWT_MAX);
    AUTO(json_drop) json_t *v = NULL;
    struct err why = { 0 };
    if (b64url_decode_strict(part, &text, &why) < 0 || json_parse(buf_bytes(&text), JWT_MAX, &v, &why) < 0)
        return err_set(err, ERR_INPUT, 0, "the token's %s: %.200s", what, why.cause);
    if (!json_is_object(v))
        return err_set(err, ERR_INPUT, 0, "the token's %s is not a JSON object", what);
    *out = MOVE(v);
    return 0;
}

static int read_token(const struct parts *p, struct jwt *out, struct err *err)
{
    struct jwt t = { .header = NULL };
    if (read_part(p->header, "header", &t.header, err) < 0
        || read_part(p->claims, "claims", &t.claims, err) < 0) {
        jwt_done(&t);
        return -1;
    }
    *out = t;
    return 0;
}

int jwt_peek(struct bytes token, struct jwt *out, struct err *err)
{
    struct parts p;
    return split(token, &p, err) < 0 || read_token(&p, out, err) < 0 ? -1 : 0;
}

void jwt_done(struct jwt *t)
{
    json_decref(t->header);
    json_decref(t->claims);
    *t = (struct jwt){ .header = NULL };
}

/* ---- signatures ---- */

/* r and s side by side to ECDSA-Sig-Value. */
static int der_of(struct bytes rs, size_t half, struct buf *out, struct err *err)
{
    ECDSA_SIG *sig = rs.n == 2 * half ? ECDSA_SIG_new() : NULL;
    BIGNUM *r = sig ? BN_bin2bn(rs.p, (int)half, NULL) : NULL;
    BIGNUM *s = r ? BN_bin2bn(rs.p + half, (int)half, NULL) : NULL;
    uint8_t *der = NULL;
    if (!s || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return err_set(err, ERR_UNAUTHENTICATED, 0, "the token's signature has %zu bytes, want %zu", rs.n,
                       2 * half);
    }
    int n = i2d_ECDSA_SIG(sig, &der);
    ECDSA_SIG_free(sig);
    if (n > 0)
        buf_put(out, bytes_of(der, (size_t)n));
    OPENSSL_free(der);
    return n > 0 ? buf_check(out, "signature", err)
                 : err_set(err, ERR_IO, ENOMEM, "no memory for a signature");
}

/* The reverse: appends r and s, half bytes each. */
static int put_raw(struct bytes der, size_t half, struct buf *out, struct err *err)
{
    const unsigned char *at = der.p;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)der.n);
    uint8_t *room = sig ? buf_room(out, 2 * half) : NULL;
    bool good = room && BN_bn2binpad(ECDSA_SIG_get0_r(sig), room, (int)half) >= 0
                && BN_bn2binpad(ECDSA_SIG_get0_s(sig), room + half, (int)half) >= 0;
    ECDSA_SIG_free(sig);
    return good ? 0 : err_set(err, ERR_IO, 0, "libcrypto made no signature");
}

static bool set_padding(const struct jwt_alg_row *row, EVP_PKEY_CTX *how)
{
    return row->half || !row->pss
           || (EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1
               && EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) == 1);
}

static int check_signature(const struct parts *p, enum jwt_alg alg, EVP_PKEY *key, struct err *err)
{
    const struct jwt_alg_row *row = &rows[alg];
    AUTO(buf_done) struct buf raw = buf_new(SIGNATURE_MAX);
    AUTO(buf_done) struct buf der = buf_new(SIGNATURE_MAX);
    EVP_PKEY_CTX *how = NULL;
    struct err why = { 0 };
    if (b64url_decode_strict(p->signature, &raw, &why) < 0)
        return err_set(err, ERR_INPUT, 0, "the token's signature: %.200s", why.cause);
    if (row->half && der_of(buf_bytes(&raw), row->half, &der, err) < 0)
        return -1;
    struct bytes sig = buf_bytes(row->half ? &der : &raw);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestVerifyInit_ex(ctx, &how, row->digest, NULL, NULL, key, NULL) == 1
                && set_padding(row, how)
                && EVP_DigestVerify(ctx, sig.p, sig.n, p->signed_text.p, p->signed_text.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good ? 0
                : err_set(err, ERR_UNAUTHENTICATED, 0,
                          "the token is not signed by the key that it names (%s)", row->name);
}

/* ---- judging ---- */

/* Words of a token, for messages. */
struct word {
    char text[64];
};

static struct word clean(const char *name)
{
    struct word w;
    size_t n = 0;
    for (; name[n] && n < sizeof(w.text) - 1; n++)
        w.text[n] = name[n] >= 0x20 && name[n] < 0x7F ? name[n] : '?';
    w.text[n] = '\0';
    return w;
}

static int choose_alg(const json_t *header, const struct jwt_rules *rules, enum jwt_alg *out, struct err *err)
{
    const char *name = json_string_value(json_object_get(header, "alg"));
    if (!name)
        return err_set(err, ERR_INPUT, 0, "the token's header names no alg");
    if (json_object_get(header, "crit"))
        return err_set(err, ERR_UNAUTHENTICATED, 0,
                       "the token has critical header extensions: none is known");
    for (unsigned i = 0; i < JWT_ALGS; i++) {
        if ((rules->algs & JWT_BIT(i)) && !strcmp(name, rows[i].name)) {
            *out = (enum jwt_alg)i;
            return 0;
        }
    }
    return err_set(err, ERR_UNAUTHENTICATED, 0, "the token's algorithm \"%s\" is none that is accepted",
                   clean(name).text);
}

/* Two entries of one kid may differ in kind: each that fits is tried. */
static int check_keys(const struct parts *p, const struct jwks *keys, struct jwt *t, struct err *err)
{
    const json_t *named = json_object_get(t->header, "kid");
    const char *kid = json_string_value(named);
    bool found = false;
    if (named && !kid)
        return err_set(err, ERR_INPUT, 0, "the token's kid is not text");
    if (!kid && keys->n != 1)
        return err_set(err, ERR_UNAUTHENTICATED, 0, "the token names no key, and the set has %zu", keys->n);
    for (size_t i = 0; i < keys->n; i++) {
        const struct jwk *k = &keys->key[i];
        if (kid && strcmp(kid, k->kid) != 0)
            continue;
        found = true;
        if (!(k->algs & JWT_BIT(t->alg))) {
            err_set(err, ERR_UNAUTHENTICATED, 0,
                    "the token's algorithm %s does not fit the key that it names", rows[t->alg].name);
            continue;
        }
        if (check_signature(p, t->alg, k->key, err) == 0) {
            t->key = i;
            return 0;
        }
    }
    return found ? -1
                 : err_set(err, ERR_UNAUTHENTICATED, 0, "the key set has no key \"%s\"",
                           clean(kid ? kid : "").text);
}

/* NumericDate: seconds, perhaps with a fraction. @return 1, 0 if absent, -1 */
static int date_of(const json_t *claims, const char *name, double *out, struct err *err)
{
    const json_t *v = json_object_get(claims, name);
    if (!v)
        return 0;
    if (!json_is_number(v))
        return err_set(err, ERR_INPUT, 0, "the token's %s is no number", name);
    *out = json_number_value(v);
    return 1;
}

static int check_dates(const json_t *claims, const struct jwt_rules *rules, struct err *err)
{
    double now = (double)rules->now, leeway = rules->leeway_s, exp = 0, nbf = 0, iat = 0;
    int has_exp = date_of(claims, "exp", &exp, err), has_nbf = date_of(claims, "nbf", &nbf, err);
    int has_iat = date_of(claims, "iat", &iat, err);
    if (has_exp < 0 || has_nbf < 0 || has_iat < 0)
        return -1;
    if (!has_exp && rules->exp_due)
        return err_set(err, ERR_UNAUTHENTICATED, 0, "the token never expires: exp is missing");
    if (has_exp && now - leeway >= exp)
        return err_set(err, ERR_UNAUTHENTICATED, 0, "the token expired %.0f s ago", now - exp);
    if (has_nbf && now + leeway < nbf)
        return err_set(err, ERR_UNAUTHENTICATED, 0, "the token is valid in %.0f s only", nbf - now);
    if (has_iat && now + leeway < iat)
        return err_set(err, ERR_UNAUTHENTICATED, 0, "the token was made %.0f s in the future", iat - now);
    return 0;
}

static int check_issuer(const json_t *claims, const struct jwt_rules *rules, struct err *err)
{
    const char *iss = json_string_value(json_object_get(claims, "iss"));
    if (!rules->issuer || (iss && !strcmp(iss, rules->issuer)))
        return 0;
    return iss ? err_set(err, ERR_UNAUTHENTICATED, 0, "the token is issued by \"%s\"", clean(iss).text)
               : err_set(err, ERR_UNAUTHENTICATED, 0, "the token names no issuer");
}

int jwt_verify(struct bytes token, const struct jwks *keys, const struct jwt_rules *rules, struct jwt *out,
               struct err *err)
{
    struct parts p;
    struct jwt t = { .header = NULL };
    if (split(token, &p, err) < 0 || read_token(&p, &t, err) < 0)
        return -1;
    if (choose_alg(t.header, rules, &t.alg, err) < 0 || check_keys(&p, keys, &t, err) < 0
        || check_dates(t.claims, rules, err) < 0 || check_issuer(t.claims, rules, err) < 0) {
        jwt_done(&t);
        return -1;
    }
    *out = t;
    return 0;
}

/* ---- making ---- */

static int put_json_part(const json_t *v, struct buf *out, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(JWT_MAX);
    json_put(&text, v, false);
    if (buf_check(&text, "token", err) < 0)
        return -1;
    b64url_put(out, buf_bytes(&text));
    return 0;
}

static int sign_text(EVP_PKEY *key, enum jwt_alg alg, struct bytes text, struct buf *out, struct err *err)
{
    const struct jwt_alg_row *row = &rows[alg];
    AUTO(buf_done) struct buf raw = buf_new(SIGNATURE_MAX);
    uint8_t sig[SIGNATURE_MAX];
    size_t n = sizeof(sig);
    EVP_PKEY_CTX *how = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestSignInit_ex(ctx, &how, row->digest, NULL, NULL, key, NULL) == 1
                && set_padding(row, how) && EVP_DigestSign(ctx, sig, &n, text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    if (!good)
        return err_set(err, ERR_IO, 0, "libcrypto did not sign with %s", row->name);
    if (row->half && put_raw(bytes_of(sig, n), row->half, &raw, err) < 0)
        return -1;
    b64url_put(out, row->half ? buf_bytes(&raw) : bytes_of(sig, n));
    return 0;
}

int jwt_sign(EVP_PKEY *key, enum jwt_alg alg, const char *kid, const json_t *extra, const json_t *claims,
             struct buf *out, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(JWT_MAX);
    AUTO(buf_done) struct buf sig = buf_new(2 * SIGNATURE_MAX);
    AUTO(json_drop)
    json_t *header = json_pack("{s:s,s:s?,s:s}", "alg", rows[alg].name, "kid", kid, "typ", "JWT");
    if (!jwt_alg_fits(alg, key))
        return err_set(err, ERR_INPUT, 0, "the key cannot sign with %s", rows[alg].name);
    if (!header || (!kid && json_object_del(header, "kid") < 0)
        || (extra && json_object_update_missing(header, (json_t *)(uintptr_t)extra) < 0))
        return err_set(err, ERR_IO, ENOMEM, "no memory for a token");
    if (put_json_part(header, &text, err) < 0)
        return -1;
    buf_u8(&text, '.');
    if (put_json_part(claims, &text, err) < 0 || buf_check(&text, "token", err) < 0
        || sign_text(key, alg, buf_bytes(&text), &sig, err) < 0 || buf_check(&sig, "signature", err) < 0)
        return -1;
    buf_put(out, buf_bytes(&text));
    buf_u8(out, '.');
    buf_put(out, buf_bytes(&sig));
    return buf_check(out, "token", err);
}
