/* workload/policy: every published key, defaults, older names, refusals with their path. */
#include "evidence.h"

#include "base/auto.h"
#include "base/file.h"
#include "tee/shape.h"
#include "workload/path.h"
#include "workload/policy.h"

#include <signal.h>

static void load(const char *name, struct workload_policy *out)
{
    char path[512];
    struct err err = { 0 };
    snprintf(path, sizeof(path), CVM_TEST_DATA "/workload/policy/%s", name);
    assert_int_equal(workload_policy_load(path, out, &err), 0);
}

static int parse(const char *text, struct workload_policy *out, struct err *err)
{
    return workload_policy_parse(bytes_str(text), out, err);
}

static void current_file(void **state)
{
    (void)state;
    AUTO(workload_policy_done) struct workload_policy p = { 0 };
    load("current.json", &p);
    assert_null(p.emulate);
    assert_int_equal(p.port_count, 2);
    assert_string_equal(p.ports[1].name, "media");
    assert_int_equal(p.ports[1].protocol, POLICY_UDP);
    assert_int_equal(p.ports[1].first, 8000);
    assert_int_equal(p.ports[1].last, 8010);
    assert_int_equal(p.maintenance_port, 2222);
    assert_true(p.enable_tls && p.enable_auth && p.maintenance_allow);
    assert_int_equal(p.maintenance_signal, SIGUSR1);
    assert_int_equal(p.disk_count, 1);
    assert_true(p.disks[0].encrypt && p.disks[0].strong);
    assert_true(p.enable_sign_message && p.enable_livepatch && p.raw_report_data && p.appraisal_external);
    assert_true(policy_allows_update(&p, "web") && policy_allows_update(&p, "db"));
    assert_false(policy_allows_update(&p, "metrics"));
    assert_true(policy_allows_remove(&p, "old"));
    assert_false(policy_allows_remove(&p, "web"));
    assert_true(p.allow_add_new_service);
    assert_true(policy_skips(&p, "metrics") && !policy_skips(&p, "web"));
    assert_true(policy_gives_socket(&p, "web") && !policy_gives_socket(&p, "db"));
    assert_true(p.verify_signatures);
    assert_string_equal(p.auth_info_path, "secrets/auth_info.json");
    assert_string_equal(p.signature_policy_path, "config/cvm_agent/policy.json");
    assert_int_equal(p.warning_count, 1); /* raw_report_data */
}

static void check_closed(const struct workload_policy *p)
{
    assert_true(p->enable_tls && p->enable_auth);
    assert_false(p->maintenance_allow || p->enable_sign_message || p->enable_livepatch || p->raw_report_data
                 || p->allow_add_new_service || p->verify_signatures || p->appraisal_external
                 || p->accept_host_vtpm);
    assert_false(policy_allows_update(p, "a") || policy_allows_remove(p, "a") || policy_skips(p, "a")
                 || policy_gives_socket(p, "a"));
    assert_int_equal(p->port_count + p->disk_count + p->maintenance_port + p->warning_count, 0);
    assert_int_equal(p->engine, POLICY_PODMAN);
    assert_string_equal(p->container_owner, "automata");
    assert_int_equal(p->maintenance_signal, SIGUSR2);
    assert_null(p->emulate);
    assert_null(p->auth_info_path);
    assert_null(p->signature_policy_path);
}

static void what_is_not_written_is_closed(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}", "{\"cvm_config\":{},\"workload_config\":{}}",
        "{\"cvm_config\":{\"emulation_mode\":{\"enable\":false},\"firewall\":{},\"https_server\":{},"
        "\"container_api\":{},\"maintenance_mode\":{},\"disk_config\":{\"enable\":false},\"attestation_api\":"
        "{}},"
        "\"workload_config\":{\"services\":{},\"image_signature_verification\":{\"auth_info_file_path\":\"\"}"
        "}}"
    };
    struct workload_policy built_in;
    workload_policy_defaults(&built_in);
    check_closed(&built_in);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        AUTO(workload_policy_done) struct workload_policy p = { 0 };
        struct err err = { 0 };
        assert_int_equal(parse(texts[i], &p, &err), 0);
        check_closed(&p);
    }
}

