/* workload/compose: what is refused, with the line and column where it stands. */
#include "evidence.h"

#include "base/auto.h"
#include "base/file.h"
#include "workload/compose.h"

struct row {
    const char *yaml, *where, *what;
};

static void check(const struct row *rows, size_t n, const char *head)
{
    for (size_t i = 0; i < n; i++) {
        char yaml[2048], where[64];
        struct compose *c = NULL;
        struct err err = { 0 };
        snprintf(yaml, sizeof(yaml), "%s%s", head, rows[i].yaml);
        snprintf(where, sizeof(where), "line %s:", rows[i].where);
        if (compose_parse(bytes_str(yaml), bytes_str("A=1\n"), &c, &err) == 0)
            fail_msg("accepted: %s", yaml);
        assert_null(c);
        assert_int_equal(err.kind, ERR_INPUT);
        if (strncmp(err.cause, where, strlen(where)) != 0 || !strstr(err.cause, rows[i].what))
            fail_msg("%s\nwant: line %s: ...%s\ngot:  %s", yaml, rows[i].where, rows[i].what, err.cause);
    }
}

static void two_files_at_one_place(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "    secrets: [x, y]\nsecrets: {x: {file: a}, y: {file: b}}\n", "", NULL },
        { "    secrets: [x, {source: y, target: x}]\nsecrets: {x: {file: a}, y: {file: b}}\n", "4, column 18",
          "something is at /run/secrets/x already" },
        { "    configs: [x]\n    tmpfs: [/x/]\nconfigs: {x: {file: a}}\n", "5, column 13",
          "something is at /x already" },
        { "    configs: [x, {source: x, target: //run/./secrets/y}]\n    secrets: [y]\n"
          "configs: {x: {file: a}}\nsecrets: {y: {file: b}}\n",
          "5, column 15", "something is at /run/secrets/y already (line 4)" },
    };
    struct compose *c = NULL;
    struct err err = { 0 };
    char yaml[512];
    snprintf(yaml, sizeof(yaml), "services:\n  s:\n    image: a.b/c\n%s", rows[0].yaml);
    assert_int_equal(compose_parse(bytes_str(yaml), bytes_str(""), &c, &err), 0);
    compose_free(c);
    check(rows + 1, ARRAY_SIZE(rows) - 1, "services:\n  s:\n    image: a.b/c\n");
}

#define NETWORK(members) "services: {a: {image: b.c/d}}\nnetworks: {n: {" members "}}\n"
#define SUBNET(members)  "services: {a: {image: b.c/d}}\nnetworks: {n: {ipam: {config: [{" members "}]}}}\n"

static void in_the_network_of_another(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "ports: [80]}}", "2, column 56", "ports and" },
        { "hostname: x}}", "2, column 35", "hostname and" },
        { "extra_hosts: {a: 1.2.3.4}}}", "2, column 62", "extra_hosts and" },
        { "dns: 1.1.1.1}}", "2, column 53", "dns and" },
        { "dns_search: [a.b]}}", "2, column 60", "dns and" },
    };
    check(rows, ARRAY_SIZE(rows),
          "services: {t: {image: b.c/d},\n  s: {image: b.c/d, network_mode: \"service:t\", ");
}

static void networks_of_the_file(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { NETWORK("driver_opts: {com.docker.network.bridge.name: br0}"), "2, column 30", "want mtu" },
        { NETWORK("driver_opts: {mtu: big}"), "2, column 30", "mtu: \"big\": want a whole number" },
        { NETWORK("driver_opts: {mtu: 1400, com.docker.network.driver.mtu: 1400}"), "2, column 41", "twice" },
        { NETWORK("name: host"), "2, column 22", "a word of the engine's own" },
        { NETWORK("name: none"), "2, column 22", "a word of the engine's own" },
        { NETWORK("name: bridge"), "2, column 22", "a word of the engine's own" },
        { SUBNET("subnet: 10.9.0.0/24, gateway: 10.8.0.1"), "2, column 63",
          "10.8.0.1 is not in 10.9.0.0/24" },
        { SUBNET("gateway: \"fd00::1\", subnet: 10.9.0.0/24"), "2, column 42", "is not in" },
        { SUBNET("subnet: 10.9.0.0/24, ip_range: 10.9.1.0/25"), "2, column 64", "is not in" },
        { SUBNET("subnet: 10.9.0.0/24, ip_range: 10.9.0.0/23"), "2, column 64", "is not in" },
        { "services: {a: {image: b.c/d, networks: {n: {ipv4_address: 10.8.0.9}}}}\n"
          "networks: {n: {ipam: {config: [{subnet: \"fd00::/64\"}, {subnet: 10.9.0.0/24}]}}}\n",
          "1, column 41", "10.8.0.9 is in no subnet of \"n\"" },
    };
    check(rows, ARRAY_SIZE(rows), "");
}

