#include "workload_log_rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct err why; /* of the last OK() */

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

void boot(struct place *p)
{
    static const uint8_t zero[RTMR_BYTES];
    if (p->swtpm.pid) {
        swtpm_kill(&p->swtpm);
        swtpm_start(&p->swtpm);
    }
    (void)unlink(p->log);
    OK(file_write_atomic(p->rtmr3_path, bytes_of(zero, sizeof(zero)), 0600, &why));
}

int machine_new(void **state)
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

int machine_done(void **state)
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

struct place *place_of(void **state)
{
    if (!*state)
        skip();
    return *state;
}

int open_place(struct place *p, struct err *err)
{
    const struct workload_log_options o = { .path = p->log,
                                            .boot_id = BOOT,
                                            .rtmr3 = p->has_rtmr3 ? &p->rtmr3 : NULL };
    if (tpm_open(p->swtpm.tcti, &p->tpm, err) < 0)
        return -1;
    return workload_log_open(&o, p->tpm, &p->w, err);
}

void close_place(struct place *p)
{
    workload_log_close(p->w);
    tpm_close(p->tpm);
    p->w = NULL;
    p->tpm = NULL;
}

struct digest pcr(struct place *p, unsigned i, uint16_t alg)
{
    struct tpm_pcrs pcrs;
    OK(tpm_pcr_read(p->tpm, alg, 1u << i, &pcrs, &why));
    return pcrs.pcr[i];
}

void foreign_extend(struct place *p, unsigned i)
{
    struct tpm_banks banks;
    struct digest d[TPM_BANKS_MAX];
    OK(tpm_banks_get(p->tpm, &banks, &why));
    for (size_t b = 0; b < banks.n; b++)
        OK(digest_of(banks.alg[b], bytes_str("system"), &d[b], &why));
    OK(tpm_pcr_extend(p->tpm, i, d, banks.n, &why));
}

static char web[] = "web", db[] = "db", compose[] = "docker-compose.yml", nothing[] = "";
static struct measure_event old_events[] = { { .type = "image", .name = web },
                                             { .type = "compose", .name = compose },
                                             { .type = "ready", .name = nothing } };
static struct measure_event new_events[] = { { .type = "image", .name = db },
                                             { .type = "image", .name = web },
                                             { .type = "compose", .name = compose },
                                             { .type = "ready", .name = nothing } };
const struct measure_plan old_plan = { old_events, 3 }, new_plan = { new_events, 4 };

int make_plans(void **state)
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

void assert_same(const struct digest *a, const struct digest *b, const char *what)
{
    if (!bytes_equal(digest_bytes(a), digest_bytes(b)))
        fail_msg("%s differs", what);
}

void assert_holds(struct place *p, const struct measure_plan *plan)
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

size_t count(struct place *p)
{
    return measured_log_count(workload_log_base(p->w));
}

enum workload_start start(struct place *p, const struct measure_plan *plan)
{
    enum workload_start how;
    OK(workload_log_start(p->w, p->tpm, plan, &how, &why));
    return how;
}
