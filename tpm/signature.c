#include "tpm/signature.h"

#include "base/auto.h"
#include "base/json.h"

/* RSA-2048, 3072 and 4096; smaller keys are no attestation keys. */
static const size_t rsa_sizes[] = { 256, 384, 512 };

/* Bytes of a P-521 coordinate: the longest r and s. */
#define ECDSA_PART_MAX 66

static const struct {
    uint16_t scheme;
    const char *name;
} schemes[] = {
    { TPM_SCHEME_NULL, "null" },     { TPM_SCHEME_RSASSA, "rsassa" }, { TPM_SCHEME_RSAES, "rsaes" },
    { TPM_SCHEME_RSAPSS, "rsapss" }, { TPM_SCHEME_OAEP, "oaep" },     { TPM_SCHEME_ECDSA, "ecdsa" },
};

const char *tpm_scheme_name(uint16_t scheme)
{
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
        if (schemes[i].scheme == scheme)
            return schemes[i].name;
    return NULL;
}

static bool rsa_size_known(size_t n)
{
    for (size_t i = 0; i < ARRAY_SIZE(rsa_sizes); i++)
        if (rsa_sizes[i] == n)
            return true;
    return false;
}

static int parse_rsa(struct reader *r, struct tpm_signature *out, struct err *err)
{
    if (!rd_tpm2b(r, &out->rsa))
        return err_set(err, ERR_INPUT, 0, "RSA signature cut short at offset %zu", r->off);
    if (!rsa_size_known(out->rsa.n))
        return err_set(err, ERR_INPUT, 0, "RSA signature of %zu bytes at offset %zu: want 256, 384 or 512",
                       out->rsa.n, r->off - out->rsa.n);
    return 0;
}

static int parse_ecdsa(struct reader *r, struct tpm_signature *out, struct err *err)
{
    if (!rd_tpm2b(r, &out->r) || !rd_tpm2b(r, &out->s))
        return err_set(err, ERR_INPUT, 0, "ECDSA signature cut short at offset %zu", r->off);
    if (out->r.n == 0 || out->r.n > ECDSA_PART_MAX || out->s.n == 0 || out->s.n > ECDSA_PART_MAX)
        return err_set(err, ERR_INPUT, 0,
                       "ECDSA signature with r of %zu and s of %zu bytes before offset %zu: want 1 to %d",
                       out->r.n, out->s.n, r->off, ECDSA_PART_MAX);
    if (bytes_zero(out->r) || bytes_zero(out->s))
        return err_set(err, ERR_INPUT, 0, "ECDSA signature with %s of zero before offset %zu",
                       bytes_zero(out->r) ? "r" : "s", r->off);
    return 0;
}

static struct tpm_signature empty_signature(uint16_t scheme, uint16_t hash)
{
    const struct bytes none = bytes_of(NULL, 0);
    return (struct tpm_signature){ .scheme = scheme, .hash = hash, .rsa = none, .r = none, .s = none };
}

int tpm_signature_parse(struct bytes raw, struct tpm_signature *out, struct err *err)
{
    struct reader r = reader_of(raw);
    uint16_t scheme, hash;
    if (!rd_u16be(&r, &scheme) || !rd_u16be(&r, &hash))
        return err_set(err, ERR_INPUT, 0, "TPMT_SIGNATURE of %zu bytes has no header", raw.n);
    struct tpm_signature s = empty_signature(scheme, hash);
    if (scheme != TPM_SCHEME_RSASSA && scheme != TPM_SCHEME_RSAPSS && scheme != TPM_SCHEME_ECDSA)
        return err_set(err, ERR_INPUT, 0, "signature scheme %#x at offset 0: want RSASSA, RSAPSS or ECDSA",
                       scheme);
    if (!digest_size(hash))
        return err_set(err, ERR_INPUT, 0, "signature hash %#x at offset 2 is unknown", hash);
    if ((scheme == TPM_SCHEME_ECDSA ? parse_ecdsa(&r, &s, err) : parse_rsa(&r, &s, err)) < 0)
        return -1;
    if (r.rest.n)
        return err_set(err, ERR_INPUT, 0, "%zu bytes after the signature's end at offset %zu", r.rest.n,
                       r.off);
    *out = s;
    return 0;
}

int tpm_signature_parse_bare(struct bytes raw, uint16_t scheme, uint16_t hash, struct tpm_signature *out,
                             struct err *err)
{
    if (scheme != TPM_SCHEME_RSASSA && scheme != TPM_SCHEME_RSAPSS)
        return err_set(err, ERR_INPUT, 0, "signature scheme %#x has no bare form", scheme);
    if (!digest_size(hash))
        return err_set(err, ERR_INPUT, 0, "signature hash %#x is unknown", hash);
    if (!rsa_size_known(raw.n))
        return err_set(err, ERR_INPUT, 0, "bare signature of %zu bytes: want 256, 384 or 512", raw.n);
    struct tpm_signature s = empty_signature(scheme, hash);
    s.bare = true;
    s.rsa = raw;
    *out = s;
    return 0;
}

/* A DER INTEGER has no needless zeros in front, and one where the first bit would make it negative. */
static void put_der_integer(struct buf *out, struct bytes v)
{
    while (v.n > 1 && v.p[0] == 0)
        v = bytes_of(v.p + 1, v.n - 1);
    bool pad = v.p[0] & 0x80;
    buf_u8(out, 0x02);
    buf_u8(out, (uint8_t)(v.n + pad));
    buf_fill(out, 0, pad);
    buf_put(out, v);
}

int tpm_signature_to_der(const struct tpm_signature *sig, struct buf *out, struct err *err)
{
    if (sig->scheme != TPM_SCHEME_ECDSA) {
        buf_put(out, sig->rsa);
        return buf_check(out, "RSA signature", err);
    }
    AUTO(buf_done) struct buf both = buf_new(2 * (3 + ECDSA_PART_MAX));
    put_der_integer(&both, sig->r);
    put_der_integer(&both, sig->s);
    if (buf_check(&both, "ECDSA signature", err) < 0)
        return -1;
    buf_u8(out, 0x30);
    if (both.n > 127) /* only P-521: the length then takes a second byte */
        buf_u8(out, 0x81);
    buf_u8(out, (uint8_t)both.n);
    buf_put(out, buf_bytes(&both));
    return buf_check(out, "ECDSA signature", err);
}

json_t *tpm_signature_json(const struct tpm_signature *sig)
{
    const char *scheme = tpm_scheme_name(sig->scheme), *hash = digest_name(sig->hash);
    if (sig->scheme == TPM_SCHEME_ECDSA)
        return json_pack("{s:s?, s:s?, s:o, s:o}", "sig_alg", scheme, "hash", hash, "r", json_hex(sig->r),
                         "s", json_hex(sig->s));
    return json_pack("{s:s?, s:s?, s:o}", "sig_alg", scheme, "hash", hash, "sig", json_hex(sig->rsa));
}
