#include "agent/config.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"

#include <limits.h>
#include <strings.h>

/* What a value must be, as a set of jansson types. */
#define OBJECT (1u << JSON_OBJECT)
#define LIST   (1u << JSON_ARRAY)
#define TEXT   (1u << JSON_STRING)
#define BOOL   (1u << JSON_TRUE | 1u << JSON_FALSE)

struct key {
    const char *path; /* dots between the levels, [] for the members of a list */
    unsigned want;
    bool used; /* by this build, or a folder of keys that are */
};

/* clang-format off */
#define SERVICE_KEYS(group)                                                                                  \
    { group, OBJECT, false },                                                                                \
    { group ".allow_remove", BOOL | LIST, false },            { group ".allow_remove[]", TEXT, false },      \
    { group ".allow_add_new_service", BOOL, false },                                                         \
    { group ".allow_update", BOOL | LIST, false },            { group ".allow_update[]", TEXT, false },      \
    { group ".update_white_list", LIST, false },              { group ".update_white_list[]", TEXT, false }, \
    { group ".skip_measurement", LIST, false },               { group ".skip_measurement[]", TEXT, false },  \
    { group ".workload_measurement_black_list", LIST, false },                                               \
    { group ".workload_measurement_black_list[]", TEXT, false },                                             \
    { group ".agent_socket_targets", LIST, false },           { group ".agent_socket_targets[]", TEXT, false }

#define DISK_KEYS(group)                                                                                     \
    { group ".disk_mount_point", TEXT, false },                                                              \
    { group ".disk_encryption", OBJECT, false },                                                             \
    { group ".disk_encryption.enable", BOOL, false },                                                        \
    { group ".disk_encryption.encryption_key_security", TEXT, false }

/* Every key that any published version had, and our own. */
static const struct key keys[] = {
    { "cvm_config", OBJECT, true },
    { "cvm_config.emulation_mode", OBJECT, true },
    { "cvm_config.emulation_mode.enable", BOOL, true },
    { "cvm_config.emulation_mode.cloud_provider", TEXT, true },
    { "cvm_config.emulation_mode.tee_type", TEXT, true },
    { "cvm_config.emulation_mode.emulation_data_path", TEXT, false },
    { "cvm_config.emulation_mode.enable_emulation_data_update", BOOL, false },
    { "cvm_config.firewall", OBJECT, false },
    { "cvm_config.firewall.allowed_ports", LIST, false },
    { "cvm_config.firewall.allowed_ports[]", OBJECT, false },
    { "cvm_config.firewall.allowed_ports[].name", TEXT, false },
    { "cvm_config.firewall.allowed_ports[].protocol", TEXT, false },
    { "cvm_config.firewall.allowed_ports[].port", TEXT, false },
    { "cvm_config.firewall.allowed_ports[].direction", TEXT, false },
    { "cvm_config.firewall.maintenance_mode_host_port", TEXT, false },
    { "cvm_config.https_server", OBJECT, false },
    { "cvm_config.https_server.enable_tls", BOOL, false },
    { "cvm_config.https_server.enable_auth", BOOL, false },
    { "cvm_config.https_server.enable_workload_update_endpoint", BOOL, false },
    { "cvm_config.https_server.enable_maintenance_endpoint", BOOL, false },
    { "cvm_config.https_server.enable_workload_update_auth", BOOL, false },
    { "cvm_config.container_api", OBJECT, false },
    { "cvm_config.container_api.container_engine", TEXT, false },
    { "cvm_config.container_api.container_owner", TEXT, false },
    { "cvm_config.maintenance_mode", OBJECT, false },
    { "cvm_config.maintenance_mode.allow", BOOL, false },
    { "cvm_config.maintenance_mode.signal", TEXT, false },
    { "cvm_config.maintenance_mode.ssh_port_on_host", TEXT, false },
    { "cvm_config.disk_config", OBJECT, false },
    { "cvm_config.disk_config.enable", BOOL, false },
    DISK_KEYS("cvm_config.disk_config"),
    { "cvm_config.disk_config.disks", LIST, false },
    { "cvm_config.disk_config.disks[]", OBJECT, false },
    { "cvm_config.disk_config.disks[].serial", TEXT, false },
    { "cvm_config.disk_config.disks[].service", TEXT, false },
    DISK_KEYS("cvm_config.disk_config.disks[]"),
    { "cvm_config.enable_sign_message", BOOL, false },
    { "cvm_config.enable_livepatch", BOOL, false },
    { "cvm_config.attestation_api", OBJECT, false },
    { "cvm_config.attestation_api.raw_report_data", BOOL, false },
    { "workload_config", OBJECT, true },
    SERVICE_KEYS("workload_config.services"),
    SERVICE_KEYS("workload_config.workload"),
    { "workload_config.image_signature_verification", OBJECT, false },
    { "workload_config.image_signature_verification.enable", BOOL, false },
    { "workload_config.image_signature_verification.auth_info_file_path", TEXT, false },
    { "workload_config.image_signature_verification.auth_info", OBJECT, false },
    { "workload_config.image_signature_verification.auth_info.user_name", TEXT, false },
    { "workload_config.image_signature_verification.auth_info.password", TEXT, false },
    { "workload_config.image_signature_verification.signature_verification_policy_path", TEXT, false },
    { "workload_config.image_signature_verification.siganture_verification_policy_path", TEXT, false },
};

