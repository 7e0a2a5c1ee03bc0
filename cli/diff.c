#include "cli/diff.h"

#include "appraisal/appraise.h"
#include "base/auto.h"
#include "base/enc.h"
#include "policy/golden_compare.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HISTORY_PCRS (1u << 14 | 1u << 15)
#define RTMRS        4

static bool is_collaterals(const json_t *document)
{
    return json_object_get(json_object_get(document, "sev_snp"), "attestation_report")
           || json_object_get(json_object_get(document, "tdx"), "attestation_report")
           || json_object_get(json_object_get(document, "tpm"), "quote");
}

static int read_tee(const struct document *d, struct registers *out, struct err *err)
{
    struct snp_report report;
    struct tdx_quote quote;
    snprintf(out->tee, sizeof(out->tee), "%s", tee_name(d->tee));
    snprintf(out->cloud, sizeof(out->cloud), "%s", d->platform.cloud ? d->platform.cloud : "");
    if (d->tee == TEE_SEV_SNP) {
        if (snp_report_parse(d->tee_report, &report, err) < 0)
            return -1;
        struct snp_tcb tcb = snp_tcb_decode(report.product, report.reported_tcb);
        return registers_set_snp(out, &report, &tcb, err);
    }
    if (d->tee != TEE_TDX)
        return 0;
    return tdx_quote_parse(d->tee_report, &quote, err) < 0 ? -1 : registers_set_tdx(out, &quote.body, err);
}

static int read_log(struct bytes raw, enum tpm_eventlog_kind kind, struct diff_log *out, struct err *err)
{
    if (!raw.n)
        return 0;
    if (tpm_eventlog_parse(raw, kind, &out->log, err) < 0)
        return -1;
    out->there = true;
    return 0;
}

/* The log as it is; whether its replay gives the PCRs is for verify to say. */
static int add_events(const struct tpm_eventlog *log, struct registers *r, struct err *err)
{
    for (size_t i = 0; i < log->count; i++) {
        const struct tpm_event *e = &log->events[i];
        struct digest d = { .alg = r->bank };
        struct bytes value;
        if (e->type == EV_NO_ACTION || e->index >= REGISTER_PCRS || !tpm_event_digest(log, e, r->bank, &value)
            || value.n > sizeof(d.b))
            continue;
        d.n = (uint8_t)value.n;
        memcpy(d.b, value.p, value.n);
        if (registers_add_event(r, e->index, &d, err) < 0)
            return -1;
    }
    return 0;
}

static int read_collaterals(json_t *json, struct diff_side *out, struct err *err)
{
    struct registers *r = &out->pinned.want;
    const struct document *d = &out->document;
    if (document_from_json(json, &out->document, err) < 0)
        return -1;
    if (read_tee(d, r, err) < 0)
        return err_while(err, "attestation_report");
    if (d->has_tpm) {
        r->bank = d->pcrs.alg;
        r->pcr_mask = d->pcrs.mask;
        memcpy(r->pcr, d->pcrs.pcr, sizeof(r->pcr));
    }
    if (d->workload_log && registers_set_workload(r, d->workload_log, err) < 0)
        return err_while(err, "workload_log");
    if (read_log(d->boot_log_tpm, EVENTLOG_TPM, &out->tpm, err) < 0)
        return err_while(err, "boot_log_tpm");
    if (read_log(d->boot_log_ccel, EVENTLOG_CCEL, &out->ccel, err) < 0)
        return err_while(err, "boot_log_ccel");
    return out->tpm.there ? add_events(&out->tpm.log, r, err) : 0;
}

int diff_side_read(json_t *document, struct diff_side *out, struct err *err)
{
    out->golden = !is_collaterals(document);
    return out->golden ? golden_parse_json(document, &out->pinned, err)
                       : read_collaterals(document, out, err);
}

void diff_side_done(struct diff_side *side)
{
    golden_done(&side->pinned);
    if (side->tpm.there)
        tpm_eventlog_done(&side->tpm.log);
    if (side->ccel.there)
        tpm_eventlog_done(&side->ccel.log);
    document_done(&side->document);
}

void diff_done(struct diff *d)
{
    free(d->list);
    *d = (struct diff){ 0 };
}

/* What a comparison works on. */
struct work {
    const struct diff_side *a, *b;
    struct diff *out;
    bool failed; /* out of memory */
};

