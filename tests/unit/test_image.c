/* image/: partition tables, FAT, programs, kernel images, firmware, hash trees, predictions. The expected
 * values were computed by another implementation over the same files. */
#include "evidence.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "image/fat.h"
#include "image/predict.h"
#include "image/verity.h"

#define DISK_SIZE 166723584u /* of the disk that gpt.bin was taken from */

static struct sample gpt_head, esp, kernel, firmware;

static int setup(void **state)
{
    (void)state;
    gpt_head = sample_load_path(CVM_TEST_DATA "/image/gpt.bin");
    esp = sample_load_path(CVM_TEST_DATA "/image/esp.fat");
    kernel = sample_load_path(CVM_TEST_DATA "/image/uki.efi");
    firmware = sample_load_path(CVM_TEST_DATA "/image/firmware.fd");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sample_done(&gpt_head);
    sample_done(&esp);
    sample_done(&kernel);
    sample_done(&firmware);
    return 0;
}

static void is_hex(struct bytes value, const char *want)
{
    char hex[2 * DIGEST_MAX + 1];
    assert_string_equal(hex_to(hex, value), want);
}

/* ---- Partition tables ---- */

static void reads_a_table(void **state)
{
    static const char *const names[] = { "cvm-esp", "cvm-root", "cvm-verity", "cvm-data" };
    struct gpt gpt;
    struct err err = { 0 };
    (void)state;
    assert_int_equal(gpt_parse(sample_bytes(&gpt_head), DISK_SIZE, &gpt, &err), 0);
    assert_int_equal(gpt.n, 4);
    for (size_t i = 0; i < gpt.n; i++) {
        assert_string_equal(gpt.partition[i].name, names[i]);
        assert_ptr_equal(gpt_find(&gpt, names[i]), &gpt.partition[i]);
    }
    assert_int_equal(gpt.partition[0].offset, 1u << 20);
    assert_int_equal(gpt.partition[0].size, 36u << 20);
    assert_null(gpt_find(&gpt, "cvm"));
    assert_int_equal(gpt_crc32(bytes_str("123456789")), 0xCBF43926);
}