static const struct {
    const char *cloud, *tee, *shape;
} shapes[] = {
    { "azure", "snp", "azure-snp" },  { "azure", "tdx", "azure-tdx" },
    { "gcp", "snp", "gcp-snp" },      { "gcp", "tdx", "gcp-tdx" },
    { "google", "snp", "gcp-snp" },   { "google", "tdx", "gcp-tdx" },
    { "aws", "snp", "aws-snp" },      { "amazon", "snp", "aws-snp" },
    { "none", "snp", "snp-vtpm" },    { "none", "tdx", "tdx-vtpm" },
};
/* clang-format on */

#define PATH_TEXT 160

static const struct key *key_find(const char *path)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if (!strcmp(keys[i].path, path))
            return &keys[i];
    }
    return NULL;
}

/* Below an ignored key nothing more is noted. */
static void note_ignored(struct policy *p, const struct key *key)
{
    for (size_t i = 0; i < p->ignored_count; i++) {
        size_t n = strlen(p->ignored[i]);
        if (!strncmp(p->ignored[i], key->path, n) && strchr(".[", key->path[n]))
            return;
    }
    if (p->ignored_count < POLICY_IGNORED_MAX)
        p->ignored[p->ignored_count++] = key->path;
}

static int check_members(json_t *value, const char *path, struct policy *p, struct err *err);

static int check_value(json_t *value, const char *path, struct policy *p, struct err *err)
{
    const struct key *key = key_find(path);
    if (!key)
        return err_set(err, ERR_INPUT, 0, "%s: no such setting: remove it or correct its name", path);
    if (!(key->want & 1u << json_typeof(value)))
        return err_set(err, ERR_INPUT, 0, "%s: wrong type of value: want %s", path,
                       key->want & OBJECT  ? "an object"
                       : key->want == LIST ? "a list"
                       : key->want == TEXT ? "a string"
                       : key->want == BOOL ? "true or false"
                                           : "a list, true or false");
    if (!key->used)
        note_ignored(p, key);
    return check_members(value, path, p, err);
}

static int check_members(json_t *value, const char *path, struct policy *p, struct err *err)
{
    char below[PATH_TEXT];
    const char *name;
    json_t *member;
    size_t i;
    json_object_foreach(value, name, member)
    {
        if (snprintf(below, sizeof(below), "%s%s%.60s", path, *path ? "." : "", name) >= (int)sizeof(below)
            || strpbrk(name, ".[]"))
            return err_set(err, ERR_INPUT, 0, "%s: no setting is named \"%.60s\"", path, name);
        if (check_value(member, below, p, err) < 0)
            return -1;
    }
    json_array_foreach(value, i, member)
    {
        if (snprintf(below, sizeof(below), "%s[]", path) >= (int)sizeof(below))
            return err_set(err, ERR_INPUT, 0, "%s: nested too deep", path);
        if (check_value(member, below, p, err) < 0)
            return -1;
    }
    return 0;
}

static int read_emulation(const json_t *root, struct policy *p, struct err *err)
{
    const json_t *mode = json_object_get(json_object_get(root, "cvm_config"), "emulation_mode");
    const char *cloud = json_string_value(json_object_get(mode, "cloud_provider"));
    const char *tee = json_string_value(json_object_get(mode, "tee_type"));
    if (!json_is_true(json_object_get(mode, "enable")))
        return 0;
    if (!cloud || !tee)
        return err_set(err, ERR_INPUT, 0,
                       "cvm_config.emulation_mode: enable wants cloud_provider and tee_type beside it");
    if (!strcasecmp(tee, "sev_snp") || !strcasecmp(tee, "sev-snp"))
        tee = "snp";
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
        if (!strcasecmp(cloud, shapes[i].cloud) && !strcasecmp(tee, shapes[i].tee)) {
            p->emulate = shapes[i].shape;
            return 0;
        }
    }
    return err_set(
        err, ERR_INPUT, 0,
        "cvm_config.emulation_mode: no shape for cloud_provider \"%.40s\" and tee_type \"%.40s\": want "
        "azure, gcp, aws or none, and snp or tdx",
        cloud, tee);
}

