/* workload/lint: every finding, where it stands, and that a clean workload has none. */
#include "evidence.h"

#include "base/auto.h"
#include "workload/lint.h"

#include <unistd.h>

static enum lint_entry find(void *arg, const char *path)
{
    (void)arg;
    static const char *const files[] = { "config/a", "secrets/key",
                                         "config/cvm_agent/cvm_agent_policy.json" };
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        if (!strcmp(files[i], path))
            return LINT_FILE;
    }
    return !strcmp(path, "config") || !strcmp(path, "secrets") ? LINT_FOLDER : LINT_ABSENT;
}

static const struct lint_tree tree = { find, NULL };

static void lint(const char *services, const char *policy, const struct lint_machine *machine,
                 struct lint *out)
{
    AUTO(compose_drop) struct compose *c = NULL;
    AUTO(workload_policy_done) struct workload_policy p = { 0 };
    AUTO(buf_done) struct buf yaml = buf_new(1u << 16);
    struct err err = { 0 };
    buf_printf(&yaml, "services:\n%s", services);
    if (compose_parse(buf_bytes(&yaml), bytes_str(""), &c, &err) < 0
        || workload_policy_parse(bytes_str(policy), &p, &err) < 0
        || workload_lint(c, &p, &tree, machine, out, &err) < 0)
        fail_msg("%s: %s", services, err.cause);
}

#define OK_IMAGE "image: r.io/a:1"

struct row {
    const char *services, *policy;
    enum lint_level level;
    unsigned line;
    const char *text;
};

#define SERV(inner) "{\"workload_config\":{\"services\":{" inner "}}}"
#define OPEN(port)                                                                                           \
    "{\"cvm_config\":{\"firewall\":{\"allowed_ports\":[{\"protocol\":\"tcp\",\"port\":\"" port "\"}]}}}"
#define HOST "refused: gives the container the host"

