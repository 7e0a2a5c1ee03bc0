/* tpm/soft/soft_tpm.h: boots, kills, damage and locks. */
#include "machine.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/worker.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define INDEX 0x01400002u

static struct buf own_key(struct tpm *t)
{
    struct err err = { 0 };
    struct tpm_ak ak;
    struct buf spki = buf_new(1024);
    check(tpm_ak_load(t, TPM_AK_PRIMARY, 0, &ak, &err), &err);
    buf_put(&spki, buf_bytes(&ak.spki));
    tpm_ak_done(t, &ak);
    return spki;
}

static unsigned open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void restarts_keep_pcrs_and_boots_reset_them(void **state)
{
    struct err err = { 0 };
    char boot_id[64];
    struct stat st;
    (void)state;
    unsigned files = open_files();
    struct machine m = machine_on();
    assert_true(soft_tpm_booted(m.s));
    snprintf(boot_id, sizeof(boot_id), "%s", soft_tpm_boot_id(m.s));
    assert_int_equal(strlen(boot_id), 36);
    AUTO(buf_done) struct buf key = own_key(m.t);
    check(tpm_nv_define(m.t, INDEX, 64, &err), &err);
    check(tpm_nv_write(m.t, INDEX, bytes_str("kept"), &err), &err);
    machine_extend(m.t, 15);
    machine_extend(m.t, 23);
    struct tpm_pcrs small = machine_pcrs(m.t, ALG_SHA256), large = machine_pcrs(m.t, ALG_SHA384), now;
    machine_off(&m);
    assert_int_equal(open_files(), files);
    assert_int_equal(stat(state_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    m = machine_on(); /* the agent's restart */
    assert_false(soft_tpm_booted(m.s));
    assert_string_equal(soft_tpm_boot_id(m.s), boot_id);
    now = machine_pcrs(m.t, ALG_SHA256);
    assert_memory_equal(&now, &small, sizeof(now));
    now = machine_pcrs(m.t, ALG_SHA384);
    assert_memory_equal(&now, &large, sizeof(now));
    machine_off(&m);

    assert_int_equal(unlink(boot_path), 0); /* the machine's */
    m = machine_on();
    assert_true(soft_tpm_booted(m.s));
    assert_string_not_equal(soft_tpm_boot_id(m.s), boot_id);
    now = machine_pcrs(m.t, ALG_SHA256);
    assert_true(bytes_zero(digest_bytes(&now.pcr[15])) && bytes_zero(digest_bytes(&now.pcr[23])));
    AUTO(buf_done) struct buf again = own_key(m.t), nv = buf_new(64);
    assert_true(bytes_equal(buf_bytes(&key), buf_bytes(&again)));
    check(tpm_nv_read(m.t, INDEX, &nv, &err), &err);
    assert_memory_equal(nv.p, "kept", 4);
    machine_off(&m);
}

static void another_host_boot_is_a_new_boot(void **state)
{
    struct err err = { 0 };
    (void)state;
    struct machine m = machine_on();
    machine_extend(m.t, 15);
    machine_off(&m);
    const char *other = "11111111-2222-3333-4444-555555555555\n66666666-7777-8888-9999-aaaaaaaaaaaa\n";
    check(file_write_atomic(boot_path, bytes_str(other), 0600, &err), &err);
    m = machine_on();
    assert_true(soft_tpm_booted(m.s));
    struct tpm_pcrs now = machine_pcrs(m.t, ALG_SHA256);
    assert_true(bytes_zero(digest_bytes(&now.pcr[15])));
    machine_off(&m);
}

/* The child extends and is killed in the middle of it, again and again: each time every PCR bank tells of the
 * same number of extensions, at least as many as the child had reported. */
static void a_kill_loses_nothing(void **state)
{
    (void)state;
    struct err err = { 0 };
    struct digest expected = { .alg = ALG_SHA256, .n = 32 };
    const uint8_t event[32] = { 1, 2 };
    unsigned done = 0;
    for (int round = 0; round < 5; round++) {
        int report[2];
        char byte;
        assert_int_equal(pipe(report), 0);
        pid_t child = fork();
        if (child == 0) {
            struct machine m = machine_on();
            for (;;) {
                machine_extend(m.t, 15);
                if (write(report[1], "x", 1) != 1)
                    _exit(1);
            }
        }
        close(report[1]);
        for (int i = 0; i < 20 + round; i++)
            assert_int_equal(read(report[0], &byte, 1), 1);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        unsigned reported = done + 20 + (unsigned)round;
        while (read(report[0], &byte, 1) == 1)
            reported++;
        close(report[0]);
        struct machine m = machine_on();
        assert_int_equal(soft_tpm_booted(m.s), false);
        struct tpm_pcrs now = machine_pcrs(m.t, ALG_SHA256);
        while (done < reported || memcmp(expected.b, now.pcr[15].b, 32) != 0) {
            check(digest_extend(&expected, bytes_of(event, sizeof(event)), &err), &err);
            assert_true(++done <= reported + 1);
        }
        machine_off(&m);
    }
}

static int refused(enum err_kind kind, const char *names)
{
    struct soft_tpm *s = NULL;
    struct err err = { 0 };
    if (soft_tpm_new(machine_folder, &s, &err) == 0) {
        soft_tpm_free(s);
        return 0;
    }
    assert_int_equal(err.kind, kind);
    assert_non_null(strstr(err.cause, names));
    assert_null(s);
    return 1;
}

static void damage_is_named_and_never_a_new_tpm(void **state)
{
    struct err err = { 0 };
    (void)state;
    struct machine m = machine_on();
    machine_off(&m);
    struct sample good = sample_load_path(state_path);
    const size_t step = good.n / 97 + 1;
    for (size_t n = 0; n < good.n; n += step) {
        AUTO(free_u8) uint8_t *copy = heap_copy(good.p, good.n);
        check(file_write_atomic(state_path, bytes_of(copy, n), 0600, &err), &err);
        assert_true(refused(ERR_INPUT, state_path));
        copy[n] ^= 0x10;
        check(file_write_atomic(state_path, bytes_of(copy, good.n), 0600, &err), &err);
        assert_true(refused(ERR_INPUT, state_path));
    }
    unlink(state_path);
    assert_true(refused(ERR_INPUT, state_path));
    check(file_write_atomic(state_path, sample_bytes(&good), 0600, &err), &err);
    check(file_write_atomic(boot_path, bytes_str("nonsense\n"), 0600, &err), &err);
    assert_true(refused(ERR_INPUT, boot_path));
    unlink(boot_path);
    assert_false(refused(ERR_NONE, ""));
    sample_done(&good);
    machine_remove(NULL);
    assert_true(refused(ERR_NOT_FOUND, machine_folder));
}

static void one_tpm_a_folder_and_a_process(void **state)
{
    (void)state;
    int ready[2], leave[2];
    char byte;
    assert_int_equal(pipe(ready) | pipe(leave), 0);
    pid_t child = fork();
    if (child == 0) {
        struct machine m = machine_on();
        if (write(ready[1], "x", 1) == 1 && read(leave[0], &byte, 1) == 1)
            machine_off(&m);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_true(refused(ERR_BUSY, machine_folder));
    assert_int_equal(write(leave[1], "x", 1), 1);
    waitpid(child, NULL, 0);
    struct machine m = machine_on();
    assert_true(refused(ERR_BUSY, "this process"));
    machine_off(&m);
    close(ready[0]), close(ready[1]), close(leave[0]), close(leave[1]);
    soft_tpm_free(NULL);
}

/* The agent's TPM thread has a small stack; RSA keys are the deepest that libtpms goes. */
static int make_rsa_key(void *arg, struct err *err)
{
    static const uint8_t template_[] = {
        0x00, 0x01, 0x00, 0x0B, 0x00, 0x05, 0x00, 0x72, 0x00, 0x00,             /* RSA, SHA-256, attributes */
        0x00, 0x10, 0x00, 0x14, 0x00, 0x0B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, /* NULL, RSASSA, 2048 bits */
        0x00, 0x00,
    };
    struct machine *m = arg;
    AUTO(buf_done) struct buf area = buf_new(1024);
    *m = machine_on();
    return tpm_primary_provision(m->t, true, bytes_of(template_, sizeof(template_)), 0x81000003, &area, err);
}

static void works_on_a_worker_thread(void **state)
{
    (void)state;
    struct worker *w = NULL;
    struct machine m;
    struct err err = { 0 };
    check(worker_start("tpm", 4, 2, &w, &err), &err);
    check(worker_call(w, make_rsa_key, &m, &err), &err);
    worker_stop(w);
    machine_off(&m);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, machine_dir, machine_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(restarts_keep_pcrs_and_boots_reset_them),
        TEST(another_host_boot_is_a_new_boot),
        TEST(a_kill_loses_nothing),
        TEST(damage_is_named_and_never_a_new_tpm),
        TEST(one_tpm_a_folder_and_a_process),
        TEST(works_on_a_worker_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
