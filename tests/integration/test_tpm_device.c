/* tpm/tpm.h, the same tests over the TPM in the process and over a real swtpm. */
#include "rig.h"

#include "base/auto.h"
#include "tpm/public.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#define AZURE_AK  0x81000003u
#define GCP_RSA   0x01C10001u
#define GCP_ECC   0x01C10003u
#define USER_DATA 0x01400002u

static void quotes_verify(void **state)
{
    struct rig *rig = rig_of(state);
    struct tpm_ak own, again, rsa;
    AUTO(buf_done) struct buf template_ = rsa_template(AK_ATTRIBUTES), area = buf_new(1024);
    OK(tpm_ak_load(rig->t, TPM_AK_PRIMARY, 0, &own, &err));
    rig_quote(rig, &own, ALG_SHA256, TPM_PCRS_ALL, 50);
    rig_quote(rig, &own, ALG_SHA384, 1u << 23 | 1u, 64);
    OK(tpm_ak_load(rig->t, TPM_AK_PRIMARY, 0, &again, &err));
    assert_true(bytes_equal(buf_bytes(&own.spki), buf_bytes(&again.spki)));
    tpm_ak_done(rig->t, &again);
    tpm_ak_done(rig->t, &own);
    tpm_ak_done(rig->t, &own); /* does nothing */
    OK(tpm_primary_provision(rig->t, true, buf_bytes(&template_), AZURE_AK, &area, &err));
    OK(tpm_ak_load(rig->t, TPM_AK_PERSISTENT, AZURE_AK, &rsa, &err));
    assert_true(rsa.persistent);
    assert_true(bytes_equal(buf_bytes(&rsa.public_area), buf_bytes(&area)));
    rig_quote(rig, &rsa, ALG_SHA256, 0xFF, 1);
    struct buf attest = buf_new(1024), sig = buf_new(1024), small = buf_new(10);
    uint8_t extra[65] = { 0 };
    REFUSED(ERR_TOO_LARGE, tpm_quote(rig->t, &rsa, ALG_SHA256, 1, bytes_of(extra, 65), &attest, &sig, &err));
    REFUSED(ERR_TOO_LARGE, tpm_quote(rig->t, &rsa, ALG_SHA256, 1, bytes_of(extra, 1), &attest, &small, &err));
    REFUSED(ERR_NOT_FOUND, tpm_quote(rig->t, &rsa, ALG_SM3, 1, bytes_of(extra, 1), &attest, &sig, &err));
    REFUSED(ERR_INPUT,
            tpm_quote(rig->t, &rsa, ALG_SHA256, 1u << 24, bytes_of(extra, 1), &attest, &sig, &err));
    assert_int_equal(attest.n + sig.n + small.n, 0);
    tpm_ak_done(rig->t, &rsa);
    assert_int_equal(rig_handles(rig, TRANSIENT), 0);
}

/* Signatures are judged by libcrypto, not by the TPM that made them. */
static bool p256_verifies(const uint8_t *xy, const uint8_t *digest, const uint8_t *rs)
{
    static const uint8_t head[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04 };
    uint8_t spki[sizeof(head) + 64], der[80], *end = der;
    const uint8_t *at = spki;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    memcpy(spki, head, sizeof(head));
    memcpy(spki + sizeof(head), xy, 64);
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, sizeof(spki));
    assert_non_null(key);
    assert_int_equal(ECDSA_SIG_set0(sig, BN_bin2bn(rs, 32, NULL), BN_bin2bn(rs + 32, 32, NULL)), 1);
    int n = i2d_ECDSA_SIG(sig, &end);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    assert_int_equal(EVP_PKEY_verify_init(ctx), 1);
    bool ok = EVP_PKEY_verify(ctx, der, (size_t)n, digest, 32) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    ECDSA_SIG_free(sig);
    return ok;
}

static void the_key_of_a_boot_signs(void **state)
{
    struct rig *rig = rig_of(state);
    uint8_t salt[32] = { 1 }, other[32] = { 2 }, digest[32] = { 3 }, xy[64], again[64], second[64], rs[64];
    OK(tpm_boot_key(rig->t, salt, xy, &err));
    for (uint8_t i = 0; i < 40; i++) { /* halves with leading zeros come up */
        digest[31] = i;
        OK(tpm_boot_key_sign(rig->t, salt, digest, again, rs, &err));
        assert_memory_equal(xy, again, sizeof(xy));
        assert_true(p256_verifies(xy, digest, rs));
    }
    rs[40] ^= 1;
    assert_false(p256_verifies(xy, digest, rs));
    OK(tpm_boot_key(rig->t, other, second, &err));
    assert_memory_not_equal(xy, second, sizeof(xy));
    assert_int_equal(rig_handles(rig, TRANSIENT), 0);
}

