/* workload/compose: what every construct of a compose file becomes. */
#include "evidence.h"

#include "base/auto.h"
#include "base/file.h"
#include "workload/compose.h"

#include <signal.h>

static const char dotenv[] = "TAG=v1\nTOKEN=\"a secret\"\nFROM_ENV=there\n";

static struct compose *parse(const char *yaml, const char *env)
{
    struct compose *c = NULL;
    struct err err = { 0 };
    if (compose_parse(bytes_str(yaml), bytes_str(env), &c, &err) < 0)
        fail_msg("%s", err.cause);
    return c;
}

static int load_full(void **state)
{
    AUTO(free_u8) uint8_t *text = NULL;
    struct compose *c = NULL;
    struct err err = { 0 };
    size_t n;
    assert_int_equal(file_read(CVM_TEST_DATA "/workload/compose/full.yml", 1 << 20, &text, &n, &err), 0);
    if (compose_parse(bytes_of(text, n), bytes_str(dotenv), &c, &err) < 0)
        fail_msg("%s", err.cause);
    *state = c;
    return 0;
}

static int drop_full(void **state)
{
    compose_free(*state);
    return 0;
}

static void list_is(const struct compose_list *list, const char *const *want, size_t n)
{
    assert_true(list->set);
    assert_int_equal(list->n, n);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(list->item[i].text, want[i]);
}

static const char *value_of(const struct compose_pairs *pairs, const char *key)
{
    for (size_t i = 0; i < pairs->n; i++) {
        if (!strcmp(pairs->item[i].key, key))
            return pairs->item[i].value;
    }
    return NULL;
}

static void the_file(void **state)
{
    const struct compose *c = *state;
    static const char *const names[] = { "db", "migrate", "plain", "web" };
    assert_string_equal(c->project, "shop");
    assert_int_equal(c->service_count, ARRAY_SIZE(names));
    for (size_t i = 0; i < c->service_count; i++)
        assert_string_equal(c->services[i].name, names[i]);
    assert_int_equal(c->order[0], 0); /* db, migrate (in its network), plain, web */
    assert_int_equal(c->order[3], 3);
    assert_int_equal(c->network_count, 3);
    assert_string_equal(c->networks[0].name, "front");
    assert_string_equal(c->networks[0].driver, "bridge");
    assert_int_equal(c->networks[0].subnet_count, 1);
    assert_string_equal(c->networks[0].subnets[0].subnet, "172.20.0.0/24");
    assert_string_equal(c->networks[0].subnets[0].gateway, "172.20.0.1");
    assert_true(c->networks[1].internal);
    assert_string_equal(c->networks[2].name, "default");
    assert_int_equal(c->volume_count, 2);
    assert_string_equal(c->volumes[1].given, "kept");
    assert_string_equal(value_of(&c->volumes[1].labels, "a"), "b");
    assert_string_equal(c->secrets[0].content, "a secret");
    assert_string_equal(c->secrets[1].path, "secrets/cert.pem");
    assert_string_equal(c->configs[0].content, "hello nobody");
    assert_int_equal(c->warning_count, 3); /* name, logging, deploy */
    assert_non_null(strstr(c->warnings[0].text, "name: has no effect"));
    assert_non_null(strstr(c->warnings[1].text, "logging"));
    assert_int_equal(c->warnings[2].at.line, 103);
}

