/* /collaterals beside the bare work it must do: TPM quote + PCR read + report signing, in the same run.
 * usage: bench_collaterals AGENT [--image AGENT --tcti TCTI] [--rounds N] */
#include "agent_process.h"
#include "http_client.h"
#include "stats.h"

#include "base/auto.h"
#include "base/digest.h"
#include "tee/emulator/emulator.h"
#include "tee/report.h"
#include "tpm/tpm.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK   50 /* requests of one kind before the other kind has its turn: shared noise */
#define CLIENTS 64

struct options {
    const char *agent, *image, *tcti;
    unsigned rounds;
};

static void fatal(const char *what, const struct err *err)
{
    fprintf(stderr, "bench: %s: %s\n", what, err->cause);
    exit(4);
}

/* ---- the bare loop ---- */

struct bare {
    struct emulator *machine;
    struct lower lower;
    TSS2_TCTI_CONTEXT *tcti;
    struct tpm *tpm;
    struct tpm_ak ak;
};

static void bare_open(struct bare *b, const char *state)
{
    struct err err = { 0 };
    if (emulator_new("gcp-snp", state, NULL, &b->machine, &err) < 0)
        fatal("emulator", &err);
    b->lower = emulator_lower(b->machine);
    const struct ak_place *place = &emulator_shape(b->machine)->ak[0];
    if (b->lower.tpm.open(b->lower.tpm.ctx, &b->tcti, &err) < 0 || tpm_open_tcti(b->tcti, &b->tpm, &err) < 0
        || tpm_ak_load(b->tpm, place->source, place->handle, &b->ak, &err) < 0)
        fatal("TPM", &err);
}

static void bare_close(struct bare *b)
{
    tpm_ak_done(b->tpm, &b->ak);
    tpm_close(b->tpm);
    b->lower.tpm.close(b->lower.tpm.ctx, b->tcti);
    emulator_free(b->machine);
}

static void bare_once(struct bare *b, unsigned i)
{
    AUTO(buf_done) struct buf quote = buf_new(4096), sig = buf_new(4096);
    AUTO(tee_report_done) struct tee_report report = { 0 };
    struct tpm_pcrs pcrs;
    struct err err = { 0 };
    uint8_t data[REPORT_DATA_SIZE] = { 0 };
    memcpy(data, &i, sizeof(i));
    if (tpm_quote(b->tpm, &b->ak, ALG_SHA256, TPM_PCRS_ALL, bytes_of(data, 32), &quote, &sig, &err) < 0
        || tpm_pcr_read(b->tpm, ALG_SHA256, TPM_PCRS_ALL, &pcrs, &err) < 0
        || tee_report_get(&b->lower, TEE_SEV_SNP, data, &report, &err) < 0)
        fatal("bare loop", &err);
}

/* ---- 64 clients ---- */

struct load {
    uint16_t port;
    double until_us;
    atomic_uint started;
    struct samples latency[CLIENTS];
    atomic_ulong failed;
};

struct load_client {
    struct load *load;
    unsigned number;
};

static void *load_client(void *arg)
{
    struct load_client *me = arg;
    struct http_client client;
    struct err err = { 0 };
    if (http_client_open(&client, me->load->port, &err) < 0)
        fatal("client", &err);
    for (unsigned i = 0; now_us() < me->load->until_us; i++) {
        char path[64];
        double from = now_us();
        snprintf(path, sizeof(path), "/collaterals/c%u-%u", me->number, i);
        if (http_client_get(&client, path, NULL, &err) == 200)
            samples_add(&me->load->latency[me->number], now_us() - from);
        else
            atomic_fetch_add(&me->load->failed, 1);
    }
    http_client_close(&client);
    return NULL;
}

/* @return requests a second; all latencies go to *all */
static double run_load(uint16_t port, double seconds, struct samples *all, unsigned long *failed)
{
    struct load load = { .port = port };
    pthread_t threads[CLIENTS];
    struct load_client clients[CLIENTS];
    double from = now_us();
    load.until_us = from + seconds * 1e6;
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct load_client){ &load, i };
        pthread_create(&threads[i], NULL, load_client, &clients[i]);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    double took = now_us() - from;
    for (unsigned i = 0; i < CLIENTS; i++) {
        for (size_t k = 0; k < load.latency[i].n; k++)
            samples_add(all, load.latency[i].us[k]);
        samples_done(&load.latency[i]);
    }
    *failed = atomic_load(&load.failed);
    return (double)all->n / took * 1e6;
}

/* ---- the table ---- */