static const struct row rows[] = {
    { "  s: {image: nginx}\n", "{}", LINT_ERROR, 2, "write docker.io/library/nginx:latest" },
    { "  s: {image: 'me/app:2'}\n", "{}", LINT_ERROR, 2, "write docker.io/me/app:2" },
    { "  s: {image: r.io/a}\n", "{}", LINT_WARNING, 2, "means r.io/a:latest" },
    { "  s: {image: 'docker.io/nginx:1.27'}\n", "{}", LINT_WARNING, 2,
      "means docker.io/library/nginx:1.27: write that" },
    { "  s: {" OK_IMAGE ",\n    privileged: true}\n", "{}", LINT_ERROR, 3, "privileged: " HOST },
    { "  s: {" OK_IMAGE ",\n    devices: [/dev/tpm0]}\n", "{}", LINT_ERROR, 3,
      "devices /dev/tpm0: refused: gives the container the TPM" },
    { "  s: {" OK_IMAGE ",\n    devices: [/dev/sev-guest]}\n", "{}", LINT_ERROR, 3,
      "refused: gives the container the TEE" },
    { "  s: {" OK_IMAGE ",\n    volumes: [\"/run/cvm-agent/agent.sock:/x\"]}\n", "{}", LINT_ERROR, 3,
      "refused: gives the container the agent" },
    { "  s: {" OK_IMAGE ",\n    cap_add: [SYS_ADMIN]}\n", "{}", LINT_ERROR, 3, "cap_add SYS_ADMIN: " HOST },
    { "  s: {" OK_IMAGE ",\n    pid: host}\n", "{}", LINT_ERROR, 3, "pid: host: " HOST },
    { "  s: {" OK_IMAGE ",\n    network_mode: host}\n", "{}", LINT_WARNING, 3, "7999" },
    { "  s: {" OK_IMAGE ", domainname: d.example}\n", "{}", LINT_ERROR, 2, "as hostname" },
    { "  s: {" OK_IMAGE ",\n    volumes: [\"./config/b:/b:ro\"]}\n", "{}", LINT_ERROR, 3,
      "config/b is not in the" },
    { "  s: {" OK_IMAGE ",\n    volumes: [\"./config/a:/b\"]}\n", "{}", LINT_WARNING, 3, "read-only" },
    { "  s: {" OK_IMAGE ",\n    env_file: config/b}\n", "{}", LINT_ERROR, 3, "config/b is not in the" },
    { "  s: {" OK_IMAGE ",\n    env_file: config}\n", "{}", LINT_ERROR, 3, "is a folder" },
    { "  s: {" OK_IMAGE ",\n    secrets: [x]}\nsecrets: {x: {file: secrets/none}}\n", "{}", LINT_ERROR, 3,
      "secrets/none is not in the" },
    { "  s: {" OK_IMAGE ",\n    configs: [x]}\nconfigs: {x: {file: config/none}}\n", "{}", LINT_ERROR, 3,
      "config/none is not in the" },
    { "  s: {" OK_IMAGE ",\n    ports: [\"8000:80\"]}\n", OPEN("8000"), LINT_ERROR, 3,
      "8000 is the agent's own" },
    { "  s: {" OK_IMAGE ",\n    ports: [\"7990-7999:90-99\"]}\n", OPEN("7990-8010"), LINT_ERROR, 3,
      "7999 is the" },
    { "  s: {" OK_IMAGE ",\n    ports: [\"80:80\"]}\n", OPEN("81"), LINT_WARNING, 3, "cannot be reached" },
    { "  s: {" OK_IMAGE ",\n    ports: [\"80\"]}\n", "{}", LINT_WARNING, 3, "write HOST:80" },
    { "  s: {" OK_IMAGE ", ports: [\"80:80\"]}\n  t: {" OK_IMAGE ",\n    ports: [\"80:81\"]}\n", OPEN("80"),
      LINT_ERROR, 4, "published by services.s too" },
    { "  s: {" OK_IMAGE ",\n    ports: [\"80:80\", \"80:81\"]}\n", OPEN("80"), LINT_ERROR, 3,
      "by services.s too" },
    { "  s: {" OK_IMAGE ", healthcheck: {disable: true}}\n  t: {" OK_IMAGE
      ",\n    depends_on: {s: {condition: service_healthy}}}\n",
      "{}", LINT_ERROR, 4, "never gets healthy" },
    { "  s: {" OK_IMAGE ", restart: always}\n  t: {" OK_IMAGE
      ",\n    depends_on: {s: {condition: service_completed_successfully}}}\n",
      "{}", LINT_ERROR, 4, "never completes" },
    { "  s: {" OK_IMAGE ", x-cvm-agent: {socket: true},\n    tmpfs: [/run]}\n", "{}", LINT_ERROR, 3,
      "hides" },
    { "  s: {" OK_IMAGE ",\n    tmpfs: [/run/cvm-agent/x]}\n", SERV("\"agent_socket_targets\":[\"s\"]"),
      LINT_ERROR, 3, "hides" },
    { "  s: {" OK_IMAGE ",\n    tmpfs: [/run//cvm-agent/]}\n", SERV("\"agent_socket_targets\":[\"s\"]"),
      LINT_ERROR, 3, "hides" },
    { "  s: {" OK_IMAGE ",\n    secrets: [{source: x, uid: 65536}]}\nsecrets: {x: {file: secrets/key}}\n",
      "{}", LINT_ERROR, 3, "id 65536: a container has the ids 0 to 65535" },
    { "  s: {" OK_IMAGE
      ", tmpfs: [/run],\n    secrets: [{source: x, mode: 0400}]}\nsecrets: {x: {file: secrets/key}}\n",
      "{}", LINT_ERROR, 3, "/run/secrets/x lies in the mount /run" },
    { "  s: {" OK_IMAGE
      ", tmpfs: [/run/],\n    secrets: [{source: x, mode: 0400}]}\nsecrets: {x: {file: secrets/key}}\n",
      "{}", LINT_ERROR, 3, "/run/secrets/x lies in the mount /run" },
    { "  s: {" OK_IMAGE
      ", read_only: true,\n    secrets: [{source: x, gid: 4}]}\nsecrets: {x: {file: secrets/key}}\n",
      "{\"cvm_config\":{\"container_api\":{\"container_engine\":\"docker\"}}}", LINT_ERROR, 3, "read_only" },
    { "  s: {" OK_IMAGE "}\n  x-ray: {" OK_IMAGE ",\n    privileged: true}\n", "{}", LINT_ERROR, 4,
      "services.x-ray: privileged: " HOST },
    { "  s: {" OK_IMAGE "}\n  x-ray: {image: short}\n", "{}", LINT_ERROR, 3, "short name" },
    { "  s: {" OK_IMAGE "}\nname: shop\n", "{}", LINT_WARNING, 3, "name: has no effect" },
    { "  s: {" OK_IMAGE ",\n    healthcheck: {test: a, start_interval: 1s}}\n", "{}", LINT_WARNING, 3,
      "no effect without start_period" },
    { "  s: {" OK_IMAGE ",\n    healthcheck: {test: a, start_period: 9s, start_interval: 1s}}\n",
      "{\"cvm_config\":{\"container_api\":{\"container_engine\":\"docker\"}}}", LINT_WARNING, 3,
      "docker 20.10 checks at the interval" },
    { "  s: {" OK_IMAGE "}\n", SERV("\"allow_update\":[\"gone\"]"), LINT_ERROR, 0, "missing service" },
    { "  s: {" OK_IMAGE "}\n", SERV("\"allow_update\":[\"gone\"],\"allow_remove\":[\"gone\"]"), LINT_WARNING,
      0, "missing service" },
    { "  s: {" OK_IMAGE "}\n", SERV("\"skip_measurement\":[\"gone\"]"), LINT_ERROR, 0, "missing service" },
    { "  s: {" OK_IMAGE "}\n", SERV("\"agent_socket_targets\":[\"gone\"]"), LINT_ERROR, 0,
      "missing service" },
    { "  s: {" OK_IMAGE "}\n", SERV("\"skip_measurement\":[\"s\"]"), LINT_WARNING, 0,
      "no measurement of the image" },
    { "  s: {" OK_IMAGE "}\n",
      "{\"workload_config\":{\"services\":{\"skip_measurement\":[\"s\"]},\"image_signature_verification\":{"
      "\"enable\":true,\"signature_verification_policy_path\":\"config/a\"}}}",
      LINT_WARNING, 0, "of \"s\", and its signature is not checked: an unsigned image may run" },
    { "  s: {" OK_IMAGE "}\n", SERV("\"update_white_list\":[]"), LINT_WARNING, 0, "an older name" },
    { "  s: {" OK_IMAGE "}\n",
      "{\"workload_config\":{\"image_signature_verification\":{\"auth_info_file_path\":\"secrets/none\"}}}",
      LINT_WARNING, 0, "without credentials" },
    { "  s: {" OK_IMAGE "}\n",
      "{\"workload_config\":{\"image_signature_verification\":{\"enable\":true,\"signature_verification_"
      "policy_path\":"
      "\"config/none\"}}}",
      LINT_ERROR, 0, "config/none is not in the" },
};

