/* Secure Boot's variables, what they make of a program, and of PCR 4 and 7. vars.fd was written by the boot
 * tests' own writer; the expected values were computed by another implementation over the same files. */
#include "evidence.h"

#include "base/auto.h"
#include "base/enc.h"
#include "image/predict.h"
#include "image/siglist.h"

#include <lzma.h>
#include <stdlib.h>

#define DISK_SIZE 166723584u /* of the disk that gpt.bin was taken from */
#define HEADER_AT 72u        /* of the store in vars.fd */

static struct sample vars, kernel, once, twice, gpt_head;

static int setup(void **state)
{
    (void)state;
    vars = sample_load_path(CVM_TEST_DATA "/image/vars.fd");
    kernel = sample_load_path(CVM_TEST_DATA "/image/uki.efi");
    once = sample_load_path(CVM_TEST_DATA "/image/signed.efi");
    twice = sample_load_path(CVM_TEST_DATA "/image/signed_two.efi");
    gpt_head = sample_load_path(CVM_TEST_DATA "/image/gpt.bin");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sample_done(&vars);
    sample_done(&kernel);
    sample_done(&once);
    sample_done(&twice);
    sample_done(&gpt_head);
    return 0;
}

static struct secure_boot enrolled(void)
{
    struct varstore store;
    struct secure_boot keys;
    struct err err = { 0 };
    assert_int_equal(varstore_parse(sample_bytes(&vars), &store, &err), 0);
    assert_int_equal(secure_boot_read(&store, &keys, &err), 0);
    return keys;
}

/* ---- Stores and lists ---- */

static void reads_a_store(void **state)
{
    struct secure_boot keys = enrolled();
    struct siglist_walk walk = { .rest = reader_of(keys.db) };
    struct siglist_entry entry;
    struct err err = { 0 };
    size_t n[3] = { 0 };
    (void)state;
    assert_true(keys.on);
    assert_true(keys.pk.n > 700); /* not the deleted one of 40 bytes before it */
    assert_false(keys.has_dbt);
    while (siglist_next(&walk, &entry, &err) > 0) {
        n[entry.kind]++;
        assert_int_equal(entry.whole.n, entry.data.n + 16);
    }
    assert_int_equal(n[SIGLIST_SHA256], 2);
    assert_int_equal(n[SIGLIST_X509], 2);
    assert_int_equal(n[SIGLIST_OTHER], 0);
}

