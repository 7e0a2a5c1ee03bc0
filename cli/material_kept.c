/* What a document's evidence needs of the collateral service: from the folder of `collateral preload`, and
 * from the vendors if that is asked for. */
#include "cli/material.h"

#include "base/auto.h"
#include "base/file.h"
#include "cli/commands.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* The trusted certificates as the service takes them. */
struct trusted {
    struct buf storage;
    struct bytes der[CHAIN_POOL_MAX];
    struct chain_pool pool;
};

static void trusted_done(struct trusted *t)
{
    buf_done(&t->storage);
}

static bool is_listed(X509 *const *list, size_t n, const X509 *cert)
{
    for (size_t i = 0; i < n; i++)
        if (X509_cmp(list[i], cert) == 0)
            return true;
    return false;
}

/* Extra roots stand in every vendor's list. */
static int fill_trusted(const struct verify_trust *trust, struct trusted *out, struct err *err)
{
    X509 *seen[CHAIN_POOL_MAX];
    size_t n = 0, end[CHAIN_POOL_MAX];
    out->storage = buf_new((size_t)CHAIN_POOL_MAX * CERT_MAX);
    for (size_t v = 0; v < VERIFY_VENDORS; v++) {
        const struct verify_vendor_trust *t = &trust->vendor[v];
        for (size_t i = 0; i < t->anchors + t->pooled; i++) {
            X509 *cert = i < t->anchors ? t->anchor[i] : t->pool[i - t->anchors];
            if (is_listed(seen, n, cert))
                continue;
            if (n == CHAIN_POOL_MAX)
                return err_set(err, ERR_TOO_LARGE, 0, "more than %d trusted certificates", CHAIN_POOL_MAX);
            if (x509_put_der(cert, &out->storage, err) < 0)
                return -1;
            seen[n] = cert;
            end[n++] = out->storage.n;
        }
    }
    for (size_t i = 0, from = 0; i < n; from = end[i++])
        out->der[i] = bytes_of(out->storage.p + from, end[i] - from);
    out->pool = (struct chain_pool){ out->der, n };
    return 0;
}

/* ---- where it is looked for ---- */

/* A verification without an answer from the vendors still ends within seconds. */
#define FETCH_REQUEST_MS 3000
#define FETCH_TOTAL_MS   5000

/* $XDG_CACHE_HOME/cvm-agent/collateral, else ~/.cache/cvm-agent/collateral. @return NULL: there is no such
 * place */
static const char *cache_folder(char out[static PATH_MAX])
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache == '/')
        return path_set(out, PATH_MAX, NULL, "%s/cvm-agent/collateral", cache) < 0 ? NULL : out;
    if (!home || *home != '/' || path_set(out, PATH_MAX, NULL, "%s/.cache/cvm-agent/collateral", home) < 0)
        return NULL;
    return out;
}

