/* The agent's own logs against registers: the workload log (PCR 23, 16, 15, RTMR3) and the journal (PCR 14),
 * scheme cvm-agent-v1. Contract, section 6; docs/measurement.md. A register that the boot log extends begins
 * where that leaves it. */
#include "evidence/verify_internal.h"

#include "base/auto.h"
#include "base/enc.h"
#include "tpm/measured.h"

#define PCR(n)      (1u << (n))
#define PCR_PATCH   16
#define PCR_HISTORY 15
#define PCR_NOW     23

/* One event, checked. */
struct event {
    const char *type, *name;
    uint8_t content[48];
    uint32_t registers; /* PCRs; empty on machines without TPM */
    bool restarts;      /* PCR 23 is reset after it: contract, section 6 */
};

/* The types of the scheme, and what each may extend. */
static const struct event_type {
    const char *name;
    bool journal;
    uint32_t registers;
    bool restarts;
} types[] = {
    { "image", false, PCR(PCR_NOW) | PCR(PCR_HISTORY), false },
    { "skip", false, PCR(PCR_NOW) | PCR(PCR_HISTORY), false },
    { "compose", false, PCR(PCR_NOW) | PCR(PCR_HISTORY), false },
    { "env", false, PCR(PCR_NOW) | PCR(PCR_HISTORY), false },
    { "config", false, PCR(PCR_NOW) | PCR(PCR_HISTORY), false },
    { "ready", false, PCR(PCR_NOW) | PCR(PCR_HISTORY), false },
    { "update", false, PCR(PCR_HISTORY), true },
    { "rollback", false, PCR(PCR_HISTORY), true },
    { "livepatch", false, PCR(PCR_PATCH) | PCR(PCR_HISTORY), false },
    { "tls-key", true, PCR(JOURNAL_PCR), false },
    { "identity", true, PCR(JOURNAL_PCR), false },
    { "token", true, PCR(JOURNAL_PCR), false },
    { "act", true, PCR(JOURNAL_PCR), false },
};

static const struct event_type *type_of(const char *name, bool journal)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (types[i].journal == journal && !strcmp(types[i].name, name))
            return &types[i];
    return NULL;
}

/* ---- one event ---- */

static int read_registers(const json_t *list, const struct event_type *type, uint32_t *out, struct err *err)
{
    uint32_t mask = 0;
    const json_t *v;
    size_t i;
    if (!json_is_array(list))
        return err_set(err, ERR_INPUT, 0, "no list of registers");
    json_array_foreach(list, i, v)
    {
        json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;
        if (n < 0 || n >= TPM_PCRS || !(type->registers & PCR(n)) || mask & PCR(n))
            return err_set(err, ERR_INPUT, 0, "a register that events of type %s do not extend", type->name);
        mask |= PCR(n);
    }
    *out = mask;
    return 0;
}

/* The digests beside an event are a convenience for people: if they are there they must be right. */
static int check_digests(const json_t *digests, const struct event *e, struct err *err)
{
    const char *key;
    json_t *v;
    if (!json_is_object(digests))
        return err_set(err, ERR_INPUT, 0, "no digests");
    json_object_foreach((json_t *)(uintptr_t)digests, key, v)
    {
        uint16_t alg = digest_by_name(key);
        struct digest d, shown = { .alg = alg };
        const char *hex = json_string_value(v);
        if (!alg || strcmp(key, digest_name(alg)) != 0)
            return err_set(err, ERR_INPUT, 0, "a digest of an unknown hash");
        if (measured_digest(alg, e->type, e->name, e->content, &d, err) < 0)
            return -1;
        if (!hex || strlen(hex) != 2u * d.n || hex_decode_fixed(bytes_str(hex), shown.b, d.n, err) < 0
            || memcmp(shown.b, d.b, d.n) != 0)
            return err_set(err, ERR_DENIED, 0, "the %s digest is not that of the event", digest_name(alg));
    }
    return 0;
}

