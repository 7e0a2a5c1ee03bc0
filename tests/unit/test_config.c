/* agent/: the policy, the settings, the command line, messages of the privileged helper. */
#include "evidence.h"

#include "agent/config.h"
#include "agent/options.h"
#include "agent/priv/message.h"
#include "base/auto.h"

/* As the published guides write it, all groups of all versions at once. */
static const char published[] =
    "{\"cvm_config\":{"
    "\"emulation_mode\":{\"enable\":false,\"cloud_provider\":\"azure\",\"tee_type\":\"snp\",\"emulation_data_"
    "path\":"
    "\"./data\",\"enable_emulation_data_update\":false},"
    "\"firewall\":{\"allowed_ports\":[{\"name\":\"a\",\"protocol\":\"tcp\",\"port\":\"80\",\"direction\":"
    "\"in\"}],"
    "\"maintenance_mode_host_port\":\"2222\"},"
    "\"https_server\":{\"enable_tls\":true,\"enable_auth\":true,\"enable_workload_update_endpoint\":true,"
    "\"enable_maintenance_endpoint\":true,\"enable_workload_update_auth\":true},"
    "\"container_api\":{\"container_engine\":\"podman\",\"container_owner\":\"automata\"},"
    "\"maintenance_mode\":{\"allow\":true,\"signal\":\"SIGUSR2\",\"ssh_port_on_host\":\"2222\"},"
    "\"disk_config\":{\"enable\":true,\"disk_mount_point\":\"/d\",\"disk_encryption\":{\"enable\":true,"
    "\"encryption_key_security\":\"standard\"},\"disks\":[{\"serial\":\"s\",\"service\":\"x\",\"disk_mount_"
    "point\":"
    "\"/d\",\"disk_encryption\":{\"enable\":false}}]}},"
    "\"workload_config\":{\"services\":{\"allow_remove\":true,\"allow_add_new_service\":true,\"allow_"
    "update\":[\"a\"],"
    "\"skip_measurement\":[\"b\"],\"agent_socket_targets\":[]},\"workload\":{\"allow_update\":true,"
    "\"update_white_list\":[],\"workload_measurement_black_list\":[\"x\"]},"
    "\"image_signature_verification\":{\"enable\":true,\"auth_info_file_path\":\"a\",\"auth_info\":{\"user_"
    "name\":\"u\","
    "\"password\":\"p\"},\"signature_verification_policy_path\":\"p\",\"siganture_verification_policy_path\":"
    "\"p\"}}}";

static void published_keys_are_accepted(void **state)
{
    (void)state;
    struct policy p = { 0 };
    struct err err = { 0 };
    assert_int_equal(policy_parse(bytes_str(published), &p, &err), 0);
    assert_null(p.emulate);
    assert_int_equal(p.ignored_count, 10);
    for (size_t i = 0; i < p.ignored_count; i++)
        assert_null(strstr(p.ignored[i], "allowed_ports"));
    assert_int_equal(policy_parse(bytes_str("{}"), &p, &err), 0);
    assert_int_equal(p.ignored_count, 0);
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    for (size_t n = 0; n + 1 < sizeof(published); n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy((const uint8_t *)published, n);
        struct policy p;
        assert_int_equal(policy_parse(bytes_of(cut, n), &p, &(struct err){ 0 }), -1);
    }
}

