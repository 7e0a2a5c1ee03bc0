/* The boot logs against the registers that were signed: the TPM's log against the quote, the CCEL against the
 * TD quote. */
#include "evidence/verify_internal.h"

#include "base/auto.h"
#include "base/enc.h"
#include "tpm/measured.h"

#define PCR(n) (1u << (n))
/* Extended by boot loader and stub alone; 10 is IMA's, 14 and up are replayed with the agent's own logs. */
#define STUB_PCRS   (PCR(12) | PCR(13))
#define PHASE_PCR   11
#define PHASES_MAX  6
#define CLAIMED_MAX 1024 /* events that claims show */

/* systemd-pcrphase(8): words that userspace extends PCR 11 with, in this order, an initrd's two first. */
static const char *const phases[] = {
    "enter-initrd", "leave-initrd", "sysinit", "ready", "shutdown", "final"
};

/* True if the log's value, extended with the phases of one boot so far, is the register's. */
static bool explained_by_phases(const struct digest *log, const struct digest *value)
{
    for (size_t from = 0; from < PHASES_MAX; from += 2) {
        struct digest d = *log, word;
        struct err ignored;
        for (size_t i = from; i < PHASES_MAX; i++) {
            if (digest_of(d.alg, bytes_str(phases[i]), &word, &ignored) < 0
                || digest_extend(&d, digest_bytes(&word), &ignored) < 0)
                return false;
            if (bytes_equal(digest_bytes(&d), digest_bytes(value)))
                return true;
        }
    }
    return false;
}

/* What tpm_log_verify() leaves open, as it knows no system: PCR 11 to 13. */
static void judge_stub_pcrs(struct verification *v, const struct tpm_log_verdict *verdict)
{
    const struct document *d = v->document;
    if (verdict->extended & STUB_PCRS)
        checks_add(v->checks, "tpm.eventlog_replay", CHECK_FAILED,
                   "the log does not give the value of PCR %d", verdict->extended & PCR(12) ? 12 : 13);
    if (!(verdict->extended & PCR(PHASE_PCR)))
        return;
    if (explained_by_phases(&v->boot->pcr[PHASE_PCR], &d->pcrs.pcr[PHASE_PCR]))
        checks_warn(v->checks, "PCR 11: the log's value, extended with the phases of systemd-pcrphase since");
    else
        checks_add(v->checks, "tpm.eventlog_replay", CHECK_FAILED,
                   "the log does not give the value of PCR 11, nor with the phases of systemd-pcrphase");
}

static json_t *event_json(const struct tpm_eventlog *log, const struct tpm_event *e, uint16_t bank)
{
    const char *name = tpm_event_type_name(e->type);
    struct bytes digest;
    json_t *digests = json_object();
    if (tpm_event_digest(log, e, bank, &digest))
        json_object_set_new(digests, digest_name(bank), json_hex(digest));
    return json_pack("{s:i,s:s,s:o}", "index", (int)e->index, "type", name ? name : "unknown", "digests",
                     digests);
}

/* The events whose registers the log explains whole, in the bank that was quoted. */
static json_t *claimed_events(const struct tpm_eventlog *log, uint16_t bank, uint32_t explained)
{
    json_t *list = json_array();
    for (size_t i = 0; i < log->count && json_array_size(list) < CLAIMED_MAX; i++) {
        const struct tpm_event *e = &log->events[i];
        if (e->index < TPM_PCRS && explained & PCR(e->index) && e->type != EV_NO_ACTION)
            json_array_append_new(list, event_json(log, e, bank));
    }
    return list;
}

static int judge_boot_log(struct verification *v, struct err *err)
{
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { .count = 0 };
    const struct document *d = v->document;
    struct tpm_log_verdict verdict;
    struct tpm_replay replay;
    if (tpm_eventlog_parse(d->boot_log_tpm, EVENTLOG_TPM, &log, err) < 0
        || tpm_eventlog_replay(&log, &replay, err) < 0)
        return -1;
    tpm_log_verify(&log, &replay, &d->pcrs, v->covered, v->checks, &verdict);
    const struct tpm_pcrs *bank = tpm_replay_bank(&replay, d->pcrs.alg);
    if (!bank)
        return 0; /* said by tpm_log_verify() */
    v->boot_storage = *bank;
    v->boot = &v->boot_storage;
    judge_stub_pcrs(v, &verdict);
    if (!checks_hold(v->checks, "tpm.eventlog_replay"))
        return 0;
    v->boot_events = claimed_events(&log, d->pcrs.alg, verdict.explained);
    v->result->boot_explained = verdict.explained;
    v->result->boot_log = log;
    log = (struct tpm_eventlog){ .count = 0 };
    return 0;
}

/* ---- CCEL ---- */

/* RTMR 3 is the workload's: judged with its log. */
static int judge_ccel(struct verification *v, struct err *err)
{
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { .count = 0 };
    struct tpm_replay replay;
    if (!v->td)
        return err_set(err, ERR_DENIED, 0, "not made: no TD quote that holds");
    if (tpm_eventlog_parse(v->document->boot_log_ccel, EVENTLOG_CCEL, &log, err) < 0
        || tpm_eventlog_replay(&log, &replay, err) < 0 || tpm_eventlog_check_separators(&log, err) < 0)
        return -1;
    const struct tpm_pcrs *bank = tpm_replay_bank(&replay, ALG_SHA384);
    if (!bank)
        return err_set(err, ERR_DENIED, 0, "the log has no SHA-384 digests");
    for (unsigned i = 0; i < TDX_RTMRS - 1; i++) {
        bool has = bank->mask & PCR(i + 1);
        if (has ? !bytes_equal(digest_bytes(&bank->pcr[i + 1]), v->td->rtmr[i]) : !bytes_zero(v->td->rtmr[i]))
            return err_set(err, ERR_DENIED, 0, "RTMR%u is %s", i,
                           has ? "not what the log gives" : "extended, and the log has no event for it");
    }
    v->ccel_storage = *bank;
    v->ccel = &v->ccel_storage;
    return 0;
}

void verify_boot_logs(struct verification *v)
{
    const struct document *d = v->document;
    struct err err = { 0 };
    if (!d->boot_log_tpm.n)
        checks_add(v->checks, "tpm.eventlog_replay", CHECK_NOT_APPLICABLE, "no boot log in this document");
    else if (!d->has_tpm)
        checks_add(v->checks, "tpm.eventlog_replay", CHECK_FAILED, "a TPM's boot log, and no TPM");
    else if (judge_boot_log(v, &err) < 0)
        checks_add_rc(v->checks, "tpm.eventlog_replay", -1, NULL, &err);
    if (!d->boot_log_ccel.n)
        checks_add(v->checks, "ccel.replay", CHECK_NOT_APPLICABLE, "no CCEL in this document");
    else
        checks_add_rc(v->checks, "ccel.replay", judge_ccel(v, &err),
                      "RTMR0, RTMR1 and RTMR2 are what the log gives", &err);
}
