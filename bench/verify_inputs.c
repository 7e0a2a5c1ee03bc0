#include "verify_inputs.h"

#include "http_client.h"

#include "base/auto.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ASK_MAX 100
#define BLOCK   50 /* operations of one kind before the other kind has its turn */

_Noreturn void bench_fatal(const char *what, const struct err *err)
{
    fprintf(stderr, "bench: %s: %s\n", what, err->cause);
    exit(4);
}

/* Certificates that the machine has still to fetch are not in its first document. */
static bool incomplete(const struct document *d)
{
    return json_object_size(json_object_get(d->root, "missing")) > 0 || (d->ak_cert.n && !d->ak_cert_chain.n)
           || (d->tee == TEE_SEV_SNP && !d->vek_cert.n);
}

static void ask(struct input *in, uint16_t port)
{
    struct http_client client;
    struct err err = { 0 };
    if (http_client_open(&client, port, &err) < 0)
        bench_fatal("client", &err);
    for (unsigned i = 0; i < ASK_MAX && (!in->text || incomplete(&in->document)); i++) {
        usleep(i ? 100000 : 0);
        free(in->text);
        document_done(&in->document);
        if (http_client_get(&client, "/collaterals/bench", NULL, &err) != 200)
            bench_fatal("/collaterals", &err);
        in->text_n = client.body.n;
        in->text = strndup((const char *)client.body.p, client.body.n);
        if (!in->text || document_parse(bytes_of(in->text, in->text_n), &in->document, &err) < 0)
            bench_fatal("the machine's document", &err);
    }
    http_client_close(&client);
}

static void load_roots(struct input *in)
{
    struct err err = { 0 };
    char path[PATH_MAX + 32];
    uint8_t *pem = NULL;
    snprintf(path, sizeof(path), "%s/emulator/roots.pem", in->state);
    if (file_read(path, 1u << 20, &pem, &in->roots_n, &err) < 0 || trust_load(&in->trust, &err) < 0
        || verify_trust_add_extra(&in->trust, bytes_of(pem, in->roots_n), &err) < 0)
        bench_fatal("roots of the emulated machine", &err);
    in->roots = (char *)pem;
}

void input_make(struct input *in, const char *program, const char *folder, const char *shape,
                struct agent_process *agent)
{
    const char *const extra[] = { "--emulate", shape, "--allow-emulated-roots", NULL };
    struct err err = { 0 };
    *in = (struct input){ .text = NULL };
    snprintf(in->state, sizeof(in->state), "%s/%s", folder, shape);
    mkdir(in->state, 0700);
    if (agent_start(agent, program, in->state, extra, &err) < 0)
        bench_fatal(shape, &err);
    ask(in, agent->port);
    load_roots(in);
    in->at = time(NULL);
}

void input_done(struct input *in)
{
    free(in->text);
    free(in->roots);
    document_done(&in->document);
    verify_trust_done(&in->trust);
}

void race_run(struct race *r)
{
    struct samples bare = { 0 }, ours = { 0 };
    for (unsigned i = 0; i < 2 * r->rounds * BLOCK; i++) {
        bool is_bare = i / BLOCK % 2 == 0;
        double from = now_us();
        (is_bare ? r->bare : r->ours)(r->ctx);
        samples_add(is_bare ? &bare : &ours, now_us() - from);
    }
    r->bare_us = samples_quantile(&bare, 0.5);
    r->ours_us = samples_quantile(&ours, 0.5);
    samples_done(&bare);
    samples_done(&ours);
}

void race_print(struct race *r, const char *bare, const char *ours, const char *ratio, double limit,
                bool inverse)
{
    race_run(r);
    printf("%-58s %10.2f us\n", bare, r->bare_us);
    printf("%-58s %10.2f us\n", ours, r->ours_us);
    if (inverse)
        stats_row(ratio, r->bare_us / r->ours_us, "x", limit, false);
    else
        stats_row(ratio, r->ours_us / r->bare_us, "x", limit, true);
}

void library_answer(const struct input *in, struct verify_cache *cache)
{
    AUTO(appraisal_done) struct appraisal appraisal = { NULL, NULL };
    AUTO(buf_done) struct buf text = buf_new(4u << 20);
    struct err err = { 0 };
    const struct appraise_request request = {
        .collaterals = bytes_of(in->text, in->text_n),
        .golden = bytes_of(NULL, 0),
        .golden_key = bytes_of(NULL, 0),
        .verify = { .trust = &in->trust,
                    .cache = cache,
                    .at = in->at,
                    .nonce = bytes_of("bench", 5),
                    .accept_tcb = TDX_ACCEPT_DEFAULT },
    };
    if (appraise(&request, &appraisal, &err) < 0)
        bench_fatal("library", &err);
    AUTO(json_drop) json_t *answer = appraisal_json(&appraisal);
    json_put(&text, answer, false);
    if (!json_is_true(json_object_get(answer, "success")) || buf_check(&text, "answer", &err) < 0) {
        fprintf(stderr, "bench: the document is refused: %s\n",
                json_string_value(json_object_get(answer, "error")));
        exit(4);
    }
}
