#include "agent/routes.h"

#include "agent/appraisal_route.h"
#include "agent/attestation_policy.h"
#include "agent/attestation_route.h"
#include "agent/handlers.h"
#include "agent/journal_route.h"
#include "agent/livepatch_route.h"
#include "agent/logs_route.h"
#include "agent/maintenance_route.h"
#include "agent/measurements.h"
#include "agent/operate.h"
#include "agent/sign_route.h"
#include "agent/token_route.h"
#include "agent/update_route.h"
#include "agent/verify_route.h"
#include "agent/volume_route.h"
#include "base/auto.h"

#define COLLATERALS                                                                                          \
    .method = "GET", .ports = PORTS_EVERY, .evidence = true, .parameters = { "pcr_bank", "fresh" },          \
    .prepare = collaterals_prepare, .begin = evidence_begin, .answer = collaterals_answer

#define GOLDEN                                                                                               \
    .method = "GET", .ports = PORTS_ALL, .evidence = true, .parameters = { "pcrs", "all" },                  \
    .prepare = golden_prepare, .begin = evidence_begin, .answer = golden_answer

#define VERIFY                                                                                               \
    .method = "POST", .ports = PORTS_INSIDE_SERVICE, .body_max = VERIFY_BODY_MAX, .begin = verify_begin,     \
    .answer = verify_answer

#define APPRAISE                                                                                             \
    .method = "POST", .ports = PORTS_ALL, .auth = true, .opened = true, .body_max = APPRAISAL_BODY_MAX,      \
    .answer = appraisal_answer

static const struct route routes[] = {
    { .method = "GET", .path = "/platform", .ports = PORTS_INSIDE_SERVICE, .answer = platform_answer },
    { .path = "/collaterals/{nonce}", COLLATERALS },
    { .path = "/offchain/collaterals/{nonce}", COLLATERALS },
    { .path = "/golden-measurement", GOLDEN },
    { .path = "/offchain/golden-measurement", GOLDEN },
    { .path = "/offchain-verify", VERIFY },
    { .path = "/offchain/verify", VERIFY },
    { .method = "POST",
      .path = "/attestation",
      .ports = PORTS_INSIDE,
      .evidence = true,
      .body_max = ATTESTATION_BODY_MAX,
      .begin = attestation_begin,
      .answer = attestation_answer },
    { .method = "POST",
      .path = "/attestation/policy",
      .ports = PORTS_ALL,
      .auth = true,
      .body_max = ATTESTATION_POLICY_MAX,
      .made = 201,
      .begin = attestation_policy_put_begin,
      .answer = operate_answer },
    { .method = "GET",
      .path = "/attestation/policy",
      .ports = PORTS_ALL,
      .auth = true,
      .parameters = { "version" },
      .prepare = attestation_policy_get_prepare,
      .begin = attestation_policy_get_begin,
      .answer = operate_answer },
    { .method = "GET",
      .path = "/measurements",
      .ports = PORTS_ALL,
      .auth = true,
      .begin = measurements_begin,
      .answer = measurements_answer },
    { .method = "GET",
      .path = "/journal",
      .ports = PORTS_ALL,
      .auth = true,
      .begin = journal_begin,
      .answer = operate_answer },
    { .method = "GET",
      .path = "/volume",
      .ports = PORT_EXTERNAL,
      .auth = true,
      .begin = volume_begin,
      .answer = operate_answer },
    { .method = "POST",
      .path = "/sign-message",
      .ports = PORTS_INSIDE,
      .body_max = SIGN_BODY_MAX,
      .prepare = sign_prepare,
      .begin = sign_begin,
      .answer = operate_answer },
    { .method = "GET",
      .path = "/current-cvm-identity-hash",
      .ports = PORTS_INSIDE,
      .begin = identity_begin,
      .answer = operate_answer },
    { .method = "GET",
      .path = "/api-token",
      .ports = PORT_EXTERNAL,
      .once = true,
      .type = "text/plain",
      .begin = token_begin,
      .answer = operate_answer },
    { .method = "POST",
      .path = "/api-token/rotate",
      .ports = PORT_EXTERNAL,
      .auth = true,
      .type = "text/plain",
      .begin = token_rotate_begin,
      .answer = operate_answer },
    { .method = "POST",
      .path = "/update-workload",
      .ports = PORT_EXTERNAL,
      .auth = true,
      .body = BODY_FORM,
      .parameters = { "dry_run" },
      .prepare = update_prepare,
      .begin = update_begin,
      .answer = operate_answer },
    { .method = "GET",
      .path = "/container-logs",
      .ports = PORT_EXTERNAL,
      .auth = true,
      .parameters = { "name", "tail", "since", "follow" },
      .repeat = "name",
      .prepare = logs_prepare,
      .begin = logs_begin,
      .answer = logs_answer },
    { .method = "POST",
      .path = "/maintenance-mode",
      .ports = PORT_EXTERNAL,
      .auth = true,
      .body_max = MAINTENANCE_BODY_MAX,
      .prepare = maintenance_prepare,
      .begin = maintenance_begin,
      .answer = operate_answer },
    { .method = "POST",
      .path = "/livepatch",
      .ports = PORT_EXTERNAL,
      .auth = true,
      .body = BODY_FORM_OR_FILE,
      .type = "text/plain",
      .prepare = livepatch_prepare,
      .begin = livepatch_begin,
      .answer = operate_answer },
    { .path = "/appraisal/v2/attest", .begin = appraise_v2_begin, APPRAISE },
    { .path = "/appraisal/v2/attest/azure", .begin = appraise_azure_begin, APPRAISE },
    { .path = "/appraisal/sevsnp/v1/attest", .begin = appraise_snp_begin, APPRAISE },
    { .method = "GET",
      .path = "/certs",
      .ports = PORTS_INSIDE,
      .begin = certs_begin,
      .answer = appraisal_answer },
    { .method = "PUT",
      .path = "/policies",
      .ports = PORTS_ALL,
      .auth = true,
      .body_max = POLICY_BODY_MAX,
      .parameters = { "name" },
      .prepare = policies_prepare,
      .begin = policy_put_begin,
      .answer = operate_answer },
    { .method = "GET",
      .path = "/policies",
      .ports = PORTS_ALL,
      .auth = true,
      .answer = policies_list_answer },
    { .method = "GET",
      .path = "/policies/{id}",
      .ports = PORTS_ALL,
      .auth = true,
      .type = "text/plain; charset=utf-8",
      .answer = policy_text_answer },
    { .method = "GET", .path = "/healthz", .ports = PORTS_EVERY, .answer = healthz_answer },
    { .method = "GET",
      .path = "/metrics",
      .ports = PORTS_INSIDE,
      .type = "text/plain; version=0.0.4",
      .answer = metrics_answer },
    { .method = "GET", .path = "/openapi.json", .ports = PORTS_ALL, .answer = openapi_answer },
};

