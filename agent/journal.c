#include "agent/journal.h"

#include "base/auto.h"
#include "base/file.h"

#include <errno.h>
#include <limits.h>

struct journal {
    struct measured_log *log;
};

struct opening {
    char path[PATH_MAX];
    const char *boot_id;
    struct bytes tls_spki;
    struct measured_log *log;
};

static void log_drop(struct measured_log **log)
{
    measured_log_close(*log);
}

static int open_log(struct tpm *tpm, void *arg, struct err *err)
{
    static const unsigned pcrs[] = { JOURNAL_PCR };
    struct opening *o = arg;
    AUTO(log_drop) struct measured_log *log = NULL;
    if (measured_log_open(o->path, o->boot_id, tpm, pcrs, ARRAY_SIZE(pcrs), &log, err) < 0)
        return -1;
    /* Where the replay disagrees nothing can be added; the document shows it, and the agent goes on
     * attesting. */
    if (measured_log_verdict(log) != MEASURED_DISAGREES
        && measured_log_add(log, tpm, "tls-key", "", o->tls_spki, pcrs, ARRAY_SIZE(pcrs), err) < 0)
        return -1;
    o->log = MOVE(log);
    return 0;
}

int journal_open(struct collector *c, const char *state, struct bytes tls_spki, struct journal **out,
                 struct err *err)
{
    struct opening o = { .boot_id = collector_boot_id(c), .tls_spki = tls_spki };
    struct journal *j = calloc(1, sizeof(*j));
    if (!j)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the journal");
    if (path_set(o.path, sizeof(o.path), err, "%s/journal.jsonl", state) < 0
        || collector_with_tpm(c, open_log, &o, err) < 0) {
        free(j);
        return err_while(err, "open the journal");
    }
    j->log = o.log;
    *out = j;
    return 0;
}

const char *journal_verdict(const struct journal *j)
{
    return measured_log_verdict_text(j->log);
}

void journal_put(struct journal *j, struct buf *out)
{
    measured_log_json(j->log, out);
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    measured_log_close(j->log);
    free(j);
}
