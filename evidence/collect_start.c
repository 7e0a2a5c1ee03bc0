/* What is read once, when the collector starts: the boot logs. */
#include "evidence/collect_internal.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "tpm/eventlog.h"

#include <limits.h>
#include <string.h>

/* The kernel's files are for root; cvm-agent-setup leaves copies for the unprivileged agent. */
#define BOOT_COPIES "/run/cvm-agent/boot"

struct log_place {
    const char *kernel; /* below <sys> */
    const char *copy;
    enum tpm_eventlog_kind kind;
};

static const struct log_place tpm_log = { "kernel/security/tpm0/binary_bios_measurements",
                                          BOOT_COPIES "/binary_bios_measurements", EVENTLOG_TPM };
static const struct log_place ccel_log = { "firmware/acpi/tables/data/CCEL", BOOT_COPIES "/CCEL",
                                           EVENTLOG_CCEL };

/* On the real machine the copy is taken where the original may not be read; a test's /sys has no copies. */
static int read_log(const struct collector *c, const struct log_place *place, uint8_t **p, size_t *n,
                    struct err *err)
{
    char path[PATH_MAX];
    if (path_set(path, sizeof(path), err, "%s/%s", c->lower->sys, place->kernel) < 0)
        return -1;
    int rc = file_read(path, BOOT_LOG_MAX, p, n, err);
    if (rc < 0 && !strcmp(c->lower->sys, "/sys")) {
        struct err second = { 0 };
        rc = file_read(place->copy, BOOT_LOG_MAX, p, n, &second);
    }
    return rc;
}

/* The log's area is larger than the log: what follows the last event is padding and not sent. */
static void keep_log(const struct collector *c, const struct log_place *place, struct boot_log *out)
{
    AUTO(free_u8) uint8_t *p = NULL;
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    struct err err = { 0 };
    size_t n = 0;
    out->b64 = buf_new(BOOT_LOG_MAX * 2);
    if (read_log(c, place, &p, &n, &err) < 0) {
        snprintf(out->why, sizeof(out->why), "%.190s", err.cause);
        return;
    }
    if (tpm_eventlog_parse(bytes_of(p, n), place->kind, &log, &err) == 0)
        n = log.used;
    b64_put(&out->b64, bytes_of(p, n));
}

void collector_read_logs(struct collector *c)
{
    if (c->shape->tpm)
        keep_log(c, &tpm_log, &c->log_tpm);
    if (c->shape->tee == TEE_TDX && c->shape->report == REPORT_KERNEL)
        keep_log(c, &ccel_log, &c->log_ccel);
}
