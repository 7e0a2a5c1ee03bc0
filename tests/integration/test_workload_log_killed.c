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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(killed_while_it_starts, machine_new, machine_done),
        cmocka_unit_test_setup_teardown(killed_while_it_updates, machine_new, machine_done),
        cmocka_unit_test_setup_teardown(killed_while_it_rolls_back, machine_new, machine_done),
    };
    return cmocka_run_group_tests(tests, make_plans, NULL);
}
