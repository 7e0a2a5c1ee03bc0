/* Verdicts: policy mode and query mode. */
#include "base/auto.h"
#include "policy/rego/eval.h"
#include "policy/rego/policy.h"

#include <stdio.h>
#include <stdlib.h>

#define STEPS_DEFAULT  20000000
#define MEMORY_DEFAULT ((size_t)64 << 20)
#define DEPTH_DEFAULT  400
#define OUTPUT_DEFAULT ((size_t)16 << 20)

struct rego_document {
    struct arena arena;
    const struct value *value;
};

static int read_document(struct bytes json, struct rego_document *d, struct err *err)
{
    if (setjmp(d->arena.escape))
        return -1;
    d->value = value_from_json(&d->arena, json, true, err);
    if (!d->value)
        return -1;
    value_freeze(d->value);
    return 0;
}

int rego_document_read(struct bytes json, struct rego_document **out, struct err *err)
{
    struct err spare = { 0 };
    if (json.n > REGO_DOCUMENT_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "JSON of %zu bytes, at most %zu are read", json.n,
                       REGO_DOCUMENT_MAX);
    AUTO(rego_document_drop) struct rego_document *d = calloc(1, sizeof(*d));
    if (!d)
        return err_set(err, ERR_IO, 0, "out of memory");
    err = err ? err : &spare;
    arena_init(&d->arena, "the document", (size_t)1 << 30, err);
    if (read_document(json, d, err) < 0)
        return -1;
    d->arena.err = NULL;
    *out = MOVE(d);
    return 0;
}

void rego_document_free(struct rego_document *document)
{
    if (!document)
        return;
    arena_done(&document->arena);
    free(document);
}

/* Everything of one evaluation that must be given back. */
struct running {
    struct eval e;
    struct world world;
    struct buf json, explain;
    bool matched, defined;
};

static bool is_role(const struct rego *p, uint32_t rule)
{
    return rule == p->export || rule == p->export_on_match;
}

/* Without match: every boolean rule and every condition must hold, and there must be one. */
static bool all_boolean_rules(struct eval *e)
{
    const struct rego *p = e->p;
    uint32_t counted = 0, false_ones = 0;
    for (uint32_t i = 0; i < p->n_rule; i++) {
        const struct rule *r = &p->rule[i];
        if (r->kind != RULE_COMPLETE || is_role(p, i))
            continue;
        const struct value *v = eval_rule(e, i);
        bool condition = r->name->n == 0;
        if (!condition && !r->is_static_bool && !(v && value_is_bool(v)))
            continue;
        counted++;
        false_ones += !v || v->type != V_TRUE;
    }
    return counted && !false_ones;
}

static const char *role_name(const struct rego *p, uint32_t rule, char room[static 32])
{
    const struct value *name = p->rule[rule].name;
    snprintf(room, 32, "%.*s", (int)name->n, name->text);
    return room;
}

static void add_claims(struct running *r, struct builder *claims, uint32_t rule)
{
    struct eval *e = &r->e;
    char room[32];
    if (rule == NONE)
        return;
    const struct value *v = eval_rule(e, rule);
    if (!v)
        return;
    e->place = &e->p->place[e->p->rule[rule].place];
    if (v->type != V_OBJECT)
        eval_fail(e, "%s must be an object, not %s %s", role_name(e->p, rule, room),
                  v->type == V_ARRAY ? "an" : "a", value_type_name(v));
    for (uint32_t i = 0; i < v->n; i++) {
        const struct value *key = v->table->key[i], *old = builder_put(claims, key, v->table->val[i]);
        if (old && !value_equal(old, v->table->val[i]))
            eval_fail(e, "export and %s give the claim %.*s different values", role_name(e->p, rule, room),
                      key->type == V_STRING ? (int)key->n : 0, key->type == V_STRING ? key->text : "");
    }
}

static void evaluate_policy(struct running *r)
{
    struct eval *e = &r->e;
    const struct rego *p = e->p;
    struct builder claims;
    builder_init(&claims, &e->arena, true);
    if (p->match != NONE) {
        const struct value *v = eval_rule(e, p->match);
        r->matched = v && v->type == V_TRUE;
    } else {
        r->matched = all_boolean_rules(e);
    }
    add_claims(r, &claims, p->export);
    if (r->matched)
        add_claims(r, &claims, p->export_on_match);
    r->defined = true;
    value_put_json(&r->json, builder_value(&claims));
}

static void evaluate_query(struct running *r)
{
    const struct value *v = eval_rule(&r->e, r->e.p->query);
    r->defined = v != NULL;
    if (v)
        value_put_json(&r->json, v);
}

static void start(struct running *r, const struct rego_run *run)
{
    struct eval *e = &r->e;
    struct builder empty;
    e->regexes = names_new(&e->arena);
    builder_init(&empty, &e->arena, true);
    r->world.input = run->input ? run->input->value : NULL;
    r->world.data = run->data ? run->data->value : builder_value(&empty);
    r->world.memo = arena_zero(&e->arena, e->p->n_rule + 1, sizeof(struct memo));
    e->world = &r->world;
    arena_alloc(&e->frames, 1); /* so that the first block stays when a rule gives its registers back */
    if (run->explain)
        e->trace = trace_new(&e->arena);
}

