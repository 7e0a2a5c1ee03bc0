#include "agent/update_rules.h"

#include "base/auto.h"
#include "base/json.h"

#include <errno.h>

/* ---- services ---- */

static const struct rule_service *find(const struct rule_service *s, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(s[i].name, name))
            return &s[i];
    }
    return NULL;
}

json_t *update_diff(const struct rule_service *now, size_t n, const struct rule_service *next, size_t next_n)
{
    json_t *diff = json_pack("{s:[], s:[], s:[], s:[]}", "added", "removed", "changed", "unchanged");
    int rc = diff ? 0 : -1;
    for (size_t i = 0; i < next_n && rc == 0; i++) {
        const struct rule_service *old = find(now, n, next[i].name);
        const char *list = !old ? "added" : strcmp(old->config, next[i].config) ? "changed" : "unchanged";
        rc = json_array_append_new(json_object_get(diff, list), json_string(next[i].name));
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (!find(next, next_n, now[i].name))
            rc = json_array_append_new(json_object_get(diff, "removed"), json_string(now[i].name));
    }
    if (rc < 0) {
        json_decref(diff);
        return NULL;
    }
    return diff;
}

__attribute__((format(printf, 2, 3))) static int refuse(json_t *refused, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return json_array_append_new(refused, json_string(text));
}

static int judge_services(const struct workload_policy *p, const json_t *diff, json_t *refused)
{
    size_t i;
    json_t *v;
    int rc = 0;
    json_array_foreach(json_object_get(diff, "added"), i, v)
    {
        if (!p->allow_add_new_service)
            rc |= refuse(refused, "service %.100s is new: services.allow_add_new_service is off",
                         json_string_value(v));
    }
    json_array_foreach(json_object_get(diff, "removed"), i, v)
    {
        if (!policy_allows_remove(p, json_string_value(v)))
            rc |= refuse(refused, "service %.100s is missing: services.allow_remove does not name it",
                         json_string_value(v));
    }
    json_array_foreach(json_object_get(diff, "changed"), i, v)
    {
        if (!policy_allows_update(p, json_string_value(v)))
            rc |= refuse(refused, "service %.100s is changed: services.allow_update does not name it",
                         json_string_value(v));
    }
    return rc;
}

/* ---- networks and volumes ---- */

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

/* In the order of their names: YAML mappings have none. */
static json_t *pairs_json(const struct compose_pairs *pairs)
{
    json_t *o = json_object();
    for (size_t i = 0; i < pairs->n; i++)
        json_object_set_new(o, pairs->item[i].key, text_or_null(pairs->item[i].value));
    return o;
}

static json_t *subnets_json(const struct compose_network *n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n->subnet_count; i++)
        json_array_append_new(list, json_pack("[o, o, o]", text_or_null(n->subnets[i].subnet),
                                              text_or_null(n->subnets[i].gateway),
                                              text_or_null(n->subnets[i].ip_range)));
    return list;
}

/* The default network is there once a service uses it; only its settings, if it has any, are of interest. */
static json_t *networks_json(const struct compose *c)
{
    json_t *all = json_object(), *plain = json_pack("[n, n, b, b, {}, {}, []]", 0, 0);
    for (size_t i = 0; i < c->network_count; i++) {
        const struct compose_network *n = &c->networks[i];
        json_t *one = json_pack("[o, o, b, b, o, o, o]", text_or_null(n->given), text_or_null(n->driver),
                                (int)n->internal, (int)n->ipv6, pairs_json(&n->labels),
                                pairs_json(&n->driver_opts), subnets_json(n));
        if (!strcmp(n->name, "default") && json_equal(one, plain))
            json_decref(one);
        else
            json_object_set_new(all, n->name, one);
    }
    json_decref(plain);
    return all;
}

static json_t *volumes_json(const struct compose *c)
{
    json_t *all = json_object();
    for (size_t i = 0; i < c->volume_count; i++)
        json_object_set_new(all, c->volumes[i].name,
                            json_pack("[o, o]", text_or_null(c->volumes[i].given),
                                      pairs_json(&c->volumes[i].labels)));
    return all;
}

static int judge_same(json_t *now, json_t *next, const char *what, json_t *refused)
{
    int rc = now && next ? 0 : -1;
    if (rc == 0 && !json_equal(now, next))
        rc = refuse(refused, "%s: an update leaves them as they are", what);
    json_decref(now);
    json_decref(next);
    return rc;
}

/* ---- the workload as a whole ---- */

static bool same_file(const struct prepared *now, const struct prepared *next, const char *path)
{
    const struct tree_file *a = workload_tree_find(now->tree, path),
                           *b = workload_tree_find(next->tree, path);
    if (!a || !b)
        return !a && !b;
    return !memcmp(a->sha384, b->sha384, sizeof(a->sha384));
}

static int judge_files(const struct prepared *now, const struct prepared *next, json_t *refused)
{
    int rc = 0;
    if (!same_file(now, next, POLICY_PATH))
        rc |= refuse(refused, POLICY_PATH " is another one: an update carries it unchanged, or not at all");
    if (!same_file(now, next, WORKLOAD_OWNER_PATH))
        rc |= refuse(refused,
                     WORKLOAD_OWNER_PATH " is another one: an update carries it unchanged, or not at all");
    if (!signature_policy_same(&now->signatures, &next->signatures))
        rc |= refuse(refused, "the signature policy of images is another one: an update leaves it as it is");
    if (strcmp(now->compose->project, next->compose->project) != 0)
        rc |= refuse(refused, "name: is another one: an update leaves it as it is");
    return rc;
}

int update_judge(const struct prepared *now, const struct prepared *next, const json_t *diff, json_t *refused,
                 struct err *err)
{
    int rc = judge_files(now, next, refused);
    rc |= judge_same(networks_json(now->compose), networks_json(next->compose), "networks", refused);
    rc |= judge_same(volumes_json(now->compose), volumes_json(next->compose), "volumes", refused);
    rc |= judge_services(&now->policy, diff, refused);
    return rc ? err_set(err, ERR_IO, ENOMEM, "no memory for the policy's verdict") : 0;
}
