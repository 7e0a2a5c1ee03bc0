#include "agent/routes.h"

#include "agent/handlers.h"
#include "agent/verify_route.h"
#include "base/auto.h"

#define COLLATERALS                                                                                          \
    .method = "GET", .ports = PORTS_ALL, .evidence = true, .parameters = { "pcr_bank", "fresh" },            \
    .prepare = collaterals_prepare, .begin = evidence_begin, .answer = collaterals_answer

#define GOLDEN                                                                                               \
    .method = "GET", .ports = PORTS_ALL, .evidence = true, .parameters = { "pcrs", "all" },                  \
    .prepare = golden_prepare, .begin = evidence_begin, .answer = golden_answer

#define VERIFY                                                                                               \
    .method = "POST", .ports = PORTS_INSIDE, .body_max = VERIFY_BODY_MAX, .begin = verify_begin,             \
    .answer = verify_answer

static const struct route routes[] = {
    { .method = "GET", .path = "/platform", .ports = PORTS_INSIDE, .answer = platform_answer },
    { .path = "/collaterals/{nonce}", COLLATERALS },
    { .path = "/offchain/collaterals/{nonce}", COLLATERALS },
    { .path = "/golden-measurement", GOLDEN },
    { .path = "/offchain/golden-measurement", GOLDEN },
    { .path = "/offchain-verify", VERIFY },
    { .path = "/offchain/verify", VERIFY },
    { .method = "GET", .path = "/healthz", .ports = PORTS_ALL, .answer = healthz_answer },
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
static const struct {
    bool get, put, post;
    const char *allow;
} allows[] = {
    { true, false, false, "GET, HEAD" },     { false, true, false, "PUT" },
    { false, false, true, "POST" },          { true, false, true, "GET, HEAD, POST" },
    { true, true, false, "GET, HEAD, PUT" },
};

static const char *allow_of(bool get, bool put, bool post)
{
    for (size_t i = 0; i < ARRAY_SIZE(allows); i++) {
        if (allows[i].get == get && allows[i].put == put && allows[i].post == post)
            return allows[i].allow;
    }
    return "";
}

const struct route *route_find(const char *method, struct bytes path, enum port port, struct bytes *segment,
                               const char **allow, struct err *err)
{
    const char *wanted = strcmp(method, "HEAD") ? method : "GET";
    bool get = false, put = false, post = false;
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
        if (!(routes[i].ports & port) || !path_match(routes[i].path, path, segment))
            continue;
        if (!strcmp(routes[i].method, wanted))
            return &routes[i];
        get = get || !strcmp(routes[i].method, "GET");
        put = put || !strcmp(routes[i].method, "PUT");
        post = post || !strcmp(routes[i].method, "POST");
    }
    if (get || put || post) {
        *allow = allow_of(get, put, post);
        err_set(err, ERR_INPUT, 0, "this route does not know the method: use %s", *allow);
    } else {
        err_set(err, ERR_NOT_FOUND, 0, "no such route on this port: /openapi.json lists them");
    }
    return NULL;
}
