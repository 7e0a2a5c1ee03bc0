#include "workload/policy_internal.h"

#include "base/auto.h"
#include "base/json.h"

#define CVM        "cvm_config."
#define SERVICES   "workload_config.services."
#define SIGNATURES "workload_config.image_signature_verification."

/* Services stood below "workload" in older files. */
static bool in_older_group(const struct workload_policy *p, const char *path)
{
    char other[128];
    size_t n = strlen(SERVICES);
    if (strncmp(path, SERVICES, n) != 0)
        return false;
    snprintf(other, sizeof(other), "workload_config.workload.%s", path + n);
    return policy_at(p->root, other) != NULL;
}

/* Ends the line with whether the file has the setting, under this or an older name. */
static void end(const struct workload_policy *p, const char *path, const char *older, struct buf *out)
{
    bool now = policy_at(p->root, path) != NULL;
    bool then = in_older_group(p, path) || (older && (policy_at(p->root, older) || in_older_group(p, older)));
    buf_str(out, now ? "  (written)\n" : then ? "  (written, under an older name)\n" : "  (default)\n");
}

static void put_bool(const struct workload_policy *p, const char *path, const char *older, bool value,
                     struct buf *out)
{
    buf_printf(out, "%s = %s", path, value ? "true" : "false");
    end(p, path, older, out);
}

static void put_text(const struct workload_policy *p, const char *path, const char *older, const char *value,
                     struct buf *out)
{
    buf_printf(out, "%s = ", path);
    if (value)
        json_put_string(out, bytes_str(value));
    else
        buf_str(out, "none");
    end(p, path, older, out);
}

static void put_names(const struct workload_policy *p, const char *path, const char *older,
                      const struct policy_names *names, struct buf *out)
{
    buf_printf(out, "%s = ", path);
    if (names->all) {
        buf_str(out, "every service");
    } else {
        buf_str(out, "[");
        for (size_t i = 0; i < names->n; i++) {
            buf_str(out, i ? ", " : "");
            json_put_string(out, bytes_str(names->item[i]));
        }
        buf_str(out, "]");
    }
    end(p, path, older, out);
}

static void put_ports(const struct workload_policy *p, struct buf *out)
{
    static const char *const directions[] = { "in", "out", "in and out" };
    for (size_t i = 0; i < p->port_count; i++) {
        const struct policy_port *port = &p->ports[i];
        buf_printf(out, CVM "firewall.allowed_ports[%zu] = %s %u", i,
                   port->protocol == POLICY_TCP ? "tcp" : "udp", port->first);
        if (port->last != port->first)
            buf_printf(out, "-%u", port->last);
        buf_printf(out, " %s ", directions[port->direction]);
        json_put_string(out, bytes_str(port->name));
        buf_str(out, "  (written)\n");
    }
    if (!p->port_count)
        put_text(p, CVM "firewall.allowed_ports", NULL, NULL, out);
    buf_printf(out, CVM "firewall.maintenance_mode_host_port = ");
    if (p->maintenance_port)
        buf_printf(out, "%u", p->maintenance_port);
    else
        buf_str(out, "none");
    end(p, CVM "firewall.maintenance_mode_host_port", CVM "maintenance_mode.ssh_port_on_host", out);
}

static void put_disks(const struct workload_policy *p, struct buf *out)
{
    for (size_t i = 0; i < p->disk_count; i++) {
        const struct policy_disk *d = &p->disks[i];
        buf_str(out, CVM "disk_config = ");
        json_put_string(out, bytes_str(d->mount_point));
        if (d->serial) {
            buf_str(out, " on disk ");
            json_put_string(out, bytes_str(d->serial));
        }
        if (d->service) {
            buf_str(out, " for service ");
            json_put_string(out, bytes_str(d->service));
        }
        buf_printf(out, ", %s  (written)\n",
                   !d->encrypt ? "not encrypted"
                   : d->strong ? "encrypted, key bound to kernel, firmware and hardware values"
                               : "encrypted, key bound to kernel and root file system");
    }
    if (!p->disk_count)
        put_text(p, CVM "disk_config", NULL, NULL, out);
    put_bool(p, CVM "disk_config.accept_host_vtpm", NULL, p->accept_host_vtpm, out);
}

void workload_policy_explain(const struct workload_policy *p, struct buf *out)
{
    put_text(p, CVM "emulation_mode", NULL, p->emulate, out);
    put_ports(p, out);
    put_bool(p, CVM "https_server.enable_tls", NULL, p->enable_tls, out);
    put_bool(p, CVM "https_server.enable_auth", CVM "https_server.enable_workload_update_auth",
             p->enable_auth, out);
    put_text(p, CVM "container_api.container_engine", NULL, p->engine == POLICY_DOCKER ? "docker" : "podman",
             out);
    put_text(p, CVM "container_api.container_owner", NULL, p->container_owner, out);
    put_bool(p, CVM "maintenance_mode.allow", CVM "https_server.enable_maintenance_endpoint",
             p->maintenance_allow, out);
    put_text(p, CVM "maintenance_mode.signal", NULL, p->maintenance_signal_name, out);
    put_disks(p, out);
    put_bool(p, CVM "enable_sign_message", NULL, p->enable_sign_message, out);
    put_bool(p, CVM "enable_livepatch", NULL, p->enable_livepatch, out);
    put_bool(p, CVM "attestation_api.raw_report_data", NULL, p->raw_report_data, out);
    put_bool(p, CVM "appraisal_api.external", NULL, p->appraisal_external, out);
    put_names(p, SERVICES "allow_update", SERVICES "update_white_list", &p->allow_update, out);
    put_bool(p, SERVICES "allow_add_new_service", NULL, p->allow_add_new_service, out);
    put_names(p, SERVICES "allow_remove", NULL, &p->allow_remove, out);
    put_names(p, SERVICES "skip_measurement", SERVICES "workload_measurement_black_list",
              &p->skip_measurement, out);
    put_names(p, SERVICES "agent_socket_targets", NULL, &p->agent_socket_targets, out);
    put_bool(p, SIGNATURES "enable", NULL, p->verify_signatures, out);
    put_text(p, SIGNATURES "signature_verification_policy_path",
             SIGNATURES "siganture_verification_policy_path", p->signature_policy_path, out);
    put_text(p, SIGNATURES "auth_info_file_path", NULL, p->auth_info_path, out);
    if (p->auth_user)
        put_text(p, SIGNATURES "auth_info.user_name", NULL, p->auth_user, out);
}
