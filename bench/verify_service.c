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
    struct snp_bench *bare;
    uint16_t port;
    struct http_client client; /* of the race */
};

static void connect_client(const struct service *s, struct http_client *client)
{
    struct err err = { 0 };
    if (http_client_open(client, s->port, &err) < 0)
        bench_fatal("client", &err);
}

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
    post(s, &s->client);
}

static void bare_once(void *ctx)
{
    snp_bare_once(((struct service *)ctx)->bare);
}

/* ---- in parallel ---- */

struct runner {
    struct service *service;
    void (*once)(struct runner *r);
    struct http_client client;
    double until_us;
    unsigned long done;
};

static void run_library(struct runner *r)
{
    library_once(r->service);
}

static void run_post(struct runner *r)
{
    post(r->service, &r->client);
}

static void run_bare(struct runner *r)
{
    bare_once(r->service);
}

static void *run(void *arg)
{
    struct runner *r = arg;
    for (; now_us() < r->until_us; r->done++)
        r->once(r);
    return NULL;
}

/* @return operations a second */
static double slice(struct service *s, unsigned threads, void (*once)(struct runner *r))
{
    struct runner runner[PARALLEL_MAX];
    pthread_t thread[PARALLEL_MAX];
    unsigned long done = 0;
    for (unsigned i = 0; i < threads; i++) {
        runner[i] = (struct runner){ .service = s, .once = once };
        connect_client(s, &runner[i].client);
    }
    double from = now_us();
    for (unsigned i = 0; i < threads; i++) {
        runner[i].until_us = from + SLICE_US;
        pthread_create(&thread[i], NULL, run, &runner[i]);
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
        done += runner[i].done;
    }
    double took = now_us() - from;
    for (unsigned i = 0; i < threads; i++)
        http_client_close(&runner[i].client);
    return (double)done / took * 1e6;
}

/* How two threads scale, beside how two threads of one bare P-384 verification each do: a shared machine does
 * not always have two cores to give. */
static void parallel(struct service *s, unsigned rounds)
{
    static const struct {
        const char *what;
        void (*once)(struct runner *r);
    } kinds[] = { { "bare P-384 verification", run_bare },
                  { "library", run_library },
                  { "/offchain-verify", run_post } };
    struct samples one[ARRAY_SIZE(kinds)] = { { 0 } }, two[ARRAY_SIZE(kinds)] = { { 0 } };
    double bare = 0;
    for (unsigned i = 0; i < rounds; i++)
        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
            samples_add(&one[k], slice(s, 1, kinds[k].once));
            samples_add(&two[k], slice(s, 2, kinds[k].once));
        }
    for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
        double single = samples_quantile(&one[k], 0.5), both = samples_quantile(&two[k], 0.5);
        char what[64];
        snprintf(what, sizeof(what), "%s, one in parallel and two", kinds[k].what);
        printf("%-58s %10.0f /s     %.0f /s\n", what, single, both);
        snprintf(what, sizeof(what), "%s: two over one", kinds[k].what);
        stats_row(what, both / single, "x", 1.8, false);
        if (k == 0)
            bare = both / single;
        snprintf(what, sizeof(what), "%s: of the bare verification's", kinds[k].what);
        if (k > 0)
            stats_row(what, both / single / bare, "x", 0.9, false);
        samples_done(&one[k]);
        samples_done(&two[k]);
    }
}

void bench_service(struct input *in, const struct agent_process *agent, unsigned rounds)
{
    struct service s = { .in = in, .body = buf_new(4u << 20), .port = agent->port, .bare = snp_bare_new(in) };
    struct err err = { 0 };
    buf_str(&s.body, "{\"nonce\":\"bench\",\"trust_roots\":");
    json_put_string(&s.body, bytes_of(in->roots, in->roots_n));
    buf_str(&s.body, ",\"collaterals\":");
    buf_put(&s.body, bytes_of(in->text, in->text_n));
    buf_u8(&s.body, '}');
    if (buf_check(&s.body, "body", &err) < 0 || verify_cache_new(VERIFY_CACHE_ENTRIES, &s.cache, &err) < 0)
        bench_fatal("service", &err);
    connect_client(&s, &s.client);
    struct race race = { library_once, post_once, &s, rounds, 0, 0 };
    race_print(&race, "library: the whole answer of a document, one thread",
               "POST /offchain-verify, one client", "/offchain-verify's rate over the library's", 0.85, true);
    http_client_close(&s.client);
    parallel(&s, rounds);
    snp_bare_free(s.bare);
    verify_cache_free(s.cache);
    buf_done(&s.body);
}