/* The folders above; what cannot be made is not an error: nothing is kept then. */
static void make_parents(const char *path)
{
    char parent[PATH_MAX];
    for (const char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/'))
        if (path_set(parent, sizeof(parent), NULL, "%.*s", (int)(at - path), path) == 0)
            (void)!dir_make(parent, 0700, NULL);
}

static struct collateral_source source_of(const struct material_request *rq, const struct chain_pool *pool)
{
    return (struct collateral_source){ .allow_expired = true, /* the verifier judges dates */
                                       .at = rq->at,
                                       .http = http_curl(),
                                       .kds_url = rq->kds_url,
                                       .pcs_url = rq->pcs_url,
                                       .pool = pool,
                                       .request_ms = FETCH_REQUEST_MS,
                                       .total_ms = FETCH_TOTAL_MS };
}

/* One look. A folder that is not there has nothing. */
static int look(const struct material_request *rq, const struct collateral_source *source,
                const struct supply_evidence *evidence, bool revocation, struct supply *out)
{
    AUTO(collateral_drop) struct collateral_service *c = NULL;
    const char *where = source->dir ? source->dir : "collateral";
    struct err err = { 0 };
    if (collateral_new(source, &c, &err) < 0)
        return fail_err(err.kind == ERR_INPUT ? STATUS_USAGE : STATUS_INPUT, where, "cannot be used", &err);
    const struct supply_request request = { .service = c, .trust = rq->trust, .revocation = revocation };
    if (supply_get(&request, evidence, out, &err) < 0)
        return fail_err(status_of(&err), where, "cannot use the collateral", &err);
    return 0;
}

static int look_in_folder(const struct material_request *rq, const struct supply_evidence *evidence,
                          const struct chain_pool *pool, struct material *out)
{
    struct collateral_source source = source_of(rq, pool);
    source.dir = rq->folder;
    source.offline = true;
    return look(rq, &source, evidence, true, &out->kept);
}

static int look_further(const struct material_request *rq, const struct supply_evidence *evidence,
                        const struct chain_pool *pool, struct material *out)
{
    char cache[PATH_MAX];
    struct collateral_source source = source_of(rq, pool);
    bool mirror = rq->kds_url || rq->pcs_url; /* what a mirror says stays out of other runs */
    source.dir = rq->keep && rq->folder ? rq->folder : mirror ? NULL : cache_folder(cache);
    source.offline = !rq->fetch;
    if (source.offline && (!source.dir || access(source.dir, F_OK) < 0))
        source.dir = NULL;
    else if (source.dir && !rq->keep)
        make_parents(source.dir);
    return look(rq, &source, evidence, rq->keep || rq->revocation, &out->found);
}

/* ---- together ---- */

static void merge(struct material *out)
{
    const struct supply *const from[] = { &out->kept, &out->found };
    const struct tdx_prepared_collateral *tdx = out->tdx;
    for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
        cert_files_add(&out->certs, from[i]->cert, from[i]->certs);
        if (!out->crl && from[i]->crl && X509_CRL_up_ref(from[i]->crl) == 1)
            out->crl = from[i]->crl;
        if (from[i]->tdx.object) /* of this platform; of the vendor, if the folder's was not enough */
            tdx = from[i]->tdx.object;
    }
    out->view = (struct verify_material){
        .certs = out->certs.list, .certs_n = out->certs.n, .snp_crl = out->crl, .tdx = tdx
    };
}

/* What a user gave as loose files may be all that is due: certificates are not asked for then. */
static bool given(const struct supply_evidence *evidence, const struct material *m)
{
    const struct verify_material view = { .certs = m->certs.list, .certs_n = m->certs.n };
    return evidence->tee == TEE_SEV_SNP ? verify_material_has_vek(&view, evidence->tee_report)
                                        : evidence->tee == TEE_TDX && m->tdx;
}

static bool enough(const struct supply *s, bool folder, bool revocation)
{
    size_t optional = 0;
    for (size_t i = 0; !revocation && i < s->absent_n; i++)
        optional += !strcmp(s->absent[i].what, SUPPLY_ABSENT_CRL);
    return folder && s->absent_n == optional && !s->tdx_expired;
}

int material_add(const struct material_request *request, const struct supply_evidence *evidence,
                 struct material *out)
{
    AUTO(trusted_done) struct trusted trusted = { 0 };
    struct err err = { 0 };
    bool folder = request->folder && !request->keep;
    bool revocation = request->revocation && evidence->tee == TEE_SEV_SNP && !out->crl;
    bool due = supply_due(evidence) || revocation;
    int rc = 0;
    if (!folder && !due && !request->keep)
        return 0;
    if (fill_trusted(request->trust, &trusted, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, "built-in roots", "cannot be used", &err);
    if (folder)
        rc = look_in_folder(request, evidence, &trusted.pool, out);
    bool further = (request->fetch || request->cache) && !enough(&out->kept, folder, revocation)
                   && (request->keep || revocation || (supply_due(evidence) && !given(evidence, out)));
    if (!rc && further)
        rc = look_further(request, evidence, &trusted.pool, out);
    merge(out);
    if (further) {
        out->view.absent = out->found.absent;
        out->view.absent_n = out->found.absent_n;
    }
    return rc;
}
