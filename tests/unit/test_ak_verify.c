/* tpm/ak_verify.h: certificates of attestation keys, made and recorded. */
#include "evidence.h"
#include "made_certs.h"

#include "base/auto.h"
#include "base/chain.h"
#include "policy/trust.h"
#include "tpm/ak_verify.h"

#include <string.h>

static struct checks checks;

static enum check_result result(const char *name)
{
    const struct check *c = checks_find(&checks, name);
    assert_non_null(c);
    return c->result;
}

static bool cert_holds(X509 *cert, X509 *pool, X509 *anchor, EVP_PKEY *ak, time_t at, bool optional)
{
    struct ak_judged judged;
    const struct ak_cert_request rq = {
        .cert = cert, .pool = &pool, .pool_n = pool ? 1 : 0, .anchors = &anchor, .anchors_n = 1
    };
    memset(&checks, 0, sizeof(checks));
    ak_cert_judge(&rq, &judged);
    bool ok = ak_cert_check(&judged, cert, ak, at, optional, &checks);
    assert_int_equal(ok, checks_hold(&checks, "tpm.ak_chain"));
    return ok;
}

static void ak_certificates(void **state)
{
    (void)state;
    const struct made_ext ca[] = { { .oid = "basicConstraints", .text = "critical,CA:TRUE" },
                                   { .oid = "extendedKeyUsage", .text = "2.23.133.8.1" } };
    const struct made_ext google[] = { { .oid = "keyUsage", .text = "critical,digitalSignature" },
                                       { .oid = "basicConstraints", .text = "critical,CA:FALSE" } };
    const struct made_ext microsoft[] = { { .oid = "keyUsage", .text = "critical,digitalSignature" },
                                          { .oid = "extendedKeyUsage",
                                            .text = "1.3.6.1.4.1.311.10.3.12,2.23.133.8.3" } };
    const struct made_ext ek[] = { { .oid = "keyUsage", .text = "critical,keyEncipherment" } };
    const struct made_ext web[] = { { .oid = "extendedKeyUsage", .text = "serverAuth" } };
    const struct {
        const struct made_ext *ext;
        size_t n;
        bool want;
    } rows[] = { { google, 2, true }, { microsoft, 2, true }, { NULL, 0, true },
                 { ek, 1, false },    { web, 1, false },      { ca, 2, false } };
    AUTO(pkey_drop) EVP_PKEY *ca_key = made_ec_key("P-256");
    AUTO(pkey_drop) EVP_PKEY *key = made_ec_key("P-256");
    AUTO(x509_drop)
    X509 *root = made_cert(&(struct made_spec){ .cn = "root", .key = ca_key, .ext = ca, .ext_n = 2 });
    AUTO(x509_drop)
    X509 *other = made_cert(&(struct made_spec){ .cn = "other", .key = ca_key, .ext = ca, .ext_n = 2 });
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(x509_drop)
        X509 *cert = made_cert(&(struct made_spec){ .cn = "ak",
                                                    .key = key,
                                                    .issuer = root,
                                                    .issuer_key = ca_key,
                                                    .ext = rows[i].ext,
                                                    .ext_n = rows[i].n });
        if (cert_holds(cert, NULL, root, key, MADE_NOW, false) != rows[i].want)
            fail_msg("row %zu: %s", i, checks.list[0].detail);
        assert_false(cert_holds(cert, NULL, root, ca_key, MADE_NOW, false)); /* of another key */
        assert_false(cert_holds(cert, NULL, root, NULL, MADE_NOW, false));
        assert_false(cert_holds(cert, NULL, root, key, MADE_NOW + 11 * MADE_DAY, true));
        assert_false(cert_holds(cert, NULL, other, key, MADE_NOW, false)); /* no issuer at hand */
        assert_int_equal(result("tpm.ak_chain"), CHECK_FAILED);
        assert_false(cert_holds(cert, NULL, other, key, MADE_NOW, true));
        assert_int_equal(result("tpm.ak_chain"), CHECK_NOT_APPLICABLE);
        assert_int_equal(checks.warnings_n, 1);
    }
    assert_false(cert_holds(root, NULL, root, ca_key, MADE_NOW, false)); /* a root is no key's certificate */
}

static X509 *load_cert(const char *path)
{
    AUTO(sample_done) struct sample s = sample_load(path);
    X509 *cert = NULL;
    assert_int_equal(x509_parse(sample_bytes(&s), &cert, &(struct err){ 0 }), 0);
    return cert;
}

static X509 *built_in(const char *name)
{
    X509 *cert = NULL;
    for (size_t i = 0; i < TRUST_ROWS; i++)
        if (strcmp(trust_rows()[i].name, name) == 0)
            assert_int_equal(x509_parse(trust_pem(i), &cert, &(struct err){ 0 }), 0);
    assert_non_null(cert);
    return cert;
}

#define PCA "gcp-vtpm/ek-ak-certs-private-ca/pca_tpm_"

static void recorded_certificates(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool want;
    } rows[] = { { PCA "rsa_sign_cert.pem", true },
                 { PCA "ecc_sign_cert.pem", true },
                 { PCA "rsa_enc_cert.pem", false },
                 { PCA "ecc_enc_cert.pem", false } };
    skip_without_evidence();
    AUTO(x509_drop) X509 *root = built_in("google-gcp-ek-ak-ca-root");
    AUTO(x509_drop) X509 *v3 = built_in("google-gcp-ek-ak-ca-intermediate-v3");
    AUTO(x509_drop) X509 *microsoft = built_in("microsoft-azure-vtpm-root-2023");
    time_t at;
    assert_int_equal(rfc3339_parse("2024-01-01T00:00:00Z", &at, &(struct err){ 0 }), 0); /* the manifest's */
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(x509_drop) X509 *cert = load_cert(rows[i].path);
        EVP_PKEY *key = X509_get0_pubkey(cert);
        assert_int_equal(cert_holds(cert, v3, root, key, at, false), rows[i].want);
        assert_false(cert_holds(cert, v3, microsoft, key, at, false));
        for (size_t bit = 0; rows[i].want && bit < 900 * 8; bit += 13) {
            AUTO(x509_drop) X509 *changed = made_bit_changed(cert, bit);
            if (changed && cert_holds(changed, v3, root, X509_get0_pubkey(changed), at, false))
                fail_msg("bit %zu", bit);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(ak_certificates),
                                        cmocka_unit_test(recorded_certificates) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