static void the_file(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "", "1, column 1", "empty" },
        { "[]", "1, column 1", "want a mapping" },
        { "a: b\n", "1, column 1", "a: not supported" },
        { "x-a: 1\n", "1, column 1", "services: is missing" },
        { "services: {}\n", "1, column 11", "1 to 256" },
        { "services: [a]\n", "1, column 11", "want a mapping, not a list" },
        { "services:\n", "1, column 10", "want a mapping, not a string" },
        { "services: {a: {image: b.c/d}}\nservices: {}\n", "2, column 1", "duplicate key" },
        { "services: {a: {image: b.c/d}}\n--- \nx: 1\n", "2, column 1", "second document" },
        { "services: {a: {image: b.c/d}\n", "2, column 1", "not YAML" },
        { "services:\n  a: {image: b.c/d}\n  # \xC3\xA4 \xFF\n", "3, column 7", "not YAML" },
        { "services:\n  a: {image: b.c/d}\n\x01\n", "3, column 1", "not YAML" },
        { "services:\n\t- a\n", "2, column 1", "not YAML" },
        { "services: {a: {image: !x b}}\n", "1, column 23", "tag" },
        { "services: {? [a] : b}\n", "1, column 14", "key must be a string" },
        { "services: {a: *b}\n", "1, column 15", "*b" },
        { "services: &a {a: *a}\n", "1, column 18", "*a" },
        { "services: {a: {<<: [b]}}\n", "1, column 21", "<<" },
        { "services: {a: {<<: b}}\n", "1, column 20", "<<" },
        { "services: {a: \"\\0\"}\n", "1, column 15", "NUL" },
        { "services: {a: {image: b.c/d}}\ninclude: [x]\n", "2, column 1", "include: other files" },
        { "services: {a: {image: b.c/d}}\nnetworks: {n: {driver: host}}\n", "2, column 24", "want bridge" },
        { "services: {a: {image: b.c/d}}\nnetworks: {n: {external: true}}\n", "2, column 26", "external" },
        { "services: {a: {image: b.c/d}}\nnetworks: {n: {attachable: true}}\n", "2, column 16",
          "networks.n.attachable: not supported" },
        { "services: {a: {image: b.c/d}}\nnetworks: {n: {ipam: {config: [{subnet: 1.2.3.4}]}}}\n",
          "2, column 41", "ADDRESS/PREFIX" },
        { "services: {a: {image: b.c/d}}\nnetworks: {n: {ipam: {config: [{gateway: 1.2.3.4}]}}}\n",
          "2, column 32", "subnet is missing" },
        { "services: {a: {image: b.c/d}}\nvolumes: {v: {driver: nfs}}\n", "2, column 23", "want local" },
        { "services: {a: {image: b.c/d}}\nvolumes: {v: {driver_opts: {device: /dev/sda}}}\n", "2, column 15",
          "refused: gives the container the host" },
        { "services: {a: {image: b.c/d}}\nvolumes: {v: {external: true}}\n", "2, column 25", "external" },
        { "services: {a: {image: b.c/d}}\nsecrets: {s: {}}\n", "2, column 14", "want one of" },
        { "services: {a: {image: b.c/d}}\nsecrets: {s: {file: /etc/shadow}}\n", "2, column 21",
          "refused: gives the container the host" },
        { "services: {a: {image: b.c/d}}\nsecrets: {s: {external: true}}\n", "2, column 15",
          "not supported" },
        { "services: {a: {image: b.c/d}}\nsecrets: {s: {content: x}}\n", "2, column 15", "not supported" },
        { "services: {a: {image: b.c/d}}\nsecrets: {s: {environment: NONE}}\n", "2, column 28", "NONE" },
        { "services: {x-a: {image: b.c/d, nonsense: 1}}\n", "1, column 32",
          "services.x-a.nonsense: not supported" },
        { "services: {x-a: text}\n", "1, column 17", "services.x-a: want a mapping" },
        { "services: {-a: {image: b.c/d}}\n", "1, column 12", "letters, digits" },
        { "services: {a: {image: 'b.c/${A'}}\n", "1, column 23", "not closed" },
        { "services: {a: {image: '${}'}}\n", "1, column 23", "wants the name" },
        { "services: {a: {image: '${A!}'}}\n", "1, column 23", "want }" },
        { "services: {a: {image: '$'}}\n", "1, column 23", "$$" },
        { "services: {a: {image: 'a$-b'}}\n", "1, column 23", "$$" },
        { "services: {a: {image: '${N:?set N, please}'}}\n", "1, column 23", "set N, please" },
        { "services: {a: {image: '${N?}'}}\n", "1, column 23", "is not set" },
    };
    check(rows, ARRAY_SIZE(rows), "");
}