static void unknown_keys_and_wrong_types_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *path;
    } rows[] = {
        { "[]", "not a JSON object" },
        { "{\"cvm_conf\":{}}", "cvm_conf:" },
        { "{\"cvm_config\":[]}", "cvm_config:" },
        { "{\"cvm_config\":{\"firewall\":{\"allowed_ports\":{}}}}", "cvm_config.firewall.allowed_ports:" },
        { "{\"cvm_config\":{\"firewall\":{\"allowed_ports\":[{\"port\":80}]}}}",
          "cvm_config.firewall.allowed_ports[].port:" },
        { "{\"cvm_config\":{\"firewall\":{\"allowed_ports\":[5]}}}", "cvm_config.firewall.allowed_ports[]:" },
        { "{\"cvm_config\":{\"emulation_mode\":{\"enable\":\"true\"}}}",
          "cvm_config.emulation_mode.enable:" },
        { "{\"cvm_config\":{\"emulation_mode\":{\"enable\":null}}}", "cvm_config.emulation_mode.enable:" },
        { "{\"workload_config\":{\"services\":{\"allow_update\":\"x\"}}}",
          "workload_config.services.allow_update:" },
        { "{\"cvm_config.firewall\":{}}", "cvm_config.firewall" },
        { "{\"workload_config\":{\"services\":{\"allow_update\":[1]}}}",
          "workload_config.services.allow_update[]:" },
        { "{\"cvm_config\":{},\"cvm_config\":{}}", "duplicate" },
        { "{\"cvm_config\":{\"emulation_mode\":{\"enable\":true}}}", "cloud_provider" },
        { "{\"cvm_config\":{\"emulation_mode\":{\"enable\":true,\"cloud_provider\":\"aws\",\"tee_type\":"
          "\"tdx\"}}}",
          "no shape" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct policy p = { 0 };
        struct err err = { 0 };
        assert_int_equal(policy_parse(bytes_str(rows[i].text), &p, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
        assert_non_null(strstr(err.cause, rows[i].path));
    }
}

static void emulation_mode_names_a_shape(void **state)
{
    (void)state;
    static const struct {
        const char *cloud, *tee, *shape;
    } rows[] = { { "azure", "snp", "azure-snp" }, { "Azure", "TDX", "azure-tdx" },
                 { "gcp", "sev_snp", "gcp-snp" }, { "google", "tdx", "gcp-tdx" },
                 { "amazon", "snp", "aws-snp" },  { "none", "tdx", "tdx-vtpm" } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[256];
        struct policy p = { 0 };
        struct err err = { 0 };
        snprintf(text, sizeof(text),
                 "{\"cvm_config\":{\"emulation_mode\":{\"enable\":true,\"cloud_provider\":\"%s\",\"tee_"
                 "type\":\"%s\"}}}",
                 rows[i].cloud, rows[i].tee);
        assert_int_equal(policy_parse(bytes_str(text), &p, &err), 0);
        assert_string_equal(p.emulate, rows[i].shape);
    }
}

static void settings_have_bounds(void **state)
{
    (void)state;
    struct settings s;
    struct err err = { 0 };
    assert_int_equal(settings_parse(bytes_str("{\"log_level\":\"debug\",\"limits\":{\"head_seconds\":300}}"),
                                    &s, &err),
                     0);
    assert_int_equal(s.level, LOG_LEVEL_DEBUG);
    assert_int_equal(s.limits.head_seconds, 300);
    assert_int_equal(s.limits.evidence_burst, 20);
    const char *bad[] = { "{\"limits\":{\"head_seconds\":301}}",
                          "{\"limits\":{\"head_seconds\":0}}",
                          "{\"limits\":{\"connections\":1025}}",
                          "{\"limits\":{\"head_seconds\":1.5}}",
                          "{\"limits\":{\"speed\":1}}",
                          "{\"limits\":[]}",
                          "{\"log_level\":3}",
                          "{\"colour\":1}",
                          "{\"limits\":{\"evidence_per_second\":-1}}" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(settings_parse(bytes_str(bad[i]), &s, &err), -1);
    assert_int_equal(settings_load("/nonexistent", &s, &err), 0);
    assert_int_equal(s.limits.connections, 512);
}

static void endpoints(void **state)
{
    (void)state;
    const char *good[] = { "127.0.0.1:0", "0.0.0.0:65535", "[::1]:7999", "[2001:db8::1]:1" };
    const char *bad[] = { "",           ":1",         "1.2.3.4",    "1.2.3.4:",      "1.2.3.4:65536",
                          "1.2.3.4:-1", "1.2.3.4:+1", "1.2.3.4: 1", "example.com:1", "::1:5",
                          "[::1:5",     "1.2.3.4:1x", "[]:1" };
    struct endpoint e;
    struct err err = { 0 };
    char text[ENDPOINT_TEXT];
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(endpoint_parse(good[i], &e, &err), 0);
        assert_string_equal(endpoint_text(&e, text), good[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(endpoint_parse(bad[i], &e, &err), -1);
    assert_int_equal(endpoint_parse("localhost:5", &e, &err), 0);
    assert_true(endpoint_is_loopback(&e));
}

static void messages_have_one_size(void **state)
{
    (void)state;
    static struct priv_message in = { .verb = PRIV_ENGINE,
                                      .sequence = 0x01020304,
                                      .flags = 9,
                                      .payload_size = 3,
                                      .payload = "abc" },
                               out;
    struct err err = { 0 };
    uint8_t raw[PRIV_MESSAGE_SIZE];
    priv_message_encode(&in, raw);
    assert_memory_equal(
        raw, "\x4D\x43\x50\x56\x01\x00\x03\x00\x00\x00\x00\x00\x04\x03\x02\x01\x09\0\0\0\x03\0\0\0abc\0", 28);
    assert_int_equal(priv_message_decode(bytes_of(raw, sizeof(raw)), &out, &err), 0);
    assert_memory_equal(&in, &out, sizeof(in));
    for (size_t n = 0; n < sizeof(raw); n += n < 64 ? 1 : 61) {
        AUTO(free_u8) uint8_t *cut = heap_copy(raw, n);
        assert_int_equal(priv_message_decode(bytes_of(cut, n), &out, &err), -1);
    }
    for (size_t bit = 0; bit < 6 * 8; bit++) { /* magic and version */
        raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(priv_message_decode(bytes_of(raw, sizeof(raw)), &out, &err), -1);
        raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    in.payload_size = PRIV_PAYLOAD_MAX;
    priv_message_encode(&in, raw);
    assert_int_equal(priv_message_decode(bytes_of(raw, sizeof(raw)), &out, &err), 0);
    raw[20]++; /* one past the maximum */
    assert_int_equal(priv_message_decode(bytes_of(raw, sizeof(raw)), &out, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_keys_are_accepted),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(unknown_keys_and_wrong_types_are_named),
        cmocka_unit_test(emulation_mode_names_a_shape),
        cmocka_unit_test(settings_have_bounds),
        cmocka_unit_test(endpoints),
        cmocka_unit_test(messages_have_one_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
