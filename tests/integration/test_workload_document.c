/* The workload log in documents, on emulated machines with and without TPM and RTMR3: what is measured is
 * what a verifier replays, whatever happens meanwhile; what is changed is seen. */
#include "evidence.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "evidence/collect.h"
#include "evidence/verify.h"
#include "tee/emulator/emulator.h"
#include "workload/workload_log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAGIC    "Internal/collaterals"
#define TEXT_MAX (8u << 20)

struct machine {
    const char *shape;
    char folder[40];
    struct emulator *emulator;
    struct lower lower;
    struct collector *c;
    struct workload_log *w;
    struct measured_log *journal;
    struct verify_trust trust;
};

/* ---- plans ---- */

static char web[] = "web", compose[] = "docker-compose.yml", nothing[] = "";
static struct measure_event events[2][3] = {
    { { .type = "image", .name = web },
      { .type = "compose", .name = compose },
      { .type = "ready", .name = nothing } },
    { { .type = "image", .name = web },
      { .type = "compose", .name = compose },
      { .type = "ready", .name = nothing } },
};
static const struct measure_plan plans[2] = { { events[0], 3 }, { events[1], 3 } };
static const uint8_t zip[48] = { 1 };

static int make_plans(void **state)
{
    (void)state;
    for (size_t p = 0; p < 2; p++)
        for (size_t i = 0; i < 3; i++)
            sha384(bytes_str(i == 2 ? "" : p ? "new" : "old"), events[p][i].content_sha384);
    return 0;
}

/* ---- on the TPM's thread ---- */

enum what { OPEN, START, UPDATE, ROLLBACK, PATCH, ACT };

struct task {
    struct machine *m;
    enum what what;
};

static int open_logs(struct machine *m, struct tpm *tpm, struct err *err)
{
    static const unsigned pcrs[] = { JOURNAL_PCR };
    char path[80], journal[80];
    const char *why;
    const struct workload_log_options o = { .path = path,
                                            .boot_id = collector_boot_id(m->c),
                                            .rtmr3 = collector_rtmr3(m->c, &why) };
    snprintf(path, sizeof(path), "%s/workload.jsonl", m->folder);
    snprintf(journal, sizeof(journal), "%s/journal.jsonl", m->folder);
    return workload_log_open(&o, tpm, &m->w, err) < 0
                   || measured_log_open(journal, o.boot_id, tpm, pcrs, 1, &m->journal, err) < 0
               ? -1
               : 0;
}

static int run(struct tpm *tpm, void *arg, struct err *err)
{
    static const unsigned pcrs[] = { JOURNAL_PCR };
    const struct task *t = arg;
    struct machine *m = t->m;
    enum workload_start how;
    switch (t->what) {
    case OPEN:
        return open_logs(m, tpm, err);
    case START:
        return workload_log_start(m->w, tpm, &plans[0], &how, err);
    case UPDATE:
        return workload_log_update(m->w, tpm, zip, &plans[1], err);
    case ROLLBACK:
        return workload_log_rollback(m->w, tpm, zip, &plans[0], err);
    case PATCH:
        return workload_log_livepatch(m->w, tpm, "fix", events[0][0].content_sha384, err);
    case ACT:
        return measured_log_add(m->journal, tpm, "act", "verb", bytes_str("{}"), pcrs, 1, err);
    }
    return -1;
}

static void do_it(struct machine *m, enum what what)
{
    struct task t = { m, what };
    struct err err = { 0 };
    if (collector_with_tpm(m->c, run, &t, &err) < 0)
        fail_msg("%s: %d: %s", m->shape, what, err.cause);
}

/* ---- machines ---- */

static void marks(void *arg, struct log_marks *out)
{
    struct machine *m = arg;
    struct measured_mark mark;
    workload_log_mark(m->w, &mark);
    out->workload = mark.end;
    out->generation = mark.generation;
    memcpy(out->replay, mark.history, sizeof(out->replay));
    measured_log_mark(m->journal, &mark);
    out->journal = mark.end;
}

