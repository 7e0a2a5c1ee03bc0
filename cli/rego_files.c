#include "cli/rego_files.h"

#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BENCH_SECONDS 1.0

int rego_files_read(const char *const *path, struct rego_files *out)
{
    for (; path[out->n]; out->n++) {
        uint8_t *text = NULL;
        size_t n;
        int rc = read_input(path[out->n], REGO_MODULE_TEXT_MAX, &text, &n);
        if (rc)
            return rc;
        out->source[out->n] = (struct rego_source){ path[out->n], bytes_of(text, n) };
    }
    return 0;
}

void rego_files_done(struct rego_files *files)
{
    for (size_t i = 0; i < files->n; i++)
        free((void *)(uintptr_t)files->source[i].text.p);
}

int rego_refused(const struct rego_source *source, const struct rego_place *place, const struct err *err)
{
    struct buf text = buf_new(4096);
    int rc = fail_err(STATUS_INPUT, source->name, "policy refused", err);
    rego_put_place(&text, source->text, place);
    if (!text.failed)
        fwrite(buf_bytes(&text).p, 1, text.n, stderr);
    buf_done(&text);
    return rc;
}

int rego_files_compile(const struct rego_files *files, size_t first, size_t n,
                       const struct rego_options *options, struct rego **out)
{
    struct rego_place place;
    struct err err = { 0 };
    if (rego_compile(files->source + first, n, options, out, &place, &err) == 0)
        return 0;
    return rego_refused(&files->source[first + place.source], &place, &err);
}

static double now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int bench_one(const struct rego_files *files, size_t first, size_t n, const struct rego_run *run,
                     const struct rego_options *how)
{
    struct rego *policy = NULL;
    struct rego_result result = { 0 };
    struct err err = { 0 };
    size_t compiles = 0, evaluations = 0;
    int rc = rego_files_compile(files, first, n, how, &policy);
    double start = now_us(), compile, evaluate;
    for (; !rc && now_us() - start < BENCH_SECONDS * 1e6 / 4; compiles++) {
        rego_free(policy);
        policy = NULL;
        rc = rego_files_compile(files, first, n, how, &policy);
    }
    compile = (now_us() - start) / (double)(compiles ? compiles : 1);
    start = now_us();
    for (; !rc && now_us() - start < BENCH_SECONDS * 1e6; evaluations++) {
        rego_result_done(&result);
        if (rego_evaluate(policy, run, &result, &err) < 0)
            rc = fail_err(4, files->source[first].name, "evaluation error", &err);
    }
    evaluate = (now_us() - start) / (double)(evaluations ? evaluations : 1);
    if (!rc)
        printf("%s: compile %.1f us, evaluate %.2f us, %zu bytes of memory, %llu steps\n",
               files->source[first].name, compile, evaluate, result.memory, (unsigned long long)result.steps);
    rego_result_done(&result);
    rego_free(policy);
    return rc;
}

int rego_files_bench(const struct rego_files *files, const struct rego_run *run, bool strict,
                     const char *query)
{
    const struct rego_options how = { .mode = query ? REGO_QUERY : REGO_POLICY,
                                      .strict = strict,
                                      .query = query };
    int rc = 0;
    if (query)
        return bench_one(files, 0, files->n, run, &how);
    for (size_t i = 0; i < files->n && !rc; i++)
        rc = bench_one(files, i, 1, run, &how);
    return rc;
}
