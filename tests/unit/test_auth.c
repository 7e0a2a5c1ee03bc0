/* agent/: tokens of a boot, wrong tries, the owner's signatures, the text of acts. */
#include "evidence.h"

#include "agent/acts.h"
#include "agent/auth.h"
#include "agent/owner.h"
#include "agent/tries.h"
#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/file.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <stdlib.h>

static char folder[] = "/tmp/cvm-auth-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/cvm-auth-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char path[64];
    (void)state;
    snprintf(path, sizeof(path), "%s/auth.json", folder);
    unlink(path);
    return rmdir(folder);
}

static struct auth *open_auth(const char *boot, const char *preset)
{
    const struct auth_options options = { folder, boot, preset };
    struct auth *a = NULL;
    struct err err = { 0 };
    assert_int_equal(auth_new(&options, &a, &err), 0);
    return a;
}

static int check(struct auth *a, const char *header, uint64_t now_ms, struct auth_caller *out,
                 struct err *err)
{
    struct address who = { { 1 } };
    unsigned retry;
    return auth_check(a, header, &who, now_ms, out, &retry, err);
}

static void a_token_lives_for_one_boot(void **state)
{
    (void)state;
    char token[TOKEN_SIZE + 1], id[TOKEN_ID_SIZE], header[64];
    uint8_t spki[32] = { 7 };
    struct auth_caller caller;
    struct err err = { 0 };
    struct auth *a = open_auth("boot-1", NULL);
    assert_int_equal(auth_may_give(a, NULL, spki, &err), -1); /* the rules are not known */
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    const struct auth_rules rules = { true, bytes_of(NULL, 0) };
    assert_int_equal(auth_set_rules(a, &rules, &err), 0);
    assert_int_equal(auth_may_give(a, NULL, spki, &err), 0);
    assert_int_equal(auth_make(token, id, &err), 0);
    assert_int_equal(strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"), 32);
    snprintf(header, sizeof(header), "bearer  %s", token);
    assert_int_equal(check(a, header, 0, &caller, &err), -1); /* made, not in force */
    assert_int_equal(auth_use(a, token, &err), 0);
    assert_int_equal(check(a, header, 0, &caller, &err), 0);
    assert_string_equal(caller.token_id, id);
    assert_int_equal(auth_may_give(a, NULL, spki, &err), -1);
    assert_int_equal(err.kind, ERR_DENIED);
    auth_free(a);
    a = open_auth("boot-1",
                  "0000"); /* the agent was started anew: what the boot has stays, the preset is not read */
    assert_int_equal(check(a, header, 0, &caller, &err), 0);
    auth_free(a);
    a = open_auth("boot-2", NULL);
    assert_int_equal(check(a, header, 0, &caller, &err), -1);
    auth_free(a);
}

static void only_the_exact_token_is_taken(void **state)
{
    (void)state;
    char token[TOKEN_SIZE + 1], id[TOKEN_ID_SIZE], header[1024];
    struct auth_caller caller;
    struct err err = { 0 };
    uint64_t now = 0;
    struct auth *a = open_auth("boot-1", NULL);
    assert_int_equal(auth_make(token, id, &err), 0);
    assert_int_equal(auth_use(a, token, &err), 0);
    for (size_t i = 0; i < TOKEN_SIZE; i++) {
        for (int bit = 0; bit < 8; bit++, now += TRIES_WINDOW_MS) {
            snprintf(header, sizeof(header), "Bearer %s", token);
            header[7 + i] = (char)(header[7 + i] ^ (1 << bit));
            if (header[7 + i])
                assert_int_equal(check(a, header, now, &caller, &err), -1);
        }
        snprintf(header, sizeof(header), "Bearer %.*s", (int)i, token);
        assert_int_equal(check(a, header, now += TRIES_WINDOW_MS, &caller, &err), -1);
        assert_int_equal(err.kind, ERR_UNAUTHENTICATED);
    }
    const char *schemes[] = { "%s", "Basic %s", "Bearer%s", "Bearer %s ", "Bearer %sx", "Token %s" };
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        AUTO(buf_done) struct buf text = buf_new(256);
        const char *at = strstr(schemes[i], "%s");
        buf_put(&text, bytes_of(schemes[i], (size_t)(at - schemes[i])));
        buf_str(&text, token);
        buf_str(&text, at + 2);
        buf_u8(&text, 0);
        assert_int_equal(check(a, (const char *)text.p, now += TRIES_WINDOW_MS, &caller, &err), -1);
    }
    memset(header, 'x', sizeof(header));
    memcpy(header, "Bearer ", 7);
    header[sizeof(header) - 1] = '\0';
    assert_int_equal(check(a, header, now += TRIES_WINDOW_MS, &caller, &err), -1);
    auth_free(a);
}

