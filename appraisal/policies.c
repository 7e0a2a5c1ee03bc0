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

static bool is_blank(struct bytes text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!isspace(text.p[i]))
            return false;
    return true;
}

/* A list is a true expression in Rego: a JSON file of another kind must not pass for a policy that matches.
 */
static bool is_other_json(struct bytes text)
{
    AUTO(json_drop) json_t *v = NULL;
    struct err ignored;
    return json_parse(text, COCOS_SIZE_MAX, &v, &ignored) == 0 && !json_is_object(v);
}

int policies_add(struct policies *p, const char *name, struct bytes text, const struct cocos_files *files,
                 struct err *err)
{
    if (p->n == POLICIES_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "more than %d policies", POLICIES_MAX);
    struct policy_entry *e = &p->item[p->n];
    if (is_blank(text)) /* a policy that came to nothing on the way must not pass for one that holds */
        return err_set(err, ERR_INPUT, 0, "policy: empty: leave it out if there is none");
    if (is_other_json(text))
        return err_set(err, ERR_INPUT, 0,
                       "policy: JSON, and no object: neither a JSON policy nor one in Rego");
    const struct rego_source source = { name, text };
    const struct rego_options how = { .mode = REGO_POLICY };
    *e = (struct policy_entry){ .cocos = NULL };
    int rc = cocos_looks(text) ? cocos_parse(text, files, &e->cocos, err)
                               : rego_compile(&source, 1, &how, &e->rego, NULL, err);
    if (rc < 0)
        return err_while(err, "policy");
    set_name(p, name, e->name);
    p->n++;
    return 0;
}

static void policy_entry_done(struct policy_entry *e)
{
    cocos_free(e->cocos);
    rego_free(e->rego);
}

void policies_done(struct policies *p)
{
    for (size_t i = 0; i < p->n; i++)
        policy_entry_done(&p->item[i]);
    p->n = 0;
}

struct bytes policies_rtmr(const struct policies *p, unsigned i)
{
    for (size_t k = 0; p && k < p->n; k++) {
        struct bytes rtmr = p->item[k].cocos ? cocos_rtmr(p->item[k].cocos, i) : bytes_of(NULL, 0);
        if (rtmr.n)
            return rtmr;
    }
    return bytes_of(NULL, 0);
}

bool policies_check_crl(const struct policies *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->item[i].cocos && cocos_checks_crl(p->item[i].cocos))
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

static int no_memory(struct err *err)
{
    return err_set(err, ERR_IO, ENOMEM, "no memory for a verdict");
}

static struct check_name {
    char text[CHECK_NAME_MAX];
} check_name(const struct policy_entry *e)
{
    struct check_name n;
    snprintf(n.text, sizeof(n.text), "policy.%s", e->name);
    return n;
}

static int apply_cocos(const struct policy_entry *e, const json_t *claims, struct checks *checks,
                       json_t *facts, struct err *err)
{
    AUTO(json_drop) json_t *failures = json_array();
    AUTO(buf_done) struct buf detail = buf_new(4096);
    bool snp = cocos_kind_of(e->cocos) == COCOS_SNP;
    int compared = failures ? cocos_apply(e->cocos, claims, failures, err) : no_memory(err);
    if (compared < 0)
        return -1;
    bool ok = json_array_size(failures) == 0;
    put_detail(&detail, compared, failures);
    checks_add(checks, check_name(e).text, ok ? CHECK_OK : CHECK_FAILED, "%s: %s",
               snp ? "SNP policy" : "TDX policy",
               detail.failed ? "more than can be shown" : (const char *)detail.p);
    json_t *fact =
        json_pack("{s:s,s:s,s:b,s:i,s:O}", "name", e->name, "kind", snp ? "cocos-snp" : "cocos-tdx", "ok",
                  (int)ok, "compared", compared, "failures", failures);
    return fact && json_array_append_new(facts, fact) == 0 ? 0 : no_memory(err);
}

