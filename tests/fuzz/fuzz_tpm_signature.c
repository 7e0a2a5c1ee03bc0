/* A TPMT_SIGNATURE that parses has no byte left over, and its DER says the same r and s to libcrypto. */
#include "fuzz.h"

#include "base/json.h"
#include "tpm/signature.h"

#include <openssl/ec.h>

static void check_part(const BIGNUM *n, struct bytes want)
{
    uint8_t got[80];
    CHECK(BN_bn2binpad(n, got, (int)want.n) == (int)want.n);
    CHECK(bytes_equal(bytes_of(got, want.n), want));
}

static void check_der(const struct tpm_signature *sig)
{
    struct buf der = buf_new(1024);
    CHECK(tpm_signature_to_der(sig, &der, NULL) == 0);
    if (sig->scheme == TPM_SCHEME_ECDSA) {
        const uint8_t *p = der.p;
        ECDSA_SIG *parsed = d2i_ECDSA_SIG(NULL, &p, (long)der.n);
        CHECK(parsed && p == der.p + der.n);
        check_part(ECDSA_SIG_get0_r(parsed), sig->r);
        check_part(ECDSA_SIG_get0_s(parsed), sig->s);
        ECDSA_SIG_free(parsed);
    } else {
        CHECK(bytes_equal(buf_bytes(&der), sig->rsa));
    }
    buf_done(&der);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tpm_signature sig;
    struct err err = { 0 };
    int bare = tpm_signature_parse_bare(bytes_of(data, size), TPM_SCHEME_RSAPSS, ALG_SHA256, &sig, &err);
    CHECK((bare == 0) == (size == 256 || size == 384 || size == 512));
    CHECK(bare < 0 || (sig.bare && sig.rsa.n == size));
    if (tpm_signature_parse(bytes_of(data, size), &sig, &err) < 0) {
        CHECK(err.kind == ERR_INPUT);
        return 0;
    }
    CHECK(!sig.bare);
    CHECK(4 + 2 + (sig.scheme == TPM_SCHEME_ECDSA ? sig.r.n + 2 + sig.s.n : sig.rsa.n) == size);
    check_der(&sig);
    json_t *v = tpm_signature_json(&sig);
    CHECK(v && json_is_string(json_object_get(v, "sig_alg")) && json_is_string(json_object_get(v, "hash")));
    json_decref(v);
    return 0;
}