static void five_wrong_ones_a_minute(void **state)
{
    (void)state;
    static struct tries t;
    struct address a = { { 1 } }, b = { { 2 } };
    unsigned wait = 0;
    for (uint64_t i = 0; i < TRIES_MAX; i++) {
        assert_true(tries_left(&t, &a, 1000 * i, &wait));
        tries_wrong(&t, &a, 1000 * i);
    }
    assert_false(tries_left(&t, &a, 5000, &wait));
    assert_int_equal(wait, 55);
    assert_true(tries_left(&t, &b, 5000, &wait));
    assert_false(tries_left(&t, &a, 59999, &wait));
    assert_int_equal(wait, 1);
    assert_true(tries_left(&t, &a, 60000, &wait)); /* the first of the five is a minute old */
    tries_wrong(&t, &a, 60000);
    assert_false(tries_left(&t, &a, 60999, &wait));
    assert_true(tries_left(&t, &a, 61000, &wait));
    for (uint32_t i = 0; i < RATES_MAX;
         i++) { /* one past the table: the one that was wrong longest ago goes */
        struct address other = { { 3, (uint8_t)(i >> 8), (uint8_t)i } };
        tries_wrong(&t, &other, 100000 + i);
    }
    assert_int_equal(t.n, RATES_MAX);
    assert_true(tries_left(&t, &a, 60500, &wait));
}

static void a_sixth_wrong_token_is_not_looked_at(void **state)
{
    (void)state;
    struct auth_caller caller;
    struct err err = { 0 };
    struct auth *a = open_auth("boot-1", NULL);
    for (int i = 0; i < TOKEN_TRIES; i++) {
        assert_int_equal(check(a, "Bearer wrong", 0, &caller, &err), -1);
        assert_int_equal(err.kind, ERR_UNAUTHENTICATED);
    }
    assert_int_equal(check(a, NULL, 0, &caller, &err), -1); /* none is no guess */
    assert_int_equal(err.kind, ERR_UNAUTHENTICATED);
    assert_int_equal(check(a, "Bearer wrong", 0, &caller, &err), -1);
    assert_int_equal(err.kind, ERR_LIMITED);
    const struct auth_rules open_rules = { false, bytes_of(NULL, 0) };
    assert_int_equal(auth_set_rules(a, &open_rules, &err), 0);
    assert_int_equal(check(a, "Bearer wrong", 0, &caller, &err), 0);
    assert_string_equal(caller.token_id, "");
    auth_free(a);
}

