/* cli/zip_write: what the tool packs, the agent unpacks to the same tree. */
#include "evidence.h"

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/folder.h"
#include "cli/zip_write.h"
#include "workload/zip.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

static void put(const char *folder, const char *path, struct bytes data, mode_t mode)
{
    char whole[256];
    struct err err = { 0 };
    snprintf(whole, sizeof(whole), "%s/%s", folder, path);
    assert_int_equal(file_write_atomic(whole, data, mode, &err), 0);
}

static void what_is_packed_is_unpacked(void **state)
{
    (void)state;
    char folder[] = "/tmp/cvm-zipw-XXXXXX", from[64], into[64], path[128];
    AUTO(workload_tree_drop) struct workload_tree *a = NULL, *b = NULL;
    AUTO(buf_done) struct buf noise = buf_new(4 << 20);
    struct err err = { 0 };
    struct stat st;
    uint64_t n;
    assert_non_null(mkdtemp(folder));
    snprintf(from, sizeof(from), "%s/from", folder);
    snprintf(into, sizeof(into), "%s/into", folder);
    const char *folders[] = { "", "/config", "/config/deep", "/secrets" };
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        snprintf(path, sizeof(path), "%s%s", from, folders[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    uint32_t x = 1;
    for (size_t i = 0; i < (1 << 20) + 7; i++) /* does not shrink */
        buf_u8(&noise, (uint8_t)((x = x * 1664525 + 1013904223) >> 24));
    put(from, "docker-compose.yml", bytes_str("services: {}\n"), 0644);
    put(from, "config/run.sh", bytes_str("#!/bin/sh\n"), 0755);
    put(from, "config/deep/empty", bytes_of(NULL, 0), 0644);
    put(from, "secrets/noise", buf_bytes(&noise), 0600);
    assert_int_equal(workload_tree_read(from, NULL, &a, &err), 0);
    AUTO(close_fd) int fd = memfd_create("zip", MFD_CLOEXEC);
    assert_int_equal(zip_write(a, fd, &n, &err), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal((uint64_t)st.st_size, n);
    assert_int_equal(zip_extract(fd, into, NULL, &err), 0);
    assert_int_equal(workload_tree_read(into, NULL, &b, &err), 0);
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        assert_string_equal(a->files[i].path, b->files[i].path);
        assert_memory_equal(a->files[i].sha384, b->files[i].sha384, 48);
    }
    snprintf(path, sizeof(path), "%s/config/run.sh", into);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
    AUTO(close_fd) int again = memfd_create("zip", MFD_CLOEXEC);
    uint64_t m;
    assert_int_equal(zip_write(a, again, &m, &err), 0); /* the same files, the same bytes */
    assert_int_equal(m, n);
    void *p = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0),
         *q = mmap(NULL, n, PROT_READ, MAP_PRIVATE, again, 0);
    assert_memory_equal(p, q, n);
    munmap(p, n);
    munmap(q, n);
    assert_int_equal(folder_remove(AT_FDCWD, folder, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_packed_is_unpacked) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