int policy_parse(struct bytes text, struct policy *out, struct err *err)
{
    AUTO(json_drop) json_t *root = NULL;
    struct policy p = { 0 };
    if (json_parse(text, CONFIG_FILE_MAX, &root, err) < 0)
        return -1;
    if (!json_is_object(root))
        return err_set(err, ERR_INPUT, 0, "not a JSON object");
    if (check_members(root, "", &p, err) < 0 || read_emulation(root, &p, err) < 0)
        return -1;
    *out = p;
    return 0;
}

int policy_load(const char *path, struct policy *out, struct err *err)
{
    AUTO(free_u8) uint8_t *text = NULL;
    size_t n;
    if (file_read(path, CONFIG_FILE_MAX, &text, &n, err) < 0)
        return -1;
    return policy_parse(bytes_of(text, n), out, err);
}

struct number {
    const char *name;
    size_t offset;
    unsigned min, max;
};

static const struct number numbers[] = {
    { "evidence_per_second", offsetof(struct limits, evidence_per_second), 1, 100000 },
    { "evidence_burst", offsetof(struct limits, evidence_burst), 1, 100000 },
    { "connections", offsetof(struct limits, connections), 8, 1024 },
    { "connections_per_address", offsetof(struct limits, connections_per_address), 1, 1024 },
    { "head_seconds", offsetof(struct limits, head_seconds), 1, 300 },
};

static int read_number(const char *name, const json_t *value, struct limits *out, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        const struct number *n = &numbers[i];
        if (strcmp(n->name, name) != 0)
            continue;
        json_int_t v = json_integer_value(value);
        if (!json_is_integer(value) || v < (json_int_t)n->min || v > (json_int_t)n->max)
            return err_set(err, ERR_INPUT, 0, "limits.%s: want a whole number from %u to %u", name, n->min,
                           n->max);
        *(unsigned *)(void *)((char *)out + n->offset) = (unsigned)v;
        return 0;
    }
    return err_set(err, ERR_INPUT, 0, "limits.%.60s: no such setting", name);
}

static int read_setting(const char *name, json_t *value, struct settings *s, struct err *err)
{
    const char *inner;
    json_t *member;
    if (!strcmp(name, "log_level")) {
        if (!json_is_string(value) || log_level_parse(json_string_value(value), &s->level) < 0)
            return err_set(err, ERR_INPUT, 0,
                           "log_level: want \"error\", \"warning\", \"info\" or \"debug\"");
        return 0;
    }
    if (!strcmp(name, "verify_directory")) {
        const char *path = json_string_value(value);
        if (!path || *path != '/')
            return err_set(err, ERR_INPUT, 0, "verify_directory: want an absolute path");
        return path_set(s->verify_directory, sizeof(s->verify_directory), err, "%s", path);
    }
    if (strcmp(name, "limits") != 0)
        return err_set(err, ERR_INPUT, 0, "%.60s: no such setting", name);
    if (!json_is_object(value))
        return err_set(err, ERR_INPUT, 0, "limits: want an object");
    json_object_foreach(value, inner, member)
    {
        if (read_number(inner, member, &s->limits, err) < 0)
            return -1;
    }
    return 0;
}

int settings_parse(struct bytes text, struct settings *out, struct err *err)
{
    AUTO(json_drop) json_t *root = NULL;
    struct settings s = { .limits = LIMITS_DEFAULT, .level = LOG_LEVEL_INFO };
    const char *name;
    json_t *value;
    if (json_parse(text, CONFIG_FILE_MAX, &root, err) < 0)
        return -1;
    if (!json_is_object(root))
        return err_set(err, ERR_INPUT, 0, "not a JSON object");
    json_object_foreach(root, name, value)
    {
        if (read_setting(name, value, &s, err) < 0)
            return -1;
    }
    *out = s;
    return 0;
}

int settings_load(const char *etc, struct settings *out, struct err *err)
{
    AUTO(free_u8) uint8_t *text = NULL;
    char path[PATH_MAX];
    struct err why = { 0 };
    size_t n;
    if (path_set(path, sizeof(path), err, "%s/agent.json", etc) < 0)
        return -1;
    if (file_read(path, CONFIG_FILE_MAX, &text, &n, &why) < 0) {
        if (why.kind != ERR_NOT_FOUND) {
            *err = why;
            return -1;
        }
        *out = (struct settings){ .limits = LIMITS_DEFAULT, .level = LOG_LEVEL_INFO };
        return 0;
    }
    return settings_parse(bytes_of(text, n), out, err);
}
