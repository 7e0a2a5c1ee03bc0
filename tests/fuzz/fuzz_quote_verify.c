/* Quote verification. The input is a quote, a signature, a certificate or a log. Nothing is authentic but
 * what a key signs here. */
#include "fuzz.h"

#include "base/auto.h"
#include "base/chain.h"
#include "policy/trust.h"
#include "tpm/ak_verify.h"
#include "tpm/quote_verify.h"
#include "tpm/signature.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <string.h>

static EVP_PKEY *ec, *rsa;
static X509 *roots[TRUST_ROWS];
static size_t roots_n;
static struct tpm_pcrs zeros; /* the values of a TPM that nothing has been extended in */
static struct checks checks;

static void start(void)
{
    if (ec)
        return;
    ec = EVP_EC_gen("P-256");
    rsa = EVP_RSA_gen(2048);
    zeros = (struct tpm_pcrs){ .alg = ALG_SHA256, .mask = 0xFFFFFF };
    for (unsigned i = 0; i < TPM_PCRS; i++)
        zeros.pcr[i] = (struct digest){ .alg = ALG_SHA256, .n = 32 };
    for (size_t i = 0; i < TRUST_ROWS; i++)
        if (trust_rows()[i].anchor)
            CHECK(x509_parse(trust_pem(i), &roots[roots_n++], &(struct err){ 0 }) == 0);
}

static bool judge(struct bytes quote, struct bytes signature, EVP_PKEY *ak, struct tpm_quote_verdict *out)
{
    const struct tpm_quote_request rq = {
        .quote = quote, .signature = signature, .ak = ak, .banks = &zeros, .bank_count = 1
    };
    memset(&checks, 0, sizeof(checks));
    tpm_quote_verify(&rq, &checks, out);
    CHECK(checks.n == 5);
    CHECK(!out->authentic || out->parsed);
    CHECK(!out->pcrs_hold || out->authentic);
    CHECK(!checks_all_hold(&checks) || out->pcrs_hold);
    return out->authentic;
}

static void put_scalar(struct buf *out, const BIGNUM *v)
{
    uint8_t raw[64];
    buf_tpm2b(out, bytes_of(raw, (size_t)BN_bn2bin(v, raw)));
}

static void sign(struct bytes data, struct buf *out)
{
    uint8_t raw[128];
    size_t n = sizeof(raw);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, ec) == 1);
    CHECK(EVP_DigestSign(ctx, raw, &n, data.p, data.n) == 1);
    EVP_MD_CTX_free(ctx);
    const unsigned char *p = raw;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
    buf_u16be(out, TPM_SCHEME_ECDSA);
    buf_u16be(out, ALG_SHA256);
    put_scalar(out, ECDSA_SIG_get0_r(sig));
    put_scalar(out, ECDSA_SIG_get0_s(sig));
    ECDSA_SIG_free(sig);
}

static void as_quote(struct bytes data)
{
    struct tpm_quote_verdict v;
    struct digest digest;
    struct err err = { 0 };
    CHECK(!judge(data, data, ec, &v) && !judge(data, data, rsa, &v));
    if (!v.parsed)
        return;
    AUTO(buf_done) struct buf signature = buf_new(256);
    sign(v.attest.raw, &signature);
    CHECK(judge(data, buf_bytes(&signature), ec, &v));
    CHECK(!judge(data, buf_bytes(&signature), rsa, &v));
    judge(data, buf_bytes(&signature), ec, &v);
    bool same =
        tpm_pcr_digest(v.attest.quote.selections, v.attest.quote.n, &zeros, 1, ALG_SHA256, &digest, &err) == 0
        && bytes_equal(digest_bytes(&digest), v.attest.quote.pcr_digest);
    CHECK(!v.pcrs_hold || same);
}

/* Against values that are the log's own, whatever is covered is explained. */
static void as_log(struct bytes data)
{
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    struct tpm_replay replay;
    struct tpm_log_verdict v;
    struct err err = { 0 };
    if (tpm_eventlog_parse(data, EVENTLOG_TPM, &log, &err) < 0
        || tpm_eventlog_replay(&log, &replay, &err) < 0)
        return;
    for (size_t i = 0; i < replay.n; i++) {
        memset(&checks, 0, sizeof(checks));
        tpm_log_verify(&log, &replay, &replay.bank[i], 0xFFFFFF, &checks, &v);
        CHECK(checks.n == 1 && v.extended == 0 && v.unknown == 0);
        CHECK(!checks_hold(&checks, "tpm.eventlog_replay") || v.explained == replay.bank[i].mask);
        CHECK(checks_hold(&checks, "tpm.eventlog_replay") || v.explained == 0);
    }
}

static void as_certificate(struct bytes data)
{
    AUTO(x509_drop) X509 *cert = NULL;
    struct ak_judged judged;
    if (x509_parse(data, &cert, &(struct err){ 0 }) < 0)
        return;
    const struct ak_cert_request rq = { .cert = cert, .anchors = roots, .anchors_n = roots_n };
    ak_cert_judge(&rq, &judged);
    CHECK(judged.ok || judged.why[0]);
    memset(&checks, 0, sizeof(checks));
    CHECK(!ak_cert_check(&judged, cert, ec, 0, false, &checks) && checks.n == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = bytes_of(data, size);
    start();
    as_quote(input);
    as_log(input);
    as_certificate(input);
    return 0;
}