/* Each stands at column 5 of line 4 of a file whose other lines are fine. */
static void members(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "build: .", "4, column 5", "services.s.build: refused: images are built beforehand" },
        { "extends: x", "4, column 5", "extends" },
        { "profiles: [x]", "4, column 5", "profiles" },
        { "links: [x]", "4, column 5", "links" },
        { "gpus: all", "4, column 5", "gpus" },
        { "volumes_from: [x]", "4, column 5", "volumes_from" },
        { "scale: 2", "4, column 5", "scale" },
        { "develop: {}", "4, column 5", "services.s.develop: not supported" },
        { "imagee: x", "4, column 5", "not supported" },
        { "image: a.b/d", "4, column 5", "duplicate key" },
        { "read_only: yes", "4, column 16", "want true or false" },
        { "read_only: [true]", "4, column 16", "want a string, not a list" },
        { "tty: 1", "4, column 10", "want true or false" },
        { "command: \"a 'b\"", "4, column 14", "quote" },
        { "command: {a: b}", "4, column 14", "want a list" },
        { "command: [[a]]", "4, column 15", "want a string" },
        { "environment: text", "4, column 18", "mapping or a list" },
        { "environment: [=x]", "4, column 19", "name is missing" },
        { "environment: [a = x]", "4, column 19", "a blank would belong to the name" },
        { "environment: {a: [b]}", "4, column 22", "want a string" },
        { "env_file: /etc/passwd", "4, column 15", "refused" },
        { "env_file: ../x", "4, column 15", "refused" },
        { "env_file: {format: raw}", "4, column 15", "want path" },
        { "ports: 80", "4, column 12", "want a list" },
        { "ports: [\"0:80\"]", "4, column 13", "want [IP:]" },
        { "ports: [\"80:80:80:80\"]", "4, column 13", "want [IP:]" },
        { "ports: [\"70000\"]", "4, column 13", "want [IP:]" },
        { "ports: [\"1-2:5-9\"]", "4, column 13", "want [IP:]" },
        { "ports: [\"80/sctp\"]", "4, column 13", "want [IP:]" },
        { "ports: [\"host:1:1\"]", "4, column 13", "want [IP:]" },
        { "ports: [\"\"]", "4, column 13", "missing" },
        { "ports: [{published: 80}]", "4, column 13", "want target" },
        { "ports: [{target: 80, published: 0}]", "4, column 13", "want target" },
        { "ports: [{target: 80, color: red}]", "4, column 33", "not supported" },
        { "expose: [x]", "4, column 14", "expose" },
        { "volumes: [\"a/b:/c\"]", "4, column 15", "write ./a/b" },
        { "volumes: [\"a:/c\"]", "4, column 15", "not below volumes:" },
        { "volumes: [\"./a:c\"]", "4, column 15", "absolute path" },
        { "volumes: [\"./a:/c/../d\"]", "4, column 15", "without .." },
        { "volumes: [\"./a:/c:rshared\"]", "4, column 15", "rshared" },
        { "volumes: [{type: bind, target: /c}]", "4, column 15", "source" },
        { "volumes: [{type: npipe, target: /c}]", "4, column 15", "want bind" },
        { "volumes: [{type: bind, source: ./a, target: /c, bind: {propagation: shared}}]", "4, column 60",
          "propagation" },
        { "volumes: [{type: volume, target: /c, volume: {nocopy: true}}]", "4, column 51",
          "volumes.volume.nocopy: not supported" },
        { "volumes: [{type: tmpfs, target: /c, volume: {}}]", "4, column 15", "mounts of their type" },
        { "healthcheck: {test: a, timeout: 10us}", "4, column 37", "1ms or more" },
        { "volumes: [{type: volume, source: ../x, target: /c}]", "4, column 15", "letters, digits" },
        { "volumes: [{type: tmpfs, target: /c, tmpfs: {mode: 777}}]", "4, column 55", "octal" },
        { "volumes: [\"./a:/\"]", "4, column 15", "below /" },
        { "volumes: [\"./a:/./\"]", "4, column 15", "below /" },
        { "volumes: [\"./a:/c/..\"]", "4, column 15", "without .." },
        { "volumes: [\"./a:/c\", \"./b:/c/\"]", "4, column 25", "something is at /c already (line 4)" },
        { "volumes: [\"./a:/c\"]\n    tmpfs: /./c:size=1m", "5, column 12", "something is at /c already" },
        { "tmpfs: [/a, /b, //a]", "4, column 21", "something is at /a already" },
        { "tmpfs: [x]", "4, column 13", "absolute path" },
        { "tmpfs: ['/x:uid=5']", "4, column 13", "option \"uid=5\" is not supported" },
        { "tmpfs: [/y, '/x:size=10%']", "4, column 17", "size" },
        { "tmpfs: '/x:mode=4755'", "4, column 12", "set-id" },
        { "tmpfs: '/x:mode=9'", "4, column 12", "octal" },
        { "tmpfs: '/x:rw,ro'", "4, column 12", "contradict" },
        { "tmpfs: '/x:noexec,exec'", "4, column 12", "contradict" },
        { "tmpfs: '/x:suid'", "4, column 12", "suid" },
        { "tmpfs: '/x:size=1m,size=2m'", "4, column 12", "twice" },
        { "networks: [n]", "4, column 16", "not below networks:" },
        { "networks: [default, default]", "4, column 25", "twice" },
        { "networks: {default: {priority: 1}}", "4, column 26", "not supported" },
        { "networks: {default: {ipv4_address: x}}", "4, column 40", "no address" },
        { "network_mode: container:x", "4, column 19", "network_mode" },
        { "network_mode: service:x", "4, column 19", "no service" },
        { "network_mode: none\n    networks: [default]", "4, column 19", "exclude each other" },
        { "network_mode: none\n    ports: [80]", "5, column 13", "ports and network_mode: none exclude" },
        { "network_mode: host\n    ports: [80]", "5, column 13", "ports and network_mode: host exclude" },
        { "network_mode: host\n    sysctls: {net.core.somaxconn: 1}", "5, column 15", "sysctls of net.*" },
        { "depends_on: [t]", "4, column 18", "no service" },
        { "depends_on: [s]", "4, column 18", "waits for itself" },
        { "depends_on: {s: {condition: running}}", "4, column 33", "service_started" },
        { "depends_on: t", "4, column 17", "want a list" },
        { "restart: sometimes", "4, column 14", "unless-stopped" },
        { "restart: always:3", "4, column 14", "unless-stopped" },
        { "restart: on-failure:x", "4, column 14", "whole number" },
        { "healthcheck: {test: [a]}", "4, column 25", "CMD" },
        { "healthcheck: {test: [CMD]}", "4, column 25", "CMD" },
        { "healthcheck: {test: [CMD-SHELL, a, b]}", "4, column 25", "CMD" },
        { "healthcheck: {interval: 10}", "4, column 29", "time with its unit" },
        { "healthcheck: {interval: 99999999999h}", "4, column 29", "time with its unit" },
        { "healthcheck: {retries: 0}", "4, column 28", "from 1" },
        { "healthcheck: {foo: 0}", "4, column 19", "not supported" },
        { "labels: x", "4, column 13", "labels" },
        { "cap_add: [\"a b\"]", "4, column 15", "capability" },
        { "secrets: [x]", "4, column 15", "not below secrets:" },
        { "configs: [{target: /x}]", "4, column 15", "source is missing" },
        { "configs: [{source: x, mode: 04755}]", "4, column 33", "set-id" },
        { "configs: [{source: x, uid: -1}]", "4, column 32", "whole number" },
        { "working_dir: srv", "4, column 18", "absolute" },
        { "container_name: \"a/b\"", "4, column 21", "letters" },
        { "hostname: \"a b\"", "4, column 15", "letters" },
        { "pid: service:x", "4, column 10", "not supported" },
        { "ipc: shareable", "4, column 10", "not supported" },
        { "userns_mode: keep-id", "4, column 18", "not supported" },
        { "ulimits: {files: 1}", "4, column 15", "no such limit" },
        { "ulimits: {nofile: {soft: 1}}", "4, column 23", "soft and hard" },
        { "ulimits: {nofile: {hard: 1, soft: 2}}", "4, column 39", "soft is more than hard" },
        { "ulimits: {nofile: {soft: -1, hard: 2}}", "4, column 30", "soft is more than hard" },
        { "stop_signal: SIGWHAT", "4, column 18", "no signal is called \"SIGWHAT\"" },
        { "stop_signal: SIGRTMIN+31", "4, column 18", "no signal" },
        { "stop_signal: RTMAX+1", "4, column 18", "no signal" },
        { "stop_signal: \"65\"", "4, column 18", "no signal" },
        { "stop_signal: 1x", "4, column 18", "no signal" },
        { "sysctls: {vm.max_map_count: 262144}", "4, column 15", "the whole machine's" },
        { "sysctls: [net.core.somaxconn=1, kernel.domainname=x]", "4, column 37", "the whole machine's" },
        { "sysctls: [net.core.somaxconn]", "4, column 15", "a value is missing" },
        { "extra_hosts: [a]", "4, column 19", "want NAME=ADDRESS" },
        { "extra_hosts: [\"a:nonsense\"]", "4, column 19", "want NAME=ADDRESS" },
        { "extra_hosts: {a: \"[1.2.3]\"}", "4, column 19", "want NAME=ADDRESS" },
        { "dns: [1.1.1.1, one.one]", "4, column 20", "\"one.one\" is no address" },
        { "dns_search: \"a b\"", "4, column 17", "no domain" },
        { "cap_drop: [ALL, FOO]", "4, column 21", "\"FOO\" is no capability" },
        { "healthcheck: {interval: 5s}", "4, column 18", "test is missing" },
        { "healthcheck: {}", "4, column 18", "test is missing" },
        { "networks: {default: {ipv4_address: \"::1\"}}", "4, column 40", "no address of IPv4" },
        { "shm_size: big", "4, column 15", "size" },
        { "mem_limit: -1", "4, column 16", "size" },
        { "stop_grace_period: 1x", "4, column 24", "time" },
        { "pull_policy: build", "4, column 18", "always, missing or never" },
        { "platform: linux/arm64", "4, column 15", "linux/amd64" },
        { "logging: {driver: fluentd}", "4, column 23", "fluentd" },
        { "logging: {level: x}", "4, column 15", "not supported" },
        { "x-cvm-agent: {sockets: true}", "4, column 19", "no such setting" },
        { "x-cvm-agent: {socket: 1}", "4, column 27", "true or false" },
        { "x-cvm-agent: true", "4, column 18", "want a mapping" },
        { "stop_signal:", "4, column 17", "missing" },
    };
    check(rows, ARRAY_SIZE(rows), "services:\n  s:\n    image: a.b/c\n    ");
}

