/* Azure's part of a collection: the hardware report lies in the TPM's NV memory. The boot report is read at
 * start and made anew hourly; a fresh one is bound to the caller's nonce. The slow steps run on the aux
 * worker, which visits the TPM's worker for each short TPM command, so that other requests are quoted
 * meanwhile. */
#include "evidence/collect_internal.h"

#include "base/auto.h"
#include "tee/azure.h"
#include "tee/hcl_report.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* ---- on the TPM worker ---- */

int collector_hcl_read(struct collector *c, struct err *err)
{
    AUTO(buf_done) struct buf hcl = buf_new(AZURE_HCL_MAX);
    if (azure_hcl_read(c->tpm, &hcl, err) < 0)
        return err_while(err, "read the HCL report");
    pthread_mutex_lock(&c->lock);
    if (!bytes_equal(buf_bytes(&c->hcl.hcl), buf_bytes(&hcl))) {
        buf_done(&c->hcl.hcl);
        buf_done(&c->hcl.td_quote);
        buf_put(&c->hcl.hcl, buf_bytes(&hcl));
    }
    c->hcl.read_at = time(NULL);
    pthread_mutex_unlock(&c->lock);
    return 0;
}

/* ---- on the aux worker ---- */

/* One short visit to the TPM's worker: others are served between two of them. */
static int visit_tpm(void *c, int (*fn)(struct tpm *tpm, void *arg, struct err *err), void *arg,
                     struct err *err)
{
    return collector_with_tpm(c, fn, arg, err);
}

static int td_quote_of(struct collector *c, struct bytes hcl, struct buf *quote, struct err *err)
{
    struct hcl_report report;
    if (hcl_report_parse(hcl, &report, err) < 0)
        return err_while(err, "parse the HCL report");
    return azure_td_quote(c->lower, hcl_report_hw(&report), AZURE_IMDS_MS, quote, err);
}

/* The hardware report out of e->hcl, with its certificates; ends the part. TDX has its quote already. */
static void finish(struct evidence *e)
{
    struct hcl_report report;
    struct err err = { 0 };
    if (e->c->shape->tee == TEE_TDX) {
        collect_collateral(e);
    } else if (hcl_report_parse(buf_bytes(&e->hcl), &report, &err) < 0) {
        err.kind = ERR_IO; /* the TPM gave it, not the caller */
        err_while(&err, "parse the HCL report");
        evidence_part_done(e, &err);
    } else {
        buf_put(&e->tee.report, hcl_report_hw(&report));
        collect_certificates(e, e->c->shape->imds_certificates);
    }
}

static void fresh_part(struct evidence *e)
{
    struct collector *c = e->c;
    struct err err = { 0 };
    uint8_t user_data[AZURE_USER_DATA] = { 0 };
    memcpy(user_data, e->report_data + 32, 32); /* SHA-256(magic || nonce), then zeros */
    int rc = azure_hcl_refresh(visit_tpm, c, user_data, AZURE_REFRESH_MAX, &e->hcl, &err);
    if (rc == 0 && c->shape->tee == TEE_TDX)
        rc = td_quote_of(c, buf_bytes(&e->hcl), &e->tee.report, &err);
    pthread_mutex_lock(&c->lock);
    c->fresh_running = false;
    pthread_mutex_unlock(&c->lock);
    e->report_label = "fresh";
    e->report_time = time(NULL);
    if (rc < 0) {
        err_while(&err, "make a fresh report");
        evidence_part_done(e, &err);
    } else {
        finish(e);
    }
}

/* @return 1 if e has all of the boot report, 0 if the TD quote has to be fetched, -1 if there is no report
 * yet */
static int copy_boot_report(struct collector *c, struct evidence *e)
{
    pthread_mutex_lock(&c->lock);
    int have = c->hcl.hcl.n == 0 ? -1 : c->shape->tee != TEE_TDX || c->hcl.td_quote.n > 0;
    if (have > 0) {
        e->hcl.n = 0;
        buf_put(&e->hcl, buf_bytes(&c->hcl.hcl));
        buf_put(&e->tee.report, buf_bytes(&c->hcl.td_quote));
        e->report_time = c->hcl.read_at;
    }
    pthread_mutex_unlock(&c->lock);
    e->report_label = "boot";
    return have;
}