static void each_finding(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(lint_done) struct lint l = { 0 };
        AUTO(buf_done) struct buf text = buf_new(1u << 16);
        struct err err = { 0 };
        lint(rows[i].services, rows[i].policy, NULL, &l);
        for (size_t k = 0; k < l.n; k++)
            lint_put(&l.finding[k], &text);
        buf_u8(&text, 0);
        if (l.n != 1 || l.finding[0].level != rows[i].level || l.finding[0].at.line != rows[i].line
            || !strstr(l.finding[0].text, rows[i].text))
            fail_msg("%s\n%s\nwant: %s", rows[i].services, (const char *)text.p, rows[i].text);
        assert_int_equal(lint_check(&l, &err), rows[i].level == LINT_ERROR ? -1 : 0);
        if (rows[i].level == LINT_ERROR)
            assert_int_equal(err.kind, ERR_DENIED);
    }
}

static void clean(void **state)
{
    (void)state;
    AUTO(lint_done) struct lint l = { 0 };
    lint("  s:\n    " OK_IMAGE "\n    ports: [\"80:8000\", \"127.0.0.1:9:9\", \"8000:8000/udp\"]\n"
         "    volumes: [\"./config:/c:ro\", \"/data/workload/secrets/key:/k:ro\", \".:/all:ro\", v:/v]\n"
         "    env_file: [config/a, {path: config/b, required: false}]\n    secrets: [x, {source: x, target: "
         "y, uid: 65535, mode: 0400}]\n"
         "    read_only: true\n    tmpfs: [/run/other]\n    x-cvm-agent: {socket: true}\nsecrets: {x: {file: "
         "./secrets/key}}\nvolumes: {v: }\n",
         "{\"cvm_config\":{\"firewall\":{\"allowed_ports\":[{\"protocol\":\"tcp\",\"port\":\"80\"},"
         "{\"protocol\":\"udp\",\"port\":\"7000-9000\"}]}},"
         "\"workload_config\":{\"services\":{\"allow_update\":[\"s\"],\"agent_socket_targets\":[\"s\"]}}}",
         NULL, &l);
    for (size_t i = 0; i < l.n; i++)
        print_message("%s\n", l.finding[i].text);
    assert_int_equal(l.n, 0);
    assert_int_equal(lint_check(&l, NULL), 0);
}

