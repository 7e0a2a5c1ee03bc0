/* workload/tree: the private copy is what was hashed, whatever the disk does; failures leave nothing behind.
 */
#include "evidence.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/file.h"
#include "workload/tree.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct place {
    char folder[40], from[64], to[80];
};

static int place_new(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    strcpy(p->folder, "/tmp/cvm-tree-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->from, sizeof(p->from), "%s/from", p->folder);
    snprintf(p->to, sizeof(p->to), "%s/to", p->folder);
    assert_int_equal(mkdir(p->from, 0755), 0);
    *state = p;
    return 0;
}

static int place_done(void **state)
{
    struct place *p = *state;
    char command[96];
    snprintf(command, sizeof(command), "rm -rf '%s'", p->folder);
    assert_int_equal(system(command), 0);
    free(p);
    return 0;
}

static const char *path_of(const char *folder, const char *name)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void put(const struct place *p, const char *name, struct bytes data)
{
    struct err err = { 0 };
    char folder[512];
    snprintf(folder, sizeof(folder), "%s", path_of(p->from, name));
    *strrchr(folder, '/') = '\0';
    assert_int_equal(dir_make(folder, 0700, &err), 0);
    if (file_write_atomic(path_of(p->from, name), data, 0600, &err) < 0)
        fail_msg("%s", err.cause);
}

static struct bytes noise(size_t n, unsigned seed)
{
    uint8_t *b = malloc(n ? n : 1);
    uint32_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        b[i] = (uint8_t)(x >> 24);
    }
    return bytes_of(b, n);
}

/* Sizes around the block of a pass, and none at all. */
static const size_t sizes[] = { 0, 1, 262143, 262144, 262145, 524288, 1000003 };

static void fill(const struct place *p)
{
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        char name[64];
        struct bytes data = noise(sizes[i], (unsigned)i);
        snprintf(name, sizeof(name), "config/d%zu/file", i % 3);
        put(p, name, bytes_str("x"));
        snprintf(name, sizeof(name), "config/f%zu", i);
        put(p, name, data);
        free((void *)(uintptr_t)data.p);
    }
    put(p, "docker-compose.yml", bytes_str("services: {}\n"));
    put(p, "secrets/key", bytes_str("secret"));
    put(p, "image.tar", bytes_str("not looked into here"));
}

static struct workload_tree *take(const struct place *p, unsigned threads)
{
    const struct tree_limits limits = { .threads = threads };
    struct workload_tree *t = NULL;
    struct err err = { 0 };
    if (workload_tree_take(p->from, p->to, &limits, &t, &err) < 0)
        fail_msg("%s", err.cause);
    return t;
}

static mode_t mode_of(const char *folder, const char *name)
{
    struct stat st;
    assert_int_equal(lstat(path_of(folder, name), &st), 0);
    return st.st_mode & 07777;
}

static void the_copy_is_what_was_hashed(void **state)
{
    struct place *p = *state;
    struct err err = { 0 };
    fill(p);
    assert_int_equal(chmod(path_of(p->from, "config/f1"), 04711), 0);
    AUTO(workload_tree_drop) struct workload_tree *t = take(p, 3);
    assert_string_equal(t->root, p->to);
    assert_int_equal(t->n, ARRAY_SIZE(sizes) + 3 + 3);
    uint64_t sum = 0;
    for (size_t i = 0; i < t->n; i++) {
        AUTO(free_u8) uint8_t *copy = NULL, *from = NULL;
        size_t n = 0, m = 0;
        uint8_t want[48];
        assert_true(i == 0 || strcmp(t->files[i - 1].path, t->files[i].path) < 0);
        assert_int_equal(file_read(path_of(p->to, t->files[i].path), 1 << 22, &copy, &n, &err), 0);
        assert_int_equal(file_read(path_of(p->from, t->files[i].path), 1 << 22, &from, &m, &err), 0);
        assert_true(bytes_equal(bytes_of(copy, n), bytes_of(from, m)));
        sha384(bytes_of(copy, n), want);
        assert_memory_equal(want, t->files[i].sha384, 48);
        assert_int_equal(t->files[i].size, n);
        sum += n;
    }
    assert_int_equal(t->bytes, sum);
    assert_int_equal(mode_of(p->to, ""), 0700);
    assert_int_equal(mode_of(p->to, "config"), 0755);
    assert_int_equal(mode_of(p->to, "config/f0"), 0644);
    assert_int_equal(mode_of(p->to, "config/f1"), 0755); /* and no setuid */
    assert_true(workload_tree_has_folder(t, "config/d2"));
    assert_false(workload_tree_has_folder(t, "config/f0"));
    assert_null(workload_tree_find(t, "config"));
    assert_int_equal(workload_tree_find(t, "secrets/key")->kind, TREE_SECRET);
    assert_int_equal(workload_tree_find(t, "image.tar")->kind, TREE_IMAGE);
}

