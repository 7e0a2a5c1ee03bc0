/* What this machine has, what is missing, and what to do about it. Nothing is changed, and nothing waits: the
 * TPM is asked on a thread of its own that is left behind when it does not answer. */
#include "cli/commands.h"

#include "base/auto.h"
#include "policy/trust.h"
#include "tee/detect.h"
#include "tpm/tpm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <time.h>

#define TPM_WAIT_S  5
#define ROWS_MAX    48
#define DETAIL_SIZE 256
#define CLOCK_FLOOR 1735689600 /* 2025-01-01: no clock that is right says less */

enum finding_state { FINE, MISSING, WRONG };

struct row {
    const char *what;
    enum finding_state state;
    char detail[DETAIL_SIZE];
    const char *remedy; /* NULL: nothing to do */
};

struct report {
    struct row rows[ROWS_MAX];
    size_t n;
    const char *tee, *cloud, *shape; /* shape NULL: cannot attest */
};

__attribute__((format(printf, 5, 6))) static void add(struct report *r, const char *what,
                                                      enum finding_state state, const char *remedy,
                                                      const char *fmt, ...)
{
    va_list ap;
    if (r->n == ROWS_MAX)
        return;
    struct row *row = &r->rows[r->n++];
    *row = (struct row){ .what = what, .state = state, .remedy = state == FINE ? NULL : remedy };
    va_start(ap, fmt);
    vsnprintf(row->detail, sizeof(row->detail), fmt, ap);
    va_end(ap);
    for (char *c = row->detail; *c; c++)
        if (*c < 0x20 || *c > 0x7E)
            *c = '?';
}

/* What the thread that talks to the TPM finds. It owns itself: one that never comes back is not waited for.
 */
struct probe {
    struct lower_system storage;
    struct lower lower;
    struct detection detection;
    struct tpm_banks banks;
    bool has_banks;
    struct err tpm_error;
};

static void *probe_run(void *arg)
{
    struct probe *p = arg;
    TSS2_TCTI_CONTEXT *tcti = NULL;
    struct tpm *tpm = NULL;
    if (p->lower.tpm.open(p->lower.tpm.ctx, &tcti, &p->tpm_error) == 0
        && tpm_open_tcti(tcti, &tpm, &p->tpm_error) == 0)
        p->has_banks = tpm_banks_get(tpm, &p->banks, &p->tpm_error) == 0;
    detect(&p->lower, tpm, &p->detection);
    tpm_close(tpm);
    if (tcti)
        p->lower.tpm.close(p->lower.tpm.ctx, tcti);
    return NULL;
}

/* Detects; without the TPM when that does not answer in time. *out is freed by the caller unless it is shared
 * with a thread that still runs (then it is left behind on purpose). */
static bool probe(struct probe **out)
{
    struct probe *p = calloc(1, sizeof(*p));
    pthread_t thread;
    struct timespec until;
    if (!p)
        return false;
    p->lower = lower_system(&p->storage, "/sys", "/dev", "/proc", "device:/dev/tpmrm0", "device");
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += TPM_WAIT_S;
    *out = p;
    if (pthread_create(&thread, NULL, probe_run, p) != 0) {
        detect(&p->lower, NULL, &p->detection);
        return true;
    }
    if (pthread_timedjoin_np(thread, NULL, &until) == 0)
        return true;
    pthread_detach(thread);
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return false;
    (*out)->lower = lower_system(&(*out)->storage, "/sys", "/dev", "/proc", "device:/dev/tpmrm0", "device");
    detect(&(*out)->lower, NULL, &(*out)->detection);
    err_set(&(*out)->tpm_error, ERR_UNAVAILABLE, 0, "no answer in %d s", TPM_WAIT_S);
    return true;
}

static void add_detection(struct report *r, const struct probe *p)
{
    const struct detection *d = &p->detection;
    const struct shape *shape = shape_find(d->tee, d->cloud, d->tpm, d->hcl);
    r->tee = tee_name(d->tee);
    r->cloud = cloud_name(d->cloud);
    r->shape = d->tee != TEE_NONE && shape ? shape->name : NULL;
    for (size_t i = 0; i < d->count; i++)
        add(r, d->findings[i].what, d->findings[i].found ? FINE : MISSING, NULL, "%s", d->findings[i].detail);
    add(r, "TEE", d->tee != TEE_NONE ? FINE : MISSING,
        "run inside an SEV-SNP or TDX guest; the kernel needs the sev-guest or tdx-guest driver and "
        "configfs mounted at /sys/kernel/config",
        "%s%s%s", r->tee, *d->via ? ", told by " : "", d->via);
}

