/* configfs-tsm. Source: Linux Documentation/ABI/testing/configfs-tsm-report,
 * drivers/virt/coco/guest/report.c. */
#include "base/auto.h"
#include "base/clock.h"
#include "tee/tsm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES_MAX  8    /* fresh entries for one report, for what passes by itself ... */
#define TRIES_FEW  3    /* ... and for what seldom does */
#define PAUSE_MS   100  /* before the second try; doubles ... */
#define PAUSE_MAX  1000 /* ... up to this */
#define NAMES_MAX  4
#define TEXT_LEVEL 16

static const struct {
    const char *name;
    enum tee_type tee;
} providers[] = { { "sev_guest", TEE_SEV_SNP }, { "tdx_guest", TEE_TDX } };

enum tee_type tsm_provider_tee(const char *provider)
{
    for (size_t i = 0; i < ARRAY_SIZE(providers); i++)
        if (!strcmp(providers[i].name, provider))
            return providers[i].tee;
    return TEE_NONE;
}

static int refused_entry(int e, struct err *err)
{
    static const char remedy[] = "it needs Linux 6.7 with CONFIG_TSM_REPORTS and a mounted configfs";
    if (e == ENOENT || e == ENOTDIR || e == ENODEV || e == ENOSYS)
        return err_set(err, ERR_NOT_FOUND, (uint32_t)e, "configfs-tsm is not there: %s", remedy);
    if (e == ENXIO)
        return err_set(err, ERR_NOT_FOUND, ENXIO, "configfs-tsm has no provider: no TEE driver is loaded");
    if (e == EACCES || e == EPERM)
        return err_set(err, ERR_DENIED, (uint32_t)e,
                       "configfs-tsm is not ours to use: cvm-agent-setup has to hand it to the agent's user");
    return err_set(err, ERR_IO, (uint32_t)e, "configfs-tsm refuses a new entry: %s", strerror(e));
}

