#include "tpm/quote_verify.h"

#include "base/auto.h"
#include "tpm/signature.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>

#define RSA_BITS_MIN 2048

/* ---- signature ---- */

/* Hashes that a quote may be signed over. SHA-1 is not among them. */
static const EVP_MD *md_of(uint16_t hash)
{
    return hash == ALG_SHA256 || hash == ALG_SHA384 || hash == ALG_SHA512 ? digest_md(hash) : NULL;
}

static bool curve_ok(EVP_PKEY *key)
{
    char group[32];
    if (EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1)
        return false;
    int nid = OBJ_txt2nid(group);
    return nid == NID_X9_62_prime256v1 || nid == NID_secp384r1;
}

static int check_key(EVP_PKEY *key, uint16_t scheme, struct err *err)
{
    int type = EVP_PKEY_get_base_id(key), want = scheme == TPM_SCHEME_ECDSA ? EVP_PKEY_EC : EVP_PKEY_RSA;
    if (type != want)
        return err_set(err, ERR_DENIED, 0, "the signature's scheme is %s, the key of another kind",
                       tpm_scheme_name(scheme));
    if (type == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) < RSA_BITS_MIN)
        return err_set(err, ERR_DENIED, 0, "an RSA key of %d bits is too short", EVP_PKEY_get_bits(key));
    if (type == EVP_PKEY_EC && !curve_ok(key))
        return err_set(err, ERR_DENIED, 0, "the key is neither on P-256 nor on P-384");
    return 0;
}

static bool set_padding(EVP_PKEY_CTX *ctx, uint16_t scheme)
{
    if (scheme == TPM_SCHEME_ECDSA)
        return true;
    if (scheme == TPM_SCHEME_RSASSA)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1
           && EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_AUTO) == 1;
}