const struct route *routes_all(size_t *n)
{
    *n = ARRAY_SIZE(routes);
    return routes;
}

/* One row per set of methods that a path can have. */
enum { GET = 1, HEAD = 2, PUT = 4, POST = 8 };

static const struct {
    unsigned methods;
    const char *allow;
} allows[] = {
    { GET | HEAD, "GET, HEAD" },
    { GET, "GET" },
    { PUT, "PUT" },
    { POST, "POST" },
    { GET | HEAD | POST, "GET, HEAD, POST" },
    { GET | HEAD | PUT, "GET, HEAD, PUT" },
};

static const char *allow_of(unsigned methods)
{
    for (size_t i = 0; i < ARRAY_SIZE(allows); i++) {
        if (allows[i].methods == methods)
            return allows[i].allow;
    }
    return "";
}

static unsigned methods_of(const struct route *row)
{
    if (!strcmp(row->method, "GET"))
        return row->once ? GET : GET | HEAD;
    return !strcmp(row->method, "PUT") ? PUT : POST;
}

static bool takes(const struct route *row, const char *method)
{
    if (!strcmp(method, "HEAD"))
        return methods_of(row) & HEAD;
    return !strcmp(row->method, method);
}

static bool serves(const struct route *row, enum port port, bool opened)
{
    return (row->ports & port) && (opened || !row->opened || port != PORT_EXTERNAL);
}

const struct route *route_find(const char *method, struct bytes path, enum port port, bool opened,
                               struct bytes *segment, const char **allow, struct err *err)
{
    unsigned methods = 0;
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
        if (!serves(&routes[i], port, opened) || !path_match(routes[i].path, path, segment))
            continue;
        if (takes(&routes[i], method))
            return &routes[i];
        methods |= methods_of(&routes[i]);
    }
    if (methods) {
        *allow = allow_of(methods);
        err_set(err, ERR_INPUT, 0, "this route does not know the method: use %s", *allow);
    } else {
        err_set(err, ERR_NOT_FOUND, 0, "no such route on this port: /openapi.json lists them");
    }
    return NULL;
}