static void refuses_a_damaged_store(void **state)
{
    struct varstore store;
    (void)state;
    for (size_t n = 0; n < vars.n; n += n < 4096 ? 1 : 97) {
        AUTO(free_u8) uint8_t *cut = heap_copy(vars.p, n);
        struct err err = { 0 };
        assert_int_equal(varstore_parse(bytes_of(cut, n), &store, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
    }
    AUTO(free_u8) uint8_t *copy = heap_copy(vars.p, vars.n);
    for (size_t i = 0; i < vars.n; i++) {
        struct secure_boot keys;
        struct err err = { 0 };
        copy[i] ^= 0x80;
        if (varstore_parse(bytes_of(copy, vars.n), &store, &err) == 0)
            (void)!secure_boot_read(&store, &keys, &err);
        copy[i] ^= 0x80;
    }
    const size_t vital[] = { HEADER_AT, HEADER_AT + 19, HEADER_AT + 20, HEADER_AT + 21, HEADER_AT + 28 + 43 };
    for (size_t i = 0; i < ARRAY_SIZE(vital); i++) {
        struct err err = { 0 };
        copy[vital[i]] ^= 0x40;
        assert_int_equal(varstore_parse(bytes_of(copy, vars.n), &store, &err), -1);
        copy[vital[i]] ^= 0x40;
    }
}

static void refuses_a_damaged_list(void **state)
{
    struct bytes db = enrolled().db;
    struct err err = { 0 };
    (void)state;
    assert_int_equal(siglist_check(bytes_of(NULL, 0), &err), 0);
    for (size_t n = 1; n < db.n; n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(db.p, n);
        bool whole = n == 28 + 2 * 48 || n == db.n; /* the first list alone */
        size_t first = 28 + 2 * 48 + (size_t)le_uint(db.p + 28 + 2 * 48 + 16, 4);
        assert_int_equal(siglist_check(bytes_of(cut, n), &err), whole || n == first ? 0 : -1);
    }
    for (size_t i = 16; i < 28; i++) {
        AUTO(free_u8) uint8_t *copy = heap_copy(db.p, db.n);
        copy[i] ^= 1;
        assert_int_equal(siglist_check(bytes_of(copy, db.n), &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
    }
}

static void switched_off_is_off(void **state)
{
    AUTO(free_u8) uint8_t *copy = heap_copy(vars.p, vars.n);
    uint8_t entry[60 + 34 + 1 + 1] = { 0xAA, 0x55, 0x3F, 0, 3 };
    static const char name[] = "SecureBootEnable";
    struct varstore store;
    struct secure_boot keys;
    struct err err = { 0 };
    (void)state;
    entry[36] = 34;
    entry[40] = 1;
    memcpy(entry + 44, varstore_secure_boot_enable, 16);
    for (size_t i = 0; i < sizeof(name); i++)
        entry[60 + 2 * i] = (uint8_t)name[i];
    /* behind the last variable: free space is all ones */
    size_t end = vars.n;
    while (end > 0 && copy[end - 1] == 0xFF)
        end--;
    end = HEADER_AT + (end - HEADER_AT + 3) / 4 * 4;
    memcpy(copy + end, entry, sizeof(entry));
    assert_int_equal(varstore_parse(bytes_of(copy, vars.n), &store, &err), 0);
    assert_int_equal(secure_boot_read(&store, &keys, &err), 0);
    assert_false(keys.on);
    copy[end + 60 + 34] = 1;
    assert_int_equal(secure_boot_read(&store, &keys, &err), 0);
    assert_true(keys.on);
}

/* ---- What lets a program start ---- */

static int authority(const struct secure_boot *keys, const struct sample *program, struct bytes *out)
{
    struct pe pe;
    struct err err = { 0 };
    assert_int_equal(pe_parse(sample_bytes(program), &pe, &err), 0);
    int rc = secure_boot_authority(keys, &pe, out, &err);
    if (rc < 0)
        assert_int_equal(err.kind, ERR_DENIED);
    return rc;
}

/* A list with one SHA-256 hash: the program's own. */
static struct bytes hash_list(const struct sample *program, uint8_t out[static 76])
{
    static const uint8_t sha256_guid[16] = { 0x26, 0x16, 0xC4, 0xC1, 0x4C, 0x50, 0x92, 0x40,
                                             0xAC, 0xA9, 0x41, 0xF9, 0x36, 0x93, 0x43, 0x28 };
    struct pe pe;
    struct digest hash;
    struct err err = { 0 };
    memset(out, 0, 76);
    memcpy(out, sha256_guid, 16);
    out[16] = 76;
    out[24] = 48;
    assert_int_equal(pe_parse(sample_bytes(program), &pe, &err), 0);
    assert_int_equal(pe_authenticode(&pe, ALG_SHA256, &hash, &err), 0);
    memcpy(out + 44, hash.b, 32);
    return bytes_of(out, 76);
}

static void finds_the_entry_that_is_used(void **state)
{
    struct secure_boot keys = enrolled();
    struct bytes first, second;
    uint8_t list[76];
    (void)state;
    assert_int_equal(authority(&keys, &kernel, &first), -1);
    assert_int_equal(authority(&keys, &once, &first), 0);
    /* its first signature decides, though the other is by an entry of db too */
    assert_int_equal(authority(&keys, &twice, &second), 0);
    assert_ptr_equal(first.p, second.p);
    /* without certificates: by its hash */
    keys.db = hash_list(&kernel, list);
    assert_int_equal(authority(&keys, &kernel, &first), 0);
    assert_int_equal(first.n, 48);
    assert_int_equal(authority(&keys, &once, &second), 0); /* signing changes no byte that is hashed */
    keys.db = bytes_of(NULL, 0);
    assert_int_equal(authority(&keys, &once, &first), -1);
}

static void dbx_forbids(void **state)
{
    struct secure_boot keys = enrolled();
    struct bytes entry;
    uint8_t list[76];
    (void)state;
    keys.dbx = hash_list(&once, list);
    assert_int_equal(authority(&keys, &once, &entry), -1);
    keys.dbx = keys.kek; /* the second signer's certificate */
    assert_int_equal(authority(&keys, &once, &entry), 0);
    assert_int_equal(authority(&keys, &twice, &entry), -1);
}

/* ---- PCR 4 and 7 ---- */

static void is_hex(const struct predict_pcr *pcr, const char *want)
{
    char hex[2 * DIGEST_MAX + 1];
    assert_int_equal(pcr->kind, PREDICTED);
    assert_string_equal(hex_to(hex, digest_bytes(&pcr->value)), want);
}

static int predict(const struct sample *program, const struct firmware *firmware,
                   const struct secure_boot *keys, struct prediction *out, struct err *err)
{
    struct gpt gpt;
    struct uki uki;
    assert_int_equal(gpt_parse(sample_bytes(&gpt_head), DISK_SIZE, &gpt, err), 0);
    assert_int_equal(uki_parse(sample_bytes(program), &uki, err), 0);
    return predict_boot(&gpt, &uki, PREDICT_QEMU, firmware, keys, ALG_SHA256, out, err);
}

static void predicts_a_signed_boot(void **state)
{
    const struct firmware firmware = { .secure_boot = true, .release = FIRMWARE_CHECKED };
    const struct firmware without = { .secure_boot = false, .release = FIRMWARE_CHECKED };
    struct secure_boot keys = enrolled();
    struct prediction p;
    struct err err = { 0 };
    (void)state;
    assert_int_equal(predict(&once, &firmware, &keys, &p, &err), 0);
    is_hex(&p.pcr[4], "f214b626d18e77374974f3ce0e766768b8c93ab1f74fc7abe603a5873128a807");
    is_hex(&p.pcr[7], "e14c671f32178240e3584b27a204f1371b52bfb93111d3d0fa99b4c7b8a59c37");
    assert_int_equal(predict(&kernel, &firmware, &keys, &p, &err), -1);
    assert_int_equal(err.kind, ERR_DENIED);
    assert_int_equal(predict(&once, &without, &keys, &p, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    assert_int_equal(predict(&once, NULL, &keys, &p, &err), 0);
    assert_int_equal(p.pcr[7].kind, FIRMWARE);
    keys.has_dbt = true;
    assert_int_equal(predict(&once, &firmware, &keys, &p, &err), 0);
    assert_int_equal(p.pcr[7].kind, FIRMWARE);
}

/* ---- Releases: a made image whose drivers are packed as in OVMF ---- */

static void put_section(struct buf *b, uint8_t type, struct bytes body)
{
    buf_u32le(b, (uint32_t)(4 + body.n) | (uint32_t)type << 24);
    buf_put(b, body);
    buf_fill(b, 0, (4 - b->n % 4) % 4);
}

static void put_volume(struct buf *b, struct bytes body)
{
    size_t start = b->n;
    buf_fill(b, 0, 32);
    buf_u64le(b, 56 + body.n);
    buf_str(b, "_FVH");
    buf_fill(b, 0, 4);
    buf_u16le(b, 56);
    buf_fill(b, 0, 6);
    assert_int_equal(b->n - start, 56);
    buf_put(b, body);
}

static struct bytes packed(struct bytes plain, uint8_t *out, size_t size)
{
    lzma_options_lzma options;
    lzma_stream s = LZMA_STREAM_INIT;
    assert_false(lzma_lzma_preset(&options, 1));
    assert_int_equal(lzma_alone_encoder(&s, &options), LZMA_OK);
    s.next_in = plain.p;
    s.avail_in = plain.n;
    s.next_out = out;
    s.avail_out = size;
    assert_int_equal(lzma_code(&s, LZMA_FINISH), LZMA_STREAM_END);
    size -= s.avail_out;
    lzma_end(&s);
    return bytes_of(out, size);
}

/* An image whose drivers hold a version as UTF-16, at an odd address. */
static struct firmware made_firmware(const char *version)
{
    static const uint8_t lzma[16] = { 0x98, 0x58, 0x4E, 0xEE, 0x14, 0x39, 0x59, 0x42,
                                      0x9D, 0x6E, 0xDC, 0x7B, 0xD7, 0x94, 0x03, 0xCF };
    AUTO(buf_done)
    struct buf drivers = buf_new(65536), inner = buf_new(65536), section = buf_new(65536),
               guided = buf_new(65536), file = buf_new(65536), image = buf_new(65536);
    uint8_t room[4096];
    struct firmware out;
    struct err err = { 0 };
    buf_str(&drivers, "drivers of 2099.12 in one byte each");
    for (const char *at = version; *at; at++)
        buf_u16le(&drivers, (uint8_t)*at);
    buf_fill(&drivers, 0, 2);
    put_volume(&inner, buf_bytes(&drivers));
    put_section(&section, 0x17, buf_bytes(&inner));
    buf_put(&guided, bytes_of(lzma, sizeof(lzma)));
    buf_u16le(&guided, 24);
    buf_u16le(&guided, 1);
    buf_put(&guided, packed(buf_bytes(&section), room, sizeof(room)));
    buf_fill(&file, 0, 20);
    buf_u32le(&file, (uint32_t)(24 + 4 + guided.n));
    put_section(&file, 0x02, buf_bytes(&guided));
    put_volume(&image, buf_bytes(&file));
    assert_int_equal(firmware_parse(buf_bytes(&image), ALG_SHA256, &out, &err), 0);
    return out;
}

static void knows_releases(void **state)
{
    static const struct {
        const char *version, *read;
        enum firmware_release release;
    } rows[] = {
        { "", "", FIRMWARE_CHECKED },
        { "no version", "", FIRMWARE_CHECKED },
        { "802.1Q 2099", "", FIRMWARE_CHECKED },
        { "2022.11-6+deb12u2", "2022.11-6+deb12u2", FIRMWARE_CHECKED },
        { "2025.02-8+deb13u1", "2025.02-8+deb13u1", FIRMWARE_CHECKED },
        { "edk2-20240813-2.fc41", "edk2-20240813-2.fc41", FIRMWARE_CHECKED },
        { "2025.05-1", "2025.05-1", FIRMWARE_RETRIES_EXIT },
        { "2026.08+ds-2", "2026.08+ds-2", FIRMWARE_RETRIES_EXIT },
        { "edk2-stable202608", "edk2-stable202608", FIRMWARE_RETRIES_EXIT },
        { "2020.11-2", "2020.11-2", FIRMWARE_UNCHECKED },
        { "2026.11", "2026.11", FIRMWARE_UNCHECKED },
        { "edk2-20991231-1", "edk2-20991231-1", FIRMWARE_UNCHECKED },
        { "2026.11-a-very-long-name-of-a-packager-indeed", "2026.11-a-very-long-name-of-a-p",
          FIRMWARE_UNCHECKED },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct firmware f = made_firmware(rows[i].version);
        assert_string_equal(f.version, rows[i].read);
        assert_int_equal(f.release, rows[i].release);
        assert_false(f.secure_boot);
    }
}

/* 2026.08 left the firmware at the second attempt: its log has both, and PCR 5 is another one than foretold.
 */
static void newer_releases_are_not_guessed(void **state)
{
    static const unsigned of_firmware[] = { 2, 3, 4, 5, 6, 7 };
    struct firmware f = made_firmware("2026.08+ds-2");
    struct prediction p;
    struct err err = { 0 };
    (void)state;
    assert_int_equal(predict(&kernel, &f, NULL, &p, &err), 0);
    assert_int_equal(p.pcr[5].kind, FIRMWARE);
    assert_int_equal(p.pcr[4].kind, PREDICTED);
    /* quoted by OVMF 2025.02 and 2026.08 without the driver of Secure Boot */
    is_hex(&p.pcr[7], "b5710bf57d25623e4019027da116821fa99f5c81e9e38b87671cc574f9281439");
    f = made_firmware("2027.02-1");
    assert_int_equal(predict(&kernel, &f, NULL, &p, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(of_firmware); i++) {
        assert_int_equal(p.pcr[of_firmware[i]].kind, FIRMWARE);
        assert_true(bytes_zero(digest_bytes(&p.pcr[of_firmware[i]].value)));
        assert_non_null(strstr(p.pcr[of_firmware[i]].why, "2027.02-1"));
    }
    assert_int_equal(p.pcr[9].kind, PREDICTED);
    assert_int_equal(p.pcr[11].kind, PREDICTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_store),
        cmocka_unit_test(refuses_a_damaged_store),
        cmocka_unit_test(refuses_a_damaged_list),
        cmocka_unit_test(switched_off_is_off),
        cmocka_unit_test(finds_the_entry_that_is_used),
        cmocka_unit_test(dbx_forbids),
        cmocka_unit_test(predicts_a_signed_boot),
        cmocka_unit_test(knows_releases),
        cmocka_unit_test(newer_releases_are_not_guessed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