static void platform_keys_are_found(void **state)
{
    struct rig *rig = rig_of(state);
    const uint32_t index[] = { GCP_RSA, GCP_ECC };
    struct buf templates[] = { rsa_template(AK_ATTRIBUTES), ecc_template() };
    struct tpm_ak ak;
    REFUSED(ERR_NOT_FOUND, tpm_ak_load(rig->t, TPM_AK_PERSISTENT, AZURE_AK, &ak, &err));
    REFUSED(ERR_NOT_FOUND, tpm_ak_load(rig->t, TPM_AK_NV_TEMPLATE, GCP_RSA, &ak, &err));
    REFUSED(ERR_INPUT, tpm_ak_load(rig->t, TPM_AK_PERSISTENT, GCP_RSA, &ak, &err));
    REFUSED(ERR_INPUT, tpm_ak_load(rig->t, TPM_AK_NV_TEMPLATE, AZURE_AK, &ak, &err));
    for (size_t i = 0; i < ARRAY_SIZE(index); i++) {
        AUTO(buf_done) struct buf area = buf_new(1024);
        OK(tpm_nv_define(rig->t, index[i], templates[i].n + 3 * i, &err)); /* the second with zeros behind */
        buf_fill(&templates[i], 0, 3 * i);
        OK(tpm_nv_write(rig->t, index[i], buf_bytes(&templates[i]), &err));
        OK(tpm_ak_load(rig->t, TPM_AK_NV_TEMPLATE, index[i], &ak, &err));
        OK(tpm_primary_provision(rig->t, true, buf_bytes(&templates[i]), 0, &area, &err));
        assert_true(bytes_equal(buf_bytes(&ak.public_area), buf_bytes(&area)));
        rig_quote(rig, &ak, ALG_SHA256, TPM_PCRS_ALL, 32);
        tpm_ak_done(rig->t, &ak);
        buf_done(&templates[i]);
    }
    assert_int_equal(rig_handles(rig, TRANSIENT), 0);
}

static void foreign_keys_are_refused(void **state)
{
    struct rig *rig = rig_of(state);
    struct tpm_ak ak;
    AUTO(buf_done) struct buf free_signer = rsa_template(AK_ATTRIBUTES & ~TPM_ATTR_RESTRICTED);
    AUTO(buf_done) struct buf good = rsa_template(AK_ATTRIBUTES), area = buf_new(4096);
    OK(tpm_primary_provision(rig->t, false, buf_bytes(&free_signer), AZURE_AK, &area, &err));
    REFUSED(ERR_DENIED, tpm_ak_load(rig->t, TPM_AK_PERSISTENT, AZURE_AK, &ak, &err));
    OK(tpm_nv_define(rig->t, GCP_RSA, free_signer.n, &err));
    OK(tpm_nv_write(rig->t, GCP_RSA, buf_bytes(&free_signer), &err));
    REFUSED(ERR_DENIED, tpm_ak_load(rig->t, TPM_AK_NV_TEMPLATE, GCP_RSA, &ak, &err));
    OK(tpm_primary_provision(rig->t, true, buf_bytes(&good), AZURE_AK, &area, &err)); /* replaces it */
    OK(tpm_ak_load(rig->t, TPM_AK_PERSISTENT, AZURE_AK, &ak, &err));
    tpm_ak_done(rig->t, &ak);
    for (size_t n = 0; n < good.n; n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(good.p, n);
        area.n = 0;
        /* the unique field may be shortened to nothing, but not cut */
        REFUSED(ERR_INPUT, tpm_primary_provision(rig->t, true, bytes_of(cut, n), 0, &area, &err));
    }
    buf_u8(&good, 1);
    REFUSED(ERR_INPUT, tpm_primary_provision(rig->t, true, buf_bytes(&good), 0, &area, &err));
    assert_int_equal(rig_handles(rig, TRANSIENT), 0);
}