/* Read, and noted for lint, which refuses them with their sentence. */
static void what_gives_the_machine(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *gives;
    } rows[] = {
        { "privileged: true", "host" },
        { "devices: [/dev/sda]", "host" },
        { "devices: [\"/dev/tpmrm0:/dev/tpm0\"]", "TPM" },
        { "devices: [/dev/sev-guest]", "TEE" },
        { "devices: [/dev/tdx_guest]", "TEE" },
        { "pid: host", "host" },
        { "ipc: host", "host" },
        { "userns_mode: host", "host" },
        { "uts: host", "host" },
        { "cgroup: host", "host" },
        { "cgroup_parent: /x", "host" },
        { "device_cgroup_rules: [\"c 1:3 mr\"]", "host" },
        { "cap_add: [SYS_ADMIN]", "host" },
        { "cap_add: [cap_net_admin]", "host" },
        { "cap_add: [ALL]", "host" },
        { "security_opt: [\"seccomp:unconfined\"]", "host" },
        { "volumes: [\"/:/host\"]", "host" },
        { "volumes: [\"../x:/x\"]", "host" },
        { "volumes: [\"~/x:/x\"]", "host" },
        { "volumes: [\"/proc:/p:ro\"]", "host" },
        { "volumes: [\"/dev/tpmrm0:/dev/tpm0\"]", "TPM" },
        { "volumes: [\"/sys/kernel/config/tsm:/tsm\"]", "TEE" },
        { "volumes: [\"/run/cvm-agent/agent.sock:/a\"]", "agent" },
        { "volumes: [{type: bind, source: /etc, target: /e}]", "host" },
        { "volumes: [\"/data/workload/../x:/x\"]", "host" },
    };
    static const char *const fine[] = { "privileged: false",
                                        "devices: []",
                                        "pid: private",
                                        "cap_add: [CHOWN, NET_RAW, NET_BIND_SERVICE]",
                                        "volumes: [\"./config:/c\"]",
                                        "security_opt: [no-new-privileges]" };
    for (size_t i = 0; i < ARRAY_SIZE(rows) + ARRAY_SIZE(fine); i++) {
        const char *yaml = i < ARRAY_SIZE(rows) ? rows[i].yaml : fine[i - ARRAY_SIZE(rows)];
        AUTO(compose_drop) struct compose *c = NULL;
        char text[512];
        struct err err = { 0 };
        snprintf(text, sizeof(text), "services:\n  s:\n    image: a.b/c\n    %s\n", yaml);
        if (compose_parse(bytes_str(text), bytes_str(""), &c, &err) < 0)
            fail_msg("%s: %s", yaml, err.cause);
        const struct compose_service *s = &c->services[0];
        assert_int_equal(s->refused_count, i < ARRAY_SIZE(rows));
        if (s->refused_count) {
            assert_string_equal(s->refused[0].gives, rows[i].gives);
            assert_int_equal(s->refused[0].at.line, 4);
        }
    }
}