/* The header is covered by its checksum, the entries by another: no bit of them may change. */
static void refuses_a_changed_table(void **state)
{
    AUTO(free_u8) uint8_t *copy = malloc(gpt_head.n);
    struct gpt gpt;
    (void)state;
    assert_non_null(copy);
    memcpy(copy, gpt_head.p, gpt_head.n);
    for (size_t i = 512; i < 1024 + 4 * 128; i++) {
        struct err err = { 0 };
        bool unused = i >= 512 + 92 && i < 1024;
        copy[i] ^= 1;
        assert_int_equal(gpt_parse(bytes_of(copy, gpt_head.n), DISK_SIZE, &gpt, &err), unused ? 0 : -1);
        copy[i] ^= 1;
    }
    for (size_t n = 0; n < gpt_head.n; n += 61) {
        struct err err = { 0 };
        assert_int_equal(gpt_parse(bytes_of(gpt_head.p, n), DISK_SIZE, &gpt, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
    }
    struct err err = { 0 };
    assert_int_equal(gpt_parse(sample_bytes(&gpt_head), 64u << 20, &gpt, &err), -1);
    assert_non_null(strstr(err.cause, "outside"));
}

/* ---- FAT ---- */

static void reads_a_file(void **state)
{
    AUTO(buf_done) struct buf out = buf_new(4096), small = buf_new(512);
    struct err err = { 0 };
    uint8_t hash[32];
    (void)state;
    assert_int_equal(fat_read_file(sample_bytes(&esp), "EFI/BOOT/BOOTX64.EFI", &out, &err), 0);
    assert_int_equal(out.n, 700);
    sha256(buf_bytes(&out), hash);
    is_hex(bytes_of(hash, 32), "696b7ab28bd6fe65844f41bc9c466e2c3582cf3862bf67e4cd61ade2418c1002");
    assert_int_equal(fat_read_file(sample_bytes(&esp), "EFI/BOOT/BOOTX64.EFI", &small, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    static const char *const absent[] = {
        "EFI/BOOT", "EFI", "BOOTX64.EFI", "EFI/BOOT/OTHER.EFI", "EFI/BOOT/BOOTX64.EFI/X", "", "CVM-ESP"
    };
    for (size_t i = 0; i < ARRAY_SIZE(absent); i++) {
        assert_int_equal(fat_read_file(sample_bytes(&esp), absent[i], &out, &err), -1);
        assert_int_equal(err.kind, ERR_NOT_FOUND);
    }
}

static void refuses_a_damaged_volume(void **state)
{
    AUTO(free_u8) uint8_t *copy = malloc(esp.n);
    AUTO(buf_done) struct buf out = buf_new(4096);
    struct err err = { 0 };
    const size_t table = 32u * 512u;
    (void)state;
    assert_non_null(copy);
    /* a circle, a chain out of the volume, one that ends too early */
    const uint32_t next[] = { 5, 100, 0x0FFFFFFF, 0, 1 };
    for (size_t i = 0; i < ARRAY_SIZE(next); i++) {
        memcpy(copy, esp.p, esp.n);
        copy[table + 20] = (uint8_t)next[i];
        copy[table + 21] = (uint8_t)(next[i] >> 8);
        copy[table + 22] = (uint8_t)(next[i] >> 16);
        copy[table + 23] = (uint8_t)(next[i] >> 24);
        out.n = 0;
        if (i == 0) /* the file's size ends the walk */
            assert_int_equal(fat_read_file(bytes_of(copy, esp.n), "EFI/BOOT/BOOTX64.EFI", &out, &err), 0);
        else
            assert_int_equal(fat_read_file(bytes_of(copy, esp.n), "EFI/BOOT/BOOTX64.EFI", &out, &err), -1);
    }
    for (size_t n = 0; n < esp.n; n += 97)
        if (fat_read_file(bytes_of(esp.p, n), "EFI/BOOT/BOOTX64.EFI", &out, &err) == 0)
            fail_msg("a volume cut at %zu was read", n);
}

/* ---- Programs ---- */

static void splits_a_kernel_image(void **state)
{
    struct uki uki;
    struct bytes value;
    struct err err = { 0 };
    (void)state;
    assert_int_equal(uki_parse(sample_bytes(&kernel), &uki, &err), 0);
    assert_true(bytes_equal(uki.osrel, bytes_str("ID=cvm-agent\n")));
    assert_int_equal(uki.initrd.n, 300);
    assert_true(uki_option(&uki, "cvm.root", &value));
    assert_int_equal(value.n, 64);
    assert_true(uki_option(&uki, "module.sig_enforce", &value) && bytes_equal(value, bytes_str("1")));
    assert_false(uki_option(&uki, "cvm", &value));
    assert_false(uki_option(&uki, "root", &value));
    for (size_t n = 0; n < kernel.n; n++)
        assert_int_equal(uki_parse(bytes_of(kernel.p, n), &uki, &err), -1);
}

/* Every bit is in the hash, but the checksum and the directory of signatures. */
static void hashes_every_bit(void **state)
{
    AUTO(free_u8) uint8_t *copy = malloc(kernel.n);
    struct pe pe;
    struct digest was, now;
    struct err err = { 0 };
    (void)state;
    assert_non_null(copy);
    memcpy(copy, kernel.p, kernel.n);
    assert_int_equal(pe_parse(sample_bytes(&kernel), &pe, &err), 0);
    assert_int_equal(pe_authenticode(&pe, ALG_SHA256, &was, &err), 0);
    size_t checksum = pe.checksum_at, directory = pe.certificates_at;
    for (size_t i = 0; i < kernel.n; i++) {
        copy[i] ^= 0x10;
        bool left_out = (i >= checksum && i < checksum + 4) || (i >= directory && i < directory + 8);
        if (pe_parse(bytes_of(copy, kernel.n), &pe, &err) == 0) {
            assert_int_equal(pe_authenticode(&pe, ALG_SHA256, &now, &err), 0);
            assert_int_equal(bytes_equal(digest_bytes(&was), digest_bytes(&now)), left_out);
        }
        copy[i] ^= 0x10;
    }
}

/* ---- Firmware ---- */

static void looks_into_firmware(void **state)
{
    AUTO(free_u8) uint8_t *copy = malloc(firmware.n);
    struct firmware f;
    struct err err = { 0 };
    (void)state;
    assert_non_null(copy);
    assert_int_equal(firmware_parse(sample_bytes(&firmware), ALG_SHA256, &f, &err), 0);
    assert_true(f.secure_boot);
    is_hex(digest_bytes(&f.dxe), "cc62decc6394d54782d348b2a5bbf9cf43d63ca750e971cf99691f88ccaf4413");
    for (size_t n = 0; n < 260; n++)
        assert_int_equal(firmware_parse(bytes_of(firmware.p, n), ALG_SHA256, &f, &err), -1);
    memcpy(copy, firmware.p, firmware.n);
    copy[40] = 'X';
    assert_int_equal(firmware_parse(bytes_of(copy, firmware.n), ALG_SHA256, &f, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
}

/* ---- Predictions ---- */

static void predicts(void **state)
{
    static const struct {
        unsigned pcr;
        const char *value;
    } want[] = {
        { 2, "3d458cfe55cc03ea1f443f1562beec8df51c75e14a9fcf9a7234a13f198e7969" },
        { 4, "acc313a20e2d314d523e9998987ec5ce6bfaba7079f7fc9d9a6de1d25f351475" },
        { 5, "fdad128f4bf1c35b89f19c5bca84e74226612ee1cfec6794d4a1ed968988549e" },
        { 7,
          "65caf8dd1e0ea7a6347b635d2b379c93b9a1351edc2afc3ecda700e534eb3068" }, /* quoted by OVMF 2022.11 */
        { 9, "cbdc7b7fd98c3bbb87fd8f96eef6b35b27c0f41efe5cc05837deb097262a53b1" },
        { 11, "27f05a6a79e66bd342dd2ed039dbc6861fbddaeea3bb01c3c36d9eab93ca7ba7" },
        { 12, "0000000000000000000000000000000000000000000000000000000000000000" },
    };
    struct prediction p;
    struct firmware f;
    struct gpt gpt;
    struct uki uki;
    struct err err = { 0 };
    (void)state;
    assert_int_equal(gpt_parse(sample_bytes(&gpt_head), DISK_SIZE, &gpt, &err), 0);
    assert_int_equal(uki_parse(sample_bytes(&kernel), &uki, &err), 0);
    assert_int_equal(firmware_parse(sample_bytes(&firmware), ALG_SHA256, &f, &err), 0);
    assert_int_equal(predict_boot(&gpt, &uki, PREDICT_QEMU, &f, NULL, ALG_SHA256, &p, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        assert_int_equal(p.pcr[want[i].pcr].kind, PREDICTED);
        is_hex(digest_bytes(&p.pcr[want[i].pcr].value), want[i].value);
    }
    assert_int_equal(p.pcr[0].kind, FIRMWARE);
    assert_int_equal(p.pcr[14].kind, UNKNOWN);
    assert_int_equal(predict_boot(&gpt, &uki, PREDICT_GCE_SNP, NULL, NULL, ALG_SHA384, &p, &err), 0);
    assert_int_equal(p.pcr[4].kind, PREDICTED);
    assert_int_equal(p.pcr[4].value.n, 48);
    assert_int_equal(predict_boot(&gpt, &uki, PREDICT_QEMU, NULL, NULL, 0x99, &p, &err), -1);
}

/* What is the firmware's is predicted only where the firmware is known, or was seen to do the same. */
static void firmware_decides(void **state)
{
    static const struct {
        enum predict_host host;
        bool file;
        unsigned of_firmware; /* of PCR 2 to 7 */
    } rows[] = {
        { PREDICT_QEMU, true, 0 },         { PREDICT_QEMU, false, 0xfc },   { PREDICT_QEMU_TDX, true, 0x34 },
        { PREDICT_QEMU_TDX, false, 0xfc }, { PREDICT_GCE_SNP, true, 0xa0 }, { PREDICT_GCE_SNP, false, 0xa0 },
        { PREDICT_CLOUD, true, 0xfc },     { PREDICT_CLOUD, false, 0xfc },
    };
    static const unsigned of_stub[] = { 8, 9, 11, 12, 13, 16, 23 };
    struct prediction p;
    struct firmware f;
    struct gpt gpt;
    struct uki uki;
    struct err err = { 0 };
    (void)state;
    assert_int_equal(gpt_parse(sample_bytes(&gpt_head), DISK_SIZE, &gpt, &err), 0);
    assert_int_equal(uki_parse(sample_bytes(&kernel), &uki, &err), 0);
    assert_int_equal(firmware_parse(sample_bytes(&firmware), ALG_SHA256, &f, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(predict_boot(&gpt, &uki, rows[i].host, rows[i].file ? &f : NULL, NULL, ALG_SHA256,
                                      &p, &err),
                         0);
        for (unsigned pcr = 2; pcr <= 7; pcr++)
            assert_int_equal(p.pcr[pcr].kind, rows[i].of_firmware >> pcr & 1 ? FIRMWARE : PREDICTED);
        for (size_t k = 0; k < ARRAY_SIZE(of_stub); k++)
            assert_int_equal(p.pcr[of_stub[k]].kind, PREDICTED);
    }
}

static void another_stub_is_unknown(void **state)
{
    AUTO(free_u8) uint8_t *copy = malloc(kernel.n);
    struct prediction p;
    struct gpt gpt;
    struct uki uki;
    struct err err = { 0 };
    (void)state;
    assert_non_null(copy);
    memcpy(copy, kernel.p, kernel.n);
    uint8_t *mark = memmem(copy, kernel.n, "systemd-stub 252", 16);
    assert_non_null(mark);
    mark[15] = '7';
    assert_int_equal(gpt_parse(sample_bytes(&gpt_head), DISK_SIZE, &gpt, &err), 0);
    assert_int_equal(uki_parse(bytes_of(copy, kernel.n), &uki, &err), 0);
    assert_int_equal(predict_boot(&gpt, &uki, PREDICT_QEMU, NULL, NULL, ALG_SHA256, &p, &err), 0);
    assert_int_equal(p.pcr[9].kind, UNKNOWN);
    assert_int_equal(p.pcr[11].kind, UNKNOWN);
}

/* ---- Hash trees: three levels over 200 blocks would be two; 129 * 128 + 1 blocks make three ---- */

#define BLOCKS 16513u

struct memory {
    uint8_t *p;
    uint64_t n;
};

static int read_memory(void *ctx, uint64_t offset, uint8_t *out, size_t n, struct err *err)
{
    const struct memory *m = ctx;
    if (offset > m->n || n > m->n - offset)
        return err_set(err, ERR_IO, 0, "outside");
    memcpy(out, m->p + offset, n);
    return 0;
}

static void put_header(uint8_t *block, uint32_t blocks)
{
    memset(block, 0, VERITY_BLOCK);
    memcpy(block, "verity", 6);
    block[8] = 1;
    block[12] = 1;
    memcpy(block + 32, "sha256", 6);
    block[65] = 0x10;
    block[69] = 0x10;
    for (int i = 0; i < 4; i++)
        block[72 + i] = (uint8_t)(blocks >> 8 * i);
    block[80] = 2;
    block[88] = 0xAB;
    block[89] = 0xCD;
}

static void hash(const uint8_t *block, uint8_t *out)
{
    uint8_t salted[VERITY_BLOCK + 2] = { 0xAB, 0xCD };
    memcpy(salted + 2, block, VERITY_BLOCK);
    sha256(bytes_of(salted, sizeof(salted)), out);
}

/* Level by level from the data up, each where the kernel looks for it. */
static void put_tree(const uint8_t *data, uint8_t *hashes, uint8_t *root)
{
    uint8_t *top = hashes + VERITY_BLOCK, *middle = top + VERITY_BLOCK, *low = middle + 2 * VERITY_BLOCK;
    for (size_t i = 0; i < BLOCKS; i++)
        hash(data + i * VERITY_BLOCK, low + i * 32);
    for (size_t i = 0; i < 130; i++)
        hash(low + i * VERITY_BLOCK, middle + i * 32);
    for (size_t i = 0; i < 2; i++)
        hash(middle + i * VERITY_BLOCK, top + i * 32);
    hash(top, root);
}

static void checks_a_tree(void **state)
{
    struct memory data = { calloc(BLOCKS, VERITY_BLOCK), (uint64_t)BLOCKS * VERITY_BLOCK };
    struct memory tree = { calloc(1 + 1 + 2 + 130, VERITY_BLOCK), 134u * VERITY_BLOCK };
    const struct verity_source d = { read_memory, &data, 0, data.n }, t = { read_memory, &tree, 0, tree.n };
    struct verity_header header;
    uint8_t want[32], root[32];
    struct err err = { 0 };
    (void)state;
    assert_non_null(data.p);
    assert_non_null(tree.p);
    for (size_t i = 0; i < BLOCKS; i++)
        memcpy(data.p + i * VERITY_BLOCK, &i, sizeof(i));
    put_header(tree.p, BLOCKS);
    put_tree(data.p, tree.p, want);
    assert_int_equal(verity_check(&d, &t, root, &header, &err), 0);
    assert_memory_equal(root, want, 32);
    assert_int_equal(header.data_blocks, BLOCKS);
    const size_t flips[] = { 5, 7777u * VERITY_BLOCK, (size_t)data.n - 1 };
    for (size_t i = 0; i < ARRAY_SIZE(flips); i++) {
        data.p[flips[i]] ^= 1;
        assert_int_equal(verity_check(&d, &t, root, &header, &err), -1);
        assert_int_equal(err.kind, ERR_DENIED);
        data.p[flips[i]] ^= 1;
    }
    for (size_t at = 1; at < 134; at += 33) {
        tree.p[at * VERITY_BLOCK + 3] ^= 1;
        assert_int_equal(verity_check(&d, &t, root, &header, &err), -1);
        tree.p[at * VERITY_BLOCK + 3] ^= 1;
    }
    put_header(tree.p, BLOCKS + 1);
    assert_int_equal(verity_check(&d, &t, root, &header, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    free(data.p);
    free(tree.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_table),         cmocka_unit_test(refuses_a_changed_table),
        cmocka_unit_test(reads_a_file),          cmocka_unit_test(refuses_a_damaged_volume),
        cmocka_unit_test(splits_a_kernel_image), cmocka_unit_test(hashes_every_bit),
        cmocka_unit_test(looks_into_firmware),   cmocka_unit_test(predicts),
        cmocka_unit_test(firmware_decides),      cmocka_unit_test(another_stub_is_unknown),
        cmocka_unit_test(checks_a_tree),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