static void words_and_names(void **state)
{
    const struct compose_service *web = compose_service(*state, "web"), *db = compose_service(*state, "db");
    static const char *const command[] = { "nginx", "-g", "daemon off;", "a b c" };
    static const char *const entry[] = { "/docker-entrypoint.sh", "--flag" };
    list_is(&web->command, command, 4);
    list_is(&web->entrypoint, entry, 2);
    assert_string_equal(web->image.text, "docker.io/library/nginx:1.27");
    assert_string_equal(compose_service(*state, "plain")->image.text, "ghcr.io/x/plain:v1");
    assert_false(db->command.set);
    assert_string_equal(web->container_name, "front");
    assert_string_equal(web->hostname, "web");
    assert_string_equal(web->user, "1000:1000");
    assert_string_equal(web->working_dir, "/srv");
    assert_int_equal(web->stop_signal, SIGINT);
    assert_true(web->read_only && web->init && web->no_new_privileges && web->agent_socket && !web->tty);
    assert_false(db->agent_socket || web->pull_never);
    assert_int_equal(web->restart, COMPOSE_RESTART_UNLESS_STOPPED);
    assert_int_equal(db->restart, COMPOSE_RESTART_ON_FAILURE);
    assert_int_equal(db->restart_max, 5);
    assert_int_equal(web->restart_max, COMPOSE_UNSET);
    assert_int_equal(compose_service(*state, "migrate")->restart, COMPOSE_RESTART_NO);
    assert_string_equal(web->cap_add.item[1].text, "NET_RAW");
    assert_string_equal(web->cap_drop.item[0].text, "ALL");
    assert_int_equal(web->stop_grace_ns, 20000000000);
    assert_int_equal(web->shm_size, 64 << 20);
    assert_int_equal(web->mem_limit, (int64_t)3 << 29);
    assert_int_equal(web->pids_limit, 100);
    assert_int_equal(web->ulimit_count, 2);
    assert_int_equal(web->ulimits[1].hard, 40000);
    assert_string_equal(value_of(&web->sysctls, "net.core.somaxconn"), "1024");
    assert_string_equal(value_of(&web->extra_hosts, "host.docker.internal"), "host-gateway");
    assert_string_equal(value_of(&web->extra_hosts, "db.example"), "10.0.0.1");
    assert_int_equal(web->refused_count, 0);
    assert_int_equal(web->at.line, 15);
    assert_int_equal(web->at.column, 3);
}

static void merge_keys(void **state)
{
    const struct compose_service *web = compose_service(*state, "web"), *db = compose_service(*state, "db");
    assert_string_equal(value_of(&web->environment, "LOG"), "debug");
    assert_string_equal(value_of(&db->environment, "LOG"), "info");
    assert_string_equal(value_of(&web->environment, "PRICE"), "5$");
    assert_string_equal(value_of(&web->environment, "EMPTY"), "");
    assert_string_equal(value_of(&web->environment, "FROM_ENV"), "there");
    assert_string_equal(value_of(&db->labels, "org.example.team"), "shop");
}

static void ports(void **state)
{
    const struct compose_service *web = compose_service(*state, "web");
    static const struct compose_port want[] = {
        { .host = 8080, .container = 80, .count = 1 },
        { .host_ip = "127.0.0.1", .host = 8443, .container = 443, .count = 1 },
        { .host_ip = "::1", .host = 9000, .container = 9000, .count = 3, .udp = true },
        { .host = 0, .container = 53, .count = 1 },
        { .host_ip = "0.0.0.0", .host = 8081, .container = 81, .count = 1 },
    };
    assert_int_equal(web->port_count, ARRAY_SIZE(want));
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        const struct compose_port *p = &web->ports[i];
        assert_int_equal(p->host, want[i].host);
        assert_int_equal(p->container, want[i].container);
        assert_int_equal(p->count, want[i].count);
        assert_int_equal(p->udp, want[i].udp);
        if (want[i].host_ip)
            assert_string_equal(p->host_ip, want[i].host_ip);
        else
            assert_null(p->host_ip);
    }
    assert_int_equal(web->expose.n, 2);
}