static void pcrs_extend_and_reset(void **state)
{
    struct rig *rig = rig_of(state);
    struct tpm_banks banks;
    struct tpm_pcrs before, after;
    struct digest add[TPM_BANKS_MAX], expected;
    OK(tpm_banks_get(rig->t, &banks, &err));
    bool sha256_there = false, sha384_there = false;
    for (size_t i = 0; i < banks.n; i++) {
        OK(digest_of(banks.alg[i], bytes_str("event"), &add[i], &err));
        sha256_there |= banks.alg[i] == ALG_SHA256;
        sha384_there |= banks.alg[i] == ALG_SHA384;
    }
    assert_true(sha256_there && sha384_there);
    for (unsigned pcr = 15; pcr <= 23; pcr += 8) {
        OK(tpm_pcr_extend(rig->t, pcr, add, banks.n, &err));
        for (size_t i = 0; i < banks.n; i++) {
            OK(tpm_pcr_read(rig->t, banks.alg[i], 1u << pcr, &after, &err));
            expected = (struct digest){ .alg = banks.alg[i], .n = (uint8_t)digest_size(banks.alg[i]) };
            OK(digest_extend(&expected, digest_bytes(&add[i]), &err));
            assert_memory_equal(after.pcr[pcr].b, expected.b, expected.n);
        }
    }
    OK(tpm_pcr_read(rig->t, ALG_SHA256, TPM_PCRS_ALL, &before, &err));
    OK(tpm_pcr_reset(rig->t, 23, &err));
    OK(tpm_pcr_reset(rig->t, 16, &err));
    REFUSED(ERR_DENIED, tpm_pcr_reset(rig->t, 15, &err));
    REFUSED(ERR_DENIED, tpm_pcr_reset(rig->t, 17, &err));
    OK(tpm_pcr_read(rig->t, ALG_SHA256, TPM_PCRS_ALL, &after, &err));
    assert_true(bytes_zero(digest_bytes(&after.pcr[23])) && after.pcr[23].n == 32);
    assert_memory_equal(after.pcr[15].b, before.pcr[15].b, 32);
    const uint8_t ones[32] = { [0 ... 31] = 0xFF };
    assert_memory_equal(after.pcr[17].b, ones, 32);
    REFUSED(ERR_NOT_FOUND, tpm_pcr_read(rig->t, ALG_SM3, 1, &after, &err));
    REFUSED(ERR_INPUT, tpm_pcr_read(rig->t, ALG_SHA256, 1u << 24, &after, &err));
    REFUSED(ERR_INPUT, tpm_pcr_extend(rig->t, 24, add, 1, &err));
    REFUSED(ERR_INPUT, tpm_pcr_extend(rig->t, 23, add, 0, &err));
    add[0].n--;
    REFUSED(ERR_INPUT, tpm_pcr_extend(rig->t, 23, add, 1, &err));
}

static void nv_reads_in_chunks(void **state)
{
    struct rig *rig = rig_of(state);
    uint8_t data[2048];
    AUTO(buf_done) struct buf out = buf_new(4096), small = buf_new(2047);
    size_t size = 0;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i ^ i >> 8);
    REFUSED(ERR_NOT_FOUND, tpm_nv_size(rig->t, USER_DATA, &size, &err));
    REFUSED(ERR_NOT_FOUND, tpm_nv_read(rig->t, USER_DATA, &out, &err));
    REFUSED(ERR_NOT_FOUND, tpm_nv_write(rig->t, USER_DATA, bytes_of(data, 1), &err));
    REFUSED(ERR_NOT_FOUND, tpm_nv_undefine(rig->t, USER_DATA, &err));
    REFUSED(ERR_INPUT, tpm_nv_read(rig->t, AZURE_AK, &out, &err));
    REFUSED(ERR_TOO_LARGE, tpm_nv_define(rig->t, USER_DATA, 2600, &err));
    REFUSED(ERR_TOO_LARGE, tpm_nv_define(rig->t, USER_DATA, 65536, &err));
    OK(tpm_nv_define(rig->t, USER_DATA, sizeof(data), &err));
    REFUSED(ERR_BUSY, tpm_nv_define(rig->t, USER_DATA, sizeof(data), &err));
    REFUSED(ERR_NOT_FOUND, tpm_nv_read(rig->t, USER_DATA, &out, &err)); /* never written */
    OK(tpm_nv_write(rig->t, USER_DATA, bytes_of(data, sizeof(data)), &err));
    OK(tpm_nv_size(rig->t, USER_DATA, &size, &err));
    assert_int_equal(size, sizeof(data));
    OK(tpm_nv_read(rig->t, USER_DATA, &out, &err));
    assert_true(bytes_equal(buf_bytes(&out), bytes_of(data, sizeof(data))));
    REFUSED(ERR_TOO_LARGE, tpm_nv_read(rig->t, USER_DATA, &small, &err));
    assert_int_equal(small.n, 0);
    if (!rig->soft) {
        rig_file(rig, "expected", bytes_of(data, sizeof(data)));
        assert_int_equal(tpm2_tool(rig->w.tcti, "tpm2_nvread 0x01400002 -C o | cmp - %s/expected", rig->dir),
                         0);
    }
    OK(tpm_nv_undefine(rig->t, USER_DATA, &err));
    OK(tpm_nv_define(rig->t, USER_DATA, 64, &err));
    REFUSED(ERR_TOO_LARGE, tpm_nv_write(rig->t, USER_DATA, bytes_of(data, 65), &err));
    OK(tpm_nv_write(rig->t, USER_DATA, bytes_of(data, 64), &err));
    OK(tpm_nv_undefine(rig->t, USER_DATA, &err));
    REFUSED(ERR_NOT_FOUND, tpm_nv_size(rig->t, USER_DATA, &size, &err));
}

