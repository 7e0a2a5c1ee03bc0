/* base/folder: a copy is what was there, limits hold to the byte, nothing else than files and folders passes.
 */
#include "evidence.h"
#include "no_openat2.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct place {
    char folder[40];
    int top, from, into;
};

static void put(int dir, const char *path, const char *text, mode_t mode)
{
    int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static int place_new(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    strcpy(p->folder, "/tmp/cvm-folder-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    p->top = open(p->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(p->top, "from", 0755) | mkdirat(p->top, "into", 0755), 0);
    p->from = openat(p->top, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    p->into = openat(p->top, "into", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = p;
    return 0;
}

static int place_done(void **state)
{
    struct place *p = *state;
    close(p->from);
    close(p->into);
    close(p->top);
    assert_int_equal(folder_remove(AT_FDCWD, p->folder, NULL), 0);
    free(p);
    return 0;
}

static int copy(const struct place *p, size_t entries, uint64_t bytes, struct err *err)
{
    const struct folder_limits limits = { entries, bytes };
    *err = (struct err){ 0 };
    assert_int_equal(folder_remove(p->top, "into", NULL), 0);
    assert_int_equal(mkdirat(p->top, "into", 0755), 0);
    AUTO(close_fd) int into = openat(p->top, "into", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder_copy(p->from, into, &limits, err);
}

static void a_copy_is_the_same(void **state)
{
    const struct place *p = *state;
    struct err err;
    struct stat st;
    char text[16];
    umask(077); /* modes do not come from it */
    put(p->from, "a", "alpha", 0640);
    assert_int_equal(mkdirat(p->from, "d", 0700) | mkdirat(p->from, "d/e", 0700), 0);
    put(p->from, "d/e/run", "x", 0750);
    assert_int_equal(copy(p, 4, 6, &err), 0);
    AUTO(close_fd) int fd = openat(p->top, "into/a", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof(text)), 5);
    assert_memory_equal(text, "alpha", 5);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(fstatat(p->top, "into/d/e/run", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(fstatat(p->top, "into/d/e", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    /* one past each limit */
    assert_int_equal(copy(p, 3, 6, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    assert_int_equal(copy(p, 4, 5, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
}

static void nothing_else_passes(void **state)
{
    const struct place *p = *state;
    struct err err;
    assert_int_equal(symlinkat("/etc/passwd", p->from, "odd"), 0);
    assert_int_equal(copy(p, 9, 999, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    assert_int_equal(unlinkat(p->from, "odd", 0) | mkfifoat(p->from, "odd", 0600), 0);
    assert_int_equal(copy(p, 9, 999, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    assert_int_equal(unlinkat(p->from, "odd", 0), 0);
    put(p->from, "one", "1", 0644);
    assert_int_equal(linkat(p->from, "one", p->from, "two", 0), 0);
    assert_int_equal(copy(p, 9, 999, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
}

static void depth_is_bounded(void **state)
{
    const struct place *p = *state;
    struct err err;
    int at = dup(p->from);
    for (int i = 0; i <= FOLDER_DEPTH_MAX; i++) {
        assert_int_equal(copy(p, 999, 0, &err), 0);
        assert_int_equal(mkdirat(at, "d", 0755), 0);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = next;
    }
    close(at);
    assert_int_equal(copy(p, 999, 0, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    assert_int_equal(folder_remove(p->top, "into", &err), 0); /* what was copied can be removed */
    assert_int_equal(mkdirat(p->top, "into", 0755), 0);
    /* by one more call, as it lies one too deep */
    assert_int_equal(folder_remove(p->from, "d", &err), 0);
}

static void removing_follows_no_links(void **state)
{
    const struct place *p = *state;
    struct err err = { 0 };
    put(p->from, "kept", "1", 0644);
    assert_int_equal(symlinkat("../from", p->into, "link"), 0);
    assert_int_equal(folder_remove(p->into, "link", &err), -1);
    assert_int_equal(folder_remove(p->top, "into", &err), 0);
    assert_int_equal(folder_remove(p->top, "into", &err), 0); /* not there is fine */
    assert_int_equal(faccessat(p->from, "kept", F_OK, 0), 0);
    assert_int_equal(folder_remove(p->from, "kept", &err), -1); /* a file is no folder */
}

static bool opens(int folder, const char *path)
{
    AUTO(close_fd) int fd = open_below(folder, path, O_RDONLY, 0);
    return fd >= 0;
}

static bool only_what_is_below(void *arg)
{
    const struct place *p = arg;
    AUTO(close_fd) int made = open_below(p->top, "from/d/new", O_WRONLY | O_CREAT | O_EXCL, 0644);
    return made >= 0 && opens(p->top, "from/d/new") && opens(p->top, "from") && opens(p->top, ".")
           && !opens(p->top, "from/link/a") && !opens(p->top, "from/d/out") && !opens(p->from, "../into")
           && !opens(p->from, "d/../../into") && !opens(p->from, "/etc") && !opens(p->from, "")
           && !opens(p->from, "d/none");
}

static void opening_below(void **state)
{
    struct place *p = *state;
    assert_int_equal(mkdirat(p->from, "d", 0755), 0);
    put(p->from, "d/a", "1", 0644);
    assert_int_equal(symlinkat("d", p->from, "link") | symlinkat("/etc/passwd", p->from, "d/out"), 0);
    assert_true(only_what_is_below(p));
    assert_int_equal(unlinkat(p->from, "d/new", 0), 0);
    assert_true(without_openat2(only_what_is_below, p));
}

static void copying_to_a_full_medium(void **state)
{
    const struct place *p = *state;
    struct err err = { 0 };
    put(p->from, "a", "alpha", 0644);
    AUTO(close_fd) int in = openat(p->from, "a", O_RDONLY | O_CLOEXEC);
    AUTO(close_fd) int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(file_copy(in, full, 5, "a", NULL, &err), -1);
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    assert_int_equal(err.code, ENOSPC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_copy_is_the_same, place_new, place_done),
        cmocka_unit_test_setup_teardown(nothing_else_passes, place_new, place_done),
        cmocka_unit_test_setup_teardown(depth_is_bounded, place_new, place_done),
        cmocka_unit_test_setup_teardown(removing_follows_no_links, place_new, place_done),
        cmocka_unit_test_setup_teardown(opening_below, place_new, place_done),
        cmocka_unit_test_setup_teardown(copying_to_a_full_medium, place_new, place_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
