/* What docker is asked for: the way from podman's words to docker's. */
#include "evidence.h"

#include "base/auto.h"
#include "workload/engine_docker.h"
#include "workload/spec_range.h"

#include <string.h>

static json_t *parse(const char *text)
{
    json_t *out = NULL;
    struct err err = { 0 };
    assert_int_equal(json_parse(bytes_str(text), 1 << 20, &out, &err), 0);
    return out;
}

static void each_setting(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *want, *more;
    } rows[] = {
        { "{}", "{\"HostConfig\":{\"CapDrop\":[\"MKNOD\",\"NET_RAW\",\"AUDIT_WRITE\"]}}", "{}" },
        { "{\"name\":\"x\",\"userns\":{},\"idmappings\":{},\"cap_drop\":[\"ALL\"],\"cap_add\":[\"NET_RAW\"]}",
          "{\"HostConfig\":{\"CapAdd\":[\"NET_RAW\"],\"CapDrop\":[\"ALL\",\"MKNOD\",\"NET_RAW\",\"AUDIT_"
          "WRITE\"]}}",
          "{}" },
        { "{\"cap_drop\":[],\"env\":{\"A\":\"b=c\"},\"sysctl\":{\"kernel.domainname\":\"d\",\"net.x\":\"1\"},"
          "\"stop_signal\":10,\"create_working_dir\":true}",
          "{\"Env\":[\"A=b=c\"],\"Domainname\":\"d\",\"StopSignal\":\"10\",\"HostConfig\":{\"Sysctls\":{"
          "\"net.x\":\"1\"},"
          "\"CapDrop\":[\"MKNOD\",\"NET_RAW\",\"AUDIT_WRITE\"]}}",
          "{}" },
        { "{\"cap_drop\":[],\"netns\":{\"nsmode\":\"bridge\"},\"Networks\":{\"a\":{\"aliases\":[\"s\"],"
          "\"static_ips\":"
          "[\"10.0.0.9\",\"fd00::9\"]},\"b\":{}}}",
          "{\"NetworkingConfig\":{\"EndpointsConfig\":{\"a\":{\"Aliases\":[\"s\"],\"IPAMConfig\":{"
          "\"IPv4Address\":"
          "\"10.0.0.9\",\"IPv6Address\":\"fd00::9\"}}}},\"HostConfig\":{\"NetworkMode\":\"a\",\"CapDrop\":["
          "\"MKNOD\","
          "\"NET_RAW\",\"AUDIT_WRITE\"]}}",
          "{\"b\":{\"IPAMConfig\":{}}}" },
        { "{\"cap_drop\":[],\"portmappings\":[{\"container_port\":80,\"host_port\":8080,\"range\":2,"
          "\"protocol\":\"tcp\"},"
          "{\"container_port\":80,\"host_port\":0,\"range\":1,\"protocol\":\"tcp\",\"host_ip\":\"127.0.0.1\"}"
          "]}",
          "{\"ExposedPorts\":{\"80/tcp\":{},\"81/tcp\":{}},\"HostConfig\":{\"PortBindings\":{\"80/"
          "tcp\":[{\"HostIp\":\"\","
          "\"HostPort\":\"8080\"},{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"\"}],\"81/"
          "tcp\":[{\"HostIp\":\"\",\"HostPort\":"
          "\"8081\"}]},\"CapDrop\":[\"MKNOD\",\"NET_RAW\",\"AUDIT_WRITE\"]}}",
          "{}" },
        { "{\"cap_drop\":[],\"mounts\":[{\"type\":\"bind\",\"source\":\"/a\",\"destination\":\"/"
          "b\",\"options\":[\"ro\","
          "\"rbind\",\"rprivate\"]},{\"type\":\"tmpfs\",\"destination\":\"/"
          "t\",\"options\":[\"nosuid\",\"noexec\"]}],"
          "\"volumes\":[{\"Name\":\"\",\"Dest\":\"/v\",\"Options\":[\"rw\",\"nosuid\",\"nodev\"]}]}",
          "{\"HostConfig\":{\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/a\",\"Target\":\"/"
          "b\",\"ReadOnly\":true,"
          "\"BindOptions\":{\"Propagation\":\"rprivate\"}},{\"Type\":\"volume\",\"Target\":\"/"
          "v\",\"ReadOnly\":false}],"
          "\"Tmpfs\":{\"/t\":\"nosuid,noexec\"},\"CapDrop\":[\"MKNOD\",\"NET_RAW\",\"AUDIT_WRITE\"]}}",
          "{}" },
        { "{\"cap_drop\":[],\"restart_policy\":\"on-failure\",\"restart_tries\":3,\"log_configuration\":{"
          "\"driver\":"
          "\"k8s-file\",\"size\":1000}}",
          "{\"HostConfig\":{\"RestartPolicy\":{\"Name\":\"on-failure\",\"MaximumRetryCount\":3},"
          "\"LogConfig\":{\"Type\":"
          "\"json-file\",\"Config\":{\"max-size\":\"500\",\"max-file\":\"2\"}},\"CapDrop\":[\"MKNOD\",\"NET_"
          "RAW\","
          "\"AUDIT_WRITE\"]}}",
          "{}" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(json_drop) json_t *spec = parse(rows[i].spec);
        AUTO(json_drop) json_t *want = parse(rows[i].want);
        AUTO(json_drop) json_t *more = parse(rows[i].more);
        AUTO(json_drop) json_t *body = NULL;
        AUTO(json_drop) json_t *networks = NULL;
        struct err err = { 0 };
        assert_int_equal(docker_container(spec, &body, &networks, &err), 0);
        AUTO(free_str) char *got = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
        if (!json_equal(body, want) || !json_equal(networks, more))
            fail_msg("%s\ngave %s\nwant %s", rows[i].spec, got, rows[i].want);
    }
}