static void add_tpm(struct report *r, const struct probe *p)
{
    char banks[128] = "";
    struct stat st;
    if (stat("/dev/tpmrm0", &st) < 0) {
        add(r, "TPM PCR banks", MISSING,
            stat("/dev/tpm0", &st) == 0 ? "the kernel has /dev/tpm0 without its resource manager: "
                                          "enable CONFIG_TCG_TPM"
                                        : "give the VM a vTPM; without one only bare evidence is possible",
            "/dev/tpmrm0 is not there");
        return;
    }
    if (!p->has_banks) {
        char text[ERR_TEXT_MAX];
        add(r, "TPM PCR banks", WRONG,
            "check that this user may open /dev/tpmrm0 (group tss) and nobody else holds it", "%.200s",
            err_text(&p->tpm_error, text, sizeof(text)));
        return;
    }
    for (size_t i = 0; i < p->banks.n; i++) {
        const char *name = digest_name(p->banks.alg[i]);
        snprintf(banks + strlen(banks), sizeof(banks) - strlen(banks), "%s%s", i ? ", " : "",
                 name ? name : "?");
    }
    add(r, "TPM PCR banks", strstr(banks, "sha256") ? FINE : WRONG,
        "allocate the SHA-256 PCR bank (tpm2_pcrallocate, then reboot)", "%s", banks);
}

/* Logs are read by root alone on most systems: the agent's setup step copies them. */
static void add_file(struct report *r, const char *what, const char *path, const char *remedy)
{
    struct stat st;
    if (stat(path, &st) < 0)
        add(r, what, MISSING, remedy, "%s: %s", path, strerror(errno));
    else if (access(path, R_OK) < 0)
        add(r, what, WRONG, "run as root, or let cvm-agent-setup copy it for the agent's user", "%s: %s",
            path, strerror(errno));
    else
        add(r, what, FINE, NULL, "%s", path);
}

static void add_logs(struct report *r, const struct detection *d)
{
    if (d->tpm)
        add_file(r, "TPM boot log", "/sys/kernel/security/tpm0/binary_bios_measurements",
                 "mount securityfs at /sys/kernel/security; the firmware must hand over its log");
    if (d->tee == TEE_TDX)
        add_file(r, "CCEL boot log", "/sys/firmware/acpi/tables/data/CCEL",
                 "the firmware gives no CCEL table: use a TDX firmware (TDVF) with event log");
    if (d->tee == TEE_TDX)
        add_file(r, "RTMR3 in sysfs", "/sys/class/misc/tdx_guest/measurements",
                 "Linux 6.16 or later; without it the workload's history is in PCR 15 alone");
}

static void add_clock(struct report *r)
{
    struct timex t = { 0 };
    time_t now = time(NULL);
    int state = adjtimex(&t);
    char text[32];
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (now < CLOCK_FLOOR)
        add(r, "clock", WRONG, "set the clock: certificates are judged by it", "%s", text);
    else if (state < 0 || (t.status & STA_UNSYNC))
        add(r, "clock", MISSING, "run a time service (chrony with a PTP or NTP source)",
            "%s, not synchronised", text);
    else
        add(r, "clock", FINE, NULL, "%s, synchronised", text);
}

static void add_roots(struct report *r)
{
    AUTO(buf_done) struct buf storage = buf_new(1 << 20);
    struct bytes der[TRUST_ROWS];
    struct err err = { 0 };
    unsigned anchors = 0;
    if (trust_der(&storage, der, &err) < 0) {
        add(r, "trust roots", WRONG, "install an undamaged build", "%s", err.cause);
        return;
    }
    for (size_t i = 0; i < TRUST_ROWS; i++)
        anchors += trust_rows()[i].anchor;
    add(r, "trust roots", FINE, NULL, "%u anchors and %u intermediates built in", anchors,
        TRUST_ROWS - anchors);
}

