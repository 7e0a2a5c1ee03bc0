/* The workload log over a real swtpm and a file that stands for RTMR3: starts, updates, rollbacks, restarts.
 */
#include "workload_log_rig.h"

#include <stdlib.h>
#include <string.h>

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

/* An update that could not be undone any more is not begun. */
static void room_for_an_update_and_back(void **state)
{
    struct place *p = place_of(state);
    const struct measure_plan all = { calloc(MEASURED_EVENTS_MAX, sizeof(*all.events)), MEASURED_EVENTS_MAX };
    struct measure_plan next = { all.events, MEASURED_EVENTS_MAX - 3 - (1 + 3) - 1 };
    static char name[MEASURED_NAME_MAX + 1];
    struct err err = { 0 };
    assert_non_null(all.events);
    for (size_t i = 0; i < all.n; i++)
        all.events[i] = (struct measure_event){ .type = "config", .name = old_plan.events[2].name };
    boot(p);
    OK(open_place(p, &why));
    start(p, &old_plan);
    OK(workload_log_room(p->w, &old_plan, &next, &why));
    next.n++;
    assert_int_equal(workload_log_room(p->w, &old_plan, &next, &err), -1);
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    assert_non_null(strstr(err.cause, "room for 65533 more events, and 65534 are needed: reboot"));
    /* the names of few fill the file too */
    memset(name, 1, MEASURED_NAME_MAX); /* six characters each as JSON */
    for (size_t i = 0; i < all.n; i++)
        all.events[i].name = name;
    next.n = (64u << 20) / (6 * MEASURED_NAME_MAX) - 1;
    assert_int_equal(workload_log_room(p->w, &old_plan, &next, &err), -1);
    assert_non_null(strstr(err.cause, "more bytes"));
    next.n -= next.n / 20;
    OK(workload_log_room(p->w, &old_plan, &next, &why));
    assert_int_equal(count(p), 3);
    assert_holds(p, &old_plan);
    close_place(p);
    free(all.events);
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
        cmocka_unit_test_setup_teardown(room_for_an_update_and_back, machine_new, machine_done),
        cmocka_unit_test_setup_teardown(the_report_says_what_is_where, machine_new, machine_done),
        cmocka_unit_test_setup_teardown(a_machine_without_tpm_has_the_history, machine_new, machine_done),
    };
    return cmocka_run_group_tests(tests, make_plans, NULL);
}
