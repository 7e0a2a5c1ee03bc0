/* The workload log of a process that is killed at every step of a start, an update and a rollback. */
#include "workload_log_rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- killed at every step ---- */

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

static bool last_is_ready(struct place *p)
{
    AUTO(buf_done) struct buf text = buf_new(1 << 20);
    AUTO(json_drop) json_t *events = NULL;
    workload_log_json(p->w, SIZE_MAX, &text);
    OK(json_parse(buf_bytes(&text), 1 << 20, &events, &why));
    const json_t *last = json_array_get(events, json_array_size(events) - 1);
    return !strcmp(json_string_value(json_object_get(last, "type")), "ready");
}

static size_t count_of(struct place *p, const char *type)
{
    AUTO(buf_done) struct buf text = buf_new(1 << 20);
    AUTO(json_drop) json_t *events = NULL;
    const json_t *event;
    size_t i, n = 0;
    workload_log_json(p->w, SIZE_MAX, &text);
    OK(json_parse(buf_bytes(&text), 1 << 20, &events, &why));
    json_array_foreach(events, i, event) n +=
        !strcmp(json_string_value(json_object_get(event, "type")), type);
    return n;
}

/* The tree that is there at the next start is the old one, or the new one. The new one of an update counts
 * only when all of it was measured; the old one only together with a rollback in the history. */
static void killed_while_it_changes(struct place *p, act_fn *act, const struct measure_plan *from,
                                    unsigned steps)
{
    unsigned killed = 0;
    for (size_t f = 0; f < ARRAY_SIZE(faults); f++) {
        for (unsigned n = 1, more = 1; more; n++) {
            for (unsigned with_old = 0; with_old < 2 && more; with_old++) {
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
                const struct measure_plan *is = with_old ? &old_plan : &new_plan;
                bool whole = last_is_ready(p), recorded = strcmp(faults[f], "log-append") != 0 || n > 1;
                bool updated = from == &new_plan ? !recorded : recorded; /* the last change is an update */
                bool possible = is == &old_plan || (updated && whole);
                int rc = workload_log_start(p->w, p->tpm, is, &how, &err);
                if ((rc == 0) != possible)
                    fail_msg("%s:%u, %s: %s", faults[f], n, is == &old_plan ? "old" : "new", err.cause);
                if (rc < 0) {
                    assert_int_equal(err.kind, ERR_DENIED);
                } else {
                    assert_holds(p, is);
                    assert_int_equal(how, is == &old_plan && updated ? WORKLOAD_ROLLED_BACK
                                          : whole                    ? WORKLOAD_UNCHANGED
                                                                     : WORKLOAD_CONTINUED);
                    assert_int_equal(count_of(p, "rollback"), is == &old_plan ? count_of(p, "update") : 0);
                }
                close_place(p);
            }
        }
    }
    assert_int_equal(killed, 2 * steps);
}

static void killed_while_it_updates(void **state)
{
    /* 5 records twice; 2 registers for `update`, 3 for each of 4 events; one reset */
    killed_while_it_changes(place_of(state), act_update, &old_plan, 5 + 5 + 2 + 4 * 3 + 1);
}

static void killed_while_it_rolls_back(void **state)
{
    killed_while_it_changes(place_of(state), act_rollback, &new_plan, 4 + 4 + 2 + 3 * 3 + 1);
}

/* ---- an update whose note says that it did not take place ---- */

static size_t before; /* of the update */

static int act_same_update(struct place *p, struct err *err)
{
    return workload_log_update(p->w, p->tpm, zip, &old_plan, err);
}

static int act_undo(struct place *p, struct err *err)
{
    bool undone;
    return workload_log_undo(p->w, p->tpm, before, &undone, err);
}

/* It changes what is not measured: its sequence is that of what ran before. */
static void undone_after_a_kill(struct place *p, act_fn *act)
{
    for (size_t f = 0; f < ARRAY_SIZE(faults); f++) {
        for (unsigned n = 1;; n++) {
            bool undone;
            boot(p);
            OK(open_place(p, &why));
            start(p, &old_plan);
            before = count(p);
            close_place(p);
            if (act == act_undo)
                assert_false(killed_at(p, "never", 1, act_same_update));
            if (!killed_at(p, faults[f], n, act))
                break;
            OK(open_place(p, &why));
            size_t updates = count_of(p, "update"), rollbacks = count_of(p, "rollback");
            OK(workload_log_undo(p->w, p->tpm, before, &undone, &why));
            assert_int_equal(undone, updates > rollbacks);
            assert_int_equal(count_of(p, "rollback"), updates);
            bool whole = last_is_ready(p);
            assert_int_equal(start(p, &old_plan), whole ? WORKLOAD_UNCHANGED : WORKLOAD_CONTINUED);
            assert_true(last_is_ready(p));
            assert_int_equal(count_of(p, "rollback"), updates);
            assert_holds(p, &old_plan);
            close_place(p);
        }
    }
}

static void killed_updates_are_undone(void **state)
{
    struct place *p = place_of(state);
    bool undone;
    undone_after_a_kill(p, act_same_update);
    undone_after_a_kill(p, act_undo);
    /* an older one took place */
    boot(p);
    OK(open_place(p, &why));
    start(p, &old_plan);
    OK(workload_log_update(p->w, p->tpm, zip, &new_plan, &why));
    size_t n = count(p);
    OK(workload_log_undo(p->w, p->tpm, n, &undone, &why));
    assert_false(undone);
    assert_int_equal(count(p), n);
    OK(workload_log_undo(p->w, p->tpm, 3, &undone, &why));
    assert_true(undone);
    assert_holds(p, &old_plan);
    OK(workload_log_undo(p->w, p->tpm, 3, &undone, &why));
    assert_false(undone);
    assert_int_equal(start(p, &old_plan), WORKLOAD_UNCHANGED);
    close_place(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(killed_while_it_starts, machine_new, machine_done),
        cmocka_unit_test_setup_teardown(killed_while_it_updates, machine_new, machine_done),
        cmocka_unit_test_setup_teardown(killed_while_it_rolls_back, machine_new, machine_done),
        cmocka_unit_test_setup_teardown(killed_updates_are_undone, machine_new, machine_done),
    };
    return cmocka_run_group_tests(tests, make_plans, NULL);
}
