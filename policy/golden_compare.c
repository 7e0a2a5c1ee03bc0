#include "policy/golden_compare.h"

#include "base/auto.h"
#include "base/enc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WORKLOAD_WARNING "no workload measured"
#define NAME_CUT         60 /* of a name that a document or log brings */

/* What one group of registers came to: the first difference in words, and how many there are. */
struct verdict {
    unsigned pinned, failed;
    char first[CHECK_DETAIL_MAX];
};

__attribute__((format(printf, 2, 3))) static void differ(struct verdict *v, const char *fmt, ...)
{
    va_list ap;
    if (v->failed++)
        return;
    va_start(ap, fmt);
    vsnprintf(v->first, sizeof(v->first), fmt, ap);
    va_end(ap);
}

static void conclude(const struct verdict *v, struct checks *checks, const char *name, const char *what)
{
    if (v->failed > 1)
        checks_add(checks, name, CHECK_FAILED, "%s (and %u more)", v->first, v->failed - 1);
    else if (v->failed)
        checks_add(checks, name, CHECK_FAILED, "%s", v->first);
    else if (v->pinned)
        checks_add(checks, name, CHECK_OK, "%u %s as in the golden measurement", v->pinned, what);
    else
        checks_add(checks, name, CHECK_NOT_APPLICABLE, "the golden measurement pins none");
}

static void list(json_t *not_checked, const char *name)
{
    json_array_append_new(not_checked, json_string(name));
}

static void compare_word(const char *what, const char *want, const char *found, struct verdict *v)
{
    if (!*want)
        return;
    v->pinned++;
    if (strcmp(want, found) != 0)
        differ(v, "platform.%s is %s, the golden measurement is for %s", what, *found ? found : "not known",
               want);
}

static void compare_register(enum register_id id, const struct register_value *want,
                             const struct register_value *found, struct verdict *v, json_t *not_checked)
{
    char name[REGISTER_NAME_MAX], a[REGISTER_TEXT_MAX], b[REGISTER_TEXT_MAX];
    register_name(id, name);
    if (!want->n && found->n)
        list(not_checked, name);
    if (!want->n)
        return;
    v->pinned++;
    if (!found->n)
        differ(v, "%s is pinned, and this machine's evidence does not have it", name);
    else if (!register_equal(want, found))
        differ(v, "%s is %s, the golden measurement says %s", name, register_text(id, found, b),
               register_text(id, want, a));
}

static void compare_tcb(const struct register_tcb *want, const struct register_tcb *found, struct verdict *v,
                        json_t *not_checked)
{
    char name[REGISTER_NAME_MAX];
    for (unsigned i = 0; i < TCB_PARTS; i++) {
        bool known = found->mask >> i & 1;
        snprintf(name, sizeof(name), "sev_snp.tcb.%s", tcb_part_name(i));
        if (!(want->mask >> i & 1)) {
            if (known)
                list(not_checked, name);
            continue;
        }
        v->pinned++;
        if (!known)
            differ(v, "%s has a minimum, and this machine's evidence does not have it", name);
        else if (found->svn[i] < want->svn[i])
            differ(v, "%s is %u, the golden measurement wants at least %u", name, found->svn[i],
                   want->svn[i]);
    }
}

static void compare_tee(const struct golden *g, const struct registers *m, struct checks *checks,
                        json_t *not_checked)
{
    struct verdict v = { 0 };
    compare_word("tee", g->want.tee, m->tee, &v);
    compare_word("cloud", g->want.cloud, m->cloud, &v);
    for (unsigned i = 0; i < REGISTERS; i++)
        compare_register(i, &g->want.value[i], &m->value[i], &v, not_checked);
    compare_tcb(&g->want.tcb, &m->tcb, &v, not_checked);
    conclude(&v, checks, "golden.tee", "values");
}

static void compare_pcr(const struct golden *g, const struct registers *m, unsigned i, struct verdict *v,
                        json_t *not_checked)
{
    char name[REGISTER_NAME_MAX], why[CHECK_DETAIL_MAX];
    char a[2 * DIGEST_MAX + 1], b[2 * DIGEST_MAX + 1];
    bool pinned = g->want.pcr_mask >> i & 1, known = m->pcr_mask >> i & 1;
    pcr_name(i, m->bank, name);
    if (!pinned && g->match[i] == MATCH_NONE) {
        if (known)
            list(not_checked, name);
        return;
    }
    v->pinned++;
    if (!known)
        differ(v, "PCR %u is pinned, and the quote does not have it", i);
    else if (pinned && !bytes_equal(digest_bytes(&g->want.pcr[i]), digest_bytes(&m->pcr[i])))
        differ(v, "%s is %s, the golden measurement says %s", name, hex_to(b, digest_bytes(&m->pcr[i])),
               hex_to(a, digest_bytes(&g->want.pcr[i])));
    else if (!golden_events_match(g, i, &m->events[i], why, sizeof(why)))
        differ(v, "%s: %s", name, why);
}

/* The whole bank can be the wrong one. */
static const char *wrong_bank(const struct golden *g, const struct registers *m)
{
    if (!m->bank)
        return "PCRs are pinned, and this machine's evidence has no TPM quote";
    if (m->bank == ALG_SHA1 || g->want.bank == ALG_SHA1)
        return "PCRs of the SHA-1 bank never satisfy a golden measurement";
    return m->bank == g->want.bank ? NULL : "the quote is of another bank than the golden measurement";
}

