/* The workload log over a real swtpm and a file that stands for RTMR3: starts, updates, rollbacks, restarts,
 * and a process that is killed at every step of them. */
#include "evidence.h"
#include "swtpm.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/json.h"
#include "workload/workload_log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BOOT "11111111-2222-3333-4444-555555555555"

static struct err why; /* of the last OK() */

#define OK(call)                                                                                             \
    do {                                                                                                     \
        if ((call) < 0)                                                                                      \
            fail_msg("%s: %s", #call, why.cause);                                                            \
    } while (0)

struct place {
    struct swtpm swtpm;
    char folder[40], log[64], rtmr3_path[64];
    struct rtmr_io rtmr3;
    bool has_rtmr3;
    struct tpm *tpm;
    struct workload_log *w;
};

/* ---- RTMR3 as a file: what the kernel's does when it is written ---- */

static int file_extend(void *path, const uint8_t digest[static RTMR_BYTES], struct err *err)
{
    struct digest d = { .alg = ALG_SHA384, .n = RTMR_BYTES };
    AUTO(free_u8) uint8_t *p = NULL;
    size_t n;
    if (file_read(path, RTMR_BYTES, &p, &n, err) < 0)
        return -1;
    memcpy(d.b, p, RTMR_BYTES);
    return digest_extend(&d, bytes_of(digest, RTMR_BYTES), err) < 0
               ? -1
               : file_write_atomic(path, digest_bytes(&d), 0600, err);
}

/* ---- a machine ---- */

static void boot(struct place *p)
{
    static const uint8_t zero[RTMR_BYTES];
    if (p->swtpm.pid) {
        swtpm_kill(&p->swtpm);
        swtpm_start(&p->swtpm);
    }
    (void)unlink(p->log);
    OK(file_write_atomic(p->rtmr3_path, bytes_of(zero, sizeof(zero)), 0600, &why));
}

static int machine_new(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    *state = NULL;
    if (!swtpm_available()) {
        free(p);
        return 0;
    }
    strcpy(p->folder, "/tmp/cvm-workload-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->log, sizeof(p->log), "%s/workload.jsonl", p->folder);
    snprintf(p->rtmr3_path, sizeof(p->rtmr3_path), "%s/rtmr3", p->folder);
    p->rtmr3 = rtmr_file(p->rtmr3_path);
    p->rtmr3.extend = file_extend;
    p->has_rtmr3 = true;
    boot(p);
    swtpm_new(&p->swtpm);
    *state = p;
    return 0;
}

static int machine_done(void **state)
{
    struct place *p = *state;
    char command[80];
    if (!p)
        return 0;
    swtpm_done(&p->swtpm);
    snprintf(command, sizeof(command), "rm -rf '%s'", p->folder);
    assert_int_equal(system(command), 0);
    free(p);
    return 0;
}

static struct place *place_of(void **state)
{
    if (!*state)
        skip();
    return *state;
}

static int open_place(struct place *p, struct err *err)
{
    const struct workload_log_options o = { .path = p->log,
                                            .boot_id = BOOT,
                                            .rtmr3 = p->has_rtmr3 ? &p->rtmr3 : NULL };
    if (tpm_open(p->swtpm.tcti, &p->tpm, err) < 0)
        return -1;
    return workload_log_open(&o, p->tpm, &p->w, err);
}

static void close_place(struct place *p)
{
    workload_log_close(p->w);
    tpm_close(p->tpm);
    p->w = NULL;
    p->tpm = NULL;
}

static struct digest pcr(struct place *p, unsigned i, uint16_t alg)
{
    struct tpm_pcrs pcrs;
    OK(tpm_pcr_read(p->tpm, alg, 1u << i, &pcrs, &why));
    return pcrs.pcr[i];
}

static void foreign_extend(struct place *p, unsigned i)
{
    struct tpm_banks banks;
    struct digest d[TPM_BANKS_MAX];
    OK(tpm_banks_get(p->tpm, &banks, &why));
    for (size_t b = 0; b < banks.n; b++)
        OK(digest_of(banks.alg[b], bytes_str("system"), &d[b], &why));
    OK(tpm_pcr_extend(p->tpm, i, d, banks.n, &why));
}

/* ---- plans ---- */

static char web[] = "web", db[] = "db", compose[] = "docker-compose.yml", nothing[] = "";
static struct measure_event old_events[] = { { .type = "image", .name = web },
                                             { .type = "compose", .name = compose },
                                             { .type = "ready", .name = nothing } };
static struct measure_event new_events[] = { { .type = "image", .name = db },
                                             { .type = "image", .name = web },
                                             { .type = "compose", .name = compose },
                                             { .type = "ready", .name = nothing } };
static const struct measure_plan old_plan = { old_events, 3 }, new_plan = { new_events, 4 };
static const uint8_t zip[48] = { 0x7a, 0x69, 0x70 };

static int make_plans(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(old_events); i++)
        sha384(bytes_str(i == 2 ? "" : "old"), old_events[i].content_sha384);
    for (size_t i = 0; i < ARRAY_SIZE(new_events); i++)
        sha384(bytes_str(i == 3 ? "" : "new"), new_events[i].content_sha384);
    return 0;
}

/* ---- judging, without the code under test: the log's own text, replayed ---- */

static void replay_text(const json_t *events, unsigned wanted, uint16_t alg, struct digest *out)
{
    const json_t *event, *v;
    size_t i, k;
    *out = (struct digest){ .alg = alg, .n = (uint8_t)digest_size(alg) };
    json_array_foreach(events, i, event)
    {
        const char *type = json_string_value(json_object_get(event, "type"));
        const char *name = json_string_value(json_object_get(event, "name"));
        AUTO(buf_done) struct buf preimage = buf_new(4096);
        struct digest d;
        bool there = wanted == 0; /* RTMR3: every event */
        buf_str(&preimage, "cvm-agent-v1");
        buf_u8(&preimage, 0);
        buf_put(&preimage, bytes_of(type, strlen(type) + 1));
        buf_put(&preimage, bytes_of(name, strlen(name) + 1));
        OK(hex_decode(bytes_str(json_string_value(json_object_get(event, "content_sha384"))), &preimage,
                      &why));
        OK(digest_of(alg, buf_bytes(&preimage), &d, &why));
        json_array_foreach(json_object_get(event, "registers"), k, v) there =
            there || json_integer_value(v) == (json_int_t)wanted;
        if (there)
            OK(digest_extend(out, digest_bytes(&d), &why));
        if (wanted == 23 && (!strcmp(type, "update") || !strcmp(type, "rollback")))
            memset(out->b, 0, sizeof(out->b));
    }
}

static void assert_same(const struct digest *a, const struct digest *b, const char *what)
{
    if (!bytes_equal(digest_bytes(a), digest_bytes(b)))
        fail_msg("%s differs", what);
}

/* Every register holds what the log says, and PCR 23 what the plan predicts. */
static void assert_holds(struct place *p, const struct measure_plan *plan)
{
    AUTO(buf_done) struct buf text = buf_new(1 << 20);
    AUTO(json_drop) json_t *events = NULL;
    struct digest want, have;
    workload_log_json(p->w, SIZE_MAX, &text);
    OK(json_parse(buf_bytes(&text), 1 << 20, &events, &why));
    static const uint16_t algs[] = { ALG_SHA256, ALG_SHA384 };
    static const unsigned pcrs[] = { 23, 15, 16 };
    for (size_t a = 0; a < 2; a++) {
        for (size_t i = 0; i < 3; i++) {
            char what[32];
            snprintf(what, sizeof(what), "PCR %u", pcrs[i]);
            replay_text(events, pcrs[i], algs[a], &want);
            have = pcr(p, pcrs[i], algs[a]);
            assert_same(&want, &have, what);
        }
        OK(measure_predict(plan, algs[a], &want, &why));
        have = pcr(p, 23, algs[a]);
        assert_same(&want, &have, "prediction of PCR 23");
    }
    if (!p->has_rtmr3)
        return;
    replay_text(events, 0, ALG_SHA384, &want);
    have = want;
    OK(p->rtmr3.read(p->rtmr3.ctx, have.b, &why));
    assert_same(&want, &have, "RTMR3");
}

static size_t count(struct place *p)
{
    return measured_log_count(workload_log_base(p->w));
}

static enum workload_start start(struct place *p, const struct measure_plan *plan)
{
    enum workload_start how;
    OK(workload_log_start(p->w, p->tpm, plan, &how, &why));
    return how;
}

/* ---- the tests ---- */

static void starts_updates_and_rolls_back(void **state)
{
    struct place *p = place_of(state);
    uint8_t module[48];
    struct err err = { 0 };
    enum workload_start how;
    boot(p);
    OK(open_place(p, &why));
    foreign_extend(p, 23); /* whoever has the TPM may: the first start begins at zero */
    assert_int_equal(start(p, &old_plan), WORKLOAD_MEASURED);
    assert_int_equal(count(p), 3);
    assert_holds(p, &old_plan);
    close_place(p);

    OK(open_place(p, &why)); /* a restart of the agent */
    assert_int_equal(workload_log_verdict(p->w), MEASURED_AGREES);
    assert_int_equal(start(p, &old_plan), WORKLOAD_UNCHANGED);
    assert_int_equal(count(p), 3);
    assert_int_equal(workload_log_start(p->w, p->tpm, &new_plan, &how, &err), -1);
    assert_int_equal(err.kind, ERR_DENIED);
    assert_int_equal(count(p), 3);

    sha384(bytes_str("module"), module);
    OK(workload_log_livepatch(p->w, p->tpm, "fix.ko", module, &why));
    assert_holds(p, &old_plan);
    OK(workload_log_update(p->w, p->tpm, zip, &new_plan, &why));
    assert_int_equal(count(p), 3 + 1 + 1 + 4);
    assert_holds(p, &new_plan);
    OK(workload_log_rollback(p->w, p->tpm, zip, &old_plan, &why));
    assert_int_equal(count(p), 9 + 1 + 3);
    assert_holds(p, &old_plan);
    close_place(p);

    OK(open_place(p, &why));
    assert_int_equal(start(p, &old_plan), WORKLOAD_UNCHANGED);
    assert_holds(p, &old_plan);
    foreign_extend(p, 15);
    close_place(p);
    OK(open_place(p, &why));
    assert_int_equal(workload_log_verdict(p->w), MEASURED_DISAGREES);
    assert_non_null(strstr(workload_log_verdict_text(p->w), "PCR 15"));
    assert_int_equal(workload_log_start(p->w, p->tpm, &old_plan, &how, &err), -1);
    assert_int_equal(err.kind, ERR_DENIED);
    close_place(p);
}

static void a_history_that_is_in_use_is_left_alone(void **state)
{
    struct place *p = place_of(state);
    boot(p);
    OK(tpm_open(p->swtpm.tcti, &p->tpm, &why));
    foreign_extend(p, 15);
    struct digest before = pcr(p, 15, ALG_SHA256);
    close_place(p);
    OK(open_place(p, &why));
    assert_non_null(workload_log_no_mirror(p->w));
    assert_int_equal(start(p, &old_plan), WORKLOAD_MEASURED);
    OK(workload_log_update(p->w, p->tpm, zip, &new_plan, &why));
    struct digest after = pcr(p, 15, ALG_SHA256), want, have = pcr(p, 23, ALG_SHA256);
    assert_same(&before, &after, "PCR 15");
    OK(measure_predict(&new_plan, ALG_SHA256, &want, &why));
    assert_same(&want, &have, "PCR 23");
    close_place(p);
    OK(open_place(p, &why));
    assert_int_equal(workload_log_verdict(p->w), MEASURED_AGREES);
    assert_non_null(workload_log_no_mirror(p->w));
    assert_int_equal(start(p, &new_plan), WORKLOAD_UNCHANGED);
    close_place(p);
}

static void the_report_says_what_is_where(void **state)
{
    struct place *p = place_of(state);
    struct err err = { 0 };
    AUTO(buf_done) struct buf text = buf_new(1 << 20), golden = buf_new(1 << 20);
    AUTO(json_drop) json_t *v = NULL, *g = NULL;
    boot(p);
    OK(open_place(p, &why));
    assert_int_equal(workload_log_golden(p->w, SIZE_MAX, &golden, &err), 0);
    start(p, &old_plan);
    struct measured_mark mark;
    workload_log_mark(p->w, &mark);
    OK(workload_log_update(p->w, p->tpm, zip, &new_plan, &why));
    foreign_extend(p, 16);
    OK(workload_log_report(p->w, p->tpm, &text, &why));
    OK(json_parse(buf_bytes(&text), 1 << 20, &v, &why));
    const json_t *registers = json_object_get(v, "registers");
    static const char *const agree[] = { "23", "15", "rtmr3" };
    for (size_t i = 0; i < ARRAY_SIZE(agree); i++)
        assert_string_equal(json_string_value(
                                json_object_get(json_object_get(registers, agree[i]), "verdict")),
                            "agrees");
    assert_string_equal(json_string_value(json_object_get(json_object_get(registers, "16"), "verdict")),
                        "disagrees");
    assert_string_equal(json_string_value(json_object_get(v, "verdict")), "disagrees");
    assert_non_null(strstr(json_string_value(json_object_get(v, "detail")), "PCR 16"));
    assert_int_equal(json_array_size(json_object_get(v, "events")), 3 + 1 + 4);
    assert_int_equal(workload_log_golden(p->w, mark.end, &golden, &err), 1);
    OK(json_parse(buf_bytes(&golden), 1 << 20, &g, &why));
    assert_int_equal(json_array_size(g), 3);
    close_place(p);
}

/* ---- killed at every step ---- */

#ifdef CVM_FAULTS
typedef int act_fn(struct place *p, struct err *err);

static int act_start(struct place *p, struct err *err)
{
    enum workload_start how;
    return workload_log_start(p->w, p->tpm, &old_plan, &how, err);
}

static int act_update(struct place *p, struct err *err)
{
    return workload_log_update(p->w, p->tpm, zip, &new_plan, err);
}

static int act_rollback(struct place *p, struct err *err)
{
    return workload_log_rollback(p->w, p->tpm, zip, &old_plan, err);
}

/* @return true if the process was killed at the fault point, false if it came through */
static bool killed_at(struct place *p, const char *fault, unsigned passing, act_fn *act)
{
    char value[64];
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err err = { 0 };
        if (open_place(p, &err) < 0)
            _exit(3);
        snprintf(value, sizeof(value), "%s:%u", fault, passing);
        setenv("CVM_FAULT", value, 1);
        int rc = act(p, &err);
        close_place(p);
        _exit(rc < 0 ? 4 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return true;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

static const char *const faults[] = { "log-append", "log-appended", "log-extended", "log-reset" };

static void killed_while_it_starts(void **state)
{
    struct place *p = place_of(state);
    unsigned killed = 0;
    for (size_t f = 0; f < ARRAY_SIZE(faults); f++) {
        for (unsigned n = 1;; n++) {
            boot(p);
            if (!killed_at(p, faults[f], n, act_start))
                break;
            killed++;
            OK(open_place(p, &why));
            assert_int_not_equal(workload_log_verdict(p->w), MEASURED_DISAGREES);
            start(p, &old_plan);
            assert_int_equal(count(p), 3);
            assert_holds(p, &old_plan);
            close_place(p);
        }
    }
    assert_int_equal(killed, 3 + 3 + 3 * 3 + 1); /* records, records, extends of 3 registers, one reset */
}

/* Killed between the record of the change and the first event of the new sequence: what is there then is
 * measured, whatever it is. */
static bool nothing_measured(const char *fault, unsigned n)
{
    return !strcmp(fault, "log-reset") || n <= (!strcmp(fault, "log-appended") ? 1 : 2);
}

/* The tree that is there at the next start is the old one, or the new one: both must be possible. */
static void killed_while_it_changes(struct place *p, act_fn *act, const struct measure_plan *from,
                                    const struct measure_plan *to, unsigned steps)
{
    unsigned killed = 0;
    for (size_t f = 0; f < ARRAY_SIZE(faults); f++) {
        for (unsigned n = 1, more = 1; more; n++) {
            for (unsigned keeps_old = 0; keeps_old < 2 && more; keeps_old++) {
                struct err err = { 0 };
                enum workload_start how;
                boot(p);
                OK(open_place(p, &why));
                start(p, &old_plan);
                if (from == &new_plan)
                    OK(workload_log_update(p->w, p->tpm, zip, &new_plan, &why));
                close_place(p);
                more = killed_at(p, faults[f], n, act);
                if (!more)
                    break;
                killed++;
                OK(open_place(p, &why));
                assert_int_not_equal(workload_log_verdict(p->w), MEASURED_DISAGREES);
                const struct measure_plan *is = keeps_old ? from : to;
                int rc = workload_log_start(p->w, p->tpm, is, &how, &err);
                bool recorded = strcmp(faults[f], "log-append") != 0 || n > 1;
                bool possible = keeps_old ? from == &old_plan || !recorded || nothing_measured(faults[f], n)
                                          : recorded || to == &old_plan;
                if ((rc == 0) != possible)
                    fail_msg("%s:%u, %s: %s", faults[f], n, keeps_old ? "old" : "new", err.cause);
                if (rc == 0)
                    assert_holds(p, is);
                else
                    assert_int_equal(err.kind, ERR_DENIED);
                close_place(p);
            }
        }
    }
    assert_int_equal(killed, 2 * steps);
}

static void killed_while_it_updates(void **state)
{
    /* 5 records twice; 2 registers for `update`, 3 for each of 4 events; one reset */
    killed_while_it_changes(place_of(state), act_update, &old_plan, &new_plan, 5 + 5 + 2 + 4 * 3 + 1);
}

static void killed_while_it_rolls_back(void **state)
{
    killed_while_it_changes(place_of(state), act_rollback, &new_plan, &old_plan, 4 + 4 + 2 + 3 * 3 + 1);
}
#endif

/* ---- without a TPM ---- */

static void a_machine_without_tpm_has_the_history(void **state)
{
    struct place *p = place_of(state);
    const struct workload_log_options o = { .path = p->log, .boot_id = BOOT };
    struct workload_log *w = NULL;
    enum workload_start how;
    struct measured_mark mark;
    struct digest want;
    boot(p);
    OK(workload_log_open(&o, NULL, &w, &why));
    workload_log_mark(w, &mark);
    assert_true(bytes_zero(bytes_of(mark.history, 32)));
    OK(workload_log_start(w, NULL, &old_plan, &how, &why));
    assert_int_equal(workload_log_verdict(w), MEASURED_UNROOTED);
    workload_log_mark(w, &mark);
    OK(measure_predict(&old_plan, ALG_SHA256, &want, &why));
    assert_memory_equal(mark.history, want.b, 32);
    workload_log_close(w);
    OK(workload_log_open(&o, NULL, &w, &why));
    OK(workload_log_start(w, NULL, &old_plan, &how, &why));
    assert_int_equal(how, WORKLOAD_UNCHANGED);
    workload_log_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(starts_updates_and_rolls_back, machine_new, machine_done),
        cmocka_unit_test_setup_teardown(a_history_that_is_in_use_is_left_alone, machine_new, machine_done),
        cmocka_unit_test_setup_teardown(the_report_says_what_is_where, machine_new, machine_done),
#ifdef CVM_FAULTS
        cmocka_unit_test_setup_teardown(killed_while_it_starts, machine_new, machine_done),
        cmocka_unit_test_setup_teardown(killed_while_it_updates, machine_new, machine_done),
        cmocka_unit_test_setup_teardown(killed_while_it_rolls_back, machine_new, machine_done),
#endif
        cmocka_unit_test_setup_teardown(a_machine_without_tpm_has_the_history, machine_new, machine_done),
    };
    return cmocka_run_group_tests(tests, make_plans, NULL);
}