static void mounts(void **state)
{
    const struct compose_service *web = compose_service(*state, "web");
    static const struct {
        enum compose_mount_type type;
        const char *source, *path, *target;
        bool read_only;
    } want[] = {
        { COMPOSE_BIND, "./config/nginx.conf", "config/nginx.conf", "/etc/nginx/nginx.conf", true },
        { COMPOSE_VOLUME, "data", NULL, "/var/lib/data", false },
        { COMPOSE_VOLUME, NULL, NULL, "/cache", false },
        { COMPOSE_BIND, "/data/workload/config/tls", "config/tls", "/etc/tls", false },
        { COMPOSE_BIND, "./secrets/key", "secrets/key", "/key", true },
        { COMPOSE_TMPFS, NULL, NULL, "/scratch", false },
        { COMPOSE_VOLUME, "data", NULL, "/more", false },
        { COMPOSE_TMPFS, NULL, NULL, "/tmp", false },
        { COMPOSE_TMPFS, NULL, NULL, "/run", false },
    };
    assert_int_equal(web->mount_count, ARRAY_SIZE(want));
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        const struct compose_mount *m = &web->mounts[i];
        assert_int_equal(m->type, want[i].type);
        assert_string_equal(m->target, want[i].target);
        assert_int_equal(m->read_only, want[i].read_only);
        assert_int_equal(!m->source, !want[i].source);
        assert_int_equal(!m->path, !want[i].path);
        if (m->source)
            assert_string_equal(m->source, want[i].source);
        if (m->path)
            assert_string_equal(m->path, want[i].path);
    }
    assert_int_equal(web->mounts[5].tmpfs_size, 64 << 20);
    assert_int_equal(web->mounts[5].tmpfs_mode, 01777);
    assert_int_equal(web->mounts[7].tmpfs_size, 16 << 20);
    assert_int_equal(web->mounts[8].tmpfs_size, COMPOSE_UNSET);
}

static void networks_and_dependencies(void **state)
{
    const struct compose_service *web = compose_service(*state, "web"), *db = compose_service(*state, "db");
    assert_int_equal(web->network_count, 2);
    assert_string_equal(web->networks[0].network, "front");
    assert_string_equal(web->networks[0].aliases.item[0].text, "www");
    assert_string_equal(web->networks[0].ipv4, "172.20.0.10");
    assert_string_equal(db->networks[0].network, "back");
    assert_string_equal(compose_service(*state, "plain")->networks[0].network, "default");
    assert_string_equal(compose_service(*state, "migrate")->network_mode.text, "service:db");
    assert_int_equal(compose_service(*state, "migrate")->network_count, 0);
    assert_int_equal(web->depends_count, 2); /* "missing" is not required */
    assert_int_equal(web->depends[0].condition, COMPOSE_HEALTHY);
    assert_true(web->depends[0].restart);
    assert_int_equal(web->depends[1].condition, COMPOSE_COMPLETED);
}

static void health(void **state)
{
    const struct compose_health *h = &compose_service(*state, "web")->health;
    static const char *const test[] = { "curl", "-f", "http://localhost/" };
    list_is(&h->test, test, 3);
    assert_false(h->shell || h->disable);
    assert_int_equal(h->interval_ns, 90000000000);
    assert_int_equal(h->timeout_ns, 10000000000);
    assert_int_equal(h->start_period_ns, 500000000);
    assert_int_equal(h->retries, 3);
    assert_int_equal(h->start_interval_ns, COMPOSE_UNSET);
    h = &compose_service(*state, "db")->health;
    assert_true(h->set && h->shell);
    assert_string_equal(h->test.item[0].text, "pg_isready -q");
    assert_true(compose_service(*state, "plain")->health.disable);
    assert_false(compose_service(*state, "migrate")->health.set);
}

static void secrets_and_configs(void **state)
{
    const struct compose_service *web = compose_service(*state, "web");
    assert_int_equal(web->secret_count, 2);
    assert_string_equal(web->secrets[0].target, "/run/secrets/token");
    assert_int_equal(web->secrets[0].mode, COMPOSE_UNSET);
    assert_string_equal(web->secrets[1].target, "/run/secrets/tls.pem");
    assert_string_equal(web->secrets[1].uid, "103");
    assert_int_equal(web->secrets[1].mode, 0440);
    assert_string_equal(web->configs[0].target, "/etc/motd");
}

/* ---- variables ---- */