static int read_event(const json_t *json, bool journal, struct event *out, struct err *err)
{
    const char *hex = json_string_value(json_object_get(json, "content_sha384"));
    const json_t *name = json_object_get(json, "name");
    struct event e = { .type = json_string_value(json_object_get(json, "type")),
                       .name = json_string_value(name) };
    if (!e.type || !e.name || !hex || json_string_length(name) > MEASURED_NAME_MAX)
        return err_set(err, ERR_INPUT, 0, "type, name or content_sha384 is missing");
    const struct event_type *type = type_of(e.type, journal);
    if (!type)
        return err_set(err, ERR_INPUT, 0, "type \"%.40s\" is none of this log", e.type);
    if (strlen(hex) != 2 * sizeof(e.content)
        || hex_decode_fixed(bytes_str(hex), e.content, sizeof(e.content), err) < 0)
        return err_set(err, ERR_INPUT, 0, "content_sha384 is no SHA-384 in hex");
    if (read_registers(json_object_get(json, "registers"), type, &e.registers, err) < 0
        || check_digests(json_object_get(json, "digests"), &e, err) < 0)
        return -1;
    e.restarts = type->restarts;
    *out = e;
    return 0;
}

/* seq and boot_id are not measured: they must at least make sense. */
static int check_place(const json_t *json, size_t i, const char **boot_id, struct err *err)
{
    const json_t *seq = json_object_get(json, "seq");
    const char *boot = json_string_value(json_object_get(json, "boot_id"));
    const char *when = json_string_value(json_object_get(json, "time"));
    time_t t;
    if (!json_is_integer(seq) || json_integer_value(seq) != (json_int_t)i)
        return err_set(err, ERR_INPUT, 0, "seq is not %zu", i);
    if (!boot || (*boot_id && strcmp(boot, *boot_id) != 0))
        return err_set(err, ERR_INPUT, 0, "boot_id is missing, or of another boot");
    if (!when || rfc3339_parse(when, &t, err) < 0)
        return err_set(err, ERR_INPUT, 0, "time is missing, or no time");
    *boot_id = boot;
    return 0;
}

/* ---- a whole log ---- */

/* Registers as a log gives them, in one bank; zero or the boot log's value at first. */
struct replay {
    uint16_t alg;
    uint32_t touched;
    struct digest pcr[TPM_PCRS];
    struct digest history; /* of every event, in the bank history.alg */
};

static struct digest zero(uint16_t alg)
{
    return (struct digest){ .alg = alg, .n = (uint8_t)digest_size(alg) };
}

static int extend(struct digest *value, const struct event *e, struct err *err)
{
    struct digest d;
    return measured_digest(value->alg, e->type, e->name, e->content, &d, err) < 0
               ? -1
               : digest_extend(value, digest_bytes(&d), err);
}

static int replay_event(struct replay *r, const struct event *e, struct err *err)
{
    for (unsigned i = 0; i < TPM_PCRS; i++)
        if (r->alg && e->registers & PCR(i) && extend(&r->pcr[i], e, err) < 0)
            return -1;
    if (r->history.alg && extend(&r->history, e, err) < 0)
        return -1;
    r->touched |= e->registers;
    if (e->restarts)
        r->pcr[PCR_NOW] = zero(r->alg);
    return 0;
}

/* True if any event of the log is said to be in PCR 15. Where that was in use before the agent came, no event
 * is, and updates leave their mark in no PCR: contract, section 6. */
static bool is_mirrored(const json_t *log)
{
    for (size_t i = 0; i < json_array_size(log); i++) {
        const json_t *list = json_object_get(json_array_get(log, i), "registers"), *v;
        size_t k;
        json_array_foreach(list, k,
                           v) if (json_is_integer(v) && json_integer_value(v) == PCR_HISTORY) return true;
    }
    return false;
}

/* What an event extends is no choice of its writer: one that leaves a register out would be missing there. */
static int check_registers(const struct event *e, bool journal, bool mirrored, struct err *err)
{
    uint32_t due = type_of(e->type, journal)->registers & (mirrored ? UINT32_MAX : ~PCR(PCR_HISTORY));
    if (e->registers == due)
        return 0;
    return err_set(err, ERR_DENIED, 0,
                   e->registers ? "a register of its type is left out" : "no register holds it");
}

/* @param rooted  each event must name its registers */
static int replay_log(const json_t *log, bool journal, bool rooted, struct replay *r, struct err *err)
{
    const char *boot_id = NULL;
    bool mirrored = journal || is_mirrored(log);
    for (size_t i = 0; i < json_array_size(log); i++) {
        const json_t *json = json_array_get(log, i);
        struct event e;
        struct err why = { 0 };
        int rc = read_event(json, journal, &e, &why);
        if (rc == 0)
            rc = check_place(json, i, &boot_id, &why);
        if (rc == 0 && rooted)
            rc = check_registers(&e, journal, mirrored, &why);
        if (rc == 0)
            rc = replay_event(r, &e, &why);
        if (rc < 0)
            return err_set(err, why.kind, why.code, "event %zu: %.200s", i, why.cause);
    }
    return 0;
}