static void five_hundred_quotes_leave_nothing(void **state)
{
    struct rig *rig = rig_of(state);
    struct tpm_ak ak;
    OK(tpm_ak_load(rig->t, TPM_AK_PRIMARY, 0, &ak, &err));
    for (int i = 0; i < 500; i++) {
        AUTO(buf_done) struct buf attest = buf_new(1024), sig = buf_new(1024);
        OK(tpm_quote(rig->t, &ak, ALG_SHA256, TPM_PCRS_ALL, bytes_of(&i, sizeof(i)), &attest, &sig, &err));
    }
    assert_int_equal(rig_handles(rig, TRANSIENT), 1); /* the key itself */
    tpm_ak_done(rig->t, &ak);
    assert_int_equal(rig_handles(rig, TRANSIENT), 0);
    assert_int_equal(rig_handles(rig, LOADED_SESSION) + rig_handles(rig, SAVED_SESSION), 0);
}

/* What a killed instance leaves: a loaded key, and from other programs objects and sessions. */
static void leftovers_are_flushed(void **state)
{
    struct rig *rig = rig_of(state);
    struct tpm_ak ak;
    OK(tpm_ak_load(rig->t, TPM_AK_PRIMARY, 0, &ak, &err));
    tpm_close(rig->t);
    buf_done(&ak.public_area);
    buf_done(&ak.spki);
    if (!rig->soft) {
        assert_int_equal(tpm2_tool(rig->w.tcti,
                                   "cd %s && tpm2_createprimary -Q -C o -c p.ctx && "
                                   "tpm2_startauthsession -S s.ctx && "
                                   "test -n \"$(tpm2_getcap handles-transient)\" && "
                                   "test -n \"$(tpm2_getcap handles-saved-session)\"",
                                   rig->dir),
                         0);
    }
    assert_true(rig_handles(rig, TRANSIENT) > 0);
    rig_open(rig);
    assert_int_equal(rig_handles(rig, TRANSIENT), 0);
    assert_int_equal(rig_handles(rig, LOADED_SESSION) + rig_handles(rig, SAVED_SESSION), 0);
    if (!rig->soft)
        assert_int_equal(tpm2_tool(rig->w.tcti, "test -z \"$(tpm2_getcap handles-transient)\""), 0);
}

/* The TPM goes away, and comes back as after a reset. */
static void a_lost_tpm_is_said_at_once(void **state)
{
    struct rig *rig = rig_of(state);
    struct tpm_pcrs pcrs;
    struct err lost = { 0 };
    struct tpm *second = NULL;
    swtpm_kill(&rig->w);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tpm_pcr_read(rig->t, ALG_SHA256, TPM_PCRS_ALL, &pcrs, &lost), -1);
        assert_int_equal(lost.kind, ERR_UNAVAILABLE);
        assert_true(tpm_error_is_fatal(&lost));
    }
    REFUSED(ERR_UNAVAILABLE, tpm_open(rig->w.tcti, &second, &err));
    swtpm_start(&rig->w);
    tpm_close(rig->t);
    rig_open(rig);
    OK(tpm_pcr_read(rig->t, ALG_SHA256, TPM_PCRS_ALL, &pcrs, &err));
}

static void names_that_are_no_tpm(void **state)
{
    (void)state;
    struct tpm *t = NULL;
    REFUSED(ERR_INPUT, tpm_open("", &t, &err));
    REFUSED(ERR_INPUT, tpm_open("nonsense", &t, &err));
    REFUSED(ERR_INPUT, tpm_open("nonsense:path=/x", &t, &err));
    REFUSED(ERR_UNAVAILABLE, tpm_open("device:/dev/no-such-tpm", &t, &err));
    REFUSED(ERR_UNAVAILABLE, tpm_open("swtpm:path=/nonexistent/sock", &t, &err));
    assert_null(t);
    struct err ours = { 0 };
    err_set(&ours, ERR_INPUT, TSS2_TCTI_RC_IO_ERROR, "not from a TPM");
    assert_false(tpm_error_is_fatal(&ours));
    tpm_close(NULL);
}

#define BOTH(test)                                                                                           \
    { #test " (soft)", test, rig_soft, rig_done, NULL },                                                     \
    {                                                                                                        \
#test " (swtpm)", test, rig_swtpm, rig_done, NULL                                                    \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(quotes_verify),
        BOTH(the_key_of_a_boot_signs),
        BOTH(platform_keys_are_found),
        BOTH(foreign_keys_are_refused),
        BOTH(pcrs_extend_and_reset),
        BOTH(nv_reads_in_chunks),
        BOTH(five_hundred_quotes_leave_nothing),
        BOTH(leftovers_are_flushed),
        cmocka_unit_test_setup_teardown(a_lost_tpm_is_said_at_once, rig_swtpm, rig_done),
        cmocka_unit_test(names_that_are_no_tpm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
