/* What the engine is told of a signature policy. */
#include "workload/signature_engine.h"

#include <string.h>

bool signature_rules_have(const json_t *list, const char *type)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_object_get(json_array_get(list, i), "type"));
        if (text && !strcmp(text, type))
            return true;
    }
    return false;
}

static json_t *one_rule(const char *type)
{
    return json_pack("[{s:s}]", "type", type);
}

/* Of an image of a registry, after it was judged: all requirements must hold, so one that rejects decides. */
static json_t *rules_for_registry(const json_t *list)
{
    return one_rule(signature_rules_have(list, "reject") ? "reject" : "insecureAcceptAnything");
}

/* "host/repository:tag" or "host/repository@digest": the length of what is before, or 0. */
static size_t repository_of(const char *scope)
{
    const char *slash = strrchr(scope, '/');
    return slash && slash[strcspn(slash, ":@")] ? (size_t)(slash - scope) + strcspn(slash, ":@") : 0;
}

static void let_repository(json_t *scopes, const char *name)
{
    char repository[512];
    size_t n = repository_of(name);
    if (n == 0 || n >= sizeof(repository))
        return;
    memcpy(repository, name, n);
    repository[n] = '\0';
    json_object_set_new(scopes, repository, one_rule("insecureAcceptAnything"));
}

/* A signed image is pulled by its digest, which only the scope of its repository fits beforehand. */
static void let_digests(json_t *out, const char *scope, const json_t *list)
{
    if (signature_rules_have(list, "sigstoreSigned") && !signature_rules_have(list, "reject"))
        let_repository(out, scope);
}

static json_t *registry_scopes(json_t *scopes, const json_t *fallback)
{
    json_t *out = json_object(), *list;
    const char *scope;
    json_object_foreach(scopes, scope, list) json_object_set_new(out, scope, rules_for_registry(list));
    json_object_foreach(scopes, scope, list) let_digests(out, scope, list);
    if (!json_object_get(out, ""))
        json_object_set_new(out, "", rules_for_registry(fallback));
    return out;
}

/* Nothing is left to the default but rejection: archives must not pass because signed images do. */
json_t *signature_engine_policy(const json_t *rules)
{
    json_t *given = json_object_get(rules, "transports");
    json_t *transports = json_copy(given);
    json_object_set_new(transports, "docker",
                        registry_scopes(json_object_get(given, "docker"), json_object_get(rules, "default")));
    return json_pack("{s:o, s:o}", "default", one_rule("reject"), "transports", transports);
}

void signature_engine_let_image(json_t *policy, const char *name)
{
    json_t *scopes = json_object_get(json_object_get(policy, "transports"), "docker");
    let_repository(scopes, name);
    if (json_object_get(scopes, name)) /* more specific than its repository's */
        json_object_set_new(scopes, name, one_rule("insecureAcceptAnything"));
}

void signature_engine_let_archives(json_t *policy)
{
    static const char *const archives[] = { "docker-archive", "oci-archive" };
    json_t *transports = json_object_get(policy, "transports");
    for (size_t i = 0; i < sizeof(archives) / sizeof(*archives); i++)
        json_object_set_new(transports, archives[i],
                            json_pack("{s:o}", "", one_rule("insecureAcceptAnything")));
}