/* A port that cannot be bound is in use: by the agent, one hopes. Nothing is left listening. */
static void add_port(struct report *r, const char *what, uint32_t address, uint16_t port)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr = { .s_addr = htonl(address) } };
    AUTO(close_fd) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int one = 1;
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        add(r, what, errno == EADDRINUSE ? FINE : WRONG, "see who holds it: ss -ltnp", "%u: %s", port,
            errno == EADDRINUSE ? "in use (a running agent?)" : strerror(errno));
    else
        add(r, what, FINE, NULL, "%u: free", port);
}

static void add_agent(struct report *r)
{
    struct stat st;
    bool there = stat("/run/cvm-agent/agent.sock", &st) == 0 && S_ISSOCK(st.st_mode);
    add(r, "agent socket", there ? FINE : MISSING, "start cvm-agent (systemctl start cvm-agent)",
        "/run/cvm-agent/agent.sock is %s", there ? "there" : "not there");
}

static int print_text(const struct report *r)
{
    static const char *const marks[] = { "ok", "--", "!!" };
    AUTO(buf_done) struct buf out = buf_new(65536);
    for (size_t i = 0; i < r->n; i++) {
        const struct row *row = &r->rows[i];
        buf_printf(&out, "%s  %-38s %s\n", marks[row->state], row->what, row->detail);
        if (row->remedy)
            buf_printf(&out, "%43s to do: %s\n", "", row->remedy);
    }
    if (r->shape)
        buf_printf(&out, "\nThis machine can attest: shape %s.\n", r->shape);
    else
        buf_str(&out, "\nThis machine cannot attest: no TEE that is supported was found.\n");
    return write_out(&out, NULL);
}

static int print_json(const struct report *r)
{
    static const char *const words[] = { "ok", "missing", "wrong" };
    AUTO(json_drop) json_t *out = json_object();
    json_t *list = json_array();
    json_object_set_new(out, "can_attest", json_boolean(r->shape != NULL));
    json_object_set_new(out, "shape", r->shape ? json_string(r->shape) : json_null());
    json_object_set_new(out, "tee", json_string(r->tee));
    json_object_set_new(out, "cloud", json_string(r->cloud));
    json_object_set_new(out, "findings", list);
    for (size_t i = 0; i < r->n; i++) {
        json_t *row = json_object();
        json_object_set_new(row, "what", json_string(r->rows[i].what));
        json_object_set_new(row, "state", json_string(words[r->rows[i].state]));
        json_object_set_new(row, "detail", json_string(r->rows[i].detail));
        json_object_set_new(row, "remedy", r->rows[i].remedy ? json_string(r->rows[i].remedy) : json_null());
        json_array_append_new(list, row);
    }
    return write_json(out);
}

static int run(int argc, char **argv)
{
    bool json = false;
    const struct option_row rows[] = { { "json", OPTION_FLAG, &json } };
    AUTO(free_str) char *memory = NULL;
    struct probe *p = NULL;
    struct report r = { 0 };
    int rc = options_parse(&command_doctor, argc, argv, rows, ARRAY_SIZE(rows), NULL, 0, 0);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (!probe(&p))
        return fail(STATUS_ENVIRONMENT, "doctor", "no memory", NULL);
    memory = (char *)p;
    add_detection(&r, p);
    add_tpm(&r, p);
    add_logs(&r, &p->detection);
    add_clock(&r);
    add_roots(&r);
    add_port(&r, "internal port", INADDR_LOOPBACK, 7999);
    add_port(&r, "external port", INADDR_ANY, 8000);
    add_agent(&r);
    rc = json ? print_json(&r) : print_text(&r);
    if (rc)
        return rc;
    return r.shape ? STATUS_DONE
                   : fail(STATUS_ENVIRONMENT, "doctor", "this machine cannot attest", "no TEE was found");
}

const struct command command_doctor = {
    "doctor",
    "[--json]",
    "Says what this machine has for attesting, and what is missing",
    "Looks at the TEE, the cloud, the TPM and its PCR banks, the boot logs, the clock, the built-in trust\n"
    "roots, the agent's ports and its socket; changes nothing and waits for nothing longer than 5 s.\n"
    "Every line that is not ok comes with what to do.\n"
    "\n"
    "  --json   "
    "{\"can_attest\":bool,\"shape\":...,\"findings\":[{\"what\",\"state\",\"detail\",\"remedy\"}]}\n"
    "\n"
    "Exit status 0: this machine can attest; 4: it cannot.\n",
    run,
};