static void variables(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        { "$A", "1" },         { "x${A}y", "x1y" },       { "$$A", "$A" },
        { "$$$A", "$1" },      { "${A:-d}", "1" },        { "${N:-d}", "d" },
        { "${N-d}", "d" },     { "${E:-d}", "d" },        { "${E-d}", "" },
        { "${A:+r}", "r" },    { "${N:+r}", "" },         { "${E:+r}", "" },
        { "${E+r}", "r" },     { "${N:-${A}}", "1" },     { "${N:-a${N:-${B}}c}", "atwo wordsc" },
        { "${A:?must}", "1" }, { "${E?must}", "" },       { "${A:-${N:?not looked at}}", "1" },
        { "$A.b", "1.b" },     { "$A$A", "11" },          { "${N:-}", "" },
        { "${N:-$$}", "$" },   { "${LONG_name_1}", "z" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char yaml[256];
        snprintf(yaml, sizeof(yaml), "services: {s: {image: a.b/c, environment: {X: '%s'}}}", rows[i].text);
        AUTO(compose_drop) struct compose *c = parse(yaml, "A=1\nE=\nB='two words'\nLONG_name_1=z\nA2=no\n");
        assert_string_equal(c->services[0].environment.item[0].value, rows[i].want);
        assert_int_equal(c->warning_count, 0);
    }
}

static void unset_variables_warn(void **state)
{
    (void)state;
    AUTO(compose_drop)
    struct compose *c =
        parse("services:\n  s:\n    image: a.b/c:x$NONE\n    environment: {A: \"${NONE}\"}\n", "");
    assert_string_equal(c->services[0].image.text, "a.b/c:x");
    assert_int_equal(c->warning_count, 2);
    assert_non_null(strstr(c->warnings[0].text, "${NONE} is not set in .env"));
    assert_int_equal(c->warnings[0].at.line, 3);
    assert_int_equal(c->warnings[0].at.column, 12);
}

static void keys_are_not_replaced(void **state)
{
    (void)state;
    AUTO(compose_drop)
    struct compose *c = parse("services: {s: {image: a.b/c, environment: {$A: x}}}", "A=1\n");
    assert_string_equal(c->services[0].environment.item[0].key, "$A");
}

static void dotenv_files(void **state)
{
    (void)state;
    static const char env[] =
        "\xEF\xBB\xBF# comment\r\n\r\nA=1\r\nexport B = two  words # cut\n"
        "C='$A \\n'  # kept\nD=\"$A\\n\\$A \\\"q\\\"\"\nE=\nF=\"l1\nl2\"\nA=last\nG=$A#x\n"
        "export=odd\nUNSET\nH=a'b'\nI=#5a # cut\nJ= #x\nK='Let\\'s go'\nL='a\\b\\\\'";
    static const struct {
        const char *key, *want;
    } rows[] = { { "A", "last" },    { "B", "two  words" }, { "C", "$A \\n" }, { "D", "1\n$A \"q\"" },
                 { "E", "" },        { "F", "l1\nl2" },     { "G", "last#x" }, { "export", "odd" },
                 { "H", "a'b'" },    { "I", "#5a" },        { "J", "#x" },     { "K", "Let's go" },
                 { "L", "a\\b\\\\" } };
    AUTO(compose_drop) struct compose *c = parse("services: {s: {image: a.b/c}}", env);
    assert_int_equal(c->dotenv.n, ARRAY_SIZE(rows));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_string_equal(value_of(&c->dotenv, rows[i].key), rows[i].want);
}

/* ---- env_file ---- */

static int read_env_file(void *arg, const char *path, struct buf *out, struct err *err)
{
    (*(unsigned *)arg)++;
    if (!strcmp(path, "config/one"))
        buf_str(out, "A=one\nB=one\nC=one\nD\nREF=$FROM-$A\n");
    else if (!strcmp(path, "config/two"))
        buf_str(out, "B=two\n");
    else
        return err_set(err, ERR_NOT_FOUND, 0, "%s: no such file", path);
    return 0;
}

