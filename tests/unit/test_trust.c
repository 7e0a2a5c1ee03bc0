/* policy/trust: every built-in certificate is the one that its row names, and each intermediate is signed by
 * an anchor. */
#include "evidence.h"

#include "base/auto.h"
#include "base/x509.h"
#include "policy/trust.h"

#include <stdio.h>

static void fingerprints_hold(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf storage = buf_new(1 << 20);
    struct bytes der[TRUST_ROWS];
    struct err err = { 0 };
    if (trust_der(&storage, der, &err) < 0)
        fail_msg("%s", err.cause);
}

static void every_intermediate_has_its_anchor(void **state)
{
    (void)state;
    const struct trust_row *rows = trust_rows();
    X509 *certs[TRUST_ROWS];
    struct err err = { 0 };
    for (size_t i = 0; i < TRUST_ROWS; i++)
        assert_int_equal(x509_parse(trust_pem(i), &certs[i], &err), 0);
    for (size_t i = 0; i < TRUST_ROWS; i++) {
        int signers = 0;
        for (size_t k = 0; k < TRUST_ROWS; k++)
            signers += rows[k].anchor && X509_verify(certs[i], X509_get0_pubkey(certs[k])) == 1;
        if (signers != 1)
            fail_msg("%s is signed by %d of the anchors", rows[i].name, signers);
        int self = X509_verify(certs[i], X509_get0_pubkey(certs[i])) == 1;
        assert_int_equal(self, rows[i].anchor);
    }
    for (size_t i = 0; i < TRUST_ROWS; i++)
        X509_free(certs[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fingerprints_hold),
        cmocka_unit_test(every_intermediate_has_its_anchor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
