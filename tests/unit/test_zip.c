/* workload/zip: zips of the usual tools' shapes are read, hostile ones are refused, each with its reason. */
#include "evidence.h"
#include "no_openat2.h"

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/folder.h"
#include "workload/zip.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <zlib.h>

/* What one entry says of itself; what is zero takes the honest value. */
struct made {
    const char *name, *local_name;
    const char *content;
    size_t content_n; /* 0: strlen */
    uint32_t mode;    /* 0: none */
    uint16_t flags, method;
    bool descriptor, bare_descriptor, keep_sizes;
    uint32_t wrong_crc, wrong_size, wrong_packed, local_size; /* added to the honest value */
    const char *extra;
    size_t extra_n;
    size_t gap; /* bytes in front of it */
    uint32_t attributes;
};

static void deflate_raw(struct bytes in, struct buf *out)
{
    z_stream z = { 0 };
    uint8_t *p = malloc(in.n + 1024);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)in.p;
    z.avail_in = (uInt)in.n;
    z.next_out = p;
    z.avail_out = (uInt)in.n + 1024;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    buf_put(out, bytes_of(p, z.total_out));
    deflateEnd(&z);
    free(p);
}

static void put_sizes(struct buf *out, uint32_t crc, uint32_t packed, uint32_t size)
{
    buf_u32le(out, crc);
    buf_u32le(out, packed);
    buf_u32le(out, size);
}

static void put_entry(const struct made *m, struct buf *file, struct buf *directory)
{
    AUTO(buf_done) struct buf data = buf_new(1 << 24);
    struct bytes content = bytes_of(m->content, m->content_n ? m->content_n
                                                : m->content ? strlen(m->content)
                                                             : 0);
    const char *local = m->local_name ? m->local_name : m->name;
    uint16_t flags = (uint16_t)(m->flags | (m->descriptor || m->bare_descriptor ? 8 : 0));
    uint32_t crc = (uint32_t)crc32(crc32(0, NULL, 0), content.p, (uInt)content.n);
    if (m->method == 8)
        deflate_raw(content, &data);
    else
        buf_put(&data, content);
    uint32_t packed = (uint32_t)data.n + m->wrong_packed, size = (uint32_t)content.n + m->wrong_size;
    crc += m->wrong_crc;
    buf_fill(file, 0, m->gap);
    uint32_t offset = (uint32_t)file->n;
    buf_u32le(file, 0x04034b50);
    buf_u16le(file, 20);
    buf_u16le(file, flags);
    buf_u16le(file, m->method);
    buf_u32le(file, 0);
    if (flags & 8 && !m->keep_sizes)
        put_sizes(file, 0, 0, m->local_size);
    else
        put_sizes(file, crc, packed, size + m->local_size);
    buf_u16le(file, (uint16_t)strlen(local));
    buf_u16le(file, (uint16_t)m->extra_n);
    buf_str(file, local);
    buf_put(file, bytes_of(m->extra, m->extra_n));
    buf_put(file, buf_bytes(&data));
    if (m->descriptor)
        buf_u32le(file, 0x08074b50);
    if (m->descriptor || m->bare_descriptor)
        put_sizes(file, crc, packed, size);
    buf_u32le(directory, 0x02014b50);
    buf_u16le(directory, 0x031e);
    buf_u16le(directory, 20);
    buf_u16le(directory, flags);
    buf_u16le(directory, m->method);
    buf_u32le(directory, 0);
    put_sizes(directory, crc, packed, size);
    buf_u16le(directory, (uint16_t)strlen(m->name));
    buf_u16le(directory, (uint16_t)m->extra_n);
    buf_u16le(directory, 0);
    buf_u32le(directory, 0);
    buf_u32le(directory, m->mode << 16 | m->attributes);
    buf_u32le(directory, offset);
    buf_str(directory, m->name);
    buf_put(directory, bytes_of(m->extra, m->extra_n));
}