static void what_docker_has_not(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"privileged\":true}",
        "{\"netns\":{\"nsmode\":\"host\"}}",
        "{\"netns\":{\"nsmode\":\"slirp4netns\"}}",
        "{\"mounts\":[{\"type\":\"bind\",\"source\":\"/a\",\"destination\":\"/\",\"options\":[\"nosuid\"]}]}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(json_drop) json_t *spec = parse(rows[i]);
        json_t *body = NULL, *networks = NULL;
        struct err err = { 0 };
        assert_int_equal(docker_container(spec, &body, &networks, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
        assert_non_null(strstr(err.cause, "docker has no"));
        assert_null(body);
        assert_null(networks);
    }
}

static void networks(void **state)
{
    (void)state;
    AUTO(json_drop)
    json_t *in = parse("{\"name\":\"n\",\"driver\":\"bridge\",\"internal\":true,\"ipv6_enabled\":false,\"dns_"
                       "enabled\":true,\"labels\":"
                       "{\"l\":\"1\"},\"options\":{\"mtu\":\"1400\"},\"subnets\":[{\"subnet\":\"10.9.0.0/"
                       "16\",\"gateway\":\"10.9.0.1\","
                       "\"lease_range\":{\"start_ip\":\"10.9.128.1\",\"end_ip\":\"10.9.255.255\"}}]}");
    AUTO(json_drop)
    json_t *want = parse(
        "{\"Name\":\"n\",\"CheckDuplicate\":true,\"Driver\":\"bridge\",\"Internal\":true,\"EnableIPv6\":"
        "false,\"Labels\":"
        "{\"l\":\"1\"},\"Options\":{\"com.docker.network.bridge.name\":\"docker-1b16b1df\",\"com.docker."
        "network.driver.mtu\":"
        "\"1400\"},\"IPAM\":{\"Config\":[{\"Subnet\":\"10.9.0.0/16\",\"Gateway\":\"10.9.0.1\",\"IPRange\":"
        "\"10.9.128.0/17\"}]}}");
    AUTO(json_drop) json_t *out = NULL;
    assert_int_equal(docker_network(in, &out, &(struct err){ 0 }), 0);
    AUTO(free_str) char *got = json_dumps(out, JSON_COMPACT);
    if (!json_equal(out, want))
        fail_msg("%s", got);
}

static void ranges(void **state)
{
    (void)state;
    static const struct {
        const char *cidr, *first, *last, *back;
    } rows[] = {
        { "10.1.2.0/25", "10.1.2.1", "10.1.2.127", "10.1.2.0/25" },
        { "10.1.2.77/25", "10.1.2.1", "10.1.2.127", "10.1.2.0/25" },
        { "10.1.2.3/32", "10.1.2.3", "10.1.2.3", "10.1.2.3/32" },
        { "0.0.0.0/0", "0.0.0.1", "255.255.255.255", "0.0.0.0/0" },
        { "172.16.0.0/12", "172.16.0.1", "172.31.255.255", "172.16.0.0/12" },
        { "fd00:1::/64", "fd00:1::1", "fd00:1::ffff:ffff:ffff:ffff", "fd00:1::/64" },
    };
    char first[SPEC_ADDRESS_SIZE], last[SPEC_ADDRESS_SIZE], back[SPEC_ADDRESS_SIZE + 4];
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(spec_range_read(rows[i].cidr, first, last), 0);
        assert_string_equal(first, rows[i].first);
        assert_string_equal(last, rows[i].last);
        assert_int_equal(spec_range_write(first, last, back), 0);
        assert_string_equal(back, rows[i].back);
    }
    static const char *const none[] = { "", "10.0.0.0", "10.0.0.0/33", "x/8", "fd00::/129" };
    for (size_t i = 0; i < ARRAY_SIZE(none); i++)
        assert_int_equal(spec_range_read(none[i], first, last), -1);
    assert_int_equal(spec_range_write("10.0.0.1", "fd00::1", back), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_setting), cmocka_unit_test(what_docker_has_not),
                                        cmocka_unit_test(networks), cmocka_unit_test(ranges) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
