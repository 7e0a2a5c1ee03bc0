/* Verification beside the operations of libcrypto that it cannot do without, in the same run.
 * usage: bench_verify AGENT CLI [--rounds N] [--verifications N] */
#include "verify_inputs.h"

#include "base/auto.h"
#include "base/file.h"

#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLI_RUNS 50

struct options {
    const char *agent, *cli;
    unsigned rounds;
    unsigned long verifications;
};

/* ---- the program ---- */

static double cli_once(char *const argv[])
{
    posix_spawn_file_actions_t quiet;
    pid_t pid;
    int status = -1;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    double from = now_us();
    if (posix_spawn(&pid, argv[0], &quiet, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) < 0
        || status != 0)
        bench_fatal("cvm-cli", &(struct err){ .cause = "the document is refused" });
    double took = now_us() - from;
    posix_spawn_file_actions_destroy(&quiet);
    return took;
}

static void bench_cli(const struct options *o, const struct input *in)
{
    char document[PATH_MAX + 32], roots[PATH_MAX + 32], *program = strdup(o->cli);
    char version[] = "--version", verb[] = "verify", trust[] = "--trust-emulator";
    char *const verify[] = { program, verb, document, trust, roots, NULL };
    char *const start[] = { program, version, NULL };
    struct samples runs = { 0 }, starts = { 0 };
    struct err err = { 0 };
    snprintf(document, sizeof(document), "%s/document.json", in->state);
    snprintf(roots, sizeof(roots), "%s/emulator/roots.pem", in->state);
    if (file_write_atomic(document, bytes_of(in->text, in->text_n), 0600, &err) < 0)
        bench_fatal(document, &err);
    for (unsigned i = 0; i < CLI_RUNS; i++) {
        samples_add(&starts, cli_once(start));
        samples_add(&runs, cli_once(verify));
    }
    printf("%-58s %10.2f ms\n", "bare: cvm-cli --version (loading the program), median of 50",
           samples_quantile(&starts, 0.5) / 1e3);
    stats_row("cvm-cli verify of the document, median of 50", samples_quantile(&runs, 0.5) / 1e3, "ms", 15,
              true);
    samples_done(&runs);
    samples_done(&starts);
    free(program);
}

/* ---- memory ---- */

static double resident_mib(void)
{
    struct agent_process self = { .pid = getpid() };
    return (double)agent_memory_kib(&self, "VmRSS") / 1024;
}

struct share {
    const struct input *in;
    struct verify_cache *cache;
    unsigned long n;
};

static void *verify_share(void *arg)
{
    const struct share *s = arg;
    for (unsigned long i = 0; i < s->n; i++)
        library_answer(s->in, s->cache);
    return NULL;
}

/* On two threads at once, as the service does it. */
static double memory_after(struct share *s, unsigned long verifications)
{
    pthread_t thread[2];
    s->n = verifications / 2;
    for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
        pthread_create(&thread[i], NULL, verify_share, s);
    for (size_t i = 0; i < ARRAY_SIZE(thread); i++)
        pthread_join(thread[i], NULL);
    return resident_mib();
}

static void bench_memory(const struct options *o, const struct input *in)
{
    struct share s = { .in = in };
    struct err err = { 0 };
    unsigned long tenth = o->verifications / 10;
    char what[64];
    if (verify_cache_new(VERIFY_CACHE_ENTRIES, &s.cache, &err) < 0)
        bench_fatal("cache", &err);
    double early = memory_after(&s, tenth), late = memory_after(&s, o->verifications - tenth);
    snprintf(what, sizeof(what), "VmRSS after %lu library verifications", tenth);
    printf("%-58s %10.2f MiB\n", what, early);
    snprintf(what, sizeof(what), "VmRSS after %lu", o->verifications);
    printf("%-58s %10.2f MiB\n", what, late);
    stats_row("growth between them", late - early, "MiB", 0.25, true);
    verify_cache_free(s.cache);
}

/* ---- all of it ---- */

static void bench(const struct options *o, const char *folder)
{
    AUTO(input_done) struct input snp = { .text = NULL };
    AUTO(input_done) struct input tdx = { .text = NULL };
    AUTO(input_done) struct input azure = { .text = NULL }; /* its TPM signs with RSA */
    struct agent_process agent;
    input_make(&tdx, o->agent, folder, "gcp-tdx", &agent);
    agent_stop(&agent);
    input_make(&azure, o->agent, folder, "azure-snp", &agent);
    agent_stop(&agent);
    input_make(&snp, o->agent, folder, "gcp-snp", &agent);
    printf("%-58s %10.2f KiB\n", "the emulated gcp-snp document", (double)snp.text_n / 1024);
    bench_snp(&snp, o->rounds);
    bench_tdx(&tdx, o->rounds);
    bench_tpm(&azure, o->rounds);
    bench_log(&snp, o->rounds);
    bench_service(&snp, &agent, o->rounds);
    agent_stop(&agent);
    bench_cli(o, &snp);
    bench_memory(o, &snp);
}

int main(int argc, char **argv)
{
    struct options o = { .rounds = 20, .verifications = 200000 };
    char folder[] = "/tmp/cvm-bench-XXXXXX";
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--rounds") && i + 1 < argc)
            o.rounds = (unsigned)atoi(argv[++i]);
        else if (!strcmp(argv[i], "--verifications") && i + 1 < argc)
            o.verifications = strtoul(argv[++i], NULL, 10);
        else
            *(o.agent ? &o.cli : &o.agent) = argv[i];
    }
    if (!o.agent || !o.cli) {
        fprintf(stderr, "usage: %s AGENT CLI [--rounds N] [--verifications N]\n", argv[0]);
        return 2;
    }
    if (!mkdtemp(folder))
        return 4;
    setvbuf(stdout, NULL, _IOLBF, 0);
    bench(&o, folder);
    printf("folder: %s\n", folder);
    return 0;
}