static void make(const struct made *m, size_t n, struct buf *out)
{
    AUTO(buf_done) struct buf directory = buf_new(1 << 24);
    *out = buf_new(1 << 26);
    for (size_t i = 0; i < n; i++)
        put_entry(&m[i], out, &directory);
    uint32_t at = (uint32_t)out->n;
    buf_put(out, buf_bytes(&directory));
    buf_u32le(out, 0x06054b50);
    buf_u32le(out, 0);
    buf_u16le(out, (uint16_t)n);
    buf_u16le(out, (uint16_t)n);
    buf_u32le(out, (uint32_t)directory.n);
    buf_u32le(out, at);
    buf_u16le(out, 0);
    assert_false(out->failed || directory.failed);
}

static const struct made usual[] = {
    { .name = "workload/", .mode = S_IFDIR | 0755, .attributes = 0x10 },
    { .name = "workload/docker-compose.yml", .content = "services: {}\n", .mode = S_IFREG | 0644 },
    { .name = "workload/config/a.conf", .content = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", .method = 8 },
    { .name = "workload/config/run.sh",
      .content = "#!/bin/sh\n",
      .mode = S_IFREG | 0755,
      .descriptor = true,
      .method = 8 },
    { .name = "workload/secrets/\xc3\xa9", .content = "x", .flags = 0x800, .bare_descriptor = true },
    { .name = "workload/config/empty" },
    /* as `zip -r -` writes it: the size is known in front, the rest is not */
    { .name = "workload/config/piped",
      .content = "0123456789",
      .descriptor = true,
      .method = 8,
      .local_size = 10 },
};

static void usual_zips_are_read(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf file = buf_new(0);
    AUTO(zip_done) struct zip z = { NULL, 0, 0 };
    struct err err = { 0 };
    make(usual, ARRAY_SIZE(usual), &file);
    assert_int_equal(zip_parse(buf_bytes(&file), NULL, &z, &err), 0);
    assert_int_equal(z.n, ARRAY_SIZE(usual));
    assert_int_equal(z.bytes, 13 + 32 + 10 + 1 + 10);
    assert_true(z.entry[0].folder && z.entry[0].path.n == 0 && z.entry[3].executable
                && !z.entry[1].executable);
    AUTO(buf_done) struct buf nothing = buf_new(0);
    AUTO(zip_done) struct zip none = { NULL, 0, 0 };
    make(NULL, 0, &nothing);
    assert_int_equal(zip_parse(buf_bytes(&nothing), NULL, &none, &err), 0);
}

static int keep(void *arg, struct bytes data, struct err *err)
{
    (void)err;
    buf_put(arg, data);
    return 0;
}

static void every_cut_and_every_bit(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf file = buf_new(0);
    struct err err = { 0 };
    make(usual, ARRAY_SIZE(usual), &file);
    for (size_t n = 0; n < file.n; n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(file.p, n);
        AUTO(zip_done) struct zip z = { NULL, 0, 0 };
        assert_int_equal(zip_parse(bytes_of(cut, n), NULL, &z, &err), -1);
    }
    size_t survived = 0;
    for (size_t i = 0; i < 8 * file.n; i++) {
        AUTO(zip_done) struct zip z = { NULL, 0, 0 };
        file.p[i / 8] ^= (uint8_t)(1 << i % 8);
        if (zip_parse(buf_bytes(&file), NULL, &z, &err) == 0) {
            for (size_t k = 0; k < z.n;
                 k++) { /* what is accepted unpacks to what the directory says, or not at all */
                AUTO(buf_done) struct buf out = buf_new(1 << 16);
                if (!z.entry[k].folder && zip_unpack(&z.entry[k], keep, &out, &err) == 0)
                    assert_int_equal(out.n, z.entry[k].size);
            }
            survived++; /* times, versions, modes, names of folders */
        }
        file.p[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    assert_true(survived < 8 * file.n / 2);
}

static const struct {
    const char *word; /* in the sentence */
    struct made m[3];
} hostile[] = {
    { "\".\"", { { .name = "workload/../../etc/passwd", .content = "x" } } },
    { "\".\"", { { .name = "../workload/a", .content = "x" } } },
    { "\".\"", { { .name = "workload/./a", .content = "x" } } },
    { "absolute", { { .name = "/etc/passwd", .content = "x" } } },
    { "backslash", { { .name = "workload\\..\\a", .content = "x" } } },
    { "below", { { .name = "etc/passwd", .content = "x" } } },
    { "below", { { .name = "workloads/a", .content = "x" } } },
    { "below", { { .name = "workload", .content = "x" } } },
    { "slashes", { { .name = "workload//a", .content = "x" } } },
    { "UTF-8", { { .name = "workload/\xff", .content = "x" } } },
    { "UTF-8", { { .name = "workload/\xc0\xaf", .content = "x" } } },
    { "control", { { .name = "workload/a\nb", .content = "x" } } },
    { "symbolic link", { { .name = "workload/a", .content = "/etc/passwd", .mode = S_IFLNK | 0777 } } },
    { "device", { { .name = "workload/a", .mode = S_IFCHR | 0600 } } },
    { "device", { { .name = "workload/a", .mode = S_IFIFO | 0600 } } },
    { "link", { { .name = "workload/a", .extra = "\x0d\0\x0e\0............/x", .extra_n = 18 } } },
    { "second name", { { .name = "workload/a", .extra = "\x75\x70\x01\0\x01", .extra_n = 5 } } },
    { "extra field", { { .name = "workload/a", .extra = "\x55\x54\x05\0\x01", .extra_n = 5 } } },
    { "twice", { { .name = "workload/a", .content = "x" }, { .name = "workload/a", .content = "y" } } },
    { "twice", { { .name = "workload/a/" }, { .name = "workload/a/" } } },
    { "case", { { .name = "workload/a", .content = "x" }, { .name = "workload/A", .content = "y" } } },
    { "case",
      { { .name = "workload/config/x" }, { .name = "workload/z" }, { .name = "workload/Config/y" } } },
    { "case",
      { { .name = "workload/\xc3\xa9", .flags = 0x800 }, { .name = "workload/\xc3\x89", .flags = 0x800 } } },
    { "others lie below",
      { { .name = "workload/a" }, { .name = "workload/a-b" }, { .name = "workload/a/b" } } },
    { "another name", { { .name = "workload/a", .local_name = "workload/b", .content = "x" } } },
    { "other sizes", { { .name = "workload/a", .content = "x", .local_size = 1 } } },
    { "other sizes", { { .name = "workload/a", .content = "x", .descriptor = true, .local_size = 2 } } },
    { "between", { { .name = "workload/a", .gap = 7 } } },
    { "between", { { .name = "workload/a" }, { .name = "workload/b", .gap = 1 } } },
    { "two lengths", { { .name = "workload/a", .content = "x", .wrong_size = 1 } } },
    { "encrypted", { { .name = "workload/a", .content = "x", .flags = 1 } } },
    { "method 12", { { .name = "workload/a", .content = "x", .method = 12 } } },
    { "folder with a content", { { .name = "workload/a/", .content = "x" } } },
    { "disagree", { { .name = "workload/a", .mode = S_IFDIR | 0755 } } },
    { "disagree", { { .name = "workload/a/", .mode = S_IFREG | 0755 } } },
    { "volume label", { { .name = "workload/a", .attributes = 8 } } },
    { "cut short", { { .name = "workload/a", .content = "x", .method = 8, .wrong_packed = 4000 } } },
    { "times its size", { { .name = "workload/a", .content = "x", .method = 8, .wrong_size = 1 << 24 } } },
    { "4 GiB", { { .name = "workload/a", .content = "x", .method = 8, .wrong_size = UINT32_MAX - 1 } } },
};

static void hostile_zips_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
        AUTO(buf_done) struct buf file = buf_new(0);
        AUTO(zip_done) struct zip z = { NULL, 0, 0 };
        struct err err = { 0 };
        size_t n = 1;
        while (n < 3 && hostile[i].m[n].name)
            n++;
        make(hostile[i].m, n, &file);
        assert_int_equal(zip_parse(buf_bytes(&file), NULL, &z, &err), -1);
        if (!strstr(err.cause, hostile[i].word))
            fail_msg("hostile zip %zu: \"%s\" does not say \"%s\"", i, err.cause, hostile[i].word);
    }
}

static void overlapping_entries_are_no_bomb(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf file = buf_new(0);
    AUTO(zip_done) struct zip z = { NULL, 0, 0 };
    struct err err = { 0 };
    const struct made two[] = { { .name = "workload/a", .content = "x" },
                                { .name = "workload/a", .content = "x" } };
    make(two, 2, &file);
    /* both directory records point to the first entry */
    size_t record = 46 + 10, second = file.n - 22 - record;
    memset(file.p + second + 42, 0, 4);
    assert_int_equal(zip_parse(buf_bytes(&file), NULL, &z, &err), -1);
    assert_non_null(strstr(err.cause, "overlap"));
}

static void limits_and_one_more(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf file = buf_new(0), zeros = buf_new(1 << 24);
    struct err err = { 0 };
    make(usual, ARRAY_SIZE(usual), &file);
    for (int more = 0; more < 2; more++) {
        const struct zip_limits entries = { .entries = ARRAY_SIZE(usual) - (size_t)more };
        const struct zip_limits bytes = { .bytes = 66 - (uint64_t)more };
        const struct zip_limits *each[] = { &entries, &bytes };
        for (size_t i = 0; i < 2; i++) {
            AUTO(zip_done) struct zip z = { NULL, 0, 0 };
            assert_int_equal(zip_parse(buf_bytes(&file), each[i], &z, &err), more ? -1 : 0);
            assert_int_equal(err.kind, more ? ERR_TOO_LARGE : ERR_NONE);
        }
    }
    buf_fill(&zeros, 0, 4 << 20);
    const struct made bomb = {
        .name = "workload/a", .content = (char *)zeros.p, .content_n = zeros.n, .method = 8
    };
    AUTO(buf_done) struct buf packed = buf_new(0);
    AUTO(zip_done) struct zip z = { NULL, 0, 0 }, wide = { NULL, 0, 0 };
    make(&bomb, 1, &packed);
    assert_int_equal(zip_parse(buf_bytes(&packed), NULL, &z, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    const struct zip_limits ratio = { .ratio = 2000 };
    assert_int_equal(zip_parse(buf_bytes(&packed), &ratio, &wide, &err), 0);
    char name[ZIP_PATH_MAX + 2];
    for (size_t n = ZIP_PATH_MAX; n <= ZIP_PATH_MAX + 1; n++) {
        AUTO(buf_done) struct buf named = buf_new(0);
        AUTO(zip_done) struct zip out = { NULL, 0, 0 };
        memset(name, 'a', n);
        memcpy(name, "workload/", 9);
        for (size_t k = 200; k < n; k += 200)
            name[k] = '/';
        name[n] = '\0';
        const struct made m = { .name = name };
        make(&m, 1, &named);
        assert_int_equal(zip_parse(buf_bytes(&named), NULL, &out, &err), n > ZIP_PATH_MAX ? -1 : 0);
    }
}

/* As many as a workload may have, and "workload/"; one more; so many that only ZIP64 could count them. */
static void as_many_files_as_a_workload_has(void **state)
{
    static const size_t counts[] = { TREE_FILES_MAX + 1, TREE_FILES_MAX + 2, 65534, 65535 };
    AUTO(free_u8) uint8_t *memory = calloc(65535, sizeof(struct made));
    AUTO(free_u8) uint8_t *names = calloc(65535, 24);
    struct made *m = (struct made *)(void *)memory;
    (void)state;
    for (size_t i = 0; i < 65535; i++) {
        char *name = (char *)names + 24 * i;
        snprintf(name, 24, i ? "workload/config/%zu" : "workload/", i);
        m[i] = (struct made){ .name = name };
    }
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        AUTO(buf_done) struct buf file = buf_new(0);
        AUTO(zip_done) struct zip z = { NULL, 0, 0 };
        struct err err = { 0 };
        make(m, counts[i], &file);
        assert_int_equal(zip_parse(buf_bytes(&file), NULL, &z, &err), i ? -1 : 0);
        assert_int_equal(err.kind, i ? ERR_TOO_LARGE : ERR_NONE);
        if (i)
            assert_non_null(strstr(err.cause, "a workload has at most 16384 files and folders"));
    }
}

/* ---- on disk ---- */

static int write_zip(const struct made *m, size_t n)
{
    AUTO(buf_done) struct buf file = buf_new(0);
    int fd = memfd_create("zip", MFD_CLOEXEC);
    make(m, n, &file);
    assert_int_equal(write(fd, file.p, file.n), file.n);
    return fd;
}

static void a_zip_becomes_a_directory(void **state)
{
    (void)state;
    char folder[] = "/tmp/cvm-zip-XXXXXX", into[64], path[128];
    struct err err = { 0 };
    struct stat st;
    assert_non_null(mkdtemp(folder));
    snprintf(into, sizeof(into), "%s/new", folder);
    AUTO(close_fd) int fd = write_zip(usual, ARRAY_SIZE(usual));
    assert_int_equal(zip_extract(fd, into, NULL, &err), 0);
    AUTO(free_u8) uint8_t *text = NULL;
    size_t n;
    snprintf(path, sizeof(path), "%s/config/a.conf", into);
    assert_int_equal(file_read(path, 100, &text, &n, &err), 0);
    assert_int_equal(n, 32);
    snprintf(path, sizeof(path), "%s/config/run.sh", into);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    snprintf(path, sizeof(path), "%s/config/empty", into);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(zip_extract(fd, into, NULL, &err), -1); /* never into what is there */
    assert_int_equal(folder_remove(AT_FDCWD, into, &err), 0);
    assert_int_equal(folder_remove(AT_FDCWD, into, &err), 0);
    const struct made wrong[] = { { .name = "workload/a", .content = "x" },
                                  { .name = "workload/b", .content = "y", .wrong_crc = 1 } };
    const struct made longer[] = { { .name = "workload/a", .content = "x" },
                                   { .name = "workload/b",
                                     .content = "yyyyyyyyyyyyyyyyyyyyyyyy",
                                     .method = 8,
                                     .wrong_size = (uint32_t)-1 } };
    const struct made shorter[] = {
        { .name = "workload/b", .content = "yyyyyyyyyyyyyyyyyyyyyyyy", .method = 8, .wrong_size = 1 }
    };
    const struct {
        const struct made *m;
        size_t n;
    } bad[] = { { wrong, 2 }, { longer, 2 }, { shorter, 1 } };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO(close_fd) int other = write_zip(bad[i].m, bad[i].n);
        assert_int_equal(zip_extract(other, into, NULL, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
        assert_int_equal(stat(into, &st), -1); /* nothing is left */
    }
    assert_int_equal(rmdir(folder), 0);
}

static void removing_follows_no_links(void **state)
{
    (void)state;
    char folder[] = "/tmp/cvm-zip-XXXXXX", path[128], target[128];
    struct err err = { 0 };
    struct stat st;
    assert_non_null(mkdtemp(folder));
    snprintf(target, sizeof(target), "%s/kept", folder);
    assert_int_equal(mkdir(target, 0755), 0);
    snprintf(path, sizeof(path), "%s/tree", folder);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/tree/link", folder);
    assert_int_equal(symlink(target, path), 0);
    snprintf(path, sizeof(path), "%s/tree", folder);
    assert_int_equal(folder_remove(AT_FDCWD, path, &err), 0);
    assert_int_equal(stat(target, &st), 0);
    assert_int_equal(rmdir(target), 0);
    assert_int_equal(rmdir(folder), 0);
}

struct extraction {
    int zip;
    const char *into;
};

static bool extracts(void *arg)
{
    const struct extraction *x = arg;
    return zip_extract(x->zip, x->into, NULL, &(struct err){ 0 }) == 0;
}

/* As in the agent's unit. */
static void a_zip_is_unpacked_without_openat2(void **state)
{
    (void)state;
    char folder[] = "/tmp/cvm-zip-XXXXXX", into[64], path[128];
    struct stat st;
    assert_non_null(mkdtemp(folder));
    snprintf(into, sizeof(into), "%s/new", folder);
    AUTO(close_fd) int fd = write_zip(usual, ARRAY_SIZE(usual));
    struct extraction x = { fd, into };
    assert_true(without_openat2(extracts, &x));
    snprintf(path, sizeof(path), "%s/config/run.sh", into);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(folder_remove(AT_FDCWD, folder, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_zips_are_read),
        cmocka_unit_test(every_cut_and_every_bit),
        cmocka_unit_test(hostile_zips_are_refused),
        cmocka_unit_test(overlapping_entries_are_no_bomb),
        cmocka_unit_test(as_many_files_as_a_workload_has),
        cmocka_unit_test(limits_and_one_more),
        cmocka_unit_test(a_zip_becomes_a_directory),
        cmocka_unit_test(removing_follows_no_links),
        cmocka_unit_test(a_zip_is_unpacked_without_openat2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