static void machine_on(struct machine *m, const char *shape)
{
    struct err err = { 0 };
    char roots[80];
    AUTO(free_u8) uint8_t *pem = NULL;
    size_t n = 0;
    *m = (struct machine){ .shape = shape, .folder = "/tmp/cvm-documents-XXXXXX" };
    assert_non_null(mkdtemp(m->folder));
    if (emulator_new(shape, m->folder, NULL, &m->emulator, &err) < 0)
        fail_msg("%s", err.cause);
    m->lower = emulator_lower(m->emulator);
    const struct collector_options o = { .lower = &m->lower, .queue = 128, .queue_outside = 64 };
    if (collector_new(&o, &m->c, &err) < 0)
        fail_msg("%s", err.cause);
    do_it(m, OPEN);
    collector_set_log_marks(m->c, marks, m);
    snprintf(roots, sizeof(roots), "%s/emulator/roots.pem", m->folder);
    assert_int_equal(file_read(roots, 1 << 20, &pem, &n, &err), 0);
    assert_int_equal(verify_trust_add_extra(&m->trust, bytes_of(pem, n), &err), 0);
}

static void machine_off(struct machine *m)
{
    char command[80];
    collector_free(m->c);
    workload_log_close(m->w);
    measured_log_close(m->journal);
    emulator_free(m->emulator);
    verify_trust_done(&m->trust);
    snprintf(command, sizeof(command), "rm -rf %s", m->folder);
    assert_int_equal(system(command), 0);
}

/* ---- documents ---- */

/* @return NULL where the workload was measured meanwhile */
static json_t *collect(struct machine *m)
{
    const struct collect_request r = { .magic = bytes_str(MAGIC),
                                       .nonce = bytes_str("nonce"),
                                       .bank = ALG_SHA256 };
    struct evidence *e = NULL;
    struct err err = { 0 };
    AUTO(buf_done)
    struct buf workload = buf_new(TEXT_MAX), journal = buf_new(TEXT_MAX), text = buf_new(TEXT_MAX);
    json_t *v = NULL;
    if (collector_run(m->c, &r, &e, &err) < 0) {
        assert_int_equal(err.kind, ERR_UNAVAILABLE);
        assert_non_null(strstr(err.cause, "measured while"));
        return NULL;
    }
    workload_log_json(m->w, evidence_log_marks(e)->workload, &workload);
    measured_log_json_until(m->journal, evidence_log_marks(e)->journal, &journal);
    buf_u8(&workload, 0);
    buf_u8(&journal, 0);
    const struct document_extras extras = { .workload_log = (char *)workload.p,
                                            .journal_log = (char *)journal.p };
    if (evidence_document(m->c, e, &extras, &text, &err) < 0
        || json_parse(buf_bytes(&text), TEXT_MAX, &v, &err) < 0)
        fail_msg("%s: %s", m->shape, err.cause);
    evidence_free(e);
    return v;
}

struct judged {
    enum check_result workload, journal;
    bool holds, rooted;
    char detail[2 * CHECK_DETAIL_MAX + 4];
};

static struct judged judge(struct machine *m, json_t *v)
{
    struct document d;
    struct verify_result *r = NULL;
    struct err err = { 0 };
    const struct verify_options o = { .trust = &m->trust, .at = time(NULL), .accept_self_asserted_ak = true };
    if (document_from_json(v, &d, &err) < 0 || verify_document(&d, &o, &r, &err) < 0)
        fail_msg("%s: %s", m->shape, err.cause);
    const struct check *workload = checks_find(&r->checks, "workload.log_replay");
    const struct check *journal = checks_find(&r->checks, "journal.log_replay");
    struct judged j = { .workload = workload->result,
                        .journal = journal->result,
                        .holds = r->workload_holds,
                        .rooted = r->workload_rooted };
    snprintf(j.detail, sizeof(j.detail), "%s; %s", workload->detail, journal->detail);
    verify_result_free(r);
    return j;
}

static void holds(struct machine *m, json_t *v, bool rooted)
{
    struct judged j = judge(m, v);
    if (j.workload != CHECK_OK || !j.holds || j.journal == CHECK_FAILED)
        fail_msg("%s: %s", m->shape, j.detail);
    assert_int_equal(j.rooted, rooted);
}

static void fails(struct machine *m, json_t *v, const char *what)
{
    struct judged j = judge(m, v);
    if (j.workload != CHECK_FAILED || j.holds || j.rooted)
        fail_msg("%s: %s is not seen: %s", m->shape, what, j.detail);
}

/* ---- tampering ---- */

static void renumber(json_t *log)
{
    for (size_t i = 0; i < json_array_size(log); i++)
        json_object_set_new(json_array_get(log, i), "seq", json_integer((json_int_t)i));
}

static void without(struct machine *m, const json_t *good, size_t i)
{
    AUTO(json_drop) json_t *v = json_deep_copy(good);
    json_t *log = json_object_get(v, "workload_log");
    json_array_remove(log, i);
    renumber(log);
    fails(m, v, "a record that is left out");
}

