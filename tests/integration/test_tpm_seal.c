/* tpm/sealed.h: what was sealed comes back in the same state and in no other, and is not seen on the bus. */
#include "rig.h"
#include "tcti_filter.h"

#include "base/auto.h"
#include "base/file.h"
#include "tpm/sealed.h"

#define MASK (1u << 4 | 1u << 7 | 1u << 15)

static const uint8_t secret[32] = "a secret that stands out in text";

static struct buf seal(struct rig *rig)
{
    struct buf blob = buf_new(SEALED_BLOB_MAX);
    struct tpm_pcrs pcrs;
    OK(tpm_seal(rig->t, bytes_of(secret, 32), MASK, &blob, &pcrs, &err));
    assert_int_equal(pcrs.mask, MASK);
    return blob;
}

static void extend(struct rig *rig, unsigned pcr)
{
    struct digest d = { ALG_SHA256, 32, { 1 } };
    OK(tpm_pcr_extend(rig->t, pcr, &d, 1, &err));
}

static void comes_back_in_the_same_state(void **state)
{
    struct rig *rig = rig_of(state);
    AUTO(buf_done) struct buf blob = seal(rig), back = buf_new(SEALED_SECRET_MAX);
    extend(rig, 8); /* not one of them */
    OK(tpm_unseal(rig->t, buf_bytes(&blob), MASK, &back, &err));
    assert_true(bytes_equal(buf_bytes(&back), bytes_of(secret, 32)));
    assert_int_equal(rig_handles(rig, TRANSIENT), 0);
    assert_int_equal(rig_handles(rig, LOADED_SESSION), 0);
}

static void stays_in_another_state(void **state)
{
    struct rig *rig = rig_of(state);
    AUTO(buf_done) struct buf blob = seal(rig), back = buf_new(SEALED_SECRET_MAX);
    REFUSED(ERR_DENIED, tpm_unseal(rig->t, buf_bytes(&blob), MASK | 1, &back, &err));
    extend(rig, 15);
    REFUSED(ERR_DENIED, tpm_unseal(rig->t, buf_bytes(&blob), MASK, &back, &err));
    assert_int_equal(back.n, 0);
}

/* Two objects of the same state: each by itself is fine, but the ticket of one says nothing of the other. */
static void the_ticket_is_of_the_object(void **state)
{
    struct rig *rig = rig_of(state);
    AUTO(buf_done)
    struct buf a = seal(rig), b = seal(rig), mixed = buf_new(SEALED_BLOB_MAX),
               back = buf_new(SEALED_SECRET_MAX);
    struct sealed of_a, of_b;
    OK(sealed_parse(buf_bytes(&a), &of_a, &err));
    OK(sealed_parse(buf_bytes(&b), &of_b, &err));
    buf_put(&mixed, of_a.public_area);
    buf_put(&mixed, of_a.private_area);
    buf_put(&mixed, of_b.creation_data);
    buf_put(&mixed, of_b.ticket);
    REFUSED(ERR_DENIED, tpm_unseal(rig->t, buf_bytes(&mixed), MASK, &back, &err));
    OK(tpm_unseal(rig->t, buf_bytes(&b), MASK, &back, &err));
}

static void put_file(const struct rig *rig, const char *name, size_t skip, struct buf *out)
{
    AUTO(free_u8) uint8_t *data = NULL;
    char path[128];
    size_t n;
    snprintf(path, sizeof(path), "%s/%s", rig->dir, name);
    OK(file_read(path, 4096, &data, &n, &err));
    assert_true(n > skip);
    buf_put(out, bytes_of(data + skip, n - skip));
}

/* What a system booted before this one can do: seal a secret of its own to the values of this one. Its
 * creation data is of its own state, and telling the good one breaks the ticket. */
static void a_stranger_seals_for_us_in_vain(void **state)
{
    struct rig *rig = rig_of(state);
    AUTO(buf_done)
    struct buf ours = seal(rig), honest = buf_new(SEALED_BLOB_MAX), lying = buf_new(SEALED_BLOB_MAX),
               back = buf_new(SEALED_SECRET_MAX);
    struct sealed good, bad;
    OK(sealed_parse(buf_bytes(&ours), &good, &err));
    rig_file(rig, "policy", good.policy);
    extend(rig, 15); /* the stranger's state */
    tpm_close(rig->t);
    const char *d = rig->dir;
    assert_int_equal(
        tpm2_tool(
            rig->w.tcti,
            "cd %s && tpm2_createprimary -Q -C o -G ecc:null:aes128cfb -c parent -a "
            "'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt' && "
            "printf known | tpm2_create -Q -C parent -i - -L policy -a 'fixedtpm|fixedparent|noda' -u public "
            "-r private -l sha256:4,7,15 --creation-data creation -t ticket -d hash",
            d),
        0);
    put_file(rig, "public", 0, &honest);
    put_file(rig, "private", 0, &honest);
    put_file(rig, "creation", 0, &honest);
    put_file(rig, "ticket", 0, &honest);
    OK(sealed_parse(buf_bytes(&honest), &bad, &err)); /* a good blob, but for the state */
    buf_put(&lying, bad.public_area);
    buf_put(&lying, bad.private_area);
    buf_put(&lying, good.creation_data);
    buf_put(&lying, bad.ticket);
    swtpm_kill(&rig->w); /* a reset: the PCRs are zero, as they were for us */
    swtpm_start(&rig->w);
    rig_open(rig);
    REFUSED(ERR_DENIED, tpm_unseal(rig->t, buf_bytes(&honest), MASK, &back, &err));
    struct err said = { 0 };
    assert_int_equal(tpm_unseal(rig->t, buf_bytes(&lying), MASK, &back, &said), -1);
    assert_non_null(strstr(said.cause, "does not confirm in which state"));
    assert_int_equal(back.n, 0);
    OK(tpm_unseal(rig->t, buf_bytes(&ours), MASK, &back, &err));
}