static void a_preset_counts_once_the_journal_has_it(void **state)
{
    (void)state;
    static const char text[] =
        " 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n"; /* "secret" */
    struct auth_caller caller;
    char id[TOKEN_ID_SIZE];
    uint8_t spki[32] = { 0 };
    struct err err = { 0 };
    struct auth *a = open_auth("boot-1", text);
    const struct auth_rules rules = { true, bytes_of(NULL, 0) };
    assert_int_equal(auth_set_rules(a, &rules, &err), 0);
    assert_true(auth_preset(a, id));
    assert_string_equal(id, "2bb80d537b1da3e38bd30361aa855686");
    assert_int_equal(check(a, "Bearer secret", 0, &caller, &err), -1);
    assert_int_equal(auth_may_give(a, NULL, spki, &err), -1);
    assert_int_equal(err.kind, ERR_DENIED);
    assert_int_equal(auth_use_preset(a, &err), 0);
    assert_int_equal(check(a, "Bearer secret", 0, &caller, &err), 0);
    assert_false(auth_preset(a, id));
    auth_free(a);
    a = open_auth("boot-1", text);
    assert_false(auth_preset(a, id)); /* no second event after a restart */
    assert_int_equal(check(a, "Bearer secret", 0, &caller, &err), 0);
    auth_free(a);
    const char *bad[] = { "", "secret", "2bb80d",
                          "zbb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
                          "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b 1" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        const struct auth_options options = { folder, "boot-9", bad[i] };
        assert_int_equal(auth_new(&options, &a, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
    }
}

static void put_spki(EVP_PKEY *key, struct buf *out);

/* The host can write it: it is in force neither before the journal has it nor after, nor in the next start.
 */
static void an_owner_takes_no_preset(void **state)
{
    (void)state;
    static const char text[] =
        "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"; /* "secret" */
    AUTO(pkey_drop) EVP_PKEY *key = EVP_EC_gen("P-256");
    AUTO(buf_done) struct buf spki = buf_new(256);
    put_spki(key, &spki);
    const struct auth_rules rules = { true, buf_bytes(&spki) };
    for (int journal_first = 0; journal_first < 2; journal_first++) {
        struct auth_caller caller;
        uint8_t peer[32] = { 0 };
        struct err err = { 0 };
        struct auth *a = open_auth("boot-1", text);
        if (journal_first)
            assert_int_equal(auth_use_preset(a, &err), 0);
        assert_int_equal(check(a, "Bearer secret", 0, &caller, &err), -1); /* nobody knows of an owner yet */
        assert_int_equal(auth_set_rules(a, &rules, &err), 0);
        assert_int_equal(auth_use_preset(a, &err), 0);
        assert_int_equal(check(a, "Bearer secret", 0, &caller, &err), -1);
        assert_int_equal(auth_may_give(a, NULL, peer, &err), -1);
        assert_non_null(strstr(err.cause, "X-Owner-Signature"));
        auth_free(a);
    }
}

static void the_journal_may_be_first(void **state)
{
    (void)state;
    static const char text[] =
        "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"; /* "secret" */
    const struct auth_rules rules = { true, bytes_of(NULL, 0) };
    struct auth_caller caller;
    struct err err = { 0 };
    struct auth *a = open_auth("boot-1", text);
    assert_int_equal(auth_use_preset(a, &err), 0);
    assert_int_equal(check(a, "Bearer secret", 0, &caller, &err), -1);
    assert_int_equal(auth_set_rules(a, &rules, &err), 0);
    assert_int_equal(check(a, "Bearer secret", 0, &caller, &err), 0);
    auth_free(a);
}

static void a_damaged_file_gives_no_token_away(void **state)
{
    (void)state;
    char path[64];
    struct err err = { 0 };
    struct auth *a;
    const struct auth_options options = { folder, "boot-1", NULL };
    snprintf(path, sizeof(path), "%s/auth.json", folder);
    const char *bad[] = {
        "", "{", "{}", "{\"boot_id\":\"boot-1\"}", "{\"boot_id\":\"boot-1\",\"token_sha256\":\"00\"}", "[1]"
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(file_write_atomic(path, bytes_str(bad[i]), 0600, &err), 0);
        assert_int_equal(auth_new(&options, &a, &err), -1);
    }
}

/* ---- the owner ---- */

static void put_spki(EVP_PKEY *key, struct buf *out)
{
    struct err err = { 0 };
    assert_int_equal(spki_put_der(key, out, &err), 0);
}

static void sign(EVP_PKEY *key, const EVP_MD *md, struct bytes message, struct buf *out)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t sig[128];
    size_t n = sizeof(sig);
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, md, NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, sig, &n, message.p, message.n), 1);
    buf_put(out, bytes_of(sig, n));
    EVP_MD_CTX_free(ctx);
}

static void judge(EVP_PKEY *key, struct bytes sig, const uint8_t *digest, int want)
{
    AUTO(free_str) char *text = b64_str(sig);
    struct err err = { 0 };
    assert_int_equal(owner_verify(key, text, digest, &err), want);
    if (want < 0)
        assert_int_equal(err.kind, ERR_DENIED);
}

static void owners_of_both_kinds(void **state)
{
    (void)state;
    static const char message[] = "cvm-agent/api-token\0................................";
    struct bytes said = bytes_of(message, 20 + 32);
    uint8_t digest[32];
    sha256(said, digest);
    for (int ed = 0; ed < 2; ed++) {
        AUTO(pkey_drop) EVP_PKEY *key = ed ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") : EVP_EC_gen("P-256");
        AUTO(buf_done) struct buf spki = buf_new(256), sig = buf_new(256), other = buf_new(256);
        AUTO(pkey_drop) EVP_PKEY *read = NULL;
        struct err err = { 0 };
        put_spki(key, &spki);
        assert_int_equal(owner_key_parse(buf_bytes(&spki), &read, &err), 0);
        for (size_t n = 0; n < spki.n; n++) {
            AUTO(free_u8) uint8_t *cut = heap_copy(spki.p, n);
            EVP_PKEY *none = NULL;
            assert_int_equal(owner_key_parse(bytes_of(cut, n), &none, &err), -1);
        }
        sign(key, ed ? NULL : EVP_sha256(), bytes_of(digest, 32), &sig);
        judge(read, buf_bytes(&sig), digest, 0);
        for (size_t i = 0; i < 8 * sig.n; i++) {
            sig.p[i / 8] ^= (uint8_t)(1 << i % 8);
            judge(read, buf_bytes(&sig), digest, -1);
            sig.p[i / 8] ^= (uint8_t)(1 << i % 8);
        }
        digest[5] ^= 1;
        judge(read, buf_bytes(&sig), digest, -1);
        digest[5] ^= 1;
        sign(key, ed ? NULL : EVP_sha256(), said, &other); /* the digest computed by the signer itself */
        judge(read, buf_bytes(&other), digest, ed ? -1 : 0);
        judge(read, bytes_of(NULL, 0), digest, -1);
        assert_int_equal(owner_verify(read, NULL, digest, &err), -1);
        assert_int_equal(owner_verify(read, "not base64!", digest, &err), -1);
    }
}