/* Has the TD quoted once for the report that is cached now. */
static int cache_td_quote(struct collector *c, struct err *err)
{
    AUTO(buf_done) struct buf hcl = buf_new(AZURE_HCL_MAX), quote = buf_new(REPORT_MAX);
    pthread_mutex_lock(&c->lock);
    buf_put(&hcl, buf_bytes(&c->hcl.hcl));
    pthread_mutex_unlock(&c->lock);
    if (td_quote_of(c, buf_bytes(&hcl), &quote, err) < 0)
        return -1;
    pthread_mutex_lock(&c->lock);
    if (bytes_equal(buf_bytes(&c->hcl.hcl), buf_bytes(&hcl))) {
        buf_done(&c->hcl.td_quote);
        buf_put(&c->hcl.td_quote, buf_bytes(&quote));
    }
    pthread_mutex_unlock(&c->lock);
    return 0;
}

static int read_hcl_on_tpm(struct tpm *tpm, void *c, struct err *err)
{
    (void)tpm;
    return collector_hcl_read(c, err);
}

static void boot_part(struct evidence *e)
{
    struct collector *c = e->c;
    struct err err = { 0 };
    int have = copy_boot_report(c, e), rc = 0;
    if (have < 0)
        rc = collector_with_tpm(c, read_hcl_on_tpm, c, &err);
    if (rc == 0 && have < 0)
        have = copy_boot_report(c, e);
    if (rc == 0 && have == 0) {
        rc = cache_td_quote(c, &err);
        have = rc == 0 ? copy_boot_report(c, e) : 0;
    }
    if (rc == 0 && have <= 0)
        rc = err_set(&err, ERR_UNAVAILABLE, 0, "the HCL report changed meanwhile: ask again");
    if (rc < 0) {
        err_while(&err, "get the boot report");
        evidence_part_done(e, &err);
        return;
    }
    finish(e);
}

void collect_hcl_part(struct job *job)
{
    struct evidence *e = (struct evidence *)((char *)job - offsetof(struct evidence, tee_job));
    if (evidence_given_up(e)) {
        if (e->fresh)
            collect_fresh_over(e->c);
        return;
    }
    if (e->fresh)
        fresh_part(e);
    else
        boot_part(e);
}

/* ---- admission and the hourly refresh ---- */

int collect_fresh_admit(struct collector *c, struct err *err)
{
    int rc = 0;
    pthread_mutex_lock(&c->lock);
    if (c->fresh_running || (int64_t)clock_ms() - c->fresh_at_ms < FRESH_INTERVAL_MS)
        rc = err_set(err, ERR_LIMITED, 0, "a fresh report is made at most once in %d s: try again then",
                     FRESH_INTERVAL_MS / 1000);
    if (rc == 0) {
        c->fresh_running = true;
        c->fresh_at_ms = (int64_t)clock_ms();
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

void collect_fresh_over(struct collector *c)
{
    pthread_mutex_lock(&c->lock);
    c->fresh_running = false;
    pthread_mutex_unlock(&c->lock);
}

struct hourly {
    struct job job;
    struct collector *c;
};

static void hourly_end(struct job *job)
{
    struct hourly *h = (struct hourly *)job;
    pthread_mutex_lock(&h->c->lock);
    h->c->hcl_refreshing = false;
    pthread_mutex_unlock(&h->c->lock);
    free(h);
}

/* User data of zeros and the time: a value that the present report does not hold. */
static void hourly_run(struct job *job)
{
    struct collector *c = ((struct hourly *)job)->c;
    AUTO(buf_done) struct buf hcl = buf_new(AZURE_HCL_MAX);
    uint8_t user_data[AZURE_USER_DATA] = { 0 };
    struct err err = { 0 };
    uint64_t now = (uint64_t)time(NULL);
    memcpy(user_data + AZURE_USER_DATA - sizeof(now), &now, sizeof(now));
    if (azure_hcl_refresh(visit_tpm, c, user_data, AZURE_REFRESH_MAX, &hcl, &err) == 0)
        (void)!collector_with_tpm(c, read_hcl_on_tpm, c, &err);
    if (c->shape->tee == TEE_TDX)
        (void)!cache_td_quote(c, &err);
    hourly_end(job);
}

void collector_hcl_refresh_if_old(struct collector *c)
{
    struct err ignored = { 0 };
    pthread_mutex_lock(&c->lock);
    bool due = !c->hcl_refreshing && c->hcl.hcl.n && time(NULL) - c->hcl.read_at >= HCL_REFRESH_S;
    if (due)
        c->hcl_refreshing = true;
    pthread_mutex_unlock(&c->lock);
    struct hourly *h = due ? calloc(1, sizeof(*h)) : NULL;
    if (!h)
        return;
    h->job = (struct job){ hourly_run, hourly_end, false, NULL };
    h->c = c;
    if (worker_submit(c->aux_worker, &h->job, &ignored) < 0)
        hourly_end(&h->job);
}