/* A golden measurement beside collaterals is compared in what it pins. */
static bool skipped(const struct work *w, bool in_a, bool in_b)
{
    if (!in_a && !in_b)
        return true;
    return w->a->golden != w->b->golden && !(w->a->golden ? in_a : in_b);
}

static struct difference *add(struct work *w, const char *name)
{
    struct diff *d = w->out;
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 16;
        struct difference *bigger = realloc(d->list, cap * sizeof(*bigger));
        if (!bigger) {
            w->failed = true;
            return NULL;
        }
        d->list = bigger;
        d->cap = cap;
    }
    struct difference *x = &d->list[d->n++];
    *x = (struct difference){ .pcr = -1, .rtmr = -1 };
    snprintf(x->name, sizeof(x->name), "%s", name);
    return x;
}

static void compare_text(struct work *w, const char *name, const char *a, const char *b)
{
    if (skipped(w, *a, *b))
        return;
    w->out->compared++;
    if (strcmp(a, b) == 0)
        return;
    struct difference *x = add(w, name);
    if (x) {
        snprintf(x->a, sizeof(x->a), "%s", a);
        snprintf(x->b, sizeof(x->b), "%s", b);
    }
}

static void compare_register(struct work *w, enum register_id id)
{
    const struct register_value *a = &w->a->pinned.want.value[id], *b = &w->b->pinned.want.value[id];
    char name[REGISTER_NAME_MAX], x[REGISTER_TEXT_MAX], y[REGISTER_TEXT_MAX];
    size_t before = w->out->n;
    compare_text(w, register_name(id, name), register_text(id, a, x), register_text(id, b, y));
    if (w->out->n > before && id >= REG_TDX_RTMR0 && id <= REG_TDX_RTMR3)
        w->out->list[before].rtmr = (int)(id - REG_TDX_RTMR0);
}

/* A golden measurement has minimums: beside collaterals a higher value is no difference. */
static void compare_tcb(struct work *w, enum tcb_part part)
{
    const struct register_tcb *a = &w->a->pinned.want.tcb, *b = &w->b->pinned.want.tcb;
    bool in_a = a->mask >> part & 1, in_b = b->mask >> part & 1;
    const struct register_tcb *minimum = w->a->golden ? a : b, *found = w->a->golden ? b : a;
    char name[REGISTER_NAME_MAX], x[8] = "", y[8] = "";
    if (in_a)
        snprintf(x, sizeof(x), "%u", a->svn[part]);
    if (in_b)
        snprintf(y, sizeof(y), "%u", b->svn[part]);
    snprintf(name, sizeof(name), "sev_snp.tcb.%s", tcb_part_name(part));
    if (w->a->golden != w->b->golden && in_a && in_b && found->svn[part] >= minimum->svn[part])
        w->out->compared++;
    else
        compare_text(w, name, x, y);
}

static void compare_pcrs(struct work *w, uint32_t which)
{
    const struct registers *a = &w->a->pinned.want, *b = &w->b->pinned.want;
    for (unsigned i = 0; i < REGISTER_PCRS; i++) {
        char name[REGISTER_NAME_MAX], x[2 * DIGEST_MAX + 1] = "", y[2 * DIGEST_MAX + 1] = "";
        size_t before = w->out->n;
        if (!(which >> i & 1))
            continue;
        if (a->pcr_mask >> i & 1)
            hex_to(x, digest_bytes(&a->pcr[i]));
        if (b->pcr_mask >> i & 1)
            hex_to(y, digest_bytes(&b->pcr[i]));
        compare_text(w, pcr_name(i, a->bank ? a->bank : b->bank, name), x, y);
        if (w->out->n > before)
            w->out->list[before].pcr = (int)i;
    }
}

/* A golden measurement's lists against what a machine's log has. */
static void match_lists(struct work *w)
{
    const struct golden *golden = &(w->a->golden ? w->a : w->b)->pinned;
    const struct registers *machine = &(w->a->golden ? w->b : w->a)->pinned.want;
    for (unsigned i = 0; i < REGISTER_PCRS; i++) {
        char name[REGISTER_NAME_MAX], why[DIFF_TEXT_MAX];
        if (golden->match[i] == MATCH_NONE)
            continue;
        w->out->compared++;
        snprintf(name, sizeof(name), "events of PCR %u", i);
        if (golden_events_match(golden, i, &machine->events[i], why, sizeof(why)))
            continue;
        struct difference *d = add(w, name);
        if (d) {
            d->pcr = (int)i;
            snprintf(w->a->golden ? d->a : d->b, DIFF_TEXT_MAX, "%zu digests listed",
                     golden->want.events[i].n);
            snprintf(w->a->golden ? d->b : d->a, DIFF_TEXT_MAX, "%s", why);
        }
    }
}

