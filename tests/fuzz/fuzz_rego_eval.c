/* A policy, a NUL, and its input: an evaluation ends within its limits; the same evaluation gives the same
 * answer; a match without an answer, or an error without a reason, there is not; the answer reads as JSON. */
#include "fuzz.h"

#include "base/auto.h"
#include "policy/rego/policy.h"

#include <string.h>

static void check_twice(const struct rego *policy, const struct rego_run *run)
{
    AUTO(rego_result_done) struct rego_result a = { 0 };
    AUTO(rego_result_done) struct rego_result b = { 0 };
    struct rego_run explained = *run;
    struct err err = { 0 };
    explained.explain = true;
    int rc = rego_evaluate(policy, run, &a, &err);
    if (rc < 0) {
        CHECK((err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE) && err.cause[0]);
        return;
    }
    CHECK(a.steps <= run->limits.steps);
    if (rego_evaluate(policy, &explained, &b, &err) < 0) { /* explaining takes memory of its own */
        CHECK(err.kind == ERR_TOO_LARGE);
        return;
    }
    CHECK(a.matched == b.matched && a.defined == b.defined && a.json_n == b.json_n);
    CHECK(!a.json || memcmp(a.json, b.json, a.json_n) == 0);
    CHECK(b.explain);
}

static void check_answer(const struct rego *policy, const struct rego_run *run)
{
    AUTO(rego_result_done) struct rego_result r = { 0 };
    AUTO(rego_document_drop) struct rego_document *again = NULL;
    if (rego_evaluate(policy, run, &r, NULL) < 0 || !r.json)
        return;
    /* keys 1 and "1" of one object are one name in JSON; and strings may hold bytes that built-ins decoded */
    struct err err = { 0 };
    if (rego_document_read(bytes_of(r.json, r.json_n), &again, &err) < 0)
        CHECK(strstr(err.cause, "second member") || strstr(err.cause, "UTF-8")
              || strstr(err.cause, "nested"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = memchr(data, 0, size);
    size_t n = nul ? (size_t)(nul - data) : size;
    AUTO(rego_document_drop) struct rego_document *input = NULL;
    const struct rego_source source = { "policy", bytes_of(data, n) };
    if (nul && rego_document_read(bytes_of(nul + 1, size - n - 1), &input, NULL) < 0)
        return 0;
    const struct rego_options how[] = { { .mode = REGO_POLICY }, { .mode = REGO_QUERY, .query = "data" } };
    const struct rego_run run = { .input = input,
                                  .data = input,
                                  .now_ns = 1700000000000000000,
                                  .limits = { .steps = 100000, .memory = (size_t)4 << 20 } };
    for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
        AUTO(rego_drop) struct rego *policy = NULL;
        if (rego_compile(&source, 1, &how[i], &policy, NULL, NULL) < 0)
            continue;
        check_twice(policy, &run);
        check_answer(policy, &run);
    }
    return 0;
}
