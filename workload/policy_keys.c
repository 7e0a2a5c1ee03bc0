#include "workload/policy_internal.h"

#include "base/auto.h"
#include "base/json.h"

#include <stdarg.h>

/* What a value must be, as a set of jansson types. */
#define OBJECT (1u << JSON_OBJECT)
#define LIST   (1u << JSON_ARRAY)
#define TEXT   (1u << JSON_STRING)
#define WHOLE  (1u << JSON_INTEGER)
#define BOOL   (1u << JSON_TRUE | 1u << JSON_FALSE)

struct key {
    const char *path; /* dots between the levels, [] for the members of a list */
    unsigned want;
    const char *now;    /* the current name of an older key */
    const char *unused; /* why this agent does not act on it */
};

/* clang-format off */
#define EMULATOR "the emulator makes its own data"
#define BABY     "this agent starts no containers on request"
#define BINDFS   "ids are mapped by the user namespace"

#define SERVICES "workload_config.services"

#define SERVICE_KEYS(group, group_now)                                                                       \
    { group, OBJECT, group_now, NULL },                                                                      \
    { group ".allow_remove", BOOL | LIST, NULL, NULL },                                                      \
    { group ".allow_remove[]", TEXT, NULL, NULL },                                                           \
    { group ".allow_add_new_service", BOOL, NULL, NULL },                                                    \
    { group ".allow_update", BOOL | LIST, NULL, NULL },                                                      \
    { group ".allow_update[]", TEXT, NULL, NULL },                                                           \
    { group ".update_white_list", LIST, SERVICES ".allow_update", NULL },                                    \
    { group ".update_white_list[]", TEXT, NULL, NULL },                                                      \
    { group ".skip_measurement", LIST, NULL, NULL },                                                         \
    { group ".skip_measurement[]", TEXT, NULL, NULL },                                                       \
    { group ".workload_measurement_black_list", LIST, SERVICES ".skip_measurement", NULL },                  \
    { group ".workload_measurement_black_list[]", TEXT, NULL, NULL },                                        \
    { group ".agent_socket_targets", LIST, NULL, NULL },                                                     \
    { group ".agent_socket_targets[]", TEXT, NULL, NULL }

#define DISK_KEYS(group)                                                                                     \
    { group ".disk_mount_point", TEXT, NULL, NULL },                                                         \
    { group ".disk_encryption", OBJECT, NULL, NULL },                                                        \
    { group ".disk_encryption.enable", BOOL, NULL, NULL },                                                   \
    { group ".disk_encryption.encryption_key_security", TEXT, NULL, NULL }

#define SIGNATURES "workload_config.image_signature_verification"

