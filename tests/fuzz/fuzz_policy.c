/* cvm_agent_policy.json: what is accepted stays inside its bounds and its paths inside the workload; what is
 * refused says why. */
#include "fuzz.h"

#include "base/auto.h"
#include "workload/policy.h"

#include <string.h>

static void check_path(const char *path)
{
    CHECK(!path || (*path && *path != '/' && strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(workload_policy_done) struct workload_policy p = { 0 };
    AUTO(buf_done) struct buf text = buf_new(64u << 20);
    struct err err = { 0 };
    if (workload_policy_parse(bytes_of(data, size), &p, &err) < 0) {
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
        CHECK(err.cause[0] && !p.root);
        return 0;
    }
    CHECK(p.port_count <= POLICY_PORTS_MAX && p.disk_count <= POLICY_DISKS_MAX);
    for (size_t i = 0; i < p.port_count; i++)
        CHECK(p.ports[i].first >= 1 && p.ports[i].first <= p.ports[i].last);
    for (size_t i = 0; i < p.allow_update.n; i++)
        CHECK(policy_allows_update(&p, p.allow_update.item[i]));
    check_path(p.auth_info_path);
    check_path(p.signature_policy_path);
    workload_policy_explain(&p, &text);
    CHECK(!text.failed);
    return 0;
}
