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

static void signals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int number;
    } rows[] = { { "SIGTERM", 15 },    { "usr1", 10 },     { "9", 9 },      { "SIGRTMIN", 34 },
                 { "SIGRTMIN+3", 37 }, { "rtmax-14", 50 }, { "RTMAX", 64 }, { "SIGRTMIN+30", 64 } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[64];
        snprintf(text, sizeof(text), "stop_signal: \"%s\"", rows[i].text);
        AUTO(compose_drop) struct compose *c = parse_service(text);
        assert_int_equal(c->services[0].stop_signal, rows[i].number);
    }
}

static void names_addresses_and_options(void **state)
{
    (void)state;
    AUTO(compose_drop)
    struct compose *c = parse_service(
        "extra_hosts: [\"a=[::1]\", \"b:::1\", \"c_d:10.0.0.1\", \"e=host-gateway\"]\n"
        "    dns: [9.9.9.9, \"2620:fe::fe\"]\n    dns_search: [., corp.example]\n"
        "    cap_drop: [all, cap_mknod, SYS_ADMIN]\n"
        "    sysctls: [net.ipv4.ip_forward=1, kernel.sem=1, kernel.shmmax=1, fs.mqueue.msg_max=1]\n"
        "    networks: {n: {ipv4_address: 10.9.0.7, ipv6_address: \"fd00::7\"}}\n"
        "networks:\n  n:\n    name: mine\n    driver_opts: {com.docker.network.driver.mtu: 1450}\n    ipam: "
        "{config: "
        "[{subnet: 10.9.0.0/24, gateway: 10.9.0.1, ip_range: 10.9.0.128/25}, {subnet: \"fd00::/64\"}]}");
    const struct compose_service *s = &c->services[0];
    static const char *const hosts[][2] = {
        { "a", "::1" }, { "b", "::1" }, { "c_d", "10.0.0.1" }, { "e", "host-gateway" }
    };
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
        assert_string_equal(value_of(&s->extra_hosts, hosts[i][0]), hosts[i][1]);
    assert_int_equal(s->dns.n, 2);
    assert_int_equal(s->dns_search.n, 2);
    assert_string_equal(s->cap_drop.item[1].text, "MKNOD");
    assert_int_equal(s->sysctls.n, 4);
    assert_string_equal(value_of(&c->networks[0].driver_opts, "mtu"), "1450");
    assert_int_equal(c->networks[0].driver_opts.n, 1);
}

static void times_of_a_check(void **state)
{
    (void)state;
    AUTO(compose_drop)
    struct compose *c = parse_service("healthcheck: {test: a, interval: 0s, timeout: 0s, start_period: 0s, "
                                      "start_interval: 1ms}");
    const struct compose_health *h = &c->services[0].health;
    assert_int_equal(h->interval_ns, COMPOSE_UNSET);
    assert_int_equal(h->timeout_ns, COMPOSE_UNSET);
    assert_int_equal(h->start_period_ns, COMPOSE_UNSET);
    assert_int_equal(h->start_interval_ns, 1000000);
}

static void no_networks_are_the_default(void **state)
{
    (void)state;
    static const char *const rows[] = { "networks: []", "networks: {}", "networks:", "user: x" };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(compose_drop) struct compose *c = parse_service(rows[i]);
        assert_int_equal(c->services[0].network_count, 1);
        assert_string_equal(c->services[0].networks[0].network, "default");
    }
    AUTO(compose_drop) struct compose *c = parse_service("networks: []\n    network_mode: none");
    assert_int_equal(c->services[0].network_count, 0);
}

static void extensions_and_options_without_effect(void **state)
{
    (void)state;
    AUTO(compose_drop)
    struct compose *c =
        parse_service("ports: [{target: 80, published: 80, x-a: [1]}]\n"
                      "    volumes:\n    - {type: volume, source: v, target: /v, volume: {x-b: 1}, x-c: 1}\n"
                      "    - {type: bind, source: ./a, target: /a, read_only: true, bind: {create_host_path: "
                      "true, x-d: {}}}\n"
                      "    - {type: tmpfs, target: /t, tmpfs: {size: 1k, x-e: }}\n    - {type: volume, "
                      "target: /w, volume: {}}\n"
                      "    secrets: [{source: s, x-f: 1}]\nsecrets: {s: {file: secrets/s, x-g: 1}}\nvolumes: "
                      "{v: {x-h: 1}}");
    const struct compose_service *s = &c->services[0];
    assert_int_equal(s->port_count, 1);
    assert_int_equal(s->mount_count, 4);
    assert_string_equal(s->mounts[1].path, "a");
    assert_int_equal(s->mounts[2].tmpfs_size, 1024);
    assert_string_equal(s->secrets[0].name, "s");
}

/* ---- env_file ---- */

static int large_file(void *arg, const char *path, struct buf *out, struct err *err)
{
    (void)arg, (void)path, (void)err;
    for (int i = 0; i < 300; i++) {
        buf_printf(out, "A%d=${NONE}", i);
        buf_fill(out, 'x', 1000);
        buf_str(out, "\n");
    }
    return 0;
}

/* As every dry run does with the compose file that runs. */
static void environments_leave_nothing_behind(void **state)
{
    (void)state;
    AUTO(compose_drop) struct compose *c = parse_service("env_file: config/a");
    for (int i = 0; i < 70; i++) {
        AUTO(compose_memory_drop) struct compose_memory *memory = NULL;
        struct compose_pairs out;
        struct err err = { 0 };
        if (compose_environment(c, &c->services[0], large_file, NULL, &out, &memory, &err) < 0)
            fail_msg("call %d: %s", i, err.cause);
        assert_int_equal(out.n, 300);
    }
    assert_int_equal(c->warning_count, 100); /* once each, as far as there is room */
    assert_string_equal(c->warnings[1].text,
                        "config/a, line 2: ${NONE} is not set in .env: an empty string stands for it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_variables_make_is_a_string),
        cmocka_unit_test(an_empty_variable_is_no_value),
        cmocka_unit_test(options_of_tmpfs),
        cmocka_unit_test(signals),
        cmocka_unit_test(names_addresses_and_options),
        cmocka_unit_test(times_of_a_check),
        cmocka_unit_test(no_networks_are_the_default),
        cmocka_unit_test(extensions_and_options_without_effect),
        cmocka_unit_test(environments_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
