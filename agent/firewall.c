#include "agent/firewall.h"

int firewall_apply(struct priv_client *c, const struct workload_policy *p, uint16_t external,
                   bool maintenance, struct err *err)
{
    struct priv_port ports[POLICY_PORTS_MAX + 2];
    size_t n = 0;
    for (size_t i = 0; i < p->port_count; i++) {
        if (p->ports[i].direction != POLICY_OUT)
            ports[n++] =
                (struct priv_port){ p->ports[i].protocol == POLICY_UDP, p->ports[i].first, p->ports[i].last };
    }
    ports[n++] = (struct priv_port){ false, external, external };
    if (maintenance && p->maintenance_port)
        ports[n++] = (struct priv_port){ false, p->maintenance_port, p->maintenance_port };
    return priv_firewall(c, ports, n, err);
}
