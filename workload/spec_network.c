/* Names, networks and volumes. */
#include "workload/spec.h"

#include "base/auto.h"
#include "workload/spec_range.h"

#include <errno.h>
#include <stdio.h>

const char *spec_container_name(const char *project, const struct compose_service *s,
                                char out[static SPEC_NAME_SIZE])
{
    if (s->container_name)
        snprintf(out, SPEC_NAME_SIZE, "%s", s->container_name);
    else
        snprintf(out, SPEC_NAME_SIZE, "%s_%s_1", project, s->name);
    return out;
}

const char *spec_scoped_name(const char *project, const char *given, const char *key,
                             char out[static SPEC_NAME_SIZE])
{
    if (given)
        snprintf(out, SPEC_NAME_SIZE, "%s", given);
    else
        snprintf(out, SPEC_NAME_SIZE, "%s_%s", project, key);
    return out;
}

static int no_memory(const char *what, struct err *err)
{
    return err_set(err, ERR_IO, ENOMEM, "no memory for the settings of %.100s", what);
}

static json_t *own_labels(const char *project, const struct compose_pairs *given)
{
    json_t *labels = spec_pairs(given);
    json_object_set_new(labels, ENGINE_LABEL_PROJECT, json_string(project));
    return labels;
}

static int set_range(json_t *subnet, const char *range, struct err *err)
{
    char first[SPEC_ADDRESS_SIZE], last[SPEC_ADDRESS_SIZE];
    if (!range)
        return 0;
    if (spec_range_read(range, first, last) < 0)
        return err_set(err, ERR_INPUT, 0, "ip_range %.60s is no range", range);
    return json_object_set_new(subnet, "lease_range",
                               json_pack("{s:s, s:s}", "start_ip", first, "end_ip", last));
}

int spec_network(const char *project, const struct compose_network *n, json_t **out, struct err *err)
{
    char name[SPEC_NAME_SIZE];
    AUTO(json_drop) json_t *subnets = json_array();
    for (size_t i = 0; i < n->subnet_count; i++) {
        json_t *subnet = json_pack("{s:s}", "subnet", n->subnets[i].subnet);
        if (n->subnets[i].gateway)
            json_object_set_new(subnet, "gateway", json_string(n->subnets[i].gateway));
        json_array_append_new(subnets, subnet);
        if (set_range(subnet, n->subnets[i].ip_range, err) < 0)
            return -1;
    }
    *out = json_pack("{s:s, s:s, s:b, s:b, s:b, s:o, s:o, s:O}", "name",
                     spec_scoped_name(project, n->given, n->name, name), "driver",
                     n->driver ? n->driver : "bridge", "internal", n->internal, "ipv6_enabled", n->ipv6,
                     "dns_enabled", 1, "labels", own_labels(project, &n->labels), "options",
                     spec_pairs(&n->driver_opts), "subnets", subnets);
    return *out ? 0 : no_memory(n->name, err);
}

int spec_volume(const char *project, const struct compose_volume *v, json_t **out, struct err *err)
{
    char name[SPEC_NAME_SIZE];
    *out = json_pack("{s:s, s:o}", "Name", spec_scoped_name(project, v->given, v->name, name), "Label",
                     own_labels(project, &v->labels));
    return *out ? 0 : no_memory(v->name, err);
}
