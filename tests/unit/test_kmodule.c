/* agent/kmodule: modules made here, cut and damaged. */
#include "evidence.h"

#include "agent/kmodule.h"
#include "base/auto.h"
#include "base/buf.h"

static void put_section(struct buf *out, uint32_t name, uint64_t offset, uint64_t size)
{
    buf_u32le(out, name);
    buf_u32le(out, 1);
    buf_u64le(out, 0);
    buf_u64le(out, 0);
    buf_u64le(out, offset);
    buf_u64le(out, size);
    buf_fill(out, 0, 24);
}

static void make(struct bytes info, struct buf *out)
{
    static const char names[] = "\0.shstrtab\0.modinfo";
    static const uint8_t ident[16] = { 0x7F, 'E', 'L', 'F', 2, 1, 1 };
    *out = buf_new(4096);
    buf_put(out, bytes_of(ident, 16));
    buf_u16le(out, 1);
    buf_fill(out, 0, 2 + 4 + 8 + 8);
    buf_u64le(out, 64 + sizeof(names) + info.n);
    buf_fill(out, 0, 4 + 2 + 2 + 2);
    buf_u16le(out, 64);
    buf_u16le(out, 3);
    buf_u16le(out, 1);
    buf_put(out, bytes_of(names, sizeof(names)));
    buf_put(out, info);
    put_section(out, 0, 0, 0);
    put_section(out, 1, 64, sizeof(names));
    put_section(out, 11, 64 + sizeof(names), info.n);
}

#define ROW(text) text, sizeof(text) /* each string ends with its NUL */

static void names_are_read(void **state)
{
    static const struct {
        const char *info;
        size_t n;
        const char *name; /* NULL: refused */
        bool livepatch;
    } rows[] = {
        { ROW("license=GPL\0name=patch_1\0livepatch=Y"), "patch_1", true },
        { ROW("name=plain"), "plain", false },
        { ROW("name=a\0livepatch=N"), "a", false },
        { ROW("license=GPL"), NULL, false },
        { ROW("name="), NULL, false },
        { ROW("name=../../x"), NULL, false },
        { ROW("name=a b"), NULL, false },
        { ROW("name=a\0name=b"), NULL, false },
        { "", 0, NULL, false },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(buf_done) struct buf file = buf_new(0);
        struct kmodule m;
        struct err err = { 0 };
        make(bytes_of(rows[i].info, rows[i].n), &file);
        assert_int_equal(kmodule_parse(buf_bytes(&file), &m, &err), rows[i].name ? 0 : -1);
        if (rows[i].name)
            assert_string_equal(m.name, rows[i].name);
        if (rows[i].name)
            assert_int_equal(m.livepatch, rows[i].livepatch);
    }
    char longest[KMODULE_NAME_MAX + 8] = "name=";
    for (size_t n = KMODULE_NAME_MAX; n <= KMODULE_NAME_MAX + 1; n++) {
        AUTO(buf_done) struct buf file = buf_new(0);
        struct kmodule m;
        memset(longest + 5, 'x', n);
        make(bytes_of(longest, 5 + n), &file);
        assert_int_equal(kmodule_parse(buf_bytes(&file), &m, &(struct err){ 0 }),
                         n > KMODULE_NAME_MAX ? -1 : 0);
    }
}

static void every_cut_and_every_bit(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf file = buf_new(0);
    make(bytes_of("name=patch\0livepatch=Y", sizeof("name=patch\0livepatch=Y")), &file);
    for (size_t n = 0; n < file.n; n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(file.p, n);
        struct kmodule m;
        assert_int_equal(kmodule_parse(bytes_of(cut, n), &m, &(struct err){ 0 }), -1);
    }
    for (size_t i = 0; i < 8 * file.n; i++) {
        struct kmodule m;
        AUTO(free_u8) uint8_t *copy = heap_copy(file.p, file.n);
        copy[i / 8] ^= (uint8_t)(1 << i % 8);
        if (kmodule_parse(bytes_of(copy, file.n), &m, &(struct err){ 0 }) == 0)
            assert_in_range(strlen(m.name), 1, KMODULE_NAME_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_read),
        cmocka_unit_test(every_cut_and_every_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
