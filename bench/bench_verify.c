/* Verification beside the operations of libcrypto that it cannot do without, in the same run.
 * usage: bench_verify AGENT CLI [--rounds N] [--verifications N] */
#include "verify_inputs.h"

#include "base/auto.h"
#include "base/file.h"

#include <fcntl.h>
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

static void cli_once(const char *cli, const char *document, const char *roots)
{
    char verb[] = "verify", trust[] = "--trust-emulator", nonce[] = "--nonce", word[] = "bench";
    char *program = strdup(cli), *from = strdup(document), *pem = strdup(roots);
    char *const argv[] = { program, verb, from, trust, pem, nonce, word, NULL };
    posix_spawn_file_actions_t quiet;
    pid_t pid;
    int status = -1;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawn(&pid, cli, &quiet, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) < 0
        || status != 0)
        bench_fatal("cvm-cli verify", &(struct err){ .cause = "the document is refused" });
    posix_spawn_file_actions_destroy(&quiet);
    free(program);
    free(from);
    free(pem);
}

static void bench_cli(const struct options *o, const struct input *in)
{
    char document[PATH_MAX + 32], roots[PATH_MAX + 32];
    struct samples runs = { 0 };
    struct err err = { 0 };
    snprintf(document, sizeof(document), "%s/document.json", in->state);
    snprintf(roots, sizeof(roots), "%s/emulator/roots.pem", in->state);
    if (file_write_atomic(document, bytes_of(in->text, in->text_n), 0600, &err) < 0)
        bench_fatal(document, &err);
    for (unsigned i = 0; i < CLI_RUNS; i++) {
        double from = now_us();
        cli_once(o->cli, document, roots);
        samples_add(&runs, now_us() - from);
    }
    stats_row("cvm-cli verify of the document, median of 50", samples_quantile(&runs, 0.5) / 1e3, "ms", 15,
              true);
    samples_done(&runs);
}

/* ---- memory ---- */

static double resident_mib(void)
{
    struct agent_process self = { .pid = getpid() };
    return (double)agent_memory_kib(&self, "VmRSS") / 1024;
}

static void bench_memory(const struct options *o, const struct input *in)
{
    struct verify_cache *cache;
    struct err err = { 0 };
    double early = 0;
    if (verify_cache_new(VERIFY_CACHE_ENTRIES, &cache, &err) < 0)
        bench_fatal("cache", &err);
    for (unsigned long i = 0; i < o->verifications; i++) {
        if (i == o->verifications / 10)
            early = resident_mib();
        library_answer(in, cache);
    }
    double late = resident_mib();
    printf("VmRSS after %8lu library verifications %29.2f MiB\n", o->verifications / 10, early);
    printf("VmRSS after %8lu library verifications %29.2f MiB\n", o->verifications, late);
    stats_row("growth between them", late - early, "MiB", 0.25, true);
    verify_cache_free(cache);
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
