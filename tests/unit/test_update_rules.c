/* agent/: what an update may change, and whose credentials a registry gets. */
#include "evidence.h"

#include "agent/registry_auth.h"
#include "agent/update_rules.h"
#include "base/auto.h"
#include "base/json.h"

static void differences_of_services(void **state)
{
    (void)state;
    const struct rule_service now[] = { { "a", "1" }, { "b", "1" }, { "c", "1" } };
    const struct rule_service next[] = { { "b", "1" }, { "c", "2" }, { "d", "1" } };
    AUTO(json_drop) json_t *diff = update_diff(now, 3, next, 3);
    AUTO(json_drop)
    json_t *want = json_pack("{s:[s], s:[s], s:[s], s:[s]}", "added", "d", "removed", "a", "changed", "c",
                             "unchanged", "b");
    assert_true(json_equal(diff, want));
}

static void open_prepared(struct prepared *p, const char *policy, const char *yaml, const char *signatures)
{
    static struct workload_tree empty;
    struct err err = { 0 };
    *p = (struct prepared){ .tree = &empty };
    assert_int_equal(workload_policy_parse(bytes_str(policy), &p->policy, &err), 0);
    assert_int_equal(compose_parse(bytes_str(yaml), bytes_of(NULL, 0), &p->compose, &err), 0);
    p->signatures.json = buf_new(1000);
    buf_str(&p->signatures.json, signatures);
}

static void close_prepared(struct prepared *p)
{
    workload_policy_done(&p->policy);
    compose_free(p->compose);
    buf_done(&p->signatures.json);
}

#define SERVICE "services: {a: {image: 'docker.io/library/a:1'}}\n"

static void verdict(const char *policy, const char *next_yaml, const char *next_signatures, const char *diff,
                    size_t want, const char *word)
{
    struct prepared now, next;
    struct err err = { 0 };
    AUTO(json_drop) json_t *refused = json_array(), *d = NULL;
    open_prepared(&now, policy, SERVICE "networks: {n: {internal: true}}\nvolumes: {v: {}}\n", "{}");
    open_prepared(&next, "{}", next_yaml, next_signatures);
    assert_int_equal(json_parse(bytes_str(diff), 4096, &d, &err), 0);
    assert_int_equal(update_judge(&now, &next, d, refused, &err), 0);
    assert_int_equal(json_array_size(refused), want);
    if (word)
        assert_non_null(strstr(json_string_value(json_array_get(refused, 0)), word));
    close_prepared(&now);
    close_prepared(&next);
}

static void the_policy_that_runs_decides(void **state)
{
    (void)state;
    static const char same[] = SERVICE "networks: {n: {internal: true}}\nvolumes: {v: {}}\n";
    static const char all[] =
        "{\"workload_config\":{\"services\":{\"allow_update\":[\"a\"],\"allow_remove\":[\"b\"],"
        "\"allow_add_new_service\":true}}}";
    static const char changes[] =
        "{\"added\":[\"d\"],\"removed\":[\"b\"],\"changed\":[\"a\"],\"unchanged\":[]}";
    verdict("{\"workload_config\":{\"services\":{\"allow_update\":false,\"allow_remove\":false}}}", same,
            "{}", changes, 3, "allow_add_new_service");
    verdict(all, same, "{}", changes, 0, NULL);
    verdict(all, same, "{}", "{\"changed\":[\"c\"]}", 1, "service c is changed");
    verdict(all, same, "{}", "{\"removed\":[\"a\"]}", 1, "service a is missing");
    verdict(all, same, "{\"default\":[]}", "{}", 1, "signature policy");
    verdict(all, SERVICE "networks: {n: {internal: false}}\nvolumes: {v: {}}\n", "{}", "{}", 1, "networks");
    verdict(all, SERVICE "networks: {n: {internal: true}, m: {}}\nvolumes: {v: {}}\n", "{}", "{}", 1,
            "networks");
    verdict(all, SERVICE "networks: {n: {internal: true}}\nvolumes: {w: {}}\n", "{}", "{}", 1, "volumes");
    verdict(all, "name: other\n" SERVICE "networks: {n: {internal: true}}\nvolumes: {v: {}}\n", "{}", "{}", 1,
            "name:");
    verdict(all, SERVICE "volumes: {v: {}}\nnetworks: {n: {internal: true}}\n", "{}", "{}", 0, NULL);
}

static bool has(const char *file, const char *host, const char *user, const char *password)
{
    struct registry_auth *a = NULL;
    struct engine_auth found = { NULL, NULL };
    struct err err = { 0 };
    assert_int_equal(registry_auth_new(bytes_str(file), NULL, NULL, &a, &err), 0);
    bool ok = registry_auth_find(a, host, &found);
    if (ok && user) {
        assert_string_equal(found.username, user);
        assert_string_equal(found.password, password);
    }
    registry_auth_free(a);
    return ok;
}

static void credentials_go_to_their_registry(void **state)
{
    (void)state;
    static const char file[] =
        "{\"auths\":{\"r.example:5000\":{\"auth\":\"dTpwOnc=\"},\"https://index.docker.io/v1/\":"
        "{\"auth\":\"aDpx\"},\"helper.example\":{}}}";
    assert_true(has(file, "r.example:5000", "u", "p:w"));
    assert_true(has(file, "docker.io", "h", "q"));
    assert_false(has(file, "r.example", NULL, NULL));
    assert_false(has(file, "r.example:50000", NULL, NULL));
    assert_false(has(file, "helper.example", NULL, NULL));
    assert_false(has("", "r.example:5000", NULL, NULL));
    assert_true(has("{\"user_name\":\"u\",\"password\":\"p\"}", "any.example", "u", "p"));
    const char *bad[] = { "{",
                          "[]",
                          "{}",
                          "{\"auths\":{\"r\":{\"auth\":\"!\"}}}",
                          "{\"auths\":{\"r\":{\"auth\":\"dXA=\"}}}",
                          "{\"auths\":{\"r\":{\"auth\":\"dTpwAA==\"}}}" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct registry_auth *a = NULL;
        assert_int_equal(registry_auth_new(bytes_str(bad[i]), NULL, NULL, &a, &(struct err){ 0 }), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(differences_of_services),
        cmocka_unit_test(the_policy_that_runs_decides),
        cmocka_unit_test(credentials_go_to_their_registry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
