/* volume/: what lies on the disk is read as hostile bytes; keys and MACs are as computed elsewhere. */
#include "evidence.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/file.h"
#include "volume/header.h"
#include "volume/keys.h"
#include "volume/partition.h"
#include "volume/settings.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <sys/stat.h>

#define OK(call)                                                                                             \
    do {                                                                                                     \
        struct err err = { 0 };                                                                              \
        if ((call) < 0)                                                                                      \
            fail_msg("%s: %s", #call, err.cause);                                                            \
    } while (0)
#define REFUSED(expected, call)                                                                              \
    do {                                                                                                     \
        struct err err = { 0 };                                                                              \
        assert_int_equal((call), -1);                                                                        \
        if (err.kind != (expected))                                                                          \
            fail_msg("%s: kind %d, not %s: %s", #call, err.kind, #expected, err.cause);                      \
        assert_true(strlen(err.cause) > 10);                                                                 \
    } while (0)

static const uint8_t secret[VOLUME_SECRET] = "0123456789abcdef0123456789abcdef";

/* ---- settings ---- */

static void profiles_are_sets_of_registers(void **state)
{
    struct volume_settings s;
    (void)state;
    OK(volume_settings_parse(bytes_str("{}"), &s, &err));
    assert_int_equal(s.mask, 1u << 4 | 1u << 7 | 1u << 9 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 15);
    assert_false(s.accept_host_vtpm);
    OK(volume_settings_parse(bytes_str("{\"seal\":\"strong\",\"accept_host_vtpm\":true,\"workload\":true}"),
                             &s, &err));
    assert_int_equal(s.mask,
                     0xF | 1u << 4 | 1u << 5 | 1u << 7 | 1u << 9 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 15);
    assert_true(s.accept_host_vtpm);
    assert_true(s.workload);
    assert_string_equal(s.profile, "strong");
}

static void settings_are_strict(void **state)
{
    static const char *const bad[] = { "",
                                       "[]",
                                       "{\"seal\":\"weak\"}",
                                       "{\"seal\":1}",
                                       "{\"accept_host_vtpm\":1}",
                                       "{\"pcrs\":[4]}",
                                       "{\"seal\":\"strong\",\"seal\":\"standard\"}" };
    struct volume_settings s;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        REFUSED(ERR_INPUT, volume_settings_parse(bytes_str(bad[i]), &s, &err));
}

/* ---- header ---- */

static uint8_t *zeros(void)
{
    uint8_t *p = calloc(1, VOLUME_HEADER_SIZE);
    assert_non_null(p);
    return p;
}

static void only_the_mark_may_be_formatted(void **state)
{
    AUTO(free_u8) uint8_t *h = zeros();
    struct bytes header = bytes_of(h, VOLUME_HEADER_SIZE);
    (void)state;
    assert_int_equal(volume_header_state(header), VOLUME_FOREIGN); /* zeros are no mark */
    memcpy(h, VOLUME_MARK, sizeof(VOLUME_MARK) - 1);
    assert_int_equal(volume_header_state(header), VOLUME_EMPTY);
    for (size_t i = 0; i < VOLUME_BLOCK; i++) {
        h[i] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(volume_header_state(header), VOLUME_FOREIGN);
        h[i] ^= (uint8_t)(1u << i % 8);
    }
    assert_int_equal(volume_header_state(bytes_of(h, VOLUME_BLOCK - 1)), VOLUME_FOREIGN);
    memcpy(h, "LUKS\xba\xbe", 6);
    assert_int_equal(volume_header_state(header), VOLUME_LUKS);
}

/* The mark is written by a shell script. */
static void the_builder_writes_the_same_mark(void **state)
{
    AUTO(free_u8) uint8_t *text = NULL;
    size_t n;
    (void)state;
    OK(file_read(CVM_TEST_DATA "/../../rootfs/build/disk.sh", 1 << 20, &text, &n, &err));
    const char *at = strstr((const char *)text, "VOLUME_MARK='");
    assert_non_null(at);
    at += strlen("VOLUME_MARK='");
    assert_int_equal(strncmp(at, VOLUME_MARK, sizeof(VOLUME_MARK) - 2), 0);
    assert_int_equal(at[sizeof(VOLUME_MARK) - 2], '\'');
}

static void put_header(uint8_t *h, const char *json)
{
    static const uint8_t head[] = { 'L', 'U', 'K', 'S', 0xBA, 0xBE, 0, 2, 0, 0, 0, 0, 0, 0, 0x40, 0 };
    memset(h, 0, VOLUME_LUKS_SIZE);
    memcpy(h, head, sizeof(head));
    assert_true(strlen(json) < VOLUME_LUKS_SIZE - VOLUME_BLOCK);
    memcpy(h + VOLUME_BLOCK, json, strlen(json));
}

static struct volume_token example(void)
{
    struct volume_token t = { .sealed = buf_new(2048), .recovery = buf_new(1024) };
    buf_str(&t.sealed, "sealed blob");
    buf_str(&t.recovery, "encrypted key");
    t.pcrs = (struct tpm_pcrs){ .alg = ALG_SHA256, .mask = 1u << 4 | 1u << 15 };
    t.pcrs.pcr[4] = (struct digest){ ALG_SHA256, 32, { 1, 2, 3 } };
    t.pcrs.pcr[15] = (struct digest){ ALG_SHA256, 32, { 0 } };
    memset(t.recovery_owner, 7, 32);
    return t;
}

static char *header_text(const struct volume_token *t, const char *more)
{
    AUTO(json_drop) json_t *token = volume_token_json(t);
    AUTO(buf_done) struct buf text = buf_new(VOLUME_LUKS_SIZE);
    buf_str(&text, "{\"keyslots\":{},\"tokens\":{\"0\":");
    json_put(&text, token, false);
    buf_str(&text, more);
    buf_str(&text, "}}");
    return buf_take_str(&text);
}

static void a_token_comes_back(void **state)
{
    AUTO(volume_token_done) struct volume_token t = example();
    AUTO(volume_token_done) struct volume_token back = { 0 };
    AUTO(free_u8) uint8_t *h = zeros();
    AUTO(free_str) char *text = header_text(&t, ",\"1\":{\"type\":\"other\",\"keyslots\":[]}");
    (void)state;
    put_header(h, text);
    OK(volume_token_find(bytes_of(h, VOLUME_HEADER_SIZE), &back, &err));
    assert_true(bytes_equal(buf_bytes(&t.sealed), buf_bytes(&back.sealed)));
    assert_true(bytes_equal(buf_bytes(&t.recovery), buf_bytes(&back.recovery)));
    assert_memory_equal(t.recovery_owner, back.recovery_owner, 32);
    assert_int_equal(back.pcrs.mask, t.pcrs.mask);
    assert_memory_equal(back.pcrs.pcr[4].b, t.pcrs.pcr[4].b, 32);
}

static void foreign_headers_are_refused(void **state)
{
    AUTO(volume_token_done) struct volume_token t = example(), got = { 0 };
    AUTO(free_u8) uint8_t *h = zeros();
    AUTO(free_str) char *one = header_text(&t, "");
    AUTO(free_str) char *two = header_text(&t, ",\"1\":{\"type\":\"cvm-agent-tpm2\",\"version\":1}");
    const struct bytes header = bytes_of(h, VOLUME_HEADER_SIZE);
    (void)state;
    put_header(h, "{\"keyslots\":{},\"tokens\":{}}");
    REFUSED(ERR_NOT_FOUND, volume_token_find(header, &got, &err));
    put_header(h, "{\"tokens\":{\"0\":{\"type\":\"systemd-tpm2\",\"keyslots\":[\"0\"]}}}");
    REFUSED(ERR_NOT_FOUND, volume_token_find(header, &got, &err));
    put_header(h, "[]");
    REFUSED(ERR_NOT_FOUND, volume_token_find(header, &got, &err));
    put_header(h, two);
    REFUSED(ERR_INPUT, volume_token_find(header, &got, &err));
    put_header(h, one);
    h[7] = 1; /* LUKS1 */
    REFUSED(ERR_INPUT, volume_token_find(header, &got, &err));
    put_header(h, one);
    h[14] = 0x80; /* another size */
    REFUSED(ERR_INPUT, volume_token_find(header, &got, &err));
    put_header(h, one);
    h[VOLUME_BLOCK + strlen(one) + 1] = 'x'; /* behind the text's end: is not read */
    OK(volume_token_find(header, &got, &err));
}

static void what_is_too_large_is_refused(void **state)
{
    AUTO(volume_token_done) struct volume_token t = example(), got = { 0 };
    AUTO(free_u8) uint8_t *h = zeros();
    (void)state;
    t.recovery.max = 4096;
    buf_fill(&t.recovery, 'x', 1024);
    AUTO(free_str) char *text = header_text(&t, "");
    put_header(h, text);
    REFUSED(ERR_INPUT, volume_token_find(bytes_of(h, VOLUME_HEADER_SIZE), &got, &err));
}

static void every_cut_of_the_text_is_refused(void **state)
{
    AUTO(volume_token_done) struct volume_token t = example(), got = { 0 };
    AUTO(free_u8) uint8_t *h = zeros();
    AUTO(free_str) char *text = header_text(&t, "");
    (void)state;
    for (size_t n = 0; n < strlen(text); n++) {
        char *cut = strndup(text, n);
        put_header(h, cut);
        free(cut);
        REFUSED(ERR_INPUT, volume_token_find(bytes_of(h, VOLUME_HEADER_SIZE), &got, &err));
    }
    put_header(h, text);
    for (size_t n = 0; n < VOLUME_LUKS_SIZE; n += 61) {
        AUTO(free_u8) uint8_t *cut = malloc(n ? n : 1);
        assert_non_null(cut);
        memcpy(cut, h, n);
        REFUSED(ERR_INPUT, volume_token_find(bytes_of(cut, n), &got, &err));
    }
}

static void differing_registers_are_named(void **state)
{
    struct volume_token t = example();
    struct tpm_pcrs now = t.pcrs;
    char text[96];
    (void)state;
    assert_string_equal(volume_pcrs_differing(&t.pcrs, &now, text, sizeof(text)), "none");
    now.pcr[4].b[0] ^= 1;
    now.pcr[15].b[0] ^= 1;
    assert_string_equal(volume_pcrs_differing(&t.pcrs, &now, text, sizeof(text)), "4, 15");
    assert_string_equal(volume_pcrs_differing(&t.pcrs, &now, text, 3), "4");
    volume_token_done(&t);
}

/* ---- keys ---- */

/* printf 'cvm-agent/volume-v1\0slot' | openssl mac -digest SHA256 -macopt hexkey:3031..6566 HMAC */
static void keys_have_a_known_answer(void **state)
{
    uint8_t key[VOLUME_SECRET];
    char hex[65];
    (void)state;
    OK(volume_key(secret, "slot", key, &err));
    assert_string_equal(hex_to(hex, bytes_of(key, 32)),
                        "4c62551a8d2204151d4ff0aa0a740d4901e8f3c14978e54a50488d2caab781fc");
}

static void the_mac_covers_the_whole_header(void **state)
{
    AUTO(free_u8) uint8_t *h = zeros();
    const struct bytes header = bytes_of(h, VOLUME_HEADER_SIZE);
    static const size_t places[] = { 0,
                                     5,
                                     4096,
                                     VOLUME_LUKS_SIZE,
                                     2 * VOLUME_LUKS_SIZE + 77,
                                     VOLUME_MAC_AT - 1,
                                     VOLUME_MAC_AT,
                                     VOLUME_MAC_AT + 40,
                                     VOLUME_HEADER_SIZE - 1 };
    uint8_t other[VOLUME_SECRET];
    (void)state;
    memset(h, 0x5A, VOLUME_MAC_AT);
    OK(volume_mac(secret, header, h + VOLUME_MAC_AT, &err));
    OK(volume_mac_check(secret, header, &err));
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        h[places[i]] ^= 1;
        REFUSED(ERR_DENIED, volume_mac_check(secret, header, &err));
        h[places[i]] ^= 1;
    }
    memcpy(other, secret, sizeof(other));
    other[31] ^= 1;
    REFUSED(ERR_DENIED, volume_mac_check(other, header, &err));
    REFUSED(ERR_INPUT, volume_mac_check(secret, bytes_of(h, VOLUME_HEADER_SIZE - 1), &err));
}

static char *pem_of(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p;
    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    long n = BIO_get_mem_data(bio, &p);
    char *text = strndup(p, (size_t)n);
    BIO_free(bio);
    return text;
}

static void the_owner_alone_reads_the_recovery_key(void **state)
{
    EVP_PKEY *key = EVP_RSA_gen(3072), *small = EVP_RSA_gen(2048), *ec = EVP_EC_gen("P-256");
    AUTO(free_str) char *pem = pem_of(key), *too_small = pem_of(small), *no_rsa = pem_of(ec);
    AUTO(buf_done) struct buf sealed = buf_new(1024);
    uint8_t owner[32], back[1024];
    size_t n = sizeof(back);
    (void)state;
    OK(volume_recovery_encrypt(bytes_str(pem), secret, &sealed, owner, &err));
    assert_int_equal(sealed.n, 384);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
    assert_int_equal(EVP_PKEY_decrypt_init(c), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md(c, EVP_sha256()), 1);
    assert_int_equal(EVP_PKEY_decrypt(c, back, &n, sealed.p, sealed.n), 1);
    assert_true(bytes_equal(bytes_of(back, n), bytes_of(secret, 32)));
    REFUSED(ERR_INPUT, volume_recovery_encrypt(bytes_str(too_small), secret, &sealed, owner, &err));
    REFUSED(ERR_INPUT, volume_recovery_encrypt(bytes_str(no_rsa), secret, &sealed, owner, &err));
    REFUSED(ERR_INPUT, volume_recovery_encrypt(bytes_str("no key"), secret, &sealed, owner, &err));
    EVP_PKEY_CTX_free(c);
    EVP_PKEY_free(key);
    EVP_PKEY_free(small);
    EVP_PKEY_free(ec);
}

/* ---- partition ---- */

static void put_device(const char *sys, const char *device, const char *name)
{
    char path[128];
    AUTO(buf_done) struct buf text = buf_new(256);
    snprintf(path, sizeof(path), "%s/class/block/%s", sys, device);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/class/block/%s/uevent", sys, device);
    buf_printf(&text, "MAJOR=254\nDEVTYPE=partition\nPARTNAME=%s\n", name);
    OK(file_write_atomic(path, buf_bytes(&text), 0644, &err));
}

static void one_partition_of_the_name(void **state)
{
    char sys[] = "/tmp/cvm-volume.XXXXXX", path[PARTITION_PATH_SIZE], command[64];
    (void)state;
    assert_non_null(mkdtemp(sys));
    snprintf(command, sizeof(command), "mkdir -p %s/class/block", sys);
    assert_int_equal(system(command), 0);
    put_device(sys, "vda1", "cvm-esp");
    put_device(sys, "vda6", "cvm-volume-2");
    REFUSED(ERR_NOT_FOUND, partition_find_one(sys, VOLUME_PARTITION, path, &err));
    put_device(sys, "vda5", "cvm-volume");
    OK(partition_find_one(sys, VOLUME_PARTITION, path, &err));
    assert_string_equal(path, "/dev/vda5");
    put_device(sys, "vdb1", "cvm-volume");
    REFUSED(ERR_DENIED, partition_find_one(sys, VOLUME_PARTITION, path, &err));
    snprintf(command, sizeof(command), "rm -rf %s", sys);
    assert_int_equal(system(command), 0);
}

static void headers_are_read_and_written_whole(void **state)
{
    char file[] = "/tmp/cvm-volume.XXXXXX";
    AUTO(free_u8) uint8_t *h = zeros(), *back = zeros();
    AUTO(close_fd) int fd = mkstemp(file);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (16 << 20) - 1), 0);
    REFUSED(ERR_INPUT, partition_read_header(file, back, &err));
    assert_int_equal(ftruncate(fd, 16 << 20), 0);
    memset(h, 0xA5, VOLUME_HEADER_SIZE);
    OK(partition_write_header(file, h, &err));
    OK(partition_read_header(file, back, &err));
    assert_memory_equal(h, back, VOLUME_HEADER_SIZE);
    assert_int_equal(unlink(file), 0);
    REFUSED(ERR_IO, partition_read_header(file, back, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(profiles_are_sets_of_registers),
        cmocka_unit_test(settings_are_strict),
        cmocka_unit_test(only_the_mark_may_be_formatted),
        cmocka_unit_test(the_builder_writes_the_same_mark),
        cmocka_unit_test(a_token_comes_back),
        cmocka_unit_test(foreign_headers_are_refused),
        cmocka_unit_test(what_is_too_large_is_refused),
        cmocka_unit_test(every_cut_of_the_text_is_refused),
        cmocka_unit_test(differing_registers_are_named),
        cmocka_unit_test(keys_have_a_known_answer),
        cmocka_unit_test(the_mac_covers_the_whole_header),
        cmocka_unit_test(the_owner_alone_reads_the_recovery_key),
        cmocka_unit_test(one_partition_of_the_name),
        cmocka_unit_test(headers_are_read_and_written_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
