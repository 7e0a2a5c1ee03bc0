/* workload/compose: values whose meaning is easily missed. */
#include "evidence.h"

#include "base/auto.h"
#include "workload/compose.h"

static struct compose *parse(const char *yaml, const char *env)
{
    struct compose *c = NULL;
    struct err err = { 0 };
    if (compose_parse(bytes_str(yaml), bytes_str(env), &c, &err) < 0)
        fail_msg("%s: %s", yaml, err.cause);
    return c;
}

/* One service with these members. */
static struct compose *parse_service(const char *members)
{
    char yaml[1024];
    snprintf(yaml, sizeof(yaml), "services:\n  s:\n    image: a.b/c\n    %s\n", members);
    return parse(yaml, "");
}

static const char *value_of(const struct compose_pairs *pairs, const char *key)
{
    for (size_t i = 0; i < pairs->n; i++) {
        if (!strcmp(pairs->item[i].key, key))
            return pairs->item[i].value ? pairs->item[i].value : "(none)";
    }
    return "(absent)";
}

static void what_variables_make_is_a_string(void **state)
{
    (void)state;
    static const char yaml[] =
        "services:\n  s:\n    image: a.b/c\n    command:\n    - x\n    - ${UNSET:-}\n    - $X\n"
        "    entrypoint: ${UNSET:-}\n    environment:\n      A: ${UNSET:-}\n      D: $X\n      DB: "
        "${UNSET:-}\n"
        "      T: $TILDE\n      N:\n      M: null\n      K: $$\n";
    AUTO(compose_drop) struct compose *c = parse(yaml, "X=null\nDB=from-dotenv\nTILDE=~\nN=n\n");
    const struct compose_service *s = &c->services[0];
    static const char *const want[][2] = { { "A", "" },  { "D", "null" },   { "DB", "" }, { "T", "~" },
                                           { "N", "n" }, { "M", "(none)" }, { "K", "$" } };
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        assert_string_equal(value_of(&s->environment, want[i][0]), want[i][1]);
    assert_int_equal(s->command.n, 3);
    assert_string_equal(s->command.item[1].text, "");
    assert_string_equal(s->command.item[2].text, "null");
    assert_true(s->entrypoint.set && s->entrypoint.n == 0); /* as "" is: none, not the image's */
}

static void an_empty_variable_is_no_value(void **state)
{
    (void)state;
    static const char *const rows[] = { "user: ${UNSET:-}", "read_only: ${UNSET:-}", "hostname: ${UNSET:-}",
                                        "networks: ${UNSET:-}" };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char yaml[256];
        struct compose *c = NULL;
        struct err err = { 0 };
        snprintf(yaml, sizeof(yaml), "services:\n  s:\n    image: a.b/c\n    %s\n", rows[i]);
        assert_int_equal(compose_parse(bytes_str(yaml), bytes_str(""), &c, &err), -1);
        assert_non_null(strstr(err.cause, "line 4, column "));
    }
    AUTO(compose_drop) struct compose *c = parse_service("read_only: true");
    assert_true(c->services[0].read_only);
}

static void options_of_tmpfs(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t size, mode;
        bool read_only, noexec;
    } rows[] = {
        { "/tmp", COMPOSE_UNSET, COMPOSE_UNSET, false, false },
        { "/tmp:", COMPOSE_UNSET, COMPOSE_UNSET, false, false },
        { "/tmp:rw,noexec,nosuid,size=64m", 64 << 20, COMPOSE_UNSET, false, true },
        { "/tmp:noexec,nosuid,nosuid,nodev,noexec,size=1k,size=1k", 1024, COMPOSE_UNSET, false, true },
        { "/tmp:exec,mode=1777,size=65536k", 64 << 20, 01777, false, false },
        { "/tmp:ro,mode=0700,size=100", 100, 0700, true, false },
        { "/tmp:mode=755", COMPOSE_UNSET, 0755, false, false },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[128];
        snprintf(text, sizeof(text), "tmpfs: ['%s']", rows[i].text);
        AUTO(compose_drop) struct compose *c = parse_service(text);
        const struct compose_mount *m = &c->services[0].mounts[0];
        assert_string_equal(m->target, "/tmp");
        assert_int_equal(m->tmpfs_size, rows[i].size);
        assert_int_equal(m->tmpfs_mode, rows[i].mode);
        assert_int_equal(m->read_only, rows[i].read_only);
        assert_int_equal(m->tmpfs_noexec, rows[i].noexec);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_variables_make_is_a_string),
        cmocka_unit_test(an_empty_variable_is_no_value),
        cmocka_unit_test(options_of_tmpfs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
