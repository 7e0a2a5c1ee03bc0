/* tee/collateral_internal.h: real answers of the PCS, cut short and damaged. */
#include "evidence.h"

#include "base/auto.h"
#include "policy/trust.h"
#include "tee/collateral_internal.h"

#include <stdio.h>
#include <string.h>

#define FOLDER "tdx/v4-b0c06f-uptodate"

static const struct answer {
    struct collateral_id id;
    const char *data, *chain;
} answers[] = {
    { { .kind = COLLATERAL_TCB_INFO, .fmspc = { 0xB0, 0xC0, 0x6F } },
      "tcb_info.json",
      "tcb_signing_chain.pem" },
    { { .kind = COLLATERAL_QE_IDENTITY }, "qe_identity.json", "tcb_signing_chain.pem" },
    { { .kind = COLLATERAL_PCK_CRL }, "pck_crl.der", "pck_crl_issuer_chain.pem" },
    { { .kind = COLLATERAL_ROOT_CRL }, "root_ca_crl.der", NULL },
};

struct world {
    struct sample data[ARRAY_SIZE(answers)], chain[ARRAY_SIZE(answers)];
    X509 *root;
};

static struct sample load(const char *file)
{
    char path[256];
    snprintf(path, sizeof(path), FOLDER "/%s", file);
    return sample_load(path);
}

static int set_up(void **state)
{
    static struct world w;
    struct err err = { 0 };
    *state = &w;
    if (!test_evidence())
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        w.data[i] = load(answers[i].data);
        if (answers[i].chain)
            w.chain[i] = load(answers[i].chain);
    }
    for (size_t i = 0; i < TRUST_ROWS && !w.root; i++)
        if (trust_rows()[i].vendor == TRUST_INTEL)
            assert_int_equal(x509_parse(trust_pem(i), &w.root, &err), 0);
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        sample_done(&w->data[i]);
        sample_done(&w->chain[i]);
    }
    X509_free(w->root);
    return 0;
}

/* Takes bytes for answer i. @return true with its own form of them */
static bool take(const struct world *w, size_t i, struct bytes data, struct bytes chain,
                 struct collateral_item *out)
{
    struct err err = { 0 };
    if (collateral_take(&answers[i].id, data, chain, &w->root, 1, out, &err) == 0)
        return true;
    assert_true(err.kind == ERR_INPUT || err.kind == ERR_DENIED);
    assert_true(err.cause[0]);
    return false;
}

static void whole_answers_are_taken(void **state)
{
    const struct world *w = *state;
    skip_without_evidence();
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        AUTO(collateral_item_done) struct collateral_item item = { 0 };
        assert_true(take(w, i, sample_bytes(&w->data[i]), sample_bytes(&w->chain[i]), &item));
        assert_true(bytes_equal(buf_bytes(&item.data), sample_bytes(&w->data[i])));
        assert_int_equal(item.chain.n, w->chain[i].n);
        assert_int_equal(item.next_update / 86400,
                         (time_t)(i == 3 ? 20546 : 20288)); /* 2026-04-03, 2025-07-19 */
    }
}

static void every_cut_is_refused(void **state)
{
    const struct world *w = *state;
    skip_without_evidence();
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
        for (size_t n = 0; n < w->data[i].n; n++) {
            AUTO(free_u8) uint8_t *cut = heap_copy(w->data[i].p, n);
            struct collateral_item item = { 0 };
            if (take(w, i, bytes_of(cut, n), sample_bytes(&w->chain[i]), &item))
                fail_msg("%s cut at %zu is taken", answers[i].data, n);
        }
}

static bool is_signature_digit(const struct sample *s, size_t at)
{
    const uint8_t *p = memmem(s->p, s->n, "\"signature\":\"", 13);
    return p && at >= (size_t)(p - s->p) + 13;
}

/* Every bit that is signed or signs: all but the case of the signature's digits. */
static void damaged_bits_are_refused(void **state)
{
    const struct world *w = *state;
    skip_without_evidence();
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
        for (size_t at = 0; at < w->data[i].n; at++) {
            unsigned bit = at % 8;
            AUTO(free_u8) uint8_t *damaged = heap_copy(w->data[i].p, w->data[i].n);
            struct collateral_item item = { 0 };
            damaged[at] ^= (uint8_t)(1u << bit);
            if (bit == 5 && is_signature_digit(&w->data[i], at))
                continue;
            if (take(w, i, bytes_of(damaged, w->data[i].n), sample_bytes(&w->chain[i]), &item))
                fail_msg("%s with bit %u of byte %zu changed is taken", answers[i].data, bit, at);
        }
}

/* A chain that is cut short or of another document. */
static void chains_of_others_are_refused(void **state)
{
    const struct world *w = *state;
    skip_without_evidence();
    for (size_t i = 0; i < 3; i++) {
        struct collateral_item item = { 0 };
        const struct sample *other = &w->chain[i == 2 ? 0 : 2];
        assert_false(take(w, i, sample_bytes(&w->data[i]), sample_bytes(other), &item));
        assert_false(take(w, i, sample_bytes(&w->data[i]), bytes_str(""), &item));
        assert_false(take(w, i, sample_bytes(&w->data[i]), bytes_of(w->chain[i].p, 500), &item));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_answers_are_taken),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(damaged_bits_are_refused),
        cmocka_unit_test(chains_of_others_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
