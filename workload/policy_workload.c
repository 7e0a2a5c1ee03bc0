#include "workload/policy_internal.h"

#include "base/auto.h"
#include "base/json.h"
#include "workload/path.h"

#include <limits.h>

#define SERVICES   "workload_config.services."
#define WORKLOAD   "workload_config.workload."
#define SIGNATURES "workload_config.image_signature_verification."

static int take_names(const json_t *list, const char *path, struct policy_names *out, struct err *err)
{
    size_t i, n = json_array_size(list);
    const json_t *v;
    if (n > POLICY_NAMES_MAX)
        return err_set(err, ERR_INPUT, 0, "%s: more than %u names", path, POLICY_NAMES_MAX);
    out->item = calloc(n + 1, sizeof(*out->item));
    if (!out->item)
        return err_set(err, ERR_IO, 0, "no memory for names of services");
    json_array_foreach(list, i, v)
    {
        out->item[out->n++] = json_string_value(v);
        if (!*out->item[i])
            return err_set(err, ERR_INPUT, 0, "%s[%zu]: an empty name", path, i);
    }
    return 0;
}

static int read_names(const json_t *root, const char *now, const char *old, struct policy_names *out,
                      struct err *err)
{
    json_t *v;
    if (policy_pick(root, now, old, &v, err) < 0)
        return -1;
    out->all = v && json_is_true(v);
    return take_names(v, now, out, err);
}

/* Before 2025-07-25 allow_update was a switch, and update_white_list named the services. */
static int read_allow_update(struct workload_policy *p, struct err *err)
{
    json_t *v, *white;
    if (policy_pick(p->root, SERVICES "allow_update", WORKLOAD "allow_update", &v, err) < 0
        || policy_pick(p->root, SERVICES "update_white_list", WORKLOAD "update_white_list", &white, err) < 0)
        return -1;
    if (json_is_array(v) && white && !json_equal(v, white))
        return err_set(err, ERR_INPUT, 0,
                       SERVICES
                       "allow_update and its older name update_white_list contradict each other: remove "
                       "the latter");
    if (v && !json_is_array(v) && !white)
        policy_warn(p, SERVICES "allow_update: %s",
                    json_is_true(v)
                        ? "true is the older form and allows every service: write their names as a list"
                        : "false is the older form: write []");
    p->allow_update.all = json_is_true(v) && !white;
    return take_names(json_is_array(v)  ? v
                      : json_is_true(v) ? white
                                        : NULL,
                      SERVICES "allow_update", &p->allow_update, err);
}

static int read_skip(struct workload_policy *p, struct err *err)
{
    json_t *now, *old;
    if (policy_pick(p->root, SERVICES "skip_measurement", WORKLOAD "skip_measurement", &now, err) < 0
        || policy_pick(p->root, SERVICES "workload_measurement_black_list",
                       WORKLOAD "workload_measurement_black_list", &old, err)
               < 0)
        return -1;
    if (now && old && !json_equal(now, old))
        return err_set(err, ERR_INPUT, 0,
                       SERVICES
                       "skip_measurement and its older name workload_measurement_black_list contradict "
                       "each other: remove the latter");
    return take_names(now ? now : old, SERVICES "skip_measurement", &p->skip_measurement, err);
}

int policy_read_services(struct workload_policy *p, struct err *err)
{
    if (read_allow_update(p, err) < 0 || read_skip(p, err) < 0
        || read_names(p->root, SERVICES "allow_remove", WORKLOAD "allow_remove", &p->allow_remove, err) < 0
        || read_names(p->root, SERVICES "agent_socket_targets", WORKLOAD "agent_socket_targets",
                      &p->agent_socket_targets, err)
               < 0)
        return -1;
    return policy_pick_bool(p->root, SERVICES "allow_add_new_service", WORKLOAD "allow_add_new_service",
                            &p->allow_add_new_service, err);
}

static void forget_names(struct policy_names *names)
{
    names->n = 0;
    names->all = false;
}

/* The switch of files before 2025-07-25. */
int policy_read_update_switch(struct workload_policy *p, struct err *err)
{
    bool on = true;
    if (policy_pick_bool(p->root, "cvm_config.https_server.enable_workload_update_endpoint", NULL, &on, err)
        < 0)
        return -1;
    if (!on) {
        forget_names(&p->allow_update);
        forget_names(&p->allow_remove);
        p->allow_add_new_service = false;
    }
    return 0;
}

/* An empty path means none, as in the published file. */
static int read_path(const json_t *v, const char *name, char **out, struct err *err)
{
    char path[PATH_MAX];
    if (!v || !*json_string_value(v))
        return 0;
    if (workload_path(json_string_value(v), path, sizeof(path), err) < 0 || !*path)
        return err_set(err, ERR_INPUT, 0, "%s: want a file below the workload directory, as \"config/...\"",
                       name);
    *out = strdup(path);
    return *out ? 0 : err_set(err, ERR_IO, 0, "no memory for a path");
}

int policy_read_signatures(struct workload_policy *p, struct err *err)
{
    json_t *path;
    const char *user = json_string_value(policy_at(p->root, SIGNATURES "auth_info.user_name"));
    const char *password = json_string_value(policy_at(p->root, SIGNATURES "auth_info.password"));
    if (policy_pick_bool(p->root, SIGNATURES "enable", NULL, &p->verify_signatures, err) < 0
        || policy_pick(p->root, SIGNATURES "signature_verification_policy_path",
                       SIGNATURES "siganture_verification_policy_path", &path, err)
               < 0
        || read_path(path, SIGNATURES "signature_verification_policy_path", &p->signature_policy_path, err)
               < 0
        || read_path(policy_at(p->root, SIGNATURES "auth_info_file_path"), SIGNATURES "auth_info_file_path",
                     &p->auth_info_path, err)
               < 0)
        return -1;
    if (user && *user) {
        p->auth_user = user;
        p->auth_password = password ? password : "";
    }
    if (p->verify_signatures && !p->signature_policy_path)
        policy_warn(p,
                    SIGNATURES "enable: without signature_verification_policy_path every image is rejected");
    return 0;
}

static bool named(const struct policy_names *names, const char *service)
{
    for (size_t i = 0; i < names->n; i++) {
        if (!strcmp(names->item[i], service))
            return true;
    }
    return names->all;
}

bool policy_allows_update(const struct workload_policy *p, const char *service)
{
    return named(&p->allow_update, service);
}

bool policy_allows_remove(const struct workload_policy *p, const char *service)
{
    return named(&p->allow_remove, service);
}

bool policy_skips(const struct workload_policy *p, const char *service)
{
    return named(&p->skip_measurement, service);
}

bool policy_gives_socket(const struct workload_policy *p, const char *service)
{
    return named(&p->agent_socket_targets, service);
}