static void other_keys_are_no_owners(void **state)
{
    (void)state;
    struct err err = { 0 };
    EVP_PKEY *none = NULL;
    AUTO(pkey_drop)
    EVP_PKEY *p384 = EVP_EC_gen("P-384"), *rsa = EVP_RSA_gen(2048),
             *x = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    EVP_PKEY *keys[] = { p384, rsa, x };
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        AUTO(buf_done) struct buf spki = buf_new(1024);
        put_spki(keys[i], &spki);
        assert_int_equal(owner_key_parse(buf_bytes(&spki), &none, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
    }
}

static void an_update_names_version_and_zip(void **state)
{
    (void)state;
    AUTO(pkey_drop) EVP_PKEY *key = EVP_EC_gen("P-256");
    AUTO(buf_done) struct buf spki = buf_new(256), sig = buf_new(256), message = buf_new(256);
    uint8_t zip[48] = { 9 };
    bool by_owner = false;
    struct err err = { 0 };
    put_spki(key, &spki);
    struct auth *a = open_auth("boot-1", NULL);
    assert_int_equal(auth_check_update(a, NULL, 1, zip, &by_owner, &err), -1);
    const struct auth_rules nobody = { true, bytes_of(NULL, 0) }, owner = { true, buf_bytes(&spki) };
    assert_int_equal(auth_set_rules(a, &nobody, &err), 0);
    assert_int_equal(auth_check_update(a, NULL, 0, zip, &by_owner, &err), 0);
    assert_false(by_owner);
    assert_int_equal(auth_set_rules(a, &owner, &err), 0);
    buf_put(&message, bytes_of("cvm-agent/update", 17));
    buf_u64be(&message, 0x0102030405060708);
    buf_put(&message, bytes_of(zip, sizeof(zip)));
    sign(key, EVP_sha256(), buf_bytes(&message), &sig);
    AUTO(free_str) char *text = b64_str(buf_bytes(&sig));
    assert_int_equal(auth_check_update(a, text, 0x0102030405060708, zip, &by_owner, &err), 0);
    assert_true(by_owner);
    assert_int_equal(auth_check_update(a, text, 0x0102030405060709, zip, &by_owner, &err), -1);
    zip[47] ^= 1;
    assert_int_equal(auth_check_update(a, text, 0x0102030405060708, zip, &by_owner, &err), -1);
    auth_free(a);
}

/* ---- acts ---- */

static void acts_are_canonical_json(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf out = buf_new(4096);
    struct err err = { 0 };
    AUTO(json_drop)
    json_t *v = json_pack("{s:s, s:[b,n,i], s:{s:s,s:s}, s:I}", "b", "\x1f\b\t\"\\/\xc3\xa9\x7f", "a", 1, -5,
                          "c", "z", "", "Z", "x", "A", ((json_int_t)1 << 53));
    assert_non_null(v);
    assert_int_equal(jcs_put(&out, v, &err), 0);
    AUTO(free_str) char *text = buf_take_str(&out);
    assert_string_equal(
        text, "{\"A\":9007199254740992,\"a\":[true,null,-5],\"b\":\"\\u001f\\b\\t\\\"\\\\/\xc3\xa9\x7f\","
              "\"c\":{\"Z\":\"x\",\"z\":\"\"}}");
    AUTO(json_drop) json_t *big = json_integer(((json_int_t)1 << 53) + 1), *real = json_real(0.5);
    assert_int_equal(jcs_put(&out, big, &err), -1);
    assert_int_equal(jcs_put(&out, real, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_token_lives_for_one_boot, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(only_the_exact_token_is_taken, make_folder, remove_folder),
        cmocka_unit_test(five_wrong_ones_a_minute),
        cmocka_unit_test_setup_teardown(a_sixth_wrong_token_is_not_looked_at, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(an_owner_takes_no_preset, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_journal_may_be_first, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_preset_counts_once_the_journal_has_it, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_damaged_file_gives_no_token_away, make_folder, remove_folder),
        cmocka_unit_test(owners_of_both_kinds),
        cmocka_unit_test(other_keys_are_no_owners),
        cmocka_unit_test_setup_teardown(an_update_names_version_and_zip, make_folder, remove_folder),
        cmocka_unit_test(acts_are_canonical_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