static struct replay start_of(const struct verification *v)
{
    const struct tpm_pcrs *boot = v->boot;
    struct replay r = { .alg = v->document->has_tpm ? v->document->pcrs.alg : 0 };
    for (unsigned i = 0; i < TPM_PCRS; i++)
        r.pcr[i] = boot && boot->mask & PCR(i) ? boot->pcr[i] : zero(r.alg);
    return r;
}

int verify_workload_replay(const struct document *d, struct digest *out, struct err *err)
{
    struct replay r = { .history = zero(ALG_SHA256) };
    if (replay_log(d->workload_log, false, false, &r, err) < 0)
        return -1;
    *out = r.history;
    return 0;
}

/* @return 0 if the quoted register is what the replay gives */
static int compare(const struct verification *v, const struct replay *r, unsigned pcr, struct err *err)
{
    if (!(v->covered & PCR(pcr)))
        return err_set(err, ERR_DENIED, 0, "PCR %u is not proven by the quote", pcr);
    if (!bytes_equal(digest_bytes(&r->pcr[pcr]), digest_bytes(&v->document->pcrs.pcr[pcr])))
        return err_set(err, ERR_DENIED, 0, "the log does not give the value of PCR %u", pcr);
    return 0;
}

/* ---- the workload log ---- */

/* RTMR3 is history too, where the kernel lets the agent extend it. Zero: it does not. */
static int compare_rtmr3(struct verification *v, bool *rooted, struct err *err)
{
    struct replay r = { .history = zero(ALG_SHA384) };
    *rooted = false;
    if (!v->td || bytes_zero(v->td->rtmr[3]))
        return 0;
    if (v->ccel && v->ccel->mask & PCR(4))
        r.history = v->ccel->pcr[4];
    if (replay_log(v->document->workload_log, false, false, &r, err) < 0)
        return -1;
    if (!bytes_equal(digest_bytes(&r.history), v->td->rtmr[3]))
        return err_set(err, ERR_DENIED, 0, "the log does not give the value of RTMR3");
    *rooted = json_array_size(v->document->workload_log) > 0;
    return 0;
}

/* Who measured nothing has registers that nothing extended; PCR 15 may be the system's. */
static int compare_pcrs(struct verification *v, const struct replay *r, struct err *err)
{
    if (compare(v, r, PCR_NOW, err) < 0 || compare(v, r, PCR_PATCH, err) < 0)
        return -1;
    if (r->touched & PCR(PCR_HISTORY))
        return compare(v, r, PCR_HISTORY, err);
    struct err ignored;
    if (compare(v, r, PCR_HISTORY, &ignored) < 0)
        checks_warn(v->checks,
                    "PCR 15 was extended by the system: it does not mirror the workload's history");
    return 0;
}

static int judge_workload(struct verification *v, bool *rooted, struct err *err)
{
    const struct document *d = v->document;
    struct replay r = start_of(v);
    if (json_array_size(d->workload_log))
        r.pcr[PCR_NOW] = zero(r.alg); /* reset before the first event */
    if (replay_log(d->workload_log, false, d->has_tpm, &r, err) < 0
        || (d->has_tpm && compare_pcrs(v, &r, err) < 0) || compare_rtmr3(v, rooted, err) < 0)
        return -1;
    *rooted = *rooted || (d->has_tpm && json_array_size(d->workload_log) > 0);
    return 0;
}

static json_t *workload_claims(const struct document *d, bool holds, bool rooted)
{
    json_t *events = json_array();
    for (size_t i = 0; holds && i < json_array_size(d->workload_log); i++)
        json_array_append(events, json_array_get(d->workload_log, i));
    return json_pack("{s:s,s:b,s:o}", "scheme", MEASURED_SCHEME, "rooted", (int)rooted, "events", events);
}

/* The first half of report_data on a machine without TPM, by our rule and by the older ones. */
static bool replay_is_zero(const struct verification *v)
{
    return v->report_data.n < 32 || bytes_zero(bytes_of(v->report_data.p, 32));
}