static int verify(struct bytes data, const struct tpm_signature *sig, EVP_PKEY *key, struct err *err)
{
    AUTO(buf_done) struct buf der = buf_new(1024);
    EVP_PKEY_CTX *pkey_ctx = NULL; /* owned by ctx */
    if (tpm_signature_to_der(sig, &der, err) < 0)
        return -1;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestVerifyInit(ctx, &pkey_ctx, md_of(sig->hash), NULL, key) == 1
                && set_padding(pkey_ctx, sig->scheme)
                && EVP_DigestVerify(ctx, der.p, der.n, data.p, data.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good ? 0 : err_set(err, ERR_DENIED, 0, "the signature is not by this attestation key");
}

/* A bare RSA signature has the key's size, which no TPMT_SIGNATURE has; its scheme is the key's, by default
 * what cloud TPMs use. */
static int parse_signature(const struct tpm_quote_request *rq, struct tpm_signature *out, struct err *err)
{
    const struct tpm_public *pub = rq->ak_public;
    bool rsa = EVP_PKEY_get_base_id(rq->ak) == EVP_PKEY_RSA;
    if (!rsa || rq->signature.n != (size_t)EVP_PKEY_get_size(rq->ak))
        return tpm_signature_parse(rq->signature, out, err);
    bool named = pub && (pub->scheme == TPM_SCHEME_RSASSA || pub->scheme == TPM_SCHEME_RSAPSS);
    return tpm_signature_parse_bare(rq->signature, named ? pub->scheme : TPM_SCHEME_RSASSA,
                                    named ? pub->scheme_hash : ALG_SHA256, out, err);
}

static int check_signature(const struct tpm_quote_request *rq, const struct tpm_attest *attest,
                           struct tpm_signature *sig, struct err *err)
{
    if (!rq->ak)
        return err_set(err, ERR_NOT_FOUND, 0, "there is no attestation key to verify with");
    if (parse_signature(rq, sig, err) < 0 || check_key(rq->ak, sig->scheme, err) < 0)
        return -1;
    if (!md_of(sig->hash))
        return err_set(err, ERR_DENIED, 0, "signed over %s: want SHA-256, SHA-384 or SHA-512",
                       digest_name(sig->hash));
    return verify(attest->raw, sig, rq->ak, err);
}

static bool judge_signature(const struct tpm_quote_request *rq, const struct tpm_attest *attest,
                            struct tpm_signature *sig, struct checks *checks)
{
    struct err err = { 0 };
    int rc = check_signature(rq, attest, sig, &err);
    if (rc < 0)
        checks_add_rc(checks, "tpm.quote_signature", rc, NULL, &err);
    else
        checks_add(checks, "tpm.quote_signature", CHECK_OK, "%s over %s%s", tpm_scheme_name(sig->scheme),
                   digest_name(sig->hash), sig->bare ? ", a bare signature" : "");
    return rc == 0;
}

/* ---- what is signed ---- */

static void judge_extra_data(const struct tpm_quote_request *rq, const struct tpm_attest *attest,
                             struct checks *checks)
{
    if (!rq->extra_data_asked) {
        checks_add(checks, "tpm.extra_data", CHECK_NOT_APPLICABLE,
                   "not asked: how old the quote is, is not known");
        return;
    }
    bool same = bytes_equal(attest->extra_data, rq->extra_data);
    checks_add(checks, "tpm.extra_data", same ? CHECK_OK : CHECK_FAILED, "%s",
               same ? "the quote carries what was asked"
                    : "the quote carries other data: of another request, or replayed");
}

static int check_pcrs(const struct tpm_quote_request *rq, const struct tpm_attest *attest, uint16_t hash,
                      struct err *err)
{
    struct digest seen;
    unsigned selected = 0;
    for (size_t i = 0; i < attest->quote.n; i++)
        selected += attest->quote.selections[i].count;
    if (selected == 0)
        return err_set(err, ERR_DENIED, 0, "the quote selects no PCR: it proves none");
    if (tpm_pcr_digest(attest->quote.selections, attest->quote.n, rq->banks, rq->bank_count, hash, &seen, err)
        < 0)
        return -1;
    if (!bytes_equal(digest_bytes(&seen), attest->quote.pcr_digest))
        return err_set(err, ERR_DENIED, 0, "the PCR values are not those of the quote");
    return 0;
}

static uint32_t selected(const struct tpm_attest *attest, uint16_t bank)
{
    uint32_t mask = 0;
    for (size_t i = 0; i < attest->quote.n; i++)
        if (attest->quote.selections[i].alg == bank)
            mask |= attest->quote.selections[i].mask;
    return mask;
}

static void warn_pcrs(const struct tpm_quote_request *rq, const struct tpm_attest *attest,
                      struct checks *checks)
{
    for (size_t i = 0; i < rq->bank_count; i++) {
        uint32_t mask = selected(attest, rq->banks[i].alg);
        if (mask && rq->banks[i].alg == ALG_SHA1)
            checks_warn(checks, "the quote is over the SHA-1 bank: such values can be forged");
        if (rq->banks[i].mask & ~mask)
            checks_warn(checks, "PCR values of bank %s that the quote does not cover: mask %#" PRIx32,
                        digest_name(rq->banks[i].alg), rq->banks[i].mask & ~mask);
    }
}

static bool judge_pcrs(const struct tpm_quote_request *rq, const struct tpm_attest *attest, uint16_t hash,
                       struct checks *checks)
{
    struct err err = { 0 };
    if (rq->bank_count == 0) {
        checks_add(checks, "tpm.pcr_digest", rq->pcrs_due ? CHECK_FAILED : CHECK_NOT_APPLICABLE,
                   "there are no PCR values");
        return false;
    }
    int rc = check_pcrs(rq, attest, hash, &err);
    checks_add_rc(checks, "tpm.pcr_digest", rc, "the PCR values are those of the quote", &err);
    warn_pcrs(rq, attest, checks);
    return rc == 0;
}

static int check_public(const struct tpm_quote_request *rq, struct err *err)
{
    bool same;
    if (tpm_public_is(rq->ak_public, rq->ak, &same, err) < 0)
        return -1;
    if (!same)
        return err_set(err, ERR_DENIED, 0,
                       "the public area is of another key than the one that must have signed");
    return tpm_public_check_ak(rq->ak_public, err);
}

static void judge_attributes(const struct tpm_quote_request *rq, struct checks *checks)
{
    struct err err = { 0 };
    if (!rq->ak_public) {
        checks_add(checks, "tpm.ak_attributes", rq->public_due ? CHECK_FAILED : CHECK_NOT_APPLICABLE,
                   "there is no public area (TPMT_PUBLIC) of the key");
        return;
    }
    checks_add_rc(checks, "tpm.ak_attributes", check_public(rq, &err),
                  "restricted, signs, does not decrypt, fixedTPM, with a scheme; the same key", &err);
}

/* ---- all of it ---- */

static int parse(struct bytes quote, struct tpm_attest *out, struct err *err)
{
    struct tpm_attest a;
    if (tpm_attest_parse(quote, &a, err) < 0)
        return -1;
    if (a.type != TPM_ATTEST_QUOTE)
        return err_set(err, ERR_INPUT, 0, "attestation of type %#x: want a quote, 0x8018", a.type);
    *out = a;
    return 0;
}

/* @return why the signed contents cannot be judged, or NULL when they were */
static const char *judge(const struct tpm_quote_request *rq, struct checks *checks,
                         struct tpm_quote_verdict *out)
{
    struct tpm_signature sig = { 0 };
    struct err err = { 0 };
    int rc = parse(rq->quote, &out->attest, &err);
    checks_add_rc(checks, "tpm.quote_format", rc, "a TPMS_ATTEST of type quote", &err);
    if (rc < 0)
        return "the quote cannot be read";
    out->parsed = true;
    if (!judge_signature(rq, &out->attest, &sig, checks))
        return "the quote's signature does not hold";
    out->authentic = true;
    judge_extra_data(rq, &out->attest, checks);
    out->pcrs_hold = judge_pcrs(rq, &out->attest, sig.hash, checks);
    return NULL;
}

void tpm_quote_verify(const struct tpm_quote_request *rq, struct checks *checks,
                      struct tpm_quote_verdict *out)
{
    *out = (struct tpm_quote_verdict){ 0 };
    const char *why = judge(rq, checks, out);
    if (why) {
        const bool due = rq->pcrs_due || rq->bank_count;
        if (!out->parsed)
            checks_add(checks, "tpm.quote_signature", CHECK_FAILED, "not made: %s", why);
        checks_add(checks, "tpm.extra_data", rq->extra_data_asked ? CHECK_FAILED : CHECK_NOT_APPLICABLE,
                   "not made: %s", why);
        checks_add(checks, "tpm.pcr_digest", due ? CHECK_FAILED : CHECK_NOT_APPLICABLE, "not made: %s", why);
    }
    judge_attributes(rq, checks);
}

uint32_t tpm_quote_covers(const struct tpm_quote_verdict *verdict, uint16_t bank)
{
    return verdict->authentic && verdict->pcrs_hold ? selected(&verdict->attest, bank) : 0;
}
