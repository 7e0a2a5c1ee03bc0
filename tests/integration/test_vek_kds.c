/* tee/vek.h: certificates from a scripted KDS. */
#include "vek_rig.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* ---- KDS ---- */

static void fetched_once_kept_and_read_back(void **state)
{
    (void)state;
    static const char *const rows[][2] = { { GENOA, "Genoa" }, { TURIN, "Turin" }, { MILAN, "Milan" } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct machine m;
        machine_new(&m, rows[i][0], rows[i][1]);
        struct http_rule rules[] = {
            { .path = m.leaf_path, .status = 200, .body = sample_bytes(&m.vek) },
            { .path = m.chain_path, .status = 200, .body = sample_bytes(&m.chain) }
        };
        serve(&m, rules, 2);
        struct vek_store *s = open_store(&m, NULL);
        struct heard h = { 0 };
        assert_false(found(s, &m, 2));
        fetch(s, &m, false, 5000, &h);
        assert_string_equal(h.cause, "");
        assert_true(found(s, &m, 2));
        vek_store_free(s);
        s = open_store(&m, NULL); /* a restart: from disk */
        assert_true(found(s, &m, 2));
        vek_store_free(s);
        assert_int_equal(atomic_load(&rules[0].hits), 1);
        assert_int_equal(atomic_load(&rules[1].hits), 1);
        each_file(m.cache, damage_file);
        s = open_store(&m, NULL);
        assert_false(found(s, &m, 2));
        fetch(s, &m, false, 5000, &h);
        assert_true(found(s, &m, 2));
        vek_store_free(s);
        assert_int_equal(atomic_load(&rules[0].hits), 2);
        machine_done(&m);
    }
}

static void twenty_who_ask_make_one_request(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    struct http_rule rules[] = {
        { .path = m.leaf_path, .status = 200, .body = sample_bytes(&m.vek), .delay_ms = 300 },
        { .path = m.chain_path, .status = 200, .body = sample_bytes(&m.chain) }
    };
    serve(&m, rules, 2);
    struct vek_store *s = open_store(&m, NULL);
    struct heard h = { 0 };
    struct err err = { 0 };
    for (int i = 0; i < 20; i++)
        assert_int_equal(vek_fetch(s, sample_bytes(&m.report), false, 5000, hear, &h, &err), 0);
    wait_for(&h, 20);
    assert_int_equal(atomic_load(&h.failures), 0);
    assert_int_equal(atomic_load(&rules[0].hits), 1);
    assert_int_equal(atomic_load(&rules[1].hits), 1);
    vek_store_free(s);
    machine_done(&m);
}

static void too_many_requests_are_waited_out(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    struct http_rule rules[] = { { .path = m.leaf_path,
                                   .status = 429,
                                   .retry_after = "2",
                                   .body = bytes_str("slow down"),
                                   .times = 1 },
                                 { .path = m.leaf_path, .status = 200, .body = sample_bytes(&m.vek) },
                                 { .path = m.chain_path, .status = 200, .body = sample_bytes(&m.chain) } };
    serve(&m, rules, 3);
    struct vek_store *s = open_store(&m, NULL);
    struct heard h = { 0 };
    fetch(s, &m, false, 5000, &h);
    assert_int_equal(atomic_load(&h.failures), 1);
    assert_non_null(strstr(h.cause, "429"));
    uint64_t start = clock_ms();
    fetch(s, &m, false, 100, &h); /* in the pause: the last failure at once, no new request */
    assert_true(clock_ms() - start < 1000);
    assert_int_equal(atomic_load(&h.failures), 2);
    assert_true(found_later(s, &m));
    assert_true(clock_ms() - start > 1500);
    assert_int_equal(atomic_load(&rules[0].hits), 1);
    assert_int_equal(atomic_load(&rules[1].hits), 1);
    vek_store_free(s);
    machine_done(&m);
}

static void a_slow_service_delays_nobody(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    struct http_rule rules[] = {
        { .path = m.leaf_path, .status = 200, .body = sample_bytes(&m.vek), .delay_ms = 1500 },
        { .path = m.chain_path, .status = 200, .body = sample_bytes(&m.chain) }
    };
    serve(&m, rules, 2);
    struct vek_store *s = open_store(&m, NULL);
    struct heard h = { 0 };
    uint64_t start = clock_ms();
    fetch(s, &m, false, 200, &h);
    assert_true(clock_ms() - start >= 200 && clock_ms() - start < 1200);
    assert_int_equal(atomic_load(&h.failures), 1);
    assert_true(found_later(s, &m));
    assert_int_equal(atomic_load(&h.calls), 1);
    vek_store_free(s);
    machine_done(&m);
}

