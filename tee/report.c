#include "tee/report.h"

#include "base/auto.h"
#include "base/clock.h"
#include "tee/snp_report.h"
#include "tee/tdx_quote.h"
#include "tee/tsm.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

void tee_report_done(struct tee_report *r)
{
    buf_done(&r->report);
    buf_done(&r->certs);
}

/* Whether the device answered this question: anything else would be signed evidence about another one. */
static int check_answer(enum tee_type tee, struct bytes report, const uint8_t *report_data, const char *via,
                        struct err *err)
{
    struct snp_report snp;
    struct tdx_quote quote;
    struct bytes echo;
    if (tee == TEE_SEV_SNP) {
        if (snp_report_parse(report, &snp, err) < 0)
            return err_while(err, "look at the answer of the TEE");
        echo = snp.report_data;
    } else {
        if (tdx_quote_parse(report, &quote, err) < 0)
            return err_while(err, "look at the answer of the TEE");
        echo = quote.body.report_data;
    }
    if (!bytes_equal(echo, bytes_of(report_data, REPORT_DATA_SIZE)))
        return err_set(err, ERR_IO, 0, "%s answered with a report over other data than asked", via);
    return 0;
}

static const struct source {
    const char *name;
    unsigned tees; /* bit per enum tee_type */
    int (*get)(const struct lower *l, enum tee_type tee, const uint8_t report_data[static 64],
               uint64_t deadline, struct tee_report *out, struct err *err);
} sources[] = {
    { "configfs-tsm", 1u << TEE_SEV_SNP | 1u << TEE_TDX, tsm_report },
    { "sev-guest", 1u << TEE_SEV_SNP, sev_guest_report },
};

/* Only a missing or forbidden interface lets the next one be tried; any other failure is the answer. The
 * first failure that is more than "missing" is the one worth telling. */
int tee_report_get(const struct lower *l, enum tee_type tee, const uint8_t report_data[static 64],
                   struct tee_report *out, struct err *err)
{
    uint64_t deadline = clock_ms() + REPORT_TIME_MAX;
    struct err first = { 0 }, now = { 0 };
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        const struct source *s = &sources[i];
        AUTO(tee_report_done) struct tee_report r = { buf_new(REPORT_MAX), buf_new(CERT_TABLE_MAX), s->name };
        if (!(s->tees & 1u << tee))
            continue;
        if (s->get(l, tee, report_data, deadline, &r, &now) == 0) {
            if (check_answer(tee, buf_bytes(&r.report), report_data, s->name, err) < 0)
                return -1;
            *out = r;
            r = (struct tee_report){ 0 };
            return 0;
        }
        if (now.kind != ERR_NOT_FOUND && now.kind != ERR_DENIED) {
            first = now;
            break;
        }
        if (first.kind == ERR_NONE || (first.kind == ERR_NOT_FOUND && now.kind == ERR_DENIED))
            first = now;
    }
    if (first.kind == ERR_NONE)
        return err_set(err, ERR_NOT_FOUND, 0, "no way to ask for a report of TEE \"%s\"", tee_name(tee));
    if (err)
        *err = first;
    return err_while(err, "get a TEE report");
}

/* ---- entries of a killed instance ---- */

struct cleanup {
    const struct lower *l;
    unsigned removed;
};

static void remove_stale(void *arg, const char *entry)
{
    struct cleanup *c = arg;
    char *end;
    if (strncmp(entry, TSM_PREFIX, strlen(TSM_PREFIX)) != 0)
        return;
    long pid = strtol(entry + strlen(TSM_PREFIX), &end, 10);
    if (pid <= 0 || *end != '-' || (pid != getpid() && (kill((pid_t)pid, 0) == 0 || errno != ESRCH)))
        return;
    c->removed += c->l->tsm.remove(c->l->tsm.ctx, entry) == 0;
}

unsigned tee_report_cleanup(const struct lower *l)
{
    struct cleanup c = { l, 0 };
    if (l->tsm.list)
        (void)l->tsm.list(l->tsm.ctx, remove_stale, &c);
    return c.removed;
}
