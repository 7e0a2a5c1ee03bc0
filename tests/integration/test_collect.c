/* evidence/collect under trouble: devices that go and come back, queues that fill, certificates that do not
 * come. The TPM is a real swtpm, the rest an emulated machine whose lowest calls a test can break. */
#include "evidence.h"
#include "swtpm.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"
#include "evidence/collect.h"
#include "tee/emulator/emulator.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAGIC "Internal/collaterals"

struct world {
    struct swtpm tpm;
    char folder[40];
    struct emulator *machine;
    struct lower real, broken; /* broken: real with the switches below */
    struct collector *c;
    atomic_int tsm_fails, http_fails;
    atomic_int tsm_slow_ms, http_slow_ms;
};

/* ---- switches over the machine's lowest calls ---- */

static int tsm_make(void *ctx, const char *entry)
{
    struct world *w = ctx;
    if (atomic_load(&w->tsm_fails))
        return -EIO;
    usleep((unsigned)atomic_load(&w->tsm_slow_ms) * 1000);
    return w->real.tsm.make(w->real.tsm.ctx, entry);
}

static int tsm_remove(void *ctx, const char *entry)
{
    struct world *w = ctx;
    return w->real.tsm.remove(w->real.tsm.ctx, entry);
}

static int tsm_write(void *ctx, const char *entry, const char *attr, struct bytes data)
{
    struct world *w = ctx;
    return w->real.tsm.write(w->real.tsm.ctx, entry, attr, data);
}

static ssize_t tsm_read(void *ctx, const char *entry, const char *attr, uint8_t *out, size_t max)
{
    struct world *w = ctx;
    return w->real.tsm.read(w->real.tsm.ctx, entry, attr, out, max);
}

static int http(void *ctx, const struct http_request *request, struct http_response *out, struct err *err)
{
    struct world *w = ctx;
    usleep((unsigned)atomic_load(&w->http_slow_ms) * 1000);
    if (atomic_load(&w->http_fails))
        return err_set(err, ERR_UNAVAILABLE, 0, "%s: the network is down", request->url);
    return http_perform(&w->real.http, request, out, err);
}

/* ---- the world ---- */

static void open_machine(struct world *w, const char *shape, const char *tcti)
{
    struct err err = { 0 };
    if (emulator_new(shape, w->folder, tcti, &w->machine, &err) < 0)
        fail_msg("%s", err.cause);
    w->real = emulator_lower(w->machine);
    w->broken = w->real;
    w->broken.tsm = (struct tsm_io){
        .make = tsm_make, .remove = tsm_remove, .write = tsm_write, .read = tsm_read, .ctx = w
    };
    w->broken.http = (struct http){ http, w };
}

static void open_collector(struct world *w, unsigned queue, unsigned outside)
{
    struct err err = { 0 };
    struct collector_options o = { .lower = &w->broken, .queue = queue, .queue_outside = outside };
    if (collector_new(&o, &w->c, &err) < 0)
        fail_msg("%s", err.cause);
}

static struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof(*w));
    strcpy(w->folder, "/tmp/cvm-collect-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    return w;
}

static void world_free(struct world *w)
{
    char command[96];
    collector_free(w->c);
    emulator_free(w->machine);
    if (w->tpm.dir[0])
        swtpm_done(&w->tpm);
    snprintf(command, sizeof(command), "rm -rf %s", w->folder);
    assert_int_equal(system(command), 0);
    free(w);
}

static struct collect_request request_of(const char *nonce)
{
    return (
        struct collect_request){ .magic = bytes_str(MAGIC), .nonce = bytes_str(nonce), .bank = ALG_SHA256 };
}

static int collect(struct world *w, const char *nonce, json_t **doc, struct err *err)
{
    struct collect_request r = request_of(nonce);
    struct evidence *e = NULL;
    struct document_extras extras = { 0 };
    AUTO(buf_done) struct buf text = buf_new(8 << 20);
    if (collector_run(w->c, &r, &e, err) < 0)
        return -1;
    int rc = evidence_document(w->c, e, &extras, &text, err);
    evidence_free(e);
    if (rc < 0)
        return -1;
    struct err bad = { 0 };
    if (json_parse(buf_bytes(&text), 8 << 20, doc, &bad) < 0)
        fail_msg("the document is not JSON: %s", bad.cause);
    return 0;
}