/* The only place that failures of an evaluation come back to. */
static int guarded_run(struct running *r, const struct rego_run *run)
{
    if (setjmp(r->e.arena.escape))
        return -1;
    start(r, run);
    if (r->e.p->policy_mode)
        evaluate_policy(r);
    else
        evaluate_query(r);
    if (r->e.trace)
        trace_put(r->e.trace, r->e.p, &r->explain);
    return 0;
}

static void running_done(struct running *r)
{
    arena_done(&r->e.arena);
    arena_done(&r->e.frames);
    buf_done(&r->e.scratch);
    buf_done(&r->json);
    buf_done(&r->explain);
}

static int take_result(struct running *r, bool explain, struct rego_result *out, struct err *err)
{
    struct rego_result result = { .matched = r->matched, .defined = r->defined, .steps = r->e.steps };
    result.memory = r->e.arena.peak + r->e.frames.peak;
    if (buf_check(&r->json, "the result", err) < 0)
        return -1;
    result.json_n = r->json.n;
    if (explain && !(result.explain = r->explain.n ? buf_take_str(&r->explain) : calloc(1, 1)))
        return err_set(err, ERR_IO, 0, "out of memory");
    if (r->defined && !(result.json = buf_take_str(&r->json))) {
        free(result.explain);
        return err_set(err, ERR_IO, 0, "out of memory");
    }
    *out = result;
    return 0;
}

int rego_evaluate(const struct rego *policy, const struct rego_run *run, struct rego_result *out,
                  struct err *err)
{
    const struct rego_limits *l = &run->limits;
    size_t memory = l->memory ? l->memory : MEMORY_DEFAULT;
    struct err spare = { 0 };
    AUTO(running_done) struct running r = { 0 };
    err = err ? err : &spare;
    arena_init(&r.e.arena, "the evaluation", memory, err);
    arena_init(&r.e.frames, "the evaluation", memory, err);
    r.e.frames.leader = &r.e.arena;
    r.e.p = policy;
    r.e.max_steps = l->steps ? l->steps : STEPS_DEFAULT;
    r.e.max_depth = l->depth ? l->depth : DEPTH_DEFAULT;
    r.e.now_ns = run->now_ns;
    r.json = buf_new(l->output ? l->output : OUTPUT_DEFAULT);
    r.explain = buf_new((size_t)1 << 20);
    if (guarded_run(&r, run) < 0)
        return -1;
    return take_result(&r, run->explain, out, err);
}

void rego_result_done(struct rego_result *result)
{
    free(result->json);
    free(result->explain);
    result->json = result->explain = NULL;
}

struct joining {
    struct arena arena;
    struct buf json;
};

static void joining_done(struct joining *j)
{
    arena_done(&j->arena);
    buf_done(&j->json);
}

static int guarded_join(struct joining *j, const char *const *name, const struct rego_result *result,
                        size_t n, struct err *err)
{
    struct builder all, from; /* from: which policy gave a claim */
    if (setjmp(j->arena.escape))
        return -1;
    builder_init(&all, &j->arena, true);
    builder_init(&from, &j->arena, true);
    for (size_t i = 0; i < n; i++) {
        const struct value *v =
            value_from_json(&j->arena, bytes_of(result[i].json, result[i].json_n), false, err);
        if (!v)
            return -1;
        for (uint32_t k = 0; v->type == V_OBJECT && k < v->n; k++) {
            const struct value *key = v->table->key[k], *old = builder_put(&all, key, v->table->val[k]);
            const struct value *giver = builder_put(&from, key, value_int(&j->arena, (int64_t)i));
            if (old && !value_equal(old, v->table->val[k]))
                return err_set(err, ERR_INPUT, 0, "policies %s and %s give the claim %.*s different values",
                               name[giver->i], name[i], (int)key->n, key->text);
        }
    }
    value_put_json(&j->json, builder_value(&all));
    return buf_check(&j->json, "the joined claims", err);
}

int rego_join_claims(const char *const *name, const struct rego_result *result, size_t n, char **json,
                     size_t *json_n, struct err *err)
{
    struct err spare = { 0 };
    AUTO(joining_done) struct joining j = { 0 };
    err = err ? err : &spare;
    arena_init(&j.arena, "joining claims", (size_t)256 << 20, err);
    j.json = buf_new(OUTPUT_DEFAULT * REGO_POLICIES_MAX);
    if (guarded_join(&j, name, result, n, err) < 0)
        return -1;
    size_t length = j.json.n;
    char *text = buf_take_str(&j.json);
    if (!text)
        return err_set(err, ERR_IO, 0, "out of memory");
    *json = text;
    *json_n = length;
    return 0;
}