static void environments(void **state)
{
    (void)state;
    static const char yaml[] =
        "services: {s: {image: a.b/c, env_file: [config/one, ./config/two, {path: config/none, "
        "required: false}], environment: [C=inline, E, F=1, F=2, GONE]}}";
    AUTO(compose_drop) struct compose *c = parse(yaml, "D=dot\nE=dot\nFROM=env\n");
    AUTO(compose_memory_drop) struct compose_memory *memory = NULL;
    struct compose_pairs out;
    struct err err = { 0 };
    unsigned calls = 0;
    assert_int_equal(compose_environment(c, &c->services[0], read_env_file, &calls, &out, &memory, &err), 0);
    static const char *const want[][2] = { { "A", "one" },      { "B", "two" }, { "C", "inline" },
                                           { "D", "dot" },      { "E", "dot" }, { "F", "2" },
                                           { "REF", "env-one" } };
    assert_int_equal(calls, 3);
    assert_int_equal(out.n, ARRAY_SIZE(want));
    for (size_t i = 0; i < out.n; i++) {
        assert_string_equal(out.item[i].key, want[i][0]);
        assert_string_equal(out.item[i].value, want[i][1]);
    }
    AUTO(compose_drop) struct compose *d = parse("services: {s: {image: a.b/c, env_file: config/none}}", "");
    struct compose_memory *none = NULL;
    assert_int_equal(compose_environment(d, &d->services[0], read_env_file, &calls, &out, &none, &err), -1);
    assert_null(none);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
}

/* ---- images ---- */

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void image_references(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
        bool full;
    } rows[] = {
        { "busybox", "docker.io/library/busybox:latest", false },
        { "busybox:1.36", "docker.io/library/busybox:1.36", false },
        { "me/app", "docker.io/me/app:latest", false },
        { "docker.io/library/busybox", "docker.io/library/busybox:latest", true },
        { "docker.io/busybox", "docker.io/library/busybox:latest", true },
        { "docker.io/me/app:1", "docker.io/me/app:1", true },
        { "quay.io/busybox:1", "quay.io/busybox:1", true },
        { "localhost/x", "localhost/x:latest", true },
        { "localhost:5000/x:1", "localhost:5000/x:1", true },
        { "ghcr.io/a/b/c:v1.2_3-x", "ghcr.io/a/b/c:v1.2_3-x", true },
        { "r.io/a@sha256:" HEX64, "r.io/a@sha256:" HEX64, true },
        { "r.io/a:t@sha256:" HEX64, "r.io/a:t@sha256:" HEX64, true },
        { "busybox@sha256:" HEX64, "docker.io/library/busybox@sha256:" HEX64, false },
        { "", NULL, false },
        { "UPPER", NULL, false },
        { "a//b", NULL, false },
        { "a/", NULL, false },
        { "/a", NULL, false },
        { "a:", NULL, false },
        { "a:b:c", NULL, false },
        { "a b", NULL, false },
        { "a@sha256:12", NULL, false },
        { "a@md5:" HEX64, NULL, false },
        { "a@sha256:" HEX64 "0", NULL, false },
        { "-a", NULL, false },
        { "r.io/", NULL, false },
        { "https://r.io/a", NULL, false },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char out[256];
        bool full = false;
        struct err err = { 0 };
        int rc = compose_image_reference(rows[i].text, out, sizeof(out), &full, &err);
        if (rc != (rows[i].want ? 0 : -1))
            fail_msg("%s: %d %s", rows[i].text, rc, rc ? err.cause : out);
        if (rc == 0) {
            assert_string_equal(out, rows[i].want);
            assert_int_equal(full, rows[i].full);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file),
        cmocka_unit_test(words_and_names),
        cmocka_unit_test(merge_keys),
        cmocka_unit_test(ports),
        cmocka_unit_test(mounts),
        cmocka_unit_test(networks_and_dependencies),
        cmocka_unit_test(health),
        cmocka_unit_test(secrets_and_configs),
        cmocka_unit_test(variables),
        cmocka_unit_test(unset_variables_warn),
        cmocka_unit_test(keys_are_not_replaced),
        cmocka_unit_test(dotenv_files),
        cmocka_unit_test(environments),
        cmocka_unit_test(image_references),
    };
    return cmocka_run_group_tests(tests, load_full, drop_full);
}