static void the_bus_does_not_see_it(void **state)
{
    struct rig *rig = rig_of(state);
    AUTO(buf_done) struct buf seen = buf_new(1 << 20), back = buf_new(SEALED_SECRET_MAX);
    struct tcti_filter f = tcti_filter_over(soft_tpm_tcti(rig->s));
    f.seen = &seen;
    tpm_close(rig->t);
    OK(tpm_open_tcti(tcti_filter_context(&f), &rig->t, &err));
    AUTO(buf_done) struct buf blob = seal(rig);
    OK(tpm_unseal(rig->t, buf_bytes(&blob), MASK, &back, &err));
    assert_true(bytes_equal(buf_bytes(&back), bytes_of(secret, 32)));
    assert_non_null(memmem(seen.p, seen.n, blob.p, 60));
    assert_null(memmem(seen.p, seen.n, secret, 8));
    assert_false(seen.failed);
    tpm_close(rig->t);
    rig_open(rig);
}

static void refuses_every_cut_and_damage(void **state)
{
    struct rig *rig = rig_of(state);
    AUTO(buf_done) struct buf blob = seal(rig), back = buf_new(SEALED_SECRET_MAX);
    struct sealed s;
    if (getenv("CVM_SEED_OUT")) /* made anew: the seed of the fuzz target */
        OK(file_write_atomic(getenv("CVM_SEED_OUT"), buf_bytes(&blob), 0644, &err));
    for (size_t n = 0; n < blob.n; n++) {
        AUTO(free_u8) uint8_t *cut = malloc(n ? n : 1);
        assert_non_null(cut);
        memcpy(cut, blob.p, n);
        REFUSED(ERR_INPUT, sealed_parse(bytes_of(cut, n), &s, &err));
    }
    for (size_t i = 0; i < blob.n; i++) {
        struct err err = { 0 };
        blob.p[i] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(tpm_unseal(rig->t, buf_bytes(&blob), MASK, &back, &err), -1);
        assert_true(err.kind == ERR_INPUT || err.kind == ERR_DENIED);
        blob.p[i] ^= (uint8_t)(1u << i % 8);
    }
    buf_u8(&blob, 0);
    REFUSED(ERR_INPUT, sealed_parse(buf_bytes(&blob), &s, &err));
}

static void secrets_have_a_size(void **state)
{
    struct rig *rig = rig_of(state);
    AUTO(buf_done) struct buf blob = buf_new(SEALED_BLOB_MAX);
    uint8_t many[SEALED_SECRET_MAX + 1] = { 0 };
    struct tpm_pcrs pcrs;
    REFUSED(ERR_INPUT, tpm_seal(rig->t, bytes_of(many, 0), MASK, &blob, &pcrs, &err));
    REFUSED(ERR_INPUT, tpm_seal(rig->t, bytes_of(many, sizeof(many)), MASK, &blob, &pcrs, &err));
    OK(tpm_seal(rig->t, bytes_of(many, SEALED_SECRET_MAX), MASK, &blob, &pcrs, &err));
}

static void another_tpm_does_not_give_it(void **state)
{
    struct rig *rig = rig_of(state);
    AUTO(buf_done) struct buf blob = seal(rig), back = buf_new(SEALED_SECRET_MAX);
    tpm_close(rig->t);
    assert_int_equal(tpm2_tool(rig->w.tcti, "tpm2_clear -c p"), 0); /* a new owner seed */
    rig_open(rig);
    REFUSED(ERR_DENIED, tpm_unseal(rig->t, buf_bytes(&blob), MASK, &back, &err));
}

#define BOTH(test)                                                                                           \
    cmocka_unit_test_setup_teardown(test, rig_soft, rig_done),                                               \
        cmocka_unit_test_setup_teardown(test, rig_swtpm, rig_done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(comes_back_in_the_same_state),
        BOTH(stays_in_another_state),
        BOTH(the_ticket_is_of_the_object),
        cmocka_unit_test_setup_teardown(a_stranger_seals_for_us_in_vain, rig_swtpm, rig_done),
        cmocka_unit_test_setup_teardown(the_bus_does_not_see_it, rig_soft, rig_done),
        cmocka_unit_test_setup_teardown(refuses_every_cut_and_damage, rig_soft, rig_done),
        BOTH(secrets_have_a_size),
        cmocka_unit_test_setup_teardown(another_tpm_does_not_give_it, rig_swtpm, rig_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
