#include "appraisal/policies.h"

#include "base/auto.h"
#include "base/json.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_FAILURES 3 /* in a check's detail; the answer has all */

static bool taken(const struct policies *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->item[i].name, name))
            return true;
    return false;
}

static void set_name(const struct policies *p, const char *name, char out[static POLICY_NAME_MAX + 1])
{
    char base[POLICY_NAME_MAX - 3];
    size_t n = 0;
    for (; *name && n < sizeof(base) - 1; name++)
        if (isalnum((unsigned char)*name) || strchr("._-", *name))
            base[n++] = *name;
    base[n] = '\0';
    snprintf(out, POLICY_NAME_MAX + 1, "%s", n ? base : "unnamed");
    for (unsigned i = 2; taken(p, out); i++)
        snprintf(out, POLICY_NAME_MAX + 1, "%s-%u", n ? base : "unnamed", i);
}

int policies_add(struct policies *p, const char *name, struct bytes text, const struct cocos_files *files,
                 struct err *err)
{
    if (p->n == POLICIES_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "more than %d policies", POLICIES_MAX);
    struct policy_entry *e = &p->item[p->n];
    if (!cocos_looks(text))
        return err_set(err, ERR_INPUT, 0, "line 1: not a policy: want JSON, an object");
    if (cocos_parse(text, files, &e->cocos, err) < 0)
        return err_while(err, "policy");
    set_name(p, name, e->name);
    p->n++;
    return 0;
}

void policies_done(struct policies *p)
{
    for (size_t i = 0; i < p->n; i++)
        cocos_free(p->item[i].cocos);
    p->n = 0;
}

struct bytes policies_rtmr(const struct policies *p, unsigned i)
{
    for (size_t k = 0; p && k < p->n; k++) {
        struct bytes rtmr = cocos_rtmr(p->item[k].cocos, i);
        if (rtmr.n)
            return rtmr;
    }
    return bytes_of(NULL, 0);
}

bool policies_check_crl(const struct policies *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (cocos_checks_crl(p->item[i].cocos))
            return true;
    return false;
}

/* "2 of 31 values do not hold: policy.vmpl: want 2, found 0; ..." */
static void put_detail(struct buf *out, int compared, const json_t *failures)
{
    size_t n = json_array_size(failures), i;
    const json_t *f;
    if (n == 0)
        buf_printf(out, "%d values hold", compared);
    else
        buf_printf(out, "%zu of %d values do not hold: ", n, compared > (int)n ? compared : (int)n);
    json_array_foreach(failures, i, f)
    {
        if (i == SHOWN_FAILURES)
            break;
        buf_printf(out, "%s%s: want %.120s, found %.120s", i ? "; " : "",
                   json_string_value(json_object_get(f, "field")),
                   json_string_value(json_object_get(f, "expected")),
                   json_string_value(json_object_get(f, "found")));
    }
    buf_u8(out, 0);
}

static int apply(const struct policy_entry *e, const json_t *claims, struct checks *checks, json_t *facts,
                 struct err *err)
{
    AUTO(json_drop) json_t *failures = json_array();
    AUTO(buf_done) struct buf detail = buf_new(4096);
    char name[CHECK_NAME_MAX];
    int compared = failures ? cocos_apply(e->cocos, claims, failures, err)
                            : err_set(err, ERR_IO, ENOMEM, "no memory for a verdict");
    if (compared < 0)
        return -1;
    bool ok = json_array_size(failures) == 0;
    snprintf(name, sizeof(name), "policy.%s", e->name);
    put_detail(&detail, compared, failures);
    checks_add(checks, name, ok ? CHECK_OK : CHECK_FAILED, "%s: %s",
               cocos_kind_of(e->cocos) == COCOS_SNP ? "SNP policy" : "TDX policy",
               detail.failed ? "more than can be shown" : (const char *)detail.p);
    json_t *fact = json_pack("{s:s,s:s,s:b,s:i,s:O}", "name", e->name, "kind",
                             cocos_kind_of(e->cocos) == COCOS_SNP ? "cocos-snp" : "cocos-tdx", "ok", (int)ok,
                             "compared", compared, "failures", failures);
    return fact && json_array_append_new(facts, fact) == 0
               ? 0
               : err_set(err, ERR_IO, ENOMEM, "no memory for a verdict");
}

int policies_apply(const struct policies *p, const json_t *claims, struct checks *checks, json_t *facts,
                   struct err *err)
{
    for (size_t i = 0; p && i < p->n; i++)
        if (apply(&p->item[i], claims, checks, facts, err) < 0)
            return err_while(err, "apply a policy");
    return 0;
}