static void bench_latency(const struct options *o, struct bare *bare, const char *folder)
{
    struct agent_process agent;
    struct http_client client;
    struct err err = { 0 };
    struct samples raw = { 0 }, http = { 0 }, loaded = { 0 };
    const char *const extra[] = { "--emulate", "gcp-snp", NULL };
    char state[512];
    size_t size = 0;
    unsigned long failed = 0;
    snprintf(state, sizeof(state), "%s/agent", folder);
    mkdir(state, 0700);
    if (agent_start(&agent, o->agent, state, extra, &err) < 0)
        fatal("first start", &err);
    printf("%-58s %10.2f ms     (keys and certificates are made)\n", "first start to the first /platform",
           (agent.answering_us - agent.started_us) / 1e3);
    agent_stop(&agent);
    if (agent_start(&agent, o->agent, state, extra, &err) < 0)
        fatal("second start", &err);
    stats_row("cold start to the first /platform", (agent.answering_us - agent.started_us) / 1e3, "ms", 100,
              true);
    if (http_client_open(&client, agent.port, &err) < 0)
        fatal("client", &err);
    for (unsigned r = 0; r < o->rounds; r++) {
        for (unsigned i = 0; i < BLOCK; i++) {
            double from = now_us();
            bare_once(bare, i);
            samples_add(&raw, now_us() - from);
        }
        for (unsigned i = 0; i < BLOCK; i++) {
            char path[64];
            snprintf(path, sizeof(path), "/collaterals/r%u-%u", r, i);
            double from = now_us();
            if (http_client_get(&client, path, &size, &err) != 200)
                fatal("/collaterals", &err);
            samples_add(&http, now_us() - from);
        }
    }
    http_client_close(&client);
    double bare_median = samples_quantile(&raw, 0.5), http_median = samples_quantile(&http, 0.5);
    printf("%-58s %10.2f us     p99 %.0f us\n", "bare: quote + 24 PCRs + report, median", bare_median,
           samples_quantile(&raw, 0.99));
    printf("%-58s %10.2f us     p99 %.0f us, %zu bytes\n", "/collaterals, one client, median", http_median,
           samples_quantile(&http, 0.99), size);
    stats_row("/collaterals over the bare work, medians", http_median / bare_median, "x", 1.10, true);
    double rate = run_load(agent.port, 5, &loaded, &failed), bare_rate = 1e6 / bare_median;
    printf("%-58s %10.2f /s     %lu failed\n", "/collaterals at 64 clients", rate, failed);
    stats_row("throughput at 64 clients over the bare loop's", rate / bare_rate, "x", 0.95, false);
    stats_row("p99 at 64 clients over the queueing bound (64 x bare)",
              samples_quantile(&loaded, 0.99) / (CLIENTS * bare_median), "x", 2, true);
    agent_stop(&agent);
    samples_done(&raw);
    samples_done(&http);
    samples_done(&loaded);
}

/* Memory of the build without emulator, against a TPM of its own. */
static void bench_memory(const struct options *o, const char *folder)
{
    struct agent_process agent;
    struct samples loaded = { 0 };
    struct err err = { 0 };
    const char *const extra[] = { "--tcti", o->tcti, NULL };
    char state[512];
    unsigned long failed = 0;
    struct stat st = { 0 };
    snprintf(state, sizeof(state), "%s/image", folder);
    mkdir(state, 0700);
    if (agent_start(&agent, o->image, state, extra, &err) < 0)
        fatal("image build", &err);
    stats_row("image: RssAnon idle", (double)agent_memory_kib(&agent, "RssAnon") / 1024, "MiB", 4, true);
    run_load(agent.port, 5, &loaded, &failed);
    stats_row("image: RssAnon after 64 clients", (double)agent_memory_kib(&agent, "RssAnon") / 1024, "MiB",
              16, true);
    stats_row("image: VmHWM (peak VmRSS)", (double)agent_memory_kib(&agent, "VmHWM") / 1024, "MiB", 20, true);
    if (stat(o->image, &st) == 0)
        stats_row("image: size of the program file", (double)st.st_size / 1048576, "MiB", 1, true);
    agent_stop(&agent);
    samples_done(&loaded);
}

int main(int argc, char **argv)
{
    struct options o = { .rounds = 20 };
    struct bare bare = { 0 };
    char folder[] = "/tmp/cvm-bench-XXXXXX", state[64];
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--image") && i + 1 < argc)
            o.image = argv[++i];
        else if (!strcmp(argv[i], "--tcti") && i + 1 < argc)
            o.tcti = argv[++i];
        else if (!strcmp(argv[i], "--rounds") && i + 1 < argc)
            o.rounds = (unsigned)atoi(argv[++i]);
        else
            o.agent = argv[i];
    }
    if (!o.agent || (o.image && !o.tcti)) {
        fprintf(stderr, "usage: %s AGENT [--image AGENT --tcti TCTI] [--rounds N]\n", argv[0]);
        return 2;
    }
    if (!mkdtemp(folder))
        return 4;
    snprintf(state, sizeof(state), "%s/bare", folder);
    mkdir(state, 0700);
    setvbuf(stdout, NULL, _IOLBF, 0);
    bare_open(&bare, state);
    bench_latency(&o, &bare, folder);
    bare_close(&bare);
    if (o.image)
        bench_memory(&o, folder);
    printf("folder: %s\n", folder);
    return 0;
}