static void cycles(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "services:\n  a: {image: b.c/d, depends_on: [b]}\n  b: {image: b.c/d, depends_on: [c]}\n"
          "  c: {image: b.c/d, depends_on: [b]}\n",
          "3, column 34", "waits for itself" },
        { "services:\n  a: {image: b.c/d, network_mode: \"service:b\"}\n  b: {image: b.c/d, depends_on: "
          "[a]}\n",
          "2, column 35", "waits for itself" },
        { "services:\n  a: {image: b.c/d, container_name: b}\n  b: {image: b.c/d}\n", "3, column 3",
          "same container_name" },
    };
    check(rows, ARRAY_SIZE(rows), "");
}

static void dotenv_lines(void **state)
{
    (void)state;
    static const struct {
        const char *env, *what;
    } rows[] = { { "A=1\n=x\n", ".env, line 2: want NAME=value" },
                 { "A=\"x\n", ".env, line 1: a quote is not closed" },
                 { "A='x' y\n", ".env, line 1: text after" },
                 { "A=\"\\q\"\n", ".env, line 1: \\ before" },
                 { "A B\n", ".env, line 1: want =" },
                 { "1A=x\n", ".env, line 1: want NAME=value" },
                 { "\nA=${B\n", ".env, line 2: ${B is not closed" } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct compose *c = NULL;
        struct err err = { 0 };
        assert_int_equal(compose_parse(bytes_str("services: {a: {image: b.c/d}}"), bytes_str(rows[i].env), &c,
                                       &err),
                         -1);
        if (strncmp(err.cause, rows[i].what, strlen(rows[i].what)) != 0)
            fail_msg("%s: %s", rows[i].what, err.cause);
    }
}