static void a_closing_store_tells_who_waits(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    struct http_rule rules[] = { { .path = "/", .status = 503, .body = bytes_str(""), .delay_ms = 4000 } };
    serve(&m, rules, 1);
    struct vek_store *s = open_store(&m, NULL);
    struct heard h = { 0 };
    struct err err = { 0 };
    assert_int_equal(vek_fetch(s, sample_bytes(&m.report), false, 60000, hear, &h, &err), 0);
    while (!atomic_load(&rules[0].hits))
        usleep(1000);
    uint64_t start = clock_ms();
    vek_store_free(s); /* the request is cut off, not waited for */
    assert_true(clock_ms() - start < 2500);
    assert_int_equal(atomic_load(&h.calls), 1);
    assert_int_equal(atomic_load(&h.failures), 1);
    machine_done(&m);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    struct sample other = load(OTHER, "vcek.der");
    AUTO(free_u8) uint8_t *big = calloc(1, 70000);
    const struct {
        struct bytes body;
        const char *text;
    } rows[] = {
        { sample_bytes(&other), "another" },     { bytes_str("<html>not a certificate"), "no certificate" },
        { bytes_of(NULL, 0), "no certificate" }, { sample_bytes(&m.chain), "certificates" },
        { bytes_of(big, 70000), "65536" },       { bytes_of(m.vek.p, m.vek.n - 1), "no certificate" }
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct http_rule rules[] = {
            { .path = m.leaf_path, .status = 200, .body = rows[i].body },
            { .path = m.chain_path, .status = 200, .body = sample_bytes(&m.chain) }
        };
        serve(&m, rules, 2);
        struct vek_store *s = open_store(&m, NULL);
        struct heard h = { 0 };
        fetch(s, &m, false, 5000, &h);
        assert_int_equal(atomic_load(&h.failures), 1);
        if (!strstr(h.cause, rows[i].text))
            fail_msg("row %zu: %s", i, h.cause);
        assert_false(found(s, &m, 2));
        vek_store_free(s);
        http_server_stop(m.server);
        m.server = NULL;
    }
    sample_done(&other);
    machine_done(&m);
}

static void a_wrong_chain_keeps_the_leaf(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    struct sample milan = load_chain(MILAN, "ask.pem");
    struct http_rule rules[] = { { .path = m.leaf_path, .status = 200, .body = sample_bytes(&m.vek) },
                                 { .path = m.chain_path, .status = 200, .body = sample_bytes(&milan) } };
    serve(&m, rules, 2);
    struct vek_store *s = open_store(&m, NULL);
    struct heard h = { 0 };
    fetch(s, &m, false, 5000, &h);
    assert_int_equal(atomic_load(&h.failures), 1);
    assert_true(found(s, &m, 0));
    vek_store_free(s);
    sample_done(&milan);
    machine_done(&m);
}

static void version_2_asks_for_milan_then_genoa(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, MILAN, "Milan");
    struct http_rule rules[] = { { .path = "/vcek/v1/Milan/", .status = 404, .body = bytes_str("") },
                                 { .path = "/vcek/v1/Genoa/", .status = 404, .body = bytes_str("") } };
    serve(&m, rules, 2);
    struct vek_store *s = open_store(&m, NULL);
    struct heard h = { 0 };
    fetch(s, &m, false, 5000, &h);
    assert_int_equal(atomic_load(&h.failures), 1);
    assert_int_equal(atomic_load(&rules[0].hits), 1);
    assert_int_equal(atomic_load(&rules[1].hits), 1);
    vek_store_free(s);
    machine_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fetched_once_kept_and_read_back),
        cmocka_unit_test(twenty_who_ask_make_one_request),
        cmocka_unit_test(too_many_requests_are_waited_out),
        cmocka_unit_test(a_slow_service_delays_nobody),
        cmocka_unit_test(a_closing_store_tells_who_waits),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(a_wrong_chain_keeps_the_leaf),
        cmocka_unit_test(version_2_asks_for_milan_then_genoa),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
