#include "agent/journal.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define RETRY_S 5 /* a TPM that did not answer at start is asked again this often */

struct opening {
    char path[PATH_MAX];
    const char *boot_id;
    struct journal_start start;
    char token_id[128];
    struct measured_log *log;
};

struct journal {
    _Atomic(struct measured_log *) log; /* NULL until it could be opened */
    struct collector *collector;
    struct opening opening;
    pthread_t thread; /* tries again, if waiting */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool waiting, stop;
};

static void log_drop(struct measured_log **log)
{
    measured_log_close(*log);
}

static const unsigned journal_pcrs[] = { JOURNAL_PCR };

static int add_start(struct measured_log *log, struct tpm *tpm, const struct opening *o, struct err *err)
{
    const unsigned *pcrs = journal_pcrs;
    if (measured_log_add(log, tpm, "tls-key", "", o->start.tls_spki, pcrs, 1, err) < 0)
        return -1;
    if (o->start.token_id
        && measured_log_add(log, tpm, "token", o->token_id, bytes_of(NULL, 0), pcrs, 1, err) < 0)
        return -1;
    return 0;
}

static int open_log(struct tpm *tpm, void *arg, struct err *err)
{
    struct opening *o = arg;
    AUTO(log_drop) struct measured_log *log = NULL;
    if (measured_log_open(o->path, o->boot_id, tpm, journal_pcrs, ARRAY_SIZE(journal_pcrs), &log, err) < 0)
        return -1;
    /* Where the replay disagrees nothing can be added; the document shows it, and the agent goes on
     * attesting. */
    if (measured_log_verdict(log) != MEASURED_DISAGREES && add_start(log, tpm, o, err) < 0)
        return -1;
    o->log = MOVE(log);
    return 0;
}

static int try_open(struct journal *j, struct err *err)
{
    if (collector_with_tpm(j->collector, open_log, &j->opening, err) < 0)
        return err_while(err, "open the journal");
    atomic_store(&j->log, j->opening.log);
    const struct journal_start *start = &j->opening.start;
    if (start->opened && measured_log_verdict(j->opening.log) != MEASURED_DISAGREES)
        start->opened(start->arg);
    return 0;
}

/* True after RETRY_S, false when the journal is being closed. */
static bool pause_or_stop(struct journal *j)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RETRY_S;
    pthread_mutex_lock(&j->lock);
    while (!j->stop && pthread_cond_timedwait(&j->wake, &j->lock, &until) == 0)
        ;
    bool stop = j->stop;
    pthread_mutex_unlock(&j->lock);
    return !stop;
}

static void *retry(void *arg)
{
    struct journal *j = arg;
    while (pause_or_stop(j)) {
        struct err err = { 0 };
        if (try_open(j, &err) == 0) {
            log_event(LOG_LEVEL_INFO, "journal", "verdict", journal_verdict(j), NULL);
            break;
        }
        if (err.kind != ERR_UNAVAILABLE) {
            log_err(LOG_LEVEL_ERROR, "journal", &err);
            break;
        }
    }
    return NULL;
}

int journal_open(struct collector *c, const char *state, const struct journal_start *start,
                 struct journal **out, struct err *err)
{
    struct journal *j = calloc(1, sizeof(*j));
    struct err why = { 0 };
    if (!j)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the journal");
    j->collector = c;
    j->opening = (struct opening){ .boot_id = collector_boot_id(c), .start = *start };
    snprintf(j->opening.token_id, sizeof(j->opening.token_id), "%s", start->token_id ? start->token_id : "");
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->wake, NULL);
    int rc = path_set(j->opening.path, sizeof(j->opening.path), &why, "%s/journal.jsonl", state);
    rc = rc < 0 ? rc : try_open(j, &why);
    if (rc < 0 && why.kind == ERR_UNAVAILABLE)
        j->waiting = pthread_create(&j->thread, NULL, retry, j) == 0;
    if (rc < 0 && !j->waiting)
        journal_close(j);
    else
        *out = j;
    if (rc < 0 && err)
        *err = why;
    return rc;
}

const char *journal_verdict(struct journal *j)
{
    struct measured_log *log = atomic_load(&j->log);
    return log ? measured_log_verdict_text(log) : "not open yet: the TPM does not answer";
}

bool journal_mark(struct journal *j, struct measured_mark *out)
{
    struct measured_log *log = atomic_load(&j->log);
    if (log)
        measured_log_mark(log, out);
    return log != NULL;
}

bool journal_put(struct journal *j, size_t mark, struct buf *out)
{
    struct measured_log *log = atomic_load(&j->log);
    if (log)
        measured_log_json_until(log, mark, out);
    return log != NULL;
}

int journal_ready(struct journal *j, struct err *err)
{
    struct measured_log *log = atomic_load(&j->log);
    if (!log)
        return err_set(err, ERR_UNAVAILABLE, 0,
                       "the journal is not open yet, the TPM does not answer: try again");
    if (measured_log_verdict(log) == MEASURED_DISAGREES)
        return err_set(err, ERR_UNAVAILABLE, 0,
                       "the journal and the TPM disagree (%.150s): nothing is managed before a reboot",
                       measured_log_verdict_text(log));
    return 0;
}

struct addition {
    struct measured_log *log;
    const char *type, *name;
    struct bytes content;
};

static int add(struct tpm *tpm, void *arg, struct err *err)
{
    const struct addition *a = arg;
    return measured_log_add(a->log, tpm, a->type, a->name, a->content, journal_pcrs, ARRAY_SIZE(journal_pcrs),
                            err);
}

int journal_add(struct journal *j, const char *type, const char *name, struct bytes content, struct err *err)
{
    struct addition a = { NULL, type, name, content };
    if (journal_ready(j, err) < 0)
        return -1;
    a.log = atomic_load(&j->log);
    if (collector_with_tpm(j->collector, add, &a, err) < 0)
        return err_while(err, "add to the journal");
    return 0;
}

struct reporting {
    struct measured_log *log;
    struct buf *out;
};

static int report(struct tpm *tpm, void *arg, struct err *err)
{
    const struct reporting *r = arg;
    return measured_log_report(r->log, tpm, r->out, err);
}

int journal_report(struct journal *j, struct buf *out, struct err *err)
{
    struct reporting r = { atomic_load(&j->log), out };
    if (!r.log)
        return err_set(err, ERR_UNAVAILABLE, 0,
                       "the journal is not open yet, the TPM does not answer: try again");
    if (collector_with_tpm(j->collector, report, &r, err) < 0)
        return err_while(err, "read the journal");
    return 0;
}

void journal_stop(struct journal *j)
{
    if (!j || !j->waiting)
        return;
    pthread_mutex_lock(&j->lock);
    j->stop = true;
    pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->lock);
    pthread_join(j->thread, NULL);
    j->waiting = false;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    journal_stop(j);
    measured_log_close(atomic_load(&j->log));
    pthread_cond_destroy(&j->wake);
    pthread_mutex_destroy(&j->lock);
    free(j);
}