static void expect_collects(struct world *w, const char *nonce)
{
    AUTO(json_drop) json_t *doc = NULL;
    struct err err = { 0 };
    char text[ERR_TEXT_MAX];
    if (collect(w, nonce, &doc, &err) < 0)
        fail_msg("%s", err_text(&err, text, sizeof(text)));
    assert_non_null(json_object_get(json_object_get(doc, "tpm"), "quote"));
}

static void expect_fails(struct world *w, enum err_kind kind)
{
    AUTO(json_drop) json_t *doc = NULL;
    struct err err = { 0 };
    assert_int_equal(collect(w, "x", &doc, &err), -1);
    if (err.kind != kind)
        fail_msg("kind %d: %s", err.kind, err.cause);
}

/* ---- tests ---- */

static void a_tpm_that_goes_and_comes_back(void **state)
{
    (void)state;
    if (!swtpm_available())
        skip();
    struct world *w = world_new();
    swtpm_new(&w->tpm);
    open_machine(w, "snp-vtpm", w->tpm.tcti);
    open_collector(w, 16, 8);
    expect_collects(w, "before");
    swtpm_kill(&w->tpm);
    expect_fails(w, ERR_UNAVAILABLE);
    expect_fails(w, ERR_UNAVAILABLE);
    swtpm_start(&w->tpm);
    expect_collects(w, "after");
    struct collector_stats stats;
    collector_stats_get(w->c, &stats);
    assert_int_equal(stats.collected, 2);
    assert_int_equal(stats.failed, 2);
    assert_true(stats.tpm_reopened >= 2);
    world_free(w);
}

static void a_tee_device_that_fails_and_recovers(void **state)
{
    (void)state;
    struct world *w = world_new();
    open_machine(w, "gcp-snp", NULL);
    open_collector(w, 16, 8);
    expect_collects(w, "before");
    atomic_store(&w->tsm_fails, 1);
    expect_fails(w, ERR_UNAVAILABLE);
    atomic_store(&w->tsm_fails, 0);
    expect_collects(w, "after");
    world_free(w);
}

static void no_certificate_is_no_failure(void **state)
{
    (void)state;
    struct world *w = world_new();
    AUTO(json_drop) json_t *doc = NULL;
    struct err err = { 0 };
    open_machine(w, "snp", NULL);
    atomic_store(&w->http_fails, 1);
    open_collector(w, 16, 8);
    assert_int_equal(collect(w, "x", &doc, &err), 0);
    const json_t *missing = json_object_get(doc, "missing");
    assert_non_null(json_object_get(missing, "vek_cert"));
    assert_non_null(strstr(json_string_value(json_object_get(missing, "vek_cert")), "network is down"));
    assert_null(json_object_get(json_object_get(doc, "sev_snp"), "vek_cert"));
    json_decref(MOVE(doc));
    atomic_store(&w->http_fails, 0); /* the background fetch tries again by itself */
    for (int i = 0; i < 100 && !json_object_get(json_object_get(doc, "sev_snp"), "vek_cert"); i++) {
        json_decref(MOVE(doc));
        usleep(100000);
        assert_int_equal(collect(w, "x", &doc, &err), 0);
    }
    assert_non_null(json_object_get(json_object_get(doc, "sev_snp"), "vek_cert"));
    assert_int_equal(json_array_size(json_object_get(json_object_get(doc, "sev_snp"), "cert_chain")), 2);
    world_free(w);
}

struct tally {
    atomic_int done, good;
};

static void count_done(void *arg, struct evidence *evidence, const struct err *err)
{
    struct tally *t = arg;
    (void)err;
    if (evidence)
        atomic_fetch_add(&t->good, 1);
    evidence_free(evidence);
    atomic_fetch_add(&t->done, 1);
}

static void a_full_queue_is_said_and_outsiders_get_half(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct err err = { 0 };
    struct tally t = { 0 };
    int taken = 0;
    open_machine(w, "snp-vtpm", NULL);
    open_collector(w, 8, 4);
    expect_collects(w, "before");
    atomic_store(&w->tsm_slow_ms, 100);
    for (int i = 0; i < 10; i++) {
        struct collect_request r = request_of("outside");
        r.outside = true;
        taken += collector_submit(w->c, &r, count_done, &t, &err) == 0;
    }
    assert_true(taken >= 4 && taken <= 6); /* four wait; one or two may have left the queue already */
    assert_int_equal(err.kind, ERR_LIMITED);
    struct collect_request inside = request_of("inside");
    assert_int_equal(collector_submit(w->c, &inside, count_done, &t, &err), 0);
    taken++;
    for (int i = 0; i < 200 && atomic_load(&t.done) < taken; i++)
        usleep(50000);
    /* a request that the second device's queue refuses ends early, through its callback */
    assert_int_equal(atomic_load(&t.done), taken);
    assert_true(atomic_load(&t.good) >= 5);
    world_free(w);
}

