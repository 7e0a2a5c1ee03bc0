/* tee/ak_chain.h: the chain of an attestation key from a scripted CA. */
#include "vek_rig.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* ---- chains of attestation keys ---- */

/* The address in the certificate is Google's; the answer comes from the server of the test. */
static void the_chain_of_googles_key(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    static const char folder[] = "gcp-snp/vtpm-33-byte-nonce";
    struct sample leaf = load(folder, "ak_cert.der"), middle = load(folder, "ak_intermediate.der"),
                  top = load(folder, "ak_root.der");
    const struct bytes pool[] = { sample_bytes(&top), sample_bytes(&middle) };
    AUTO(ak_chain_done) struct ak_chain c = { 0 };
    struct err err = { 0 };
    struct vek_store *s = open_store(&m, &(struct chain_pool){ pool, 2 });
    assert_int_equal(ak_chain_get(s, sample_bytes(&leaf), &c, &err), 0);
    assert_int_equal(c.n, 2);
    assert_true(bytes_equal(buf_bytes(&c.cert[0]), sample_bytes(&middle)));
    assert_true(bytes_equal(buf_bytes(&c.cert[1]), sample_bytes(&top)));
    ak_chain_done(&c);
    assert_int_equal(ak_chain_get(s, bytes_of(leaf.p, leaf.n - 1), &c, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    vek_store_free(s);

    struct http_rule rules[] = {
        { .path = "/04bf00fa8caa0eef4f16/ca.crt", .status = 200, .body = pool[0], .times = 1 },
        { .path = "/04bf00fa8caa0eef4f16/ca.crt", .status = 200, .body = pool[1] }
    };
    serve(&m, rules, 2);
    m.lower.http = (struct http){ http_server_perform, m.server };
    s = open_store(&m, &(struct chain_pool){ pool, 1 }); /* the root alone */
    assert_int_equal(ak_chain_get(s, sample_bytes(&leaf), &c, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    struct heard h = { 0 };
    assert_int_equal(ak_chain_fetch(s, sample_bytes(&leaf), 5000, hear, &h, &err), 0);
    wait_for(&h, 1);
    assert_non_null(strstr(h.cause, "does not sign")); /* the first answer is another certificate */
    assert_int_equal(ak_chain_fetch(s, sample_bytes(&leaf), 5000, hear, &h, &err), 0);
    wait_for(&h, 2);
    assert_int_equal(atomic_load(&h.failures), 1);
    assert_int_equal(ak_chain_get(s, sample_bytes(&leaf), &c, &err), 0);
    assert_int_equal(c.n, 2);
    ak_chain_done(&c);
    vek_store_free(s);
    s = open_store(&m, NULL); /* from disk */
    assert_int_equal(ak_chain_get(s, sample_bytes(&leaf), &c, &err), 0);
    assert_int_equal(c.n, 2);
    assert_int_equal(ak_chain_fetch(s, sample_bytes(&top), 100, hear, &h, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    vek_store_free(s);
    sample_done(&leaf);
    sample_done(&middle);
    sample_done(&top);
    machine_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_chain_of_googles_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