/* Every key that any published version had, and our own. */
static const struct key keys[] = {
    { "cvm_config", OBJECT, NULL, NULL },
    { "cvm_config.emulation_mode", OBJECT, NULL, NULL },
    { "cvm_config.emulation_mode.enable", BOOL, NULL, NULL },
    { "cvm_config.emulation_mode.cloud_provider", TEXT, NULL, NULL },
    { "cvm_config.emulation_mode.tee_type", TEXT, NULL, NULL },
    { "cvm_config.emulation_mode.emulation_data_path", TEXT, NULL, EMULATOR },
    { "cvm_config.emulation_mode.enable_emulation_data_update", BOOL, NULL, EMULATOR },
    { "cvm_config.firewall", OBJECT, NULL, NULL },
    { "cvm_config.firewall.allowed_ports", LIST, NULL, NULL },
    { "cvm_config.firewall.allowed_ports[]", OBJECT, NULL, NULL },
    { "cvm_config.firewall.allowed_ports[].name", TEXT, NULL, NULL },
    { "cvm_config.firewall.allowed_ports[].protocol", TEXT, NULL, NULL },
    { "cvm_config.firewall.allowed_ports[].port", TEXT, NULL, NULL },
    { "cvm_config.firewall.allowed_ports[].direction", TEXT, NULL, NULL },
    { "cvm_config.firewall.maintenance_mode_host_port", TEXT, NULL, NULL },
    { "cvm_config.https_server", OBJECT, NULL, NULL },
    { "cvm_config.https_server.enable_tls", BOOL, NULL, NULL },
    { "cvm_config.https_server.enable_auth", BOOL, NULL, NULL },
    { "cvm_config.https_server.enable_workload_update_endpoint", BOOL, SERVICES ".allow_update", NULL },
    { "cvm_config.https_server.enable_maintenance_endpoint", BOOL, "cvm_config.maintenance_mode.allow", NULL },
    { "cvm_config.https_server.enable_workload_update_auth", BOOL, "cvm_config.https_server.enable_auth", NULL },
    { "cvm_config.container_api", OBJECT, NULL, NULL },
    { "cvm_config.container_api.container_engine", TEXT, NULL, NULL },
    { "cvm_config.container_api.container_owner", TEXT, NULL, NULL },
    { "cvm_config.maintenance_mode", OBJECT, NULL, NULL },
    { "cvm_config.maintenance_mode.allow", BOOL, NULL, NULL },
    { "cvm_config.maintenance_mode.signal", TEXT, NULL, NULL },
    { "cvm_config.maintenance_mode.ssh_port_on_host", TEXT, "cvm_config.firewall.maintenance_mode_host_port", NULL },
    { "cvm_config.baby_container", OBJECT, NULL, BABY },
    { "cvm_config.baby_container.allow", BOOL, NULL, NULL },
    { "cvm_config.baby_container.max_count", WHOLE, NULL, NULL },
    { "cvm_config.disk_config", OBJECT, NULL, NULL },
    { "cvm_config.disk_config.enable", BOOL, NULL, NULL },
    { "cvm_config.disk_config.accept_host_vtpm", BOOL, NULL, NULL },
    DISK_KEYS("cvm_config.disk_config"),
    { "cvm_config.disk_config.disks", LIST, NULL, NULL },
    { "cvm_config.disk_config.disks[]", OBJECT, NULL, NULL },
    { "cvm_config.disk_config.disks[].serial", TEXT, NULL, NULL },
    { "cvm_config.disk_config.disks[].service", TEXT, NULL, NULL },
    { "cvm_config.disk_config.disks[].bind_fs", BOOL, NULL, BINDFS },
    DISK_KEYS("cvm_config.disk_config.disks[]"),
    { "cvm_config.enable_sign_message", BOOL, NULL, NULL },
    { "cvm_config.enable_livepatch", BOOL, NULL, NULL },
    { "cvm_config.attestation_api", OBJECT, NULL, NULL },
    { "cvm_config.attestation_api.raw_report_data", BOOL, NULL, NULL },
    { "cvm_config.appraisal_api", OBJECT, NULL, NULL },
    { "cvm_config.appraisal_api.external", BOOL, NULL, NULL },
    { "workload_config", OBJECT, NULL, NULL },
    SERVICE_KEYS(SERVICES, NULL),
    SERVICE_KEYS("workload_config.workload", SERVICES),
    { SIGNATURES, OBJECT, NULL, NULL },
    { SIGNATURES ".enable", BOOL, NULL, NULL },
    { SIGNATURES ".auth_info_file_path", TEXT, NULL, NULL },
    { SIGNATURES ".auth_info", OBJECT, SIGNATURES ".auth_info_file_path", NULL },
    { SIGNATURES ".auth_info.user_name", TEXT, NULL, NULL },
    { SIGNATURES ".auth_info.password", TEXT, NULL, NULL },
    { SIGNATURES ".signature_verification_policy_path", TEXT, NULL, NULL },
    { SIGNATURES ".siganture_verification_policy_path", TEXT, SIGNATURES ".signature_verification_policy_path", NULL },
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

void policy_warn(struct workload_policy *p, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    if (n < 0)
        return;
    for (size_t i = 0; i < p->warning_count; i++) {
        if (!strcmp(p->warnings[i], text)) {
            free(text);
            return;
        }
    }
    if (p->warning_count < POLICY_WARNINGS_MAX)
        p->warnings[p->warning_count++] = text;
    else
        free(text);
}

json_t *policy_at(const json_t *root, const char *path)
{
    const json_t *at = root;
    char name[64];
    while (at && *path) {
        size_t n = strcspn(path, ".");
        snprintf(name, sizeof(name), "%.*s", (int)n, path); /* our own constants: they fit */
        at = json_object_get(at, name);
        path += n + (path[n] == '.');
    }
    return (json_t *)(uintptr_t)at;
}

static const char *want_text(unsigned want)
{
    return want & OBJECT   ? "an object"
           : want == LIST  ? "a list"
           : want == TEXT  ? "a string"
           : want == BOOL  ? "true or false"
           : want == WHOLE ? "a whole number"
                           : "a list, true or false";
}

struct checker {
    struct workload_policy *p;
    struct policy_problems *problems; /* NULL: the first problem ends it */
};

static int check_members(json_t *value, const char *path, struct checker *c, struct err *err);

static int check_value(json_t *value, const char *path, struct checker *c, struct err *err)
{
    const struct key *key = key_find(path);
    if (!key)
        return err_set(err, ERR_INPUT, 0, "%s: no such setting: remove it or correct its name", path);
    if (!(key->want & 1u << json_typeof(value)))
        return err_set(err, ERR_INPUT, 0, "%s: wrong type of value: want %s", path, want_text(key->want));
    if (key->now)
        policy_warn(c->p, "%s: an older name: write %s", path, key->now);
    if (key->unused)
        policy_warn(c->p, "%s: accepted without effect: %s", path, key->unused);
    return check_members(value, path, c, err);
}

static int check_member(json_t *member, const char *name, const char *path, struct checker *c,
                        struct err *err)
{
    char below[PATH_TEXT];
    int n = name ? snprintf(below, sizeof(below), "%s%s%.60s", path, *path ? "." : "", name)
                 : snprintf(below, sizeof(below), "%s[]", path);
    if (n >= (int)sizeof(below) || (name && strpbrk(name, ".[]")))
        return err_set(err, ERR_INPUT, 0, "%s: no setting is named \"%.60s\"", path, name ? name : "[]");
    return check_value(member, below, c, err);
}

/* Where problems are collected, what is wrong is taken out, so that the rest can be read. */
static int check_members(json_t *value, const char *path, struct checker *c, struct err *err)
{
    const char *name;
    json_t *member;
    void *next;
    json_object_foreach_safe(value, next, name, member)
    {
        if (check_member(member, name, path, c, err) == 0)
            continue;
        if (policy_problem(c->problems, err) < 0)
            return -1;
        json_object_del(value, name);
    }
    for (size_t i = 0; i < json_array_size(value);) {
        if (check_member(json_array_get(value, i), NULL, path, c, err) == 0) {
            i++;
            continue;
        }
        if (policy_problem(c->problems, err) < 0)
            return -1;
        json_array_remove(value, i);
    }
    return 0;
}

int policy_check_keys(struct workload_policy *p, struct policy_problems *problems, struct err *err)
{
    struct checker c = { p, problems };
    return check_members(p->root, "", &c, err);
}