static void owners(void **state)
{
    (void)state;
    char path[] = "/tmp/test_lint.XXXXXX";
    AUTO(close_fd) int fd = mkstemp(path);
    static const char text[] = "root:1:1\nautomata2:100000:65536\nautomata:200000:65536\n";
    assert_true(fd >= 0 && write(fd, text, sizeof(text) - 1) == sizeof(text) - 1);
    const struct lint_machine good = { .subuid = path, .subgid = path },
                              half = { .subuid = path, .subgid = "/nonexistent/subgid" };
    const struct {
        const struct lint_machine *machine;
        const char *owner;
        size_t errors;
    } cases[] = {
        { &good, "automata", 0 }, { &good, "automat", 2 }, { &half, "automata", 1 }, { &good, "other", 2 }
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(lint_done) struct lint l = { 0 };
        char policy[128];
        snprintf(policy, sizeof(policy), "{\"cvm_config\":{\"container_api\":{\"container_owner\":\"%s\"}}}",
                 cases[i].owner);
        lint("  s: {" OK_IMAGE "}\n", policy, cases[i].machine, &l);
        assert_int_equal(l.errors, cases[i].errors);
        if (l.errors)
            assert_non_null(strstr(l.finding[0].text, "add the line"));
    }
    unlink(path);
}

static void docker(void **state)
{
    (void)state;
    char path[] = "/tmp/test_lint.XXXXXX";
    AUTO(close_fd) int fd = mkstemp(path);
    static const char text[] = "root:x:0:0::/:/bin/sh\nautomata:x:990:990::/:/bin/false\n";
    assert_true(fd >= 0 && write(fd, text, sizeof(text) - 1) == sizeof(text) - 1);
    const struct lint_machine machine = { .passwd = path, .group = path };
    static const struct {
        const char *engine, *owner, *service, *says;
    } cases[] = {
        { "docker", "automata", "  s: {" OK_IMAGE "}\n", NULL },
        { "podman", "nobody-here", "  s: {" OK_IMAGE "}\n", NULL },
        { "docker", "nobody-here", "  s: {" OK_IMAGE "}\n",
          "add it (useradd --system --user-group nobody-here)" },
        { "docker", "automata", "  s: {" OK_IMAGE ", network_mode: host}\n", "docker has no host network" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(lint_done) struct lint l = { 0 };
        char policy[160];
        snprintf(
            policy, sizeof(policy),
            "{\"cvm_config\":{\"container_api\":{\"container_engine\":\"%s\",\"container_owner\":\"%s\"}}}",
            cases[i].engine, cases[i].owner);
        lint(cases[i].service, policy, &machine, &l);
        assert_int_equal(l.errors > 0, cases[i].says != NULL);
        for (size_t k = 0; cases[i].says && k < l.n; k++) {
            if (l.finding[k].level == LINT_ERROR)
                assert_non_null(strstr(l.finding[k].text, cases[i].says));
        }
    }
    unlink(path);
}

static void the_first_process(void **state)
{
    (void)state;
    static const struct {
        const char *init, *service;
        size_t errors;
    } cases[] = { { "/bin/sh", "init: true", 0 },
                  { "/nonexistent/catatonit", "init: true", 1 },
                  { "/nonexistent/catatonit", "init: false", 0 },
                  { NULL, "init: true", 0 } };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(lint_done) struct lint l = { 0 };
        const struct lint_machine machine = { .init = cases[i].init };
        char services[128];
        snprintf(services, sizeof(services), "  s: {" OK_IMAGE ", %s}\n", cases[i].service);
        lint(services, "{}", &machine, &l);
        assert_int_equal(l.errors, cases[i].errors);
        if (l.errors)
            assert_non_null(strstr(l.finding[0].text, "install catatonit, or leave init out"));
    }
}

static void many_findings_are_counted(void **state)
{
    (void)state;
    AUTO(lint_done) struct lint l = { 0 };
    AUTO(buf_done) struct buf text = buf_new(1u << 16);
    struct err err = { 0 };
    buf_str(&text, "  s: {" OK_IMAGE ", devices: [");
    for (int i = 0; i < LINT_FINDINGS_MAX + 1; i++)
        buf_str(&text, "/dev/a,");
    buf_str(&text, "]}\n");
    buf_u8(&text, 0);
    lint((const char *)text.p, "{}", NULL, &l);
    assert_int_equal(l.errors, LINT_FINDINGS_MAX + 1);
    assert_int_equal(l.n, LINT_FINDINGS_MAX);
    assert_int_equal(lint_check(&l, &err), -1);
    assert_non_null(strstr(err.cause, "(and 200 more)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_finding),
                                        cmocka_unit_test(clean),
                                        cmocka_unit_test(owners),
                                        cmocka_unit_test(docker),
                                        cmocka_unit_test(the_first_process),
                                        cmocka_unit_test(many_findings_are_counted) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
