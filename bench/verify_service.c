/* POST /offchain-verify beside the library, and both in parallel. */
#include "verify_inputs.h"

#include "http_client.h"

#include "base/auto.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define SLICE_US     250e3 /* one thread, then two, and again */
#define PARALLEL_MAX 2

struct service {
    struct input *in;
    struct verify_cache *cache;
    struct buf body;
    struct http_client client[PARALLEL_MAX];
};

static void post(const struct service *s, struct http_client *client)
{
    static const char good[] = "{\"success\":true";
    struct err err = { 0 };
    int status = http_client_post(client, "/offchain-verify", buf_bytes(&s->body), &err);
    if (status == 200 && client->body.n > sizeof(good) && !memcmp(client->body.p, good, sizeof(good) - 1))
        return;
    fprintf(stderr, "bench: /offchain-verify: %d %.300s\n", status,
            status > 0 ? (const char *)client->body.p : err.cause);
    exit(4);
}

static void library_once(void *ctx)
{
    const struct service *s = ctx;
    library_answer(s->in, s->cache);
}

static void post_once(void *ctx)
{
    struct service *s = ctx;
    post(s, &s->client[0]);
}

/* ---- in parallel ---- */

struct runner {
    struct service *service;
    unsigned number;
    bool over_http;
    double until_us;
    unsigned long done;
};

static void *run(void *arg)
{
    struct runner *r = arg;
    while (now_us() < r->until_us) {
        if (r->over_http)
            post(r->service, &r->service->client[r->number]);
        else
            library_answer(r->service->in, r->service->cache);
        r->done++;
    }
    return NULL;
}

/* @return operations a second */
static double slice(struct service *s, unsigned threads, bool over_http)
{
    struct runner runner[PARALLEL_MAX];
    pthread_t thread[PARALLEL_MAX];
    unsigned long done = 0;
    double from = now_us();
    for (unsigned i = 0; i < threads; i++) {
        runner[i] = (struct runner){ s, i, over_http, from + SLICE_US, 0 };
        pthread_create(&thread[i], NULL, run, &runner[i]);
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
        done += runner[i].done;
    }
    return (double)done / (now_us() - from) * 1e6;
}

static void parallel(struct service *s, unsigned rounds, bool over_http)
{
    struct samples one = { 0 }, two = { 0 };
    for (unsigned i = 0; i < rounds; i++) {
        samples_add(&one, slice(s, 1, over_http));
        samples_add(&two, slice(s, 2, over_http));
    }
    double single = samples_quantile(&one, 0.5), both = samples_quantile(&two, 0.5);
    const char *what = over_http ? "/offchain-verify, one client and two" : "library, one thread and two";
    printf("%-58s %10.0f /s     %.0f /s\n", what, single, both);
    stats_row(over_http ? "/offchain-verify: two clients over one" : "library: two threads over one",
              both / single, "x", 1.8, false);
    samples_done(&one);
    samples_done(&two);
}

void bench_service(struct input *in, const struct agent_process *agent, unsigned rounds)
{
    struct service s = { .in = in, .body = buf_new(4u << 20) };
    struct err err = { 0 };
    buf_str(&s.body, "{\"nonce\":\"bench\",\"trust_roots\":");
    json_put_string(&s.body, bytes_of(in->roots, in->roots_n));
    buf_str(&s.body, ",\"collaterals\":");
    buf_put(&s.body, bytes_of(in->text, in->text_n));
    buf_u8(&s.body, '}');
    if (buf_check(&s.body, "body", &err) < 0 || verify_cache_new(VERIFY_CACHE_ENTRIES, &s.cache, &err) < 0)
        bench_fatal("service", &err);
    for (unsigned i = 0; i < PARALLEL_MAX; i++)
        if (http_client_open(&s.client[i], agent->port, &err) < 0)
            bench_fatal("client", &err);
    struct race race = { library_once, post_once, &s, rounds, 0, 0 };
    race_print(&race, "library: the whole answer of a document, one thread",
               "POST /offchain-verify, one client", "/offchain-verify's rate over the library's", 0.85, true);
    parallel(&s, rounds, false);
    parallel(&s, rounds, true);
    for (unsigned i = 0; i < PARALLEL_MAX; i++)
        http_client_close(&s.client[i]);
    verify_cache_free(s.cache);
    buf_done(&s.body);
}