/* ---- Rego ---- */

/* The claims as evaluations take them; read once for all policies. */
static int read_claims(const json_t *claims, struct rego_document **out, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(REGO_DOCUMENT_MAX);
    json_put(&text, claims, false);
    if (buf_check(&text, "claims", err) < 0)
        return -1;
    return rego_document_read(buf_bytes(&text), out, err);
}

/* What did not hold, a line each. */
static json_t *explained(const struct rego *policy, const struct rego_run *run)
{
    AUTO(rego_result_done) struct rego_result r = { .json = NULL };
    struct rego_run again = *run;
    json_t *lines = json_array();
    struct err ignored;
    again.explain = true;
    if (rego_evaluate(policy, &again, &r, &ignored) < 0)
        return lines;
    for (const char *p = r.explain; p && *p;) {
        size_t n = strcspn(p, "\n");
        json_array_append_new(lines, json_text(bytes_of(p, n)));
        p += n + (p[n] == '\n');
    }
    return lines;
}

static int say_rego(const struct policy_entry *e, const struct rego_run *run, const struct rego_result *r,
                    struct checks *checks, json_t *fact, struct err *err)
{
    AUTO(json_drop) json_t *claims = NULL;
    if (json_parse(bytes_of(r->json, r->json_n), r->json_n, &claims, err) < 0)
        return err_while(err, "policy's claims");
    json_object_set(fact, "policy_defined_claims", claims);
    if (r->matched) {
        checks_add(checks, check_name(e).text, CHECK_OK, "Rego policy: it matches");
        return 0;
    }
    json_t *lines = explained(e->rego, run);
    const char *first = json_string_value(json_array_get(lines, 0));
    checks_add(checks, check_name(e).text, CHECK_FAILED, "Rego policy: it does not match%s%.200s",
               first ? ": " : "", first ? first : "");
    return json_object_set_new(fact, "explain", lines) < 0 ? no_memory(err) : 0;
}

/* An error of the policy is a no, never a match. */
static int apply_rego(const struct policy_entry *e, const struct rego_run *run, struct checks *checks,
                      json_t *facts, struct err *err)
{
    AUTO(rego_result_done) struct rego_result r = { .json = NULL };
    struct err why = { 0 };
    char words[ERR_TEXT_MAX];
    int rc = rego_evaluate(e->rego, run, &r, &why);
    if (rc < 0 && why.kind == ERR_IO) {
        *err = why;
        return -1;
    }
    AUTO(json_drop)
    json_t *fact = json_pack("{s:s,s:s,s:b}", "name", e->name, "kind", "rego", "ok", rc == 0 && r.matched);
    if (!fact)
        return no_memory(err);
    if (rc < 0) {
        err_text(&why, words, sizeof(words));
        checks_add(checks, check_name(e).text, CHECK_FAILED, "Rego policy: cannot be evaluated: %.230s",
                   words);
        json_object_set_new(fact, "error", json_text(bytes_str(words)));
    } else if (say_rego(e, run, &r, checks, fact, err) < 0) {
        return -1;
    }
    return json_array_append(facts, fact) < 0 ? no_memory(err) : 0;
}

int policies_apply(const struct policies *p, const json_t *claims, time_t at, struct checks *checks,
                   json_t *facts, struct err *err)
{
    AUTO(rego_document_drop) struct rego_document *input = NULL;
    int rc = 0;
    for (size_t i = 0; p && i < p->n && rc == 0; i++) {
        if (p->item[i].cocos) {
            rc = apply_cocos(&p->item[i], claims, checks, facts, err);
            continue;
        }
        rc = input ? 0 : read_claims(claims, &input, err);
        const struct rego_run run = { .input = input, .now_ns = (int64_t)at * 1000000000 };
        if (rc == 0)
            rc = apply_rego(&p->item[i], &run, checks, facts, err);
    }
    return rc < 0 ? err_while(err, "apply a policy") : 0;
}