/* ---- limits ---- */

static int parse_buf(struct buf *yaml, struct err *err)
{
    AUTO(compose_drop) struct compose *c = NULL;
    return compose_parse(buf_bytes(yaml), bytes_str(""), &c, err);
}

static void aliases_do_not_multiply(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf yaml = buf_new(1u << 20);
    struct err err = { 0 };
    buf_str(&yaml, "x-0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 20; i++)
        buf_printf(&yaml, "x-%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1, i - 1,
                   i - 1, i - 1, i - 1, i - 1, i - 1);
    buf_str(&yaml, "services: {s: {image: a.b/c, command: *a19}}\n");
    assert_int_equal(parse_buf(&yaml, &err), -1);
    buf_done(&yaml);
    yaml = buf_new(1u << 20);
    buf_str(&yaml, "x-v: &v [");
    for (int i = 0; i < 4000; i++)
        buf_printf(&yaml, "%slong-enough-to-count", i ? "," : "");
    buf_str(
        &yaml,
        "]\nx-s: &s {image: a.b/c, command: *v, entrypoint: *v, labels: *v, group_add: *v, env_file: *v}\n"
        "services:\n");
    for (int i = 0; i < 256; i++)
        buf_printf(&yaml, "  s%d: *s\n", i);
    assert_int_equal(parse_buf(&yaml, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
}

static void one_past_each_maximum(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        AUTO(buf_done)
        struct buf services = buf_new(1u << 20), deep = buf_new(1u << 20), list = buf_new(1u << 20);
        AUTO(buf_done) struct buf large = buf_new((1u << 20) + 1);
        struct err err = { 0 };
        int want = over ? -1 : 0;
        buf_str(&services, "services:\n");
        for (unsigned i = 0; i < COMPOSE_SERVICES_MAX + (unsigned)over; i++)
            buf_printf(&services, "  s%u: {image: a.b/c}\n", i);
        assert_int_equal(parse_buf(&services, &err), want);
        buf_str(&deep, "services: {s: {image: a.b/c}}\nx-a: ");
        buf_fill(&deep, '[',
                 30 + (unsigned)over); /* 32 levels with the file's own mapping and the innermost value */
        buf_str(&deep, "a");
        buf_fill(&deep, ']', 30 + (unsigned)over);
        assert_int_equal(parse_buf(&deep, &err), want);
        buf_str(&list, "services: {s: {image: a.b/c, command: [");
        for (unsigned i = 0; i < 4096 + (unsigned)over; i++)
            buf_str(&list, i ? ",a" : "a");
        buf_str(&list, "]}}\n");
        assert_int_equal(parse_buf(&list, &err), want);
        buf_str(&large, "services: {s: {image: a.b/c}}\n#");
        buf_fill(&large, ' ', COMPOSE_FILE_MAX - large.n + (unsigned)over);
        assert_int_equal(parse_buf(&large, &err), want);
    }
}

static void tag_directives(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf yaml = buf_new(1u << 20);
    struct err err = { 0 };
    while (yaml.n < (1u << 20) - 64)
        buf_printf(&yaml, "%%TAG !t%zu! tag:x,1:\n", yaml.n);
    buf_str(&yaml, "---\nservices: {s: {image: a.b/c}}\n");
    assert_int_equal(parse_buf(&yaml, &err), -1);
    assert_string_equal(err.cause, "line 17, column 1: more than 16 %TAG directives");
}

static void nested_variables(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf yaml = buf_new(1u << 20);
    struct err err = { 0 };
    buf_str(&yaml, "services: {s: {image: '");
    for (int i = 0; i < 20000; i++)
        buf_str(&yaml, "${A:-");
    for (int i = 0; i < 20000; i++)
        buf_str(&yaml, "}");
    buf_str(&yaml, "'}}");
    assert_int_equal(parse_buf(&yaml, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
}

static void every_cut(void **state)
{
    (void)state;
    AUTO(free_u8) uint8_t *text = NULL;
    struct err err = { 0 };
    size_t n, accepted = 0;
    assert_int_equal(file_read(CVM_TEST_DATA "/workload/compose/full.yml", 1 << 20, &text, &n, &err), 0);
    for (size_t i = 0; i < n; i++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(text, i);
        AUTO(compose_drop) struct compose *c = NULL;
        err = (struct err){ 0 };
        if (compose_parse(bytes_of(cut, i), bytes_str("TAG=1\nTOKEN=2\n"), &c, &err) == 0)
            accepted++; /* between two lines a cut leaves a shorter file that is whole */
        else
            assert_true(err.kind == ERR_INPUT && strstr(err.cause, "line "));
    }
    assert_true(accepted < n / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file),
        cmocka_unit_test(members),
        cmocka_unit_test(networks_of_the_file),
        cmocka_unit_test(in_the_network_of_another),
        cmocka_unit_test(two_files_at_one_place),
        cmocka_unit_test(what_gives_the_machine),
        cmocka_unit_test(cycles),
        cmocka_unit_test(dotenv_lines),
        cmocka_unit_test(aliases_do_not_multiply),
        cmocka_unit_test(one_past_each_maximum),
        cmocka_unit_test(tag_directives),
        cmocka_unit_test(nested_variables),
        cmocka_unit_test(every_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
