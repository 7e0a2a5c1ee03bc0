#include "agent/collateral.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/x509.h"

#include <limits.h>

#define ROOTS_MAX        16
#define AGENT_REQUEST_MS 4000 /* one request: a verification may need four */

/* The machine's own requests when it is offline: to the cloud's metadata service and no further. */
static int perform_inside(void *ctx, const struct http_request *request, struct http_response *out,
                          struct err *err)
{
    const struct agent_collateral *c = ctx;
    size_t n = strlen(c->metadata_url);
    if (strncmp(request->url, c->metadata_url, n) != 0 || (request->url[n] && request->url[n] != '/'))
        return err_set(err, ERR_NOT_FOUND, 0, "offline: %.100s is not asked", request->url);
    return http_perform(&c->inner, request, out, err);
}

static int add_roots(struct agent_collateral *c, const char *state, struct err *err)
{
    char path[PATH_MAX];
    AUTO(free_u8) uint8_t *pem = NULL;
    size_t pem_n, end[ROOTS_MAX];
    X509 *cert[ROOTS_MAX];
    if (path_set(path, sizeof(path), err, "%s/emulator/roots.pem", state) < 0
        || file_read(path, ROOTS_MAX * CERT_MAX, &pem, &pem_n, err) < 0)
        return -1;
    int n = x509_parse_chain(bytes_of(pem, pem_n), cert, ROOTS_MAX, err), rc = n < 0 ? -1 : 0;
    c->roots = buf_new((size_t)ROOTS_MAX * CERT_MAX);
    for (int i = 0; i < n; i++) {
        if (rc == 0)
            rc = x509_put_der(cert[i], &c->roots, err);
        end[i] = c->roots.n;
        X509_free(cert[i]);
    }
    for (int i = 0, from = 0; rc == 0 && i < n && c->pool.n < CHAIN_POOL_MAX; from = (int)end[i++])
        c->der[c->pool.n++] = bytes_of(c->roots.p + from, end[i] - (size_t)from);
    return rc < 0 ? err_while(err, "read the emulator's roots") : 0;
}

static const char *or_null(const char *url)
{
    return *url ? url : NULL;
}

int agent_collateral_open(const struct agent_collateral_options *o, struct lower *machine,
                          struct agent_collateral *c, struct err *err)
{
    *c = (struct agent_collateral){ .settings = *o->settings,
                                    .inner = machine->http,
                                    .metadata_url = machine->imds_url };
    c->pool.der = c->der;
    for (; c->pool.n < o->pool->n && c->pool.n < CHAIN_POOL_MAX; c->pool.n++)
        c->der[c->pool.n] = o->pool->der[c->pool.n];
    if (machine->emulated && add_roots(c, o->state, err) < 0)
        return -1;
    const struct collateral_source source = { .dir = o->cache,
                                              .offline = c->settings.offline && o->cache,
                                              .allow_expired = true, /* the verifier judges dates */
                                              .http = c->settings.offline ? (struct http){ 0 } : c->inner,
                                              .kds_url = or_null(c->settings.kds_url),
                                              .pcs_url = or_null(c->settings.pcs_url),
                                              .root_crl_url = or_null(c->settings.root_crl_url),
                                              .insecure = c->settings.insecure,
                                              .pool = &c->pool,
                                              .request_ms = AGENT_REQUEST_MS };
    if (collateral_new(&source, &c->service, err) < 0)
        return err_while(err, "open the collateral service");
    if (c->settings.offline)
        machine->http = (struct http){ perform_inside, c };
    if (*c->settings.kds_url)
        machine->kds_url = c->settings.kds_url;
    return 0;
}

void agent_collateral_done(struct agent_collateral *c)
{
    collateral_free(c->service);
    buf_done(&c->roots);
    c->service = NULL;
}