static void renamed(struct machine *m, const json_t *good, size_t i)
{
    AUTO(json_drop) json_t *v = json_deep_copy(good);
    json_t *record = json_array_get(json_object_get(v, "workload_log"), i);
    json_object_set_new(record, "name", json_string("other"));
    json_object_set_new(record, "digests", json_object());
    fails(m, v, "another name");
}

static void with_registers(struct machine *m, const json_t *good, size_t i, json_t *registers)
{
    AUTO(json_drop) json_t *v = json_deep_copy(good);
    json_object_set_new(json_array_get(json_object_get(v, "workload_log"), i), "registers", registers);
    fails(m, v, "a register that is left out");
}

static void tamper(struct machine *m, const json_t *good, bool tpm)
{
    size_t n = json_array_size(json_object_get(good, "workload_log"));
    AUTO(json_drop) json_t *empty = json_deep_copy(good);
    for (size_t i = 0; i < n; i++) {
        without(m, good, i);
        renamed(m, good, i);
        if (tpm) {
            with_registers(m, good, i, json_array());
            with_registers(m, good, i, json_pack("[i]", 23));
        }
    }
    json_object_set_new(empty, "workload_log", json_array());
    fails(m, empty, "a log without records");
    json_object_del(empty, "workload_log");
    fails(m, empty, "no log");
}

static void lives(const char *shape, bool tpm, bool rooted)
{
    struct machine m;
    machine_on(&m, shape);
    do_it(&m, ACT);
    AUTO(json_drop) json_t *none = collect(&m);
    struct judged j = judge(&m, none);
    assert_int_equal(j.workload, CHECK_OK);
    static const enum what course[] = { START, PATCH, UPDATE, ROLLBACK, UPDATE };
    for (size_t i = 0; i < ARRAY_SIZE(course); i++) {
        do_it(&m, course[i]);
        do_it(&m, ACT);
        AUTO(json_drop) json_t *v = collect(&m);
        holds(&m, v, rooted);
    }
    AUTO(json_drop) json_t *last = collect(&m);
    assert_int_equal(json_array_size(json_object_get(last, "workload_log")), 3 + 1 + 4 + 4 + 4);
    tamper(&m, last, tpm);
    machine_off(&m);
}

static void machines_with_a_tpm(void **state)
{
    (void)state;
    lives("gcp-snp", true, true);
    lives("azure-tdx", true, true);
}

static void machines_with_rtmr3(void **state)
{
    (void)state;
    lives("tdx-vtpm", true, true);
    lives("tdx", false, true);
}

static void a_machine_with_report_data_alone(void **state)
{
    (void)state;
    lives("snp", false, false);
}

/* ---- all at once ---- */

/* A slow machine makes few documents meanwhile; the log is bounded. */
#define CHANGES_MAX 300

struct busy {
    struct machine *m;
    enum what a, b;
    atomic_bool stop;
};

static void *busy(void *arg)
{
    struct busy *b = arg;
    for (unsigned i = 0; !atomic_load(&b->stop); i++) {
        if (i < CHANGES_MAX)
            do_it(b->m, i % 2 ? b->b : b->a);
        else
            usleep(1000);
    }
    return NULL;
}

static void at_once(const char *shape, bool rooted)
{
    struct machine m;
    struct busy changes = { .m = &m, .a = UPDATE, .b = ROLLBACK }, acts = { .m = &m, .a = ACT, .b = ACT };
    pthread_t threads[2];
    unsigned documents = 0;
    machine_on(&m, shape);
    do_it(&m, START);
    assert_int_equal(pthread_create(&threads[0], NULL, busy, &changes), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, busy, &acts), 0);
    for (unsigned i = 0; i < 40; i++) {
        AUTO(json_drop) json_t *v = collect(&m);
        if (v)
            holds(&m, v, rooted);
        documents += v != NULL;
    }
    atomic_store(&changes.stop, true);
    atomic_store(&acts.stop, true);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert_true(documents > 0 || collector_shape(m.c)->tee == TEE_TDX);
    AUTO(json_drop) json_t *v = collect(&m);
    assert_non_null(v);
    holds(&m, v, rooted);
    machine_off(&m);
}

static void documents_while_it_changes(void **state)
{
    (void)state;
    at_once("gcp-snp", true);
    at_once("tdx", true);
    at_once("snp", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(machines_with_a_tpm),
        cmocka_unit_test(machines_with_rtmr3),
        cmocka_unit_test(a_machine_with_report_data_alone),
        cmocka_unit_test(documents_while_it_changes),
    };
    return cmocka_run_group_tests(tests, make_plans, NULL);
}
