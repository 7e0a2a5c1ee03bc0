#include "agent/update_answer.h"

#include "base/auto.h"
#include "base/json.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>

static int read_pcrs(struct tpm *tpm, void *arg, struct err *err)
{
    static const unsigned wanted[] = { WORKLOAD_PCR_HISTORY, WORKLOAD_PCR_PATCH, WORKLOAD_PCR_NOW };
    json_t *out = arg;
    struct tpm_banks banks = { 0 };
    if (!tpm)
        return 0;
    if (tpm_banks_get(tpm, &banks, err) < 0)
        return -1;
    for (size_t b = 0; b < banks.n; b++) {
        struct tpm_pcrs pcrs;
        json_t *bank = json_object();
        const uint32_t mask = 1u << WORKLOAD_PCR_HISTORY | 1u << WORKLOAD_PCR_PATCH | 1u << WORKLOAD_PCR_NOW;
        json_object_set_new(out, digest_name(banks.alg[b]), bank);
        if (tpm_pcr_read(tpm, banks.alg[b], mask, &pcrs, err) < 0)
            return -1;
        for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
            char name[8];
            snprintf(name, sizeof(name), "%u", wanted[i]);
            json_object_set_new(bank, name, json_hex(digest_bytes(&pcrs.pcr[wanted[i]])));
        }
    }
    return 0;
}

/* The plan's events and PCR 23; the histories go on from where they are, so the plan's own are left out. */
static json_t *answer_of(const struct measure_plan *plan, json_t *diff)
{
    json_t *answer = measure_json(plan), *bank;
    const char *name;
    json_object_foreach(json_object_get(answer, "banks"), name, bank)
    {
        json_object_del(bank, "15");
        json_object_del(bank, "16");
    }
    json_object_set(answer, "services", diff);
    return answer;
}

int update_answer_dry(const struct measure_plan *plan, json_t *diff, json_t *refused, json_t **answer,
                      struct err *err)
{
    json_t *out = answer_of(plan, diff);
    bool allowed = json_array_size(refused) == 0;
    json_t *policy = json_pack("{s:b, s:O}", "allowed", (int)allowed, "refused", refused);
    json_object_set_new(out, "dry_run", json_true());
    json_object_set_new(out, "policy", policy);
    if (!out || !policy) {
        json_decref(out);
        return err_set(err, ERR_IO, ENOMEM, "no memory for the answer");
    }
    *answer = out;
    return 0;
}

int update_answer_done(const struct workload *w, json_t *diff, json_t **answer, struct err *err)
{
    json_t *out = answer_of(w->now->plan, diff), *pcrs = json_object();
    struct err ignored = { 0 };
    json_object_set_new(out, "status", json_string("updated"));
    json_object_set_new(out, "pcrs", pcrs);
    if (!out || !pcrs) {
        json_decref(out);
        return err_set(err, ERR_IO, ENOMEM, "no memory for the answer");
    }
    if (collector_with_tpm(w->collector, read_pcrs, pcrs, &ignored) < 0) /* it runs: that is what counts */
        log_err(LOG_LEVEL_WARNING, "update", &ignored);
    *answer = out;
    return 0;
}