static void pcrs_that_move_are_read_again(void **state)
{
    (void)state;
    if (!swtpm_available())
        skip();
    struct world *w = world_new();
    swtpm_new(&w->tpm);
    open_machine(w, "tdx-vtpm", w->tpm.tcti);
    open_collector(w, 16, 8);
    for (int i = 0; i < 5; i++) {
        AUTO(json_drop) json_t *doc = NULL;
        AUTO(buf_done) struct buf pcr = buf_new(64);
        struct err err = { 0 };
        char before[65], after[65];
        assert_int_equal(collect(w, "a", &doc, &err), 0);
        const json_t *pcrs = json_object_get(json_object_get(json_object_get(doc, "tpm"), "pcrs"), "pcrs");
        assert_int_equal(json_get_b64(pcrs, "16", &pcr, &err), 0);
        hex_to(before, buf_bytes(&pcr));
        /* another program of the machine extends PCR 16 behind the collector's back */
        assert_int_equal(tpm2_tool(w->tpm.tcti, "tpm2_pcrextend 16:sha256=%064d", i + 1), 0);
        json_decref(MOVE(doc));
        assert_int_equal(collect(w, "b", &doc, &err), 0);
        pcrs = json_object_get(json_object_get(json_object_get(doc, "tpm"), "pcrs"), "pcrs");
        pcr.n = 0;
        assert_int_equal(json_get_b64(pcrs, "16", &pcr, &err), 0);
        hex_to(after, buf_bytes(&pcr));
        assert_string_not_equal(before, after);
    }
    world_free(w);
}

static void closing_answers_every_request(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct err err = { 0 };
    struct tally t = { 0 };
    int taken = 0;
    open_machine(w, "snp", NULL);
    atomic_store(&w->http_slow_ms, 300); /* certificates are on their way when the collector closes */
    open_collector(w, 16, 8);
    atomic_store(&w->tsm_slow_ms, 50);
    for (int i = 0; i < 8; i++) {
        struct collect_request r = request_of("x");
        taken += collector_submit(w->c, &r, count_done, &t, &err) == 0;
    }
    usleep(120000);
    collector_free(w->c);
    w->c = NULL;
    assert_int_equal(atomic_load(&t.done), taken);
    world_free(w);
}

static void requests_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct err err = { 0 };
    open_machine(w, "gcp-snp", NULL);
    open_collector(w, 16, 8);
    struct collect_request r = request_of("");
    assert_int_equal(collector_submit(w->c, &r, count_done, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    r = request_of("1234567890123456789012345678901");
    assert_int_equal(collector_submit(w->c, &r, count_done, NULL, &err), -1);
    r = request_of("x");
    r.fresh = true;
    assert_int_equal(collector_submit(w->c, &r, count_done, NULL, &err), -1);
    r = request_of("x");
    r.bank = ALG_SHA1;
    assert_int_equal(collector_submit(w->c, &r, count_done, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    world_free(w);
}

static void a_machine_with_nothing_says_what_was_looked_for(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct err err = { 0 };
    char empty[64];
    snprintf(empty, sizeof(empty), "%s/empty", w->folder);
    assert_int_equal(mkdir(empty, 0700), 0);
    struct lower_system storage;
    struct lower nothing = lower_system(&storage, empty, empty, empty, "device:/nonexistent", "device");
    nothing.boot_id = "test";
    struct collector_options o = { .lower = &nothing, .queue = 4, .queue_outside = 2 };
    assert_int_equal(collector_new(&o, &w->c, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    if (!strstr(err.cause, "configfs-tsm"))
        fail_msg("%s", err.cause);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tpm_that_goes_and_comes_back),
        cmocka_unit_test(a_tee_device_that_fails_and_recovers),
        cmocka_unit_test(no_certificate_is_no_failure),
        cmocka_unit_test(a_full_queue_is_said_and_outsiders_get_half),
        cmocka_unit_test(pcrs_that_move_are_read_again),
        cmocka_unit_test(closing_answers_every_request),
        cmocka_unit_test(requests_that_cannot_be_are_refused),
        cmocka_unit_test(a_machine_with_nothing_says_what_was_looked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