/* The published form with several disks has no `enable`. */
static void a_list_of_disks(void **state)
{
    (void)state;
    static const struct {
        const char *enable;
        size_t disks;
    } rows[] = { { "", 2 }, { "\"enable\":true,", 2 }, { "\"enable\":false,", 0 } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(workload_policy_done) struct workload_policy p = { 0 };
        struct err err = { 0 };
        char text[512];
        snprintf(text, sizeof(text),
                 "{\"cvm_config\":{\"disk_config\":{%s\"disks\":[{\"serial\":\"a\",\"service\":\"web\","
                 "\"disk_mount_point\":\"/a\"},{\"serial\":\"b\",\"disk_mount_point\":\"/b\","
                 "\"disk_encryption\":{\"enable\":true,\"encryption_key_security\":\"strong\"}}]}}}",
                 rows[i].enable);
        assert_int_equal(parse(text, &p, &err), 0);
        assert_int_equal(p.disk_count, rows[i].disks);
    }
}

static bool warned(const struct workload_policy *p, const char *old, const char *now)
{
    for (size_t i = 0; i < p->warning_count; i++) {
        const char *text = p->warnings[i];
        if (!strncmp(text, old, strlen(old)) && strstr(text, now))
            return true;
    }
    return false;
}

/* Each older name alone does what the new one does, and a warning names the new one. */
static void older_names(void **state)
{
    (void)state;
    AUTO(workload_policy_done) struct workload_policy p = { 0 };
    load("older.json", &p);
    assert_false(p.enable_auth);
    assert_true(warned(&p, "cvm_config.https_server.enable_workload_update_auth", "enable_auth"));
    assert_true(p.maintenance_allow);
    assert_true(warned(&p, "cvm_config.https_server.enable_maintenance_endpoint", "maintenance_mode.allow"));
    assert_int_equal(p.maintenance_port, 2022);
    assert_true(
        warned(&p, "cvm_config.maintenance_mode.ssh_port_on_host", "firewall.maintenance_mode_host_port"));
    assert_true(policy_allows_update(&p, "a") && !policy_allows_update(&p, "b"));
    assert_true(
        warned(&p, "workload_config.workload.update_white_list", "workload_config.services.allow_update"));
    assert_true(policy_skips(&p, "x"));
    assert_true(warned(&p, "workload_config.workload.workload_measurement_black_list", "skip_measurement"));
    assert_true(warned(&p, "workload_config.workload", "workload_config.services"));
    assert_string_equal(p.auth_user, "u");
    assert_string_equal(p.auth_password, "secret-word");
    assert_true(warned(&p, "workload_config.image_signature_verification.auth_info", "auth_info_file_path"));
    assert_string_equal(p.signature_policy_path, "config/p.json");
    assert_true(
        warned(&p, "workload_config.image_signature_verification.siganture", ".signature_verification"));
    assert_true(warned(&p, "cvm_config.emulation_mode.emulation_data_path", "without effect"));
    assert_true(warned(&p, "cvm_config.baby_container", "without effect"));
    for (size_t i = 0; i < p.warning_count; i++)
        assert_null(strstr(p.warnings[i], "secret-word"));
    AUTO(buf_done) struct buf text = buf_new(1u << 20);
    workload_policy_explain(&p, &text);
    buf_u8(&text, 0);
    assert_null(strstr((const char *)text.p, "secret-word"));
    assert_non_null(
        strstr((const char *)text.p, "maintenance_mode.allow = true  (written, under an older name)"));
    assert_non_null(strstr((const char *)text.p, "enable_livepatch = false  (default)"));
}

static void the_older_update_switch(void **state)
{
    (void)state;
    struct err err = { 0 };
    AUTO(workload_policy_done) struct workload_policy all = { 0 }, none = { 0 }, off = { 0 };
    assert_int_equal(parse("{\"workload_config\":{\"services\":{\"allow_update\":true}}}", &all, &err), 0);
    assert_true(policy_allows_update(&all, "any"));
    assert_int_equal(
        parse("{\"workload_config\":{\"workload\":{\"allow_update\":false,\"update_white_list\":[\"a\"]}}}",
              &none, &err),
        0);
    assert_false(policy_allows_update(&none, "a"));
    assert_int_equal(
        parse("{\"cvm_config\":{\"https_server\":{\"enable_workload_update_endpoint\":false}},"
              "\"workload_config\":{\"services\":{\"allow_update\":[\"a\"],\"allow_remove\":true,"
              "\"allow_add_new_service\":true}}}",
              &off, &err),
        0);
    assert_false(policy_allows_update(&off, "a") || policy_allows_remove(&off, "a")
                 || off.allow_add_new_service);
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    AUTO(free_u8) uint8_t *text = NULL;
    struct err err = { 0 };
    size_t n;
    assert_int_equal(file_read(CVM_TEST_DATA "/workload/policy/current.json", 1 << 20, &text, &n, &err), 0);
    while (text[n - 1] == '\n')
        n--;
    for (size_t i = 0; i < n; i++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(text, i);
        struct workload_policy p = { 0 };
        assert_int_equal(workload_policy_parse(bytes_of(cut, i), &p, &err), -1);
        assert_null(p.root);
    }
}