static void verify_workload_log(struct verification *v)
{
    static const char name[] = "workload.log_replay";
    const struct document *d = v->document;
    struct err err = { 0 };
    bool rooted = false;
    size_t n = json_array_size(d->workload_log);
    if (!d->workload_log) {
        checks_add(v->checks, name, d->platform.said ? CHECK_FAILED : CHECK_NOT_APPLICABLE,
                   "no workload log in this document");
    } else if (judge_workload(v, &rooted, &err) < 0) {
        checks_add_rc(v->checks, name, -1, NULL, &err);
    } else if (!d->has_tpm && !rooted && (n || !replay_is_zero(v))) {
        /* report_data holds its replay: binding.ak and binding.nonce say whether it does */
        bool bound = v->report_data.n && checks_hold(v->checks, "binding.nonce");
        checks_add(v->checks, name, bound ? CHECK_OK : CHECK_FAILED,
                   bound ? "report_data has the log's replay" : "report_data does not have the log's replay");
        checks_warn(v->checks, "the workload log stands in report_data only: the guest could shorten it");
    } else {
        checks_add(v->checks, name, CHECK_OK, "%zu events give the values of the registers", n);
    }
    if (!n && d->workload_log)
        checks_warn(v->checks, "no workload measured");
    v->result->workload_holds = checks_hold(v->checks, name);
    v->result->workload_rooted = v->result->workload_holds && rooted;
    json_object_set_new(v->result->claims, "workload",
                        workload_claims(d, v->result->workload_holds, v->result->workload_rooted));
}

/* ---- the journal, and the TLS key in it ---- */

static void verify_journal(struct verification *v)
{
    static const char name[] = "journal.log_replay";
    const struct document *d = v->document;
    struct replay r = start_of(v);
    struct err err = { 0 };
    if (!d->journal_log) {
        checks_add(v->checks, name, d->platform.said && d->has_tpm ? CHECK_FAILED : CHECK_NOT_APPLICABLE,
                   "no journal in this document");
        return;
    }
    if (replay_log(d->journal_log, true, d->has_tpm, &r, &err) < 0
        || (d->has_tpm && compare(v, &r, JOURNAL_PCR, &err) < 0))
        checks_add_rc(v->checks, name, -1, NULL, &err);
    else if (!d->has_tpm)
        checks_add(v->checks, name, CHECK_NOT_APPLICABLE, "no TPM: the journal stands on nothing");
    else
        checks_add(v->checks, name, CHECK_OK, "%zu events give the value of PCR 14",
                   json_array_size(d->journal_log));
}

/* The last tls-key event: the agent's last start in this boot. */
static const char *journal_tls_key(const struct document *d)
{
    const char *last = NULL;
    for (size_t i = 0; i < json_array_size(d->journal_log); i++) {
        const json_t *event = json_array_get(d->journal_log, i);
        const char *type = json_string_value(json_object_get(event, "type"));
        if (type && !strcmp(type, "tls-key"))
            last = json_string_value(json_object_get(event, "content_sha384"));
    }
    return last;
}

static bool is_hex_of(const char *hex, const uint8_t *digest, size_t n)
{
    char want[2 * 48 + 1];
    return hex && !strcmp(hex, hex_to(want, bytes_of(digest, n)));
}

static void verify_tls_key(struct verification *v)
{
    static const char name[] = "tls.key";
    const struct document *d = v->document;
    const struct verify_options *o = v->options;
    const char *journal = journal_tls_key(d);
    if (!d->tls_spki_sha256 && !o->peer_spki_sha256) {
        checks_add(v->checks, name, CHECK_NOT_APPLICABLE, "the document names no TLS key");
    } else if (!journal && d->has_tpm) {
        checks_add(v->checks, name, CHECK_FAILED, "a TLS key, and no tls-key event in the journal");
    } else if (!o->peer_spki_sha256) {
        checks_add(v->checks, name, CHECK_NOT_APPLICABLE,
                   "not asked: the key of the connection is to be compared when it is made");
    } else if (!is_hex_of(d->tls_spki_sha256, o->peer_spki_sha256, 32)) {
        checks_add(v->checks, name, CHECK_FAILED, "tls_spki_sha256 is not the key of this connection");
    } else if (!is_hex_of(journal, o->peer_spki_sha384, 48)) {
        checks_add(v->checks, name, CHECK_FAILED, "the journal's tls-key is not the key of this connection");
    } else {
        bool held = checks_hold(v->checks, "journal.log_replay");
        checks_add(v->checks, name, held ? CHECK_OK : CHECK_FAILED,
                   held ? "the connection's key is in the document and in the journal"
                        : "the journal that names the key stands on nothing");
    }
}

void verify_measured_logs(struct verification *v)
{
    verify_workload_log(v);
    verify_journal(v);
    verify_tls_key(v);
}