static void compare_pcrs(const struct golden *g, const struct registers *m, struct checks *checks,
                         json_t *not_checked)
{
    struct verdict v = { 0 };
    bool any = g->want.pcr_mask != 0;
    for (unsigned i = 0; i < REGISTER_PCRS; i++)
        any = any || g->match[i] != MATCH_NONE;
    const char *bank = any ? wrong_bank(g, m) : NULL;
    if (bank) {
        checks_add(checks, "golden.pcrs", CHECK_FAILED, "%s (golden %s, quote %s)", bank,
                   digest_name(g->want.bank) ?: "none", digest_name(m->bank) ?: "none");
        return;
    }
    for (unsigned i = 0; i < REGISTER_PCRS; i++)
        compare_pcr(g, m, i, &v, not_checked);
    conclude(&v, checks, "golden.pcrs", "PCRs");
    if (!any && !strcmp(m->cloud, "azure"))
        checks_warn(checks, "the golden measurement pins no PCR: on Azure the launch measurement is that of "
                            "Microsoft's paravisor, whatever the guest boots");
}

static bool pcr_is_zero(const struct registers *r, unsigned i)
{
    return (r->pcr_mask >> i & 1) && bytes_zero(digest_bytes(&r->pcr[i]));
}

/* "workload": null. With a TPM PCR 23 says it; without one only the list does. */
static void compare_nothing(const struct registers *m, struct verdict *v)
{
    char name[REGISTER_NAME_MAX], text[2 * DIGEST_MAX + 1];
    pcr_name(WORKLOAD_PCR, m->bank, name);
    if (m->bank == ALG_SHA1)
        differ(v, "%s: the SHA-1 bank never satisfies a golden measurement", name);
    else if (m->bank && !(m->pcr_mask >> WORKLOAD_PCR & 1))
        differ(v, "%s has to be zero, and the quote does not have it", name);
    else if (m->bank && !pcr_is_zero(m, WORKLOAD_PCR))
        differ(v, "%s is %s, the golden measurement says that nothing was measured", name,
               hex_to(text, digest_bytes(&m->pcr[WORKLOAD_PCR])));
    else if (!m->bank && !m->workload.known)
        differ(v, "there is neither PCR 23 nor a workload log that shows that nothing was measured");
    else if (m->workload.n)
        differ(v, "the workload log has %zu events, the golden measurement none", m->workload.n);
}

static void compare_events(const struct workload_events *want, const struct workload_events *found,
                           struct verdict *v)
{
    size_t i = 0;
    if (!found->known || !found->rooted) {
        differ(v, "no signed register holds the replay of the workload log");
        return;
    }
    while (i < want->n && i < found->n && workload_event_equal(&want->item[i], &found->item[i]))
        i++;
    const struct workload_event *w = i < want->n ? &want->item[i] : NULL;
    const struct workload_event *f = i < found->n ? &found->item[i] : NULL;
    if (w && f && strcmp(w->type, f->type) == 0 && strcmp(w->name, f->name) == 0)
        differ(v, "workload event %zu, %.*s \"%.*s\", has another content than in the golden measurement", i,
               NAME_CUT, f->type, NAME_CUT, f->name);
    else if (w && f)
        differ(v, "workload event %zu is %.*s \"%.*s\", the golden measurement says %.*s \"%.*s\"", i,
               NAME_CUT, f->type, NAME_CUT, f->name, NAME_CUT, w->type, NAME_CUT, w->name);
    else if (w)
        differ(v, "the workload has %zu events, the golden measurement also has %.*s \"%.*s\"", found->n,
               NAME_CUT, w->type, NAME_CUT, w->name);
    else if (f)
        differ(v, "the workload has an event that the golden measurement lacks: %.*s \"%.*s\"", NAME_CUT,
               f->type, NAME_CUT, f->name);
}

static void compare_workload(const struct golden *g, const struct registers *m, struct checks *checks,
                             json_t *not_checked)
{
    struct verdict v = { 0 };
    if (!g->want.workload.known) {
        list(not_checked, "workload");
        checks_add(checks, "golden.workload", CHECK_NOT_APPLICABLE,
                   "the golden measurement says nothing about the workload");
    } else if (g->want.workload.n) {
        v.pinned = (unsigned)g->want.workload.n;
        compare_events(&g->want.workload, &m->workload, &v);
        conclude(&v, checks, "golden.workload", "workload events");
    } else {
        compare_nothing(m, &v);
        checks_add(checks, "golden.workload", v.failed ? CHECK_FAILED : CHECK_OK, "%s",
                   v.failed ? v.first : WORKLOAD_WARNING ", as in the golden measurement");
    }
    bool zero = g->want.workload.known && !g->want.workload.n && !v.failed;
    if (zero || (pcr_is_zero(&g->want, WORKLOAD_PCR) && pcr_is_zero(m, WORKLOAD_PCR)))
        checks_warn(checks, WORKLOAD_WARNING);
}

void golden_compare(const struct golden *golden, const struct registers *machine, struct checks *checks,
                    json_t *not_checked)
{
    compare_tee(golden, machine, checks, not_checked);
    compare_pcrs(golden, machine, checks, not_checked);
    compare_workload(golden, machine, checks, not_checked);
}