static void compare_lists(struct work *w)
{
    const struct golden *a = &w->a->pinned, *b = &w->b->pinned;
    if (w->a->golden != w->b->golden)
        match_lists(w);
    if (!w->a->golden || !w->b->golden)
        return;
    for (unsigned i = 0; i < REGISTER_PCRS; i++) {
        const struct event_digests *x = &a->want.events[i], *y = &b->want.events[i];
        bool same = a->match[i] == b->match[i] && x->n == y->n;
        char name[REGISTER_NAME_MAX];
        for (size_t k = 0; same && k < x->n; k++)
            same = bytes_equal(digest_bytes(&x->item[k]), digest_bytes(&y->item[k]))
                   && (a->match[i] != MATCH_AT || a->at[i][k] == b->at[i][k]);
        if (a->match[i] == MATCH_NONE && b->match[i] == MATCH_NONE)
            continue;
        w->out->compared++;
        snprintf(name, sizeof(name), "events of PCR %u", i);
        struct difference *d = same ? NULL : add(w, name);
        if (d) {
            d->pcr = (int)i;
            snprintf(d->a, sizeof(d->a), "%zu digests", x->n);
            snprintf(d->b, sizeof(d->b), "%zu digests", y->n);
        }
    }
}

static void event_text(const struct workload_events *w, size_t i, char out[static DIFF_TEXT_MAX])
{
    char hex[97];
    *out = '\0';
    if (i < w->n)
        snprintf(out, DIFF_TEXT_MAX, "%.32s \"%.200s\" sha384 %s", w->item[i].type, w->item[i].name,
                 hex_to(hex, bytes_of(w->item[i].content_sha384, sizeof(w->item[i].content_sha384))));
}

/* Only the first event that differs: all after it follow from it. */
static void compare_workload(struct work *w)
{
    const struct workload_events *a = &w->a->pinned.want.workload, *b = &w->b->pinned.want.workload;
    char name[REGISTER_NAME_MAX], x[DIFF_TEXT_MAX], y[DIFF_TEXT_MAX];
    size_t i = 0;
    if (skipped(w, a->known, b->known))
        return;
    w->out->compared++;
    while (i < a->n && i < b->n && workload_event_equal(&a->item[i], &b->item[i]))
        i++;
    if (i == a->n && i == b->n)
        return;
    event_text(a, i, x);
    event_text(b, i, y);
    snprintf(name, sizeof(name), "workload event %zu", i);
    struct difference *d = add(w, name);
    if (d) {
        memcpy(d->a, x, sizeof(x));
        memcpy(d->b, y, sizeof(y));
    }
}

int diff_registers(const struct diff_side *a, const struct diff_side *b, struct diff *out, struct err *err)
{
    const struct registers *x = &a->pinned.want, *y = &b->pinned.want;
    AUTO(diff_done) struct diff d = { 0 };
    struct work w = { a, b, &d, false };
    bool banks = !x->bank || !y->bank || x->bank == y->bank;
    compare_text(&w, "platform.tee", x->tee, y->tee);
    compare_text(&w, "platform.cloud", x->cloud, y->cloud);
    for (unsigned id = 0; id < REG_TDX_RTMR3; id++)
        compare_register(&w, id);
    for (unsigned part = 0; part < TCB_PARTS; part++)
        compare_tcb(&w, part);
    if (!banks)
        compare_text(&w, "PCR bank", digest_name(x->bank) ?: "", digest_name(y->bank) ?: "");
    if (banks)
        compare_pcrs(&w, ~HISTORY_PCRS);
    if (banks)
        compare_lists(&w);
    compare_workload(&w);
    if (banks)
        compare_pcrs(&w, HISTORY_PCRS);
    compare_register(&w, REG_TDX_RTMR3);
    if (w.failed)
        return err_set(err, ERR_IO, 0, "out of memory for %zu differences", d.n);
    *out = d;
    d = (struct diff){ 0 };
    return 0;
}