static void what_the_disk_does_afterwards_changes_nothing(void **state)
{
    struct place *p = *state;
    struct err err = { 0 };
    fill(p);
    AUTO(workload_tree_drop) struct workload_tree *t = take(p, 0);
    AUTO(buf_done) struct buf text = buf_new(100);
    put(p, "docker-compose.yml", bytes_str("services: {evil: {}}\n"));
    assert_int_equal(workload_tree_load(t, "docker-compose.yml", 100, &text, &err), 0);
    assert_true(bytes_equal(buf_bytes(&text), bytes_str("services: {}\n")));
    assert_int_equal(workload_tree_load(t, "docker-compose.yml", 5, &text, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    assert_int_equal(workload_tree_load(t, "absent", 100, &text, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    /* without a copy the same is noticed */
    AUTO(workload_tree_drop) struct workload_tree *live = NULL;
    assert_int_equal(workload_tree_read(p->from, NULL, &live, &err), 0);
    put(p, "docker-compose.yml", bytes_str("services: {good: {}}\n"));
    assert_int_equal(workload_tree_load(live, "docker-compose.yml", 100, &text, &err), -1);
    assert_int_equal(err.kind, ERR_DENIED);
    assert_int_equal(unlink(path_of(p->from, "docker-compose.yml")), 0);
    assert_int_equal(symlink("/etc/passwd", path_of(p->from, "docker-compose.yml")), 0);
    assert_int_equal(workload_tree_open(live, "docker-compose.yml", &err), -1);
}

static void one_thread_and_many_agree(void **state)
{
    struct place *p = *state;
    struct err err = { 0 };
    fill(p);
    const struct tree_limits one = { .threads = 1 }, many = { .threads = 16 };
    AUTO(workload_tree_drop) struct workload_tree *a = NULL, *b = NULL;
    assert_int_equal(workload_tree_read(p->from, &one, &a, &err), 0);
    assert_int_equal(workload_tree_read(p->from, &many, &b, &err), 0);
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        assert_string_equal(a->files[i].path, b->files[i].path);
        assert_memory_equal(a->files[i].sha384, b->files[i].sha384, 48);
    }
}

static void refused(struct place *p, const struct tree_limits *limits, enum err_kind kind, const char *says)
{
    struct workload_tree *t = NULL;
    struct err err = { 0 };
    assert_int_equal(workload_tree_take(p->from, p->to, limits, &t, &err), -1);
    if (err.kind != kind || !strstr(err.cause, says))
        fail_msg("kind %d: %s", err.kind, err.cause);
    assert_null(t);
    assert_int_equal(access(p->to, F_OK), -1); /* nothing is left */
}

static void limits_hold(void **state)
{
    struct place *p = *state;
    struct err err = { 0 };
    fill(p);
    AUTO(workload_tree_drop) struct workload_tree *t = NULL;
    assert_int_equal(workload_tree_read(p->from, NULL, &t, &err), 0);
    struct tree_limits limits = { .files = t->n + t->folder_count, .bytes = t->bytes };
    AUTO(workload_tree_drop) struct workload_tree *just = NULL;
    assert_int_equal(workload_tree_read(p->from, &limits, &just, &err), 0);
    limits.files--;
    refused(p, &limits, ERR_TOO_LARGE, "files and folders");
    limits.files = 0;
    limits.bytes--;
    refused(p, &limits, ERR_TOO_LARGE, "bytes in all files");
    struct workload_tree *none = NULL;
    assert_int_equal(workload_tree_read(path_of(p->folder, "absent"), NULL, &none, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_int_equal(workload_tree_read(path_of(p->from, "docker-compose.yml"), NULL, &none, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
}

static void a_failure_leaves_nothing(void **state)
{
    struct place *p = *state;
    struct err err = { 0 };
    struct workload_tree *t = NULL;
    fill(p);
    assert_int_equal(symlink("/etc/passwd", path_of(p->from, "config/link")), 0);
    refused(p, NULL, ERR_INPUT, "symbolic link");
    assert_int_equal(unlink(path_of(p->from, "config/link")), 0);
    /* a folder that is there already is nobody's to fill, or to remove */
    assert_int_equal(mkdir(p->to, 0700), 0);
    assert_int_equal(workload_tree_take(p->from, p->to, NULL, &t, &err), -1);
    assert_int_equal(access(p->to, F_OK), 0);
    assert_int_equal(rmdir(p->to), 0);
}

static void a_full_medium_leaves_nothing(void **state)
{
    struct place *p = *state;
    const char *mounted = p->folder;
    char medium[64];
    struct err err = { 0 };
    struct workload_tree *t = NULL;
    fill(p);
    snprintf(medium, sizeof(medium), "%s/medium", mounted);
    assert_int_equal(mkdir(medium, 0700), 0);
    if (geteuid() != 0 || mount("tmpfs", medium, "tmpfs", 0, "size=1m") < 0) {
        fprintf(stderr, "no small file system can be mounted here\n");
        skip();
    }
    snprintf(p->to, sizeof(p->to), "%s/to", medium);
    int rc = workload_tree_take(p->from, p->to, NULL, &t, &err);
    bool left = access(p->to, F_OK) == 0;
    assert_int_equal(umount(medium), 0);
    assert_int_equal(rc, -1);
    assert_int_equal(err.kind, ERR_IO);
    assert_non_null(strstr(err.cause, "No space left"));
    assert_false(left);
}

/* ---- a host that changes the disk while it is read ---- */

struct host {
    struct place *p;
    atomic_bool stop;
};

/* truncate(2) would follow the link that lies there at times, and overwrite the machine's own file. */
static void set_size(const char *path, off_t size)
{
    AUTO(close_fd) int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        (void)!ftruncate(fd, size);
}

static void *change(void *arg)
{
    struct host *h = arg;
    char a[600], b[600];
    snprintf(a, sizeof(a), "%s/config/f6", h->p->from);
    snprintf(b, sizeof(b), "%s/config/other", h->p->folder);
    assert_int_equal(mkdir(path_of(h->p->folder, "config"), 0700), 0);
    for (unsigned i = 0; !atomic_load(&h->stop); i++) {
        (void)unlink(b);
        if (i % 3 == 0) {
            (void)!symlink("/etc/passwd", b);
            (void)!rename(b, a);
        } else if (i % 3 == 1) { /* a file again */
            close(open(b, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
            set_size(b, 100);
            (void)!rename(b, a);
            nanosleep(&(struct timespec){ 0, 3000000 }, NULL); /* long enough for a whole take, at times */
        } else {
            set_size(a, i % 2 ? 2000000 : 0);
        }
    }
    return NULL;
}

static void a_disk_that_changes_meanwhile(void **state)
{
    struct place *p = *state;
    struct host h = { .p = p };
    pthread_t thread;
    unsigned taken = 0;
    fill(p);
    assert_int_equal(pthread_create(&thread, NULL, change, &h), 0);
    for (unsigned i = 0; i < 300; i++) {
        struct workload_tree *t = NULL;
        struct err err = { 0 };
        if (workload_tree_take(p->from, p->to, NULL, &t, &err) == 0) {
            AUTO(buf_done) struct buf copy = buf_new(1 << 22);
            if (workload_tree_find(t, "config/f6")
                && workload_tree_load(t, "config/f6", 1 << 22, &copy, &err) < 0)
                fail_msg("%s", err.cause); /* the copy is what was hashed */
            taken++;
            workload_tree_free(t);
            char command[96];
            snprintf(command, sizeof(command), "rm -rf '%s'", p->to);
            assert_int_equal(system(command), 0);
        } else {
            assert_int_equal(access(p->to, F_OK), -1);
        }
    }
    atomic_store(&h.stop, true);
    pthread_join(thread, NULL);
    assert_true(taken > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_copy_is_what_was_hashed, place_new, place_done),
        cmocka_unit_test_setup_teardown(what_the_disk_does_afterwards_changes_nothing, place_new, place_done),
        cmocka_unit_test_setup_teardown(one_thread_and_many_agree, place_new, place_done),
        cmocka_unit_test_setup_teardown(limits_hold, place_new, place_done),
        cmocka_unit_test_setup_teardown(a_failure_leaves_nothing, place_new, place_done),
        cmocka_unit_test_setup_teardown(a_full_medium_leaves_nothing, place_new, place_done),
        cmocka_unit_test_setup_teardown(a_disk_that_changes_meanwhile, place_new, place_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