#define CVM(inner)  "{\"cvm_config\":{" inner "}}"
#define PORT(inner) CVM("\"firewall\":{\"allowed_ports\":[{" inner "}]}")
#define SERV(inner) "{\"workload_config\":{\"services\":{" inner "}}}"
#define SIGN(inner) "{\"workload_config\":{\"image_signature_verification\":{" inner "}}}"

static void refusals_name_their_path(void **state)
{
    (void)state;
    static const struct {
        const char *text, *path;
    } rows[] = {
        { "[]", "not a JSON object" },
        { "{\"cvm_conf\":{}}", "cvm_conf:" },
        { "{\"cvm_config\":[]}", "cvm_config:" },
        { CVM("\"firewall\":{\"allowed_ports\":{}}"), "cvm_config.firewall.allowed_ports:" },
        { PORT("\"port\":80"), "cvm_config.firewall.allowed_ports[].port:" },
        { CVM("\"firewall\":{\"allowed_ports\":[5]}"), "cvm_config.firewall.allowed_ports[]:" },
        { PORT("\"protocol\":\"tcp\""), "allowed_ports[0]: wants protocol and port" },
        { PORT("\"protocol\":\"TCP\",\"port\":\"1\""), "allowed_ports[0].protocol:" },
        { PORT("\"protocol\":\"tcp\",\"port\":\"0\""), "allowed_ports[0].port:" },
        { PORT("\"protocol\":\"tcp\",\"port\":\"65536\""), "allowed_ports[0].port:" },
        { PORT("\"protocol\":\"tcp\",\"port\":\"99999999999999999999\""), "allowed_ports[0].port:" },
        { PORT("\"protocol\":\"tcp\",\"port\":\"\""), "allowed_ports[0].port:" },
        { PORT("\"protocol\":\"tcp\",\"port\":\" 1\""), "allowed_ports[0].port:" },
        { PORT("\"protocol\":\"tcp\",\"port\":\"9-8\""), "allowed_ports[0].port:" },
        { PORT("\"protocol\":\"tcp\",\"port\":\"8-\""), "allowed_ports[0].port:" },
        { PORT("\"protocol\":\"tcp\",\"port\":\"-8\""), "allowed_ports[0].port:" },
        { PORT("\"protocol\":\"tcp\",\"port\":\"1-2-3\""), "allowed_ports[0].port:" },
        { PORT("\"protocol\":\"tcp\",\"port\":\"1\",\"direction\":\"up\""), "allowed_ports[0].direction:" },
        { CVM("\"firewall\":{\"maintenance_mode_host_port\":\"1-2\"}"), "maintenance_mode_host_port:" },
        { CVM("\"firewall\":{\"maintenance_mode_host_port\":2222}"), "maintenance_mode_host_port:" },
        { CVM("\"emulation_mode\":{\"enable\":\"true\"}"), "cvm_config.emulation_mode.enable:" },
        { CVM("\"emulation_mode\":{\"enable\":null}"), "cvm_config.emulation_mode.enable:" },
        { CVM("\"emulation_mode\":{\"enable\":true}"), "cloud_provider" },
        { CVM("\"emulation_mode\":{\"enable\":true,\"cloud_provider\":\"aws\",\"tee_type\":\"tdx\"}"),
          "no shape" },
        { CVM("\"container_api\":{\"container_engine\":\"lxc\"}"), "container_engine:" },
        { CVM("\"container_api\":{\"container_owner\":\"a b\"}"), "container_owner:" },
        { CVM("\"maintenance_mode\":{\"signal\":\"SIGKILL\"}"), "maintenance_mode.signal:" },
        { CVM("\"maintenance_mode\":{\"signal\":\"USR1\"}"), "maintenance_mode.signal:" },
        { CVM("\"maintenance_mode\":{\"signal\":12}"), "maintenance_mode.signal:" },
        { CVM("\"disk_config\":{\"enable\":true}"), "disk_config.disk_mount_point:" },
        { CVM("\"disk_config\":{\"enable\":true,\"disk_mount_point\":\"/d\",\"disk_encryption\":{"
              "\"encryption_key_security\":\"weak\"}}"),
          "encryption_key_security:" },
        { CVM("\"disk_config\":{\"enable\":true,\"disks\":[{\"disk_mount_point\":\"/d\"},"
              "{\"disk_mount_point\":\"/d\"}]}"),
          "disks[1]:" },
        { CVM("\"firewall\":{\"maintenance_mode_host_port\":\"1\"},\"maintenance_mode\":{\"ssh_port_on_"
              "host\":"
              "\"2\"}"),
          "contradict" },
        { SERV("\"allow_update\":\"x\""), "workload_config.services.allow_update:" },
        { SERV("\"allow_update\":[1]"), "workload_config.services.allow_update[]:" },
        { SERV("\"allow_update\":[\"\"]"), "allow_update[0]:" },
        { SERV("\"allow_update\":[\"a\"],\"update_white_list\":[\"b\"]"), "contradict" },
        { SERV("\"skip_measurement\":true"), "skip_measurement:" },
        { SIGN("\"signature_verification_policy_path\":\"/etc/passwd\""),
          "signature_verification_policy_path:" },
        { SIGN("\"auth_info_file_path\":\"config/../../x\""), "auth_info_file_path:" },
        { SIGN("\"auth_info_file_path\":\".\""), "auth_info_file_path:" },
        { "{\"cvm_config.firewall\":{}}", "cvm_config.firewall" },
        { "{\"cvm_config\":{},\"cvm_config\":{}}", "duplicate" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct workload_policy p = { 0 };
        struct err err = { 0 };
        assert_int_equal(parse(rows[i].text, &p, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
        if (!strstr(err.cause, rows[i].path))
            fail_msg("%s: %s", rows[i].path, err.cause);
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
        AUTO(workload_policy_done) struct workload_policy p = { 0 };
        struct err err = { 0 };
        snprintf(text, sizeof(text),
                 CVM("\"emulation_mode\":{\"enable\":true,\"cloud_provider\":\"%s\",\"tee_type\":\"%s\"}"),
                 rows[i].cloud, rows[i].tee);
        assert_int_equal(parse(text, &p, &err), 0);
        assert_string_equal(p.emulate, rows[i].shape);
        assert_non_null(shape_by_name(p.emulate));
    }
}

static void maxima(void **state)
{
    (void)state;
    static const char rule[] = "{\"protocol\":\"tcp\",\"port\":\"1\"}";
    for (size_t n = POLICY_PORTS_MAX; n <= POLICY_PORTS_MAX + 1; n++) {
        AUTO(buf_done) struct buf text = buf_new(1u << 20);
        AUTO(workload_policy_done) struct workload_policy p = { 0 };
        struct err err = { 0 };
        buf_str(&text, "{\"cvm_config\":{\"firewall\":{\"allowed_ports\":[");
        for (size_t i = 0; i < n; i++)
            buf_printf(&text, "%s%s", i ? "," : "", rule);
        buf_str(&text, "]}}}");
        assert_int_equal(workload_policy_parse(buf_bytes(&text), &p, &err), n > POLICY_PORTS_MAX ? -1 : 0);
    }
}

static void paths(void **state)
{
    (void)state;
    static const struct {
        const char *text, *path;
    } rows[] = { { "./config/a", "config/a" },
                 { "config//a/", "config/a" },
                 { "/data/workload/config/a", "config/a" },
                 { "/data/workload", "" },
                 { "./", "" },
                 { ".", "" },
                 { "config/../secrets/./x", "secrets/x" },
                 { "a/..", "" },
                 { "..", NULL },
                 { "./../x", NULL },
                 { "a/../../x", NULL },
                 { "/", NULL },
                 { "/data/workload2/x", NULL },
                 { "/data/workload/../x", NULL },
                 { "/data", NULL },
                 { "~/x", NULL } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char out[64];
        struct err err = { 0 };
        int rc = workload_path(rows[i].text, out, sizeof(out), &err);
        assert_int_equal(rc, rows[i].path ? 0 : -1);
        if (rows[i].path)
            assert_string_equal(out, rows[i].path);
        else
            assert_int_equal(err.kind, ERR_DENIED);
    }
    char tight[9], loose[10];
    assert_int_equal(workload_path("config/a", loose, sizeof(loose), NULL), 0);
    assert_int_equal(workload_path("config/ab", tight, sizeof(tight), NULL), -1);
    assert_true(workload_path_below("a/b", "a") && workload_path_below("a", "a")
                && workload_path_below("a", ""));
    assert_false(workload_path_below("ab", "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(current_file),
        cmocka_unit_test(what_is_not_written_is_closed),
        cmocka_unit_test(a_list_of_disks),
        cmocka_unit_test(older_names),
        cmocka_unit_test(the_older_update_switch),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(refusals_name_their_path),
        cmocka_unit_test(emulation_mode_names_a_shape),
        cmocka_unit_test(maxima),
        cmocka_unit_test(paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
