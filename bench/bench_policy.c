/* JSON attestation policies: reading one, and applying it to claims. */
#include "stats.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "policy/cocos.h"

#include <stdio.h>
#include <string.h>

#define BATCH  200
#define ROUNDS 300

struct bench {
    uint8_t *text;
    size_t text_n;
    json_t *claims;
    struct cocos_policy *policy;
};

_Noreturn static void fatal(const char *what, const struct err *err)
{
    fprintf(stderr, "bench_policy: %s: %s\n", what, err->cause);
    exit(4);
}

static void apply(const struct bench *b)
{
    AUTO(json_drop) json_t *failures = json_array();
    struct err err = { 0 };
    if (cocos_apply(b->policy, b->claims, failures, &err) < 0)
        fatal("apply", &err);
    if (json_array_size(failures))
        fatal("apply", &(struct err){ .cause = "the policy does not hold" });
}

static void read_once(const struct bench *b)
{
    AUTO(cocos_drop) struct cocos_policy *p = NULL;
    struct err err = { 0 };
    if (cocos_parse(bytes_of(b->text, b->text_n), NULL, &p, &err) < 0)
        fatal("read", &err);
}

static double median_us(void (*work)(const struct bench *b), const struct bench *b)
{
    struct samples s = { NULL, 0, 0 };
    for (int i = 0; i < ROUNDS; i++) {
        double begun = now_us();
        for (int k = 0; k < BATCH; k++)
            work(b);
        samples_add(&s, (now_us() - begun) / BATCH);
    }
    double median = samples_quantile(&s, 0.5);
    samples_done(&s);
    return median;
}

static void load(struct bench *b, const char *claims, const char *policy)
{
    AUTO(free_u8) uint8_t *text = NULL;
    struct err err = { 0 };
    size_t n;
    if (file_read(claims, 1 << 20, &text, &n, &err) < 0
        || json_parse(bytes_of(text, n), 1 << 20, &b->claims, &err) < 0
        || file_read(policy, 1 << 20, &b->text, &b->text_n, &err) < 0
        || cocos_parse(bytes_of(b->text, b->text_n), NULL, &b->policy, &err) < 0)
        fatal(policy, &err);
}

static void run(const char *kind, const char *claims, const char *policy)
{
    struct bench b = { NULL, 0, NULL, NULL };
    char what[80];
    load(&b, claims, policy);
    snprintf(what, sizeof(what), "%s policy with every field, applied, median", kind);
    stats_row(what, median_us(apply, &b), "us", 10, true);
    snprintf(what, sizeof(what), "%s policy of %zu bytes, read, median", kind, b.text_n);
    printf("%-58s %10.2f us\n", what, median_us(read_once, &b));
    cocos_free(b.policy);
    json_decref(b.claims);
    free(b.text);
}

int main(void)
{
    run("SNP", CVM_TEST_DATA "/claims/snp.json", CVM_TEST_DATA "/cocos/snp_every_field.json");
    run("TDX", CVM_TEST_DATA "/claims/tdx.json", CVM_TEST_DATA "/cocos/tdx_every_field.json");
    return 0;
}