int tsm_entry_make(const struct lower *l, char name[static TSM_ENTRY_SIZE], struct err *err)
{
    static atomic_uint counter;
    int rc = -EEXIST;
    for (int i = 0; i < NAMES_MAX && rc == -EEXIST; i++) {
        uint32_t random = 0;
        (void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
        snprintf(name, TSM_ENTRY_SIZE, TSM_PREFIX "%ld-%u-%08" PRIx32, (long)getpid(),
                 atomic_fetch_add(&counter, 1), random);
        rc = l->tsm.make ? l->tsm.make(l->tsm.ctx, name) : -ENOENT;
    }
    return rc < 0 ? refused_entry(-rc, err) : 0;
}

int tsm_text(const struct lower *l, const char *entry, const char *attr, char out[static TSM_TEXT_MAX])
{
    ssize_t n = l->tsm.read(l->tsm.ctx, entry, attr, (uint8_t *)out, TSM_TEXT_MAX - 1);
    if (n < 0)
        return (int)n;
    out[n] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
    return 0;
}

int tsm_provider(const struct lower *l, char out[static TSM_TEXT_MAX], struct err *err)
{
    char entry[TSM_ENTRY_SIZE];
    if (tsm_entry_make(l, entry, err) < 0) {
        if (err->kind != ERR_DENIED)
            return -1;
        int shared = tsm_text(l, TSM_SHARED, "provider", out); /* what cvm-agent-setup left for us */
        return shared < 0 ? -1 : 0;
    }
    int rc = tsm_text(l, entry, "provider", out);
    (void)l->tsm.remove(l->tsm.ctx, entry);
    return rc < 0 ? refused_entry(-rc, err) : 0;
}

/* One try, in an entry of its own. */
struct ask {
    const struct lower *l;
    enum tee_type tee;
    const uint8_t *report_data;
    const char *entry;
    uint64_t writes;
    int tries; /* the failure may pass: so many fresh entries at most; 0: it will not */
};

/* What the kernel's error means for the caller; tries: as in struct ask. */
static int explain(struct ask *a, int e, const char *attr, struct err *err)
{
    static const struct {
        int e;
        enum err_kind kind;
        int tries;
        const char *text;
    } table[] = {
        { EBUSY, ERR_UNAVAILABLE, TRIES_MAX, "an earlier request is still in flight" },
        { EINTR, ERR_UNAVAILABLE, TRIES_MAX, "interrupted by a signal" },
        { EAGAIN, ERR_UNAVAILABLE, TRIES_MAX, "the driver asks to try again" },
        { ETIMEDOUT, ERR_UNAVAILABLE, TRIES_FEW,
          "the host did not answer in time: it throttles, or its quoting service (QGS) is down" },
        { EINVAL, ERR_IO, TRIES_FEW, "the request was lost or refused (report data, or privilege level)" },
        { ENXIO, ERR_NOT_FOUND, 0, "the TEE driver was unloaded" },
        { ENOENT, ERR_NOT_FOUND, 0, "no such attribute" },
        { EACCES, ERR_DENIED, 0, "no permission: cvm-agent-setup has to hand it to the agent's user" },
        { EPERM, ERR_DENIED, 0, "no permission: cvm-agent-setup has to hand it to the agent's user" },
        { EFBIG, ERR_TOO_LARGE, 0, "larger than any report may be" },
        { EIO, ERR_UNAVAILABLE, 0, "the host refused: its quoting service (QGS) may not be configured" },
        { ENOTTY, ERR_IO, 0, "the driver's message key (VMPCK) is disabled after a failure: reboot" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (table[i].e != e)
            continue;
        a->tries = table[i].tries;
        return err_set(err, table[i].kind, (uint32_t)e, "configfs-tsm %s: %s (%s)", attr, table[i].text,
                       strerror(e));
    }
    return err_set(err, ERR_IO, (uint32_t)e, "configfs-tsm %s: %s", attr, strerror(e));
}

static int generation(struct ask *a, uint64_t *out, struct err *err)
{
    char text[TSM_TEXT_MAX], *end;
    int rc = tsm_text(a->l, a->entry, "generation", text);
    if (rc < 0)
        return explain(a, -rc, "generation", err);
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (end == text || *end || errno)
        return err_set(err, ERR_IO, 0, "configfs-tsm generation is not a number");
    *out = v;
    return 0;
}

static int put(struct ask *a, const char *attr, struct bytes data, struct err *err)
{
    int rc = a->l->tsm.write(a->l->tsm.ctx, a->entry, attr, data);
    if (rc < 0)
        return explain(a, -rc, attr, err);
    a->writes++;
    return 0;
}

/* Under an SVSM the kernel's key belongs to a lower privilege than the default level 0. */
static int raise_privlevel(struct ask *a, struct err *err)
{
    char text[TSM_TEXT_MAX], level[TEXT_LEVEL], *end;
    int rc = tsm_text(a->l, a->entry, "privlevel_floor", text);
    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return explain(a, -rc, "privlevel_floor", err);
    unsigned long floor = strtoul(text, &end, 10);
    if (end == text || *end || floor > 3)
        return err_set(err, ERR_IO, 0, "configfs-tsm privlevel_floor is not one of 0 to 3");
    if (floor == 0)
        return 0;
    snprintf(level, sizeof(level), "%lu", floor);
    return put(a, "privlevel", bytes_str(level), err);
}

static int get_blob(struct ask *a, const char *attr, bool optional, struct buf *out, struct err *err)
{
    size_t max = out->max;
    uint8_t *room = buf_room(out, max);
    if (!room)
        return buf_check(out, attr, err);
    ssize_t n = a->l->tsm.read(a->l->tsm.ctx, a->entry, attr, room, max);
    out->n = n > 0 ? (size_t)n : 0;
    if (n == -ENOENT && optional)
        return 0;
    return n < 0 ? explain(a, (int)-n, attr, err) : 0;
}

static int ask_in_entry(struct ask *a, struct tee_report *out, struct err *err)
{
    char provider[TSM_TEXT_MAX];
    uint64_t start = 0, end = 0;
    int rc = tsm_text(a->l, a->entry, "provider", provider);
    if (rc < 0)
        return explain(a, -rc, "provider", err);
    if (tsm_provider_tee(provider) != a->tee)
        return err_set(err, ERR_NOT_FOUND, 0, "configfs-tsm's provider is \"%.40s\", not the one of TEE %s",
                       provider, tee_name(a->tee));
    if (generation(a, &start, err) < 0 || raise_privlevel(a, err) < 0
        || put(a, "inblob", bytes_of(a->report_data, REPORT_DATA_SIZE), err) < 0
        || get_blob(a, "auxblob", true, &out->certs, err) < 0
        || get_blob(a, "outblob", false, &out->report, err) < 0 || generation(a, &end, err) < 0)
        return -1;
    if (end - start != a->writes) {
        a->tries = TRIES_MAX;
        return err_set(err, ERR_IO, 0,
                       "configfs-tsm generation moved by %" PRIu64 ", not by our %" PRIu64
                       " writes: a write was lost or another process wrote",
                       end - start, a->writes);
    }
    if (out->report.n == 0)
        return err_set(err, ERR_UNAVAILABLE, 0, "configfs-tsm gave an empty report: %s",
                       a->tee == TEE_TDX ? "the host's quoting service (QGS) is not reachable or not set up"
                                         : "the host did not answer the guest request");
    return 0;
}

/* configfs gives the files of a new entry to root, whoever made it. Without root's rights the entry that
 * cvm-agent-setup made and handed over is asked; this process is then its only user, and the generation says
 * so. */
static int ask_as_permitted(struct ask *a, struct tee_report *out, struct err *err)
{
    char entry[TSM_ENTRY_SIZE];
    a->entry = entry;
    int rc = tsm_entry_make(a->l, entry, err);
    if (rc == 0) {
        rc = ask_in_entry(a, out, err);
        (void)a->l->tsm.remove(a->l->tsm.ctx, entry);
    }
    a->entry = NULL; /* gone with this try */
    char provider[TSM_TEXT_MAX];
    if (rc == 0 || err->kind != ERR_DENIED || tsm_text(a->l, TSM_SHARED, "provider", provider) < 0)
        return rc;
    *a = (struct ask){ a->l, a->tee, a->report_data, TSM_SHARED, 0, 0 };
    out->report.n = out->certs.n = 0;
    return ask_in_entry(a, out, err);
}

int tsm_report(const struct lower *l, enum tee_type tee, const uint8_t report_data[static 64],
               uint64_t deadline, struct tee_report *out, struct err *err)
{
    uint64_t pause = PAUSE_MS;
    for (int i = 1;; i++) {
        struct ask a = { l, tee, report_data, NULL, 0, 0 };
        int rc = ask_as_permitted(&a, out, err);
        if (rc == 0 || i >= a.tries || clock_ms() + pause >= deadline)
            return rc;
        out->report.n = out->certs.n = 0;
        clock_sleep(clock_jitter(pause));
        pause = pause * 2 < PAUSE_MAX ? pause * 2 : PAUSE_MAX;
    }
}
