/* Certificates: VEKs and the issuers of attestation keys, over the stores that the attester uses too. */
#include "base/auto.h"
#include "base/file.h"
#include "tee/collateral_internal.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files with names of a user's own ---- */

struct loose {
    X509 *cert[COLLATERAL_LOOSE_MAX];
    size_t n;
};

static void loose_done(struct loose *l)
{
    certs_drop(l->cert, l->n);
}

static bool has_cert_suffix(const char *name)
{
    static const char *const suffixes[] = { ".der", ".crt", ".cer", ".pem" };
    size_t n = strlen(name);
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
        if (n > 4 && !strcasecmp(name + n - 4, suffixes[i]))
            return true;
    return false;
}

/* Only regular files: opening anything else may block. */
static void add_file(struct loose *l, const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    AUTO(free_u8) uint8_t *p = NULL;
    size_t size = 0;
    if (!has_cert_suffix(name) || path_set(path, sizeof(path), NULL, "%s/%s", dir, name) < 0
        || stat(path, &st) < 0 || !S_ISREG(st.st_mode)
        || file_read(path, STORE_FILE_MAX, &p, &size, NULL) < 0)
        return;
    int n = x509_parse_chain(bytes_of(p, size), l->cert + l->n, COLLATERAL_LOOSE_MAX - l->n, NULL);
    l->n += n > 0 ? (size_t)n : 0;
}

static void read_loose(const char *dir, struct loose *l)
{
    DIR *d = opendir(dir);
    size_t seen = 0;
    for (struct dirent *e; d && (e = readdir(d)) && seen < COLLATERAL_FILES_MAX; seen++)
        if (l->n < COLLATERAL_LOOSE_MAX)
            add_file(l, dir, e->d_name);
    if (d)
        closedir(d);
}

static X509 *issuer_in(const struct loose *l, X509 *child)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->cert[i] != child && cert_signed_by(child, l->cert[i]))
            return l->cert[i];
    return NULL;
}

/* By the pool or the named files, else by the loose files. */
static bool with_chain(struct collateral_service *c, const struct vek_key *key, const struct loose *l,
                       X509 *vek, struct vek_certs *out)
{
    X509 *chain[VEK_CHAIN_CERTS] = { issuer_in(l, vek), NULL };
    if (chain_find(c->veks, key, vek, out))
        return true;
    chain[1] = chain[0] ? issuer_in(l, chain[0]) : NULL;
    return certs_fill(vek, chain[1] ? chain : NULL, out, NULL) == 0;
}

static bool loose_vek(struct collateral_service *c, const struct vek_key *key, struct vek_certs *out)
{
    AUTO(loose_done) struct loose l = { 0 };
    if (!c->cache.dir[0])
        return false;
    read_loose(c->cache.dir, &l);
    for (size_t i = 0; i < l.n; i++) {
        struct err ignored = { 0 };
        if (vek_fits(key, l.cert[i], &ignored) == 0)
            return with_chain(c, key, &l, l.cert[i], out);
    }
    return false;
}

/* ---- VEKs ---- */

/* A file that says it is this key's certificate, but is signed by nobody who may: damaged, or foreign. With
 * no built-in certificates nobody can tell. */
static void drop_damaged(struct collateral_service *c, const struct vek_key *key)
{
    char path[PATH_MAX];
    AUTO(x509_drop) X509 *vek = NULL;
    AUTO(vek_certs_done) struct vek_certs known = { 0 };
    struct err ignored = { 0 };
    if (c->source.offline || !c->cache.dir[0] || !c->veks->pool_n
        || memory_get(c->veks, key->name, NULL, &known)
        || path_set(path, sizeof(path), NULL, "%s/%s.der", c->cache.dir, key->name) < 0)
        return;
    bool there = access(path, F_OK) == 0;
    if (there
        && (disk_get(c->veks, key->name, &vek, 1) != 1 || vek_fits(key, vek, &ignored) < 0
            || !chain_find(c->veks, key, vek, &known)))
        unlink(path);
}

/* What a service answers wrongly is the service's failure, not the caller's. */
static int service_failed(struct err *err)
{
    if (err->kind != ERR_NOT_FOUND)
        err->kind = ERR_UNAVAILABLE;
    return -1;
}

static int attempt_vek(struct collateral_service *c, const void *what, void *out, unsigned *retry_after_s,
                       struct err *err)
{
    (void)out;
    int rc =
        vek_fetch_now(c->veks, *(const struct bytes *)what, c->source.thim_url != NULL, retry_after_s, err);
    return rc < 0 ? service_failed(err) : 0;
}

/* Without the network. */
static bool kept_vek(struct collateral_service *c, const struct vek_key *key, struct bytes report,
                     struct vek_certs *out)
{
    static const uint8_t no_table[STORE_DIGEST];
    struct err ignored = { 0 };
    if (vek_lookup(c->veks, report, bytes_of(NULL, 0), out, &ignored) == 0)
        return true;
    if (!loose_vek(c, key, out))
        return false;
    memory_put(c->veks, key->name, no_table, out);
    return true;
}

int collateral_vek(struct collateral_service *c, struct bytes report, struct vek_certs *out, struct err *err)
{
    struct vek_key key;
    AUTO(vek_certs_done) struct vek_certs certs = { 0 };
    if (vek_key_of(c->veks, report, &key, err) < 0)
        return -1;
    drop_damaged(c, &key);
    bool found = kept_vek(c, &key, report, &certs);
    if (!found && c->source.offline)
        return err_set(err, ERR_NOT_FOUND, 0, "%.60s... is not in %.150s", key.name,
                       c->cache.dir[0] ? c->cache.dir : "memory, and there is no folder");
    if ((!found || !certs.chain_n) && !c->source.offline) {
        int rc = collateral_fly(c, key.name, attempt_vek, &report, NULL, err);
        if (rc < 0 && !found)
            return -1;
        vek_certs_done(&certs);
        if (!kept_vek(c, &key, report, &certs))
            return err_set(err, ERR_IO, 0, "the certificate was fetched, and could not be kept");
    }
    *out = certs;
    certs = (struct vek_certs){ 0 };
    return 0;
}

/* ---- attestation keys ---- */

static int attempt_ak(struct collateral_service *c, const void *what, void *out, unsigned *retry_after_s,
                      struct err *err)
{
    (void)out;
    int rc = ak_chain_fetch_now(c->veks, *(const struct bytes *)what, retry_after_s, err);
    return rc < 0 ? service_failed(err) : 0;
}

int collateral_ak_chain(struct collateral_service *c, struct bytes leaf, struct ak_chain *out,
                        struct err *err)
{
    char name[FLIGHT_KEY_SIZE];
    struct err why = { 0 };
    if (ak_chain_get(c->veks, leaf, out, &why) == 0)
        return 0;
    if (why.kind != ERR_NOT_FOUND || c->source.offline) {
        *err = why;
        return -1;
    }
    if (ak_chain_name(leaf, name, err) < 0 || collateral_fly(c, name, attempt_ak, &leaf, NULL, err) < 0)
        return -1;
    return ak_chain_get(c->veks, leaf, out, err);
}

/* ---- one folder, no network ---- */

static int open_folder(const char *dir, const struct chain_pool *pool, time_t at,
                       struct collateral_service **out, struct err *err)
{
    const struct collateral_source source = {
        .dir = dir, .offline = true, .allow_expired = true, .at = at, .pool = pool
    };
    return collateral_new(&source, out, err);
}

int collateral_dir_vek(const char *dir, const struct chain_pool *pool, struct bytes report,
                       struct vek_certs *out, struct err *err)
{
    AUTO(collateral_drop) struct collateral_service *c = NULL;
    return open_folder(dir, pool, 0, &c, err) < 0 ? -1 : collateral_vek(c, report, out, err);
}

int collateral_dir_ak_chain(const char *dir, const struct chain_pool *pool, struct bytes leaf,
                            struct ak_chain *out, struct err *err)
{
    AUTO(collateral_drop) struct collateral_service *c = NULL;
    return open_folder(dir, pool, 0, &c, err) < 0 ? -1 : collateral_ak_chain(c, leaf, out, err);
}

int collateral_dir_crl(const char *dir, enum snp_product product, bool vlek, time_t at, struct buf *out,
                       struct err *err)
{
    AUTO(collateral_drop) struct collateral_service *c = NULL;
    AUTO(collateral_item_done) struct collateral_item item = { 0 };
    const struct collateral_id id = { .kind = COLLATERAL_AMD_CRL, .product = product, .vlek = vlek };
    if (open_folder(dir, NULL, at, &c, err) < 0 || collateral_get(c, &id, &item, err) < 0)
        return -1;
    *out = item.data;
    item.data = (struct buf){ 0 };
    return 0;
}

static void set_drop(struct collateral_tdx **t)
{
    if (*t)
        collateral_tdx_done(*t);
    free(*t);
}

int collateral_dir_tdx(const char *dir, struct bytes fmspc, enum collateral_ca ca,
                       struct tdx_collateral **out, struct err *err)
{
    AUTO(collateral_drop) struct collateral_service *c = NULL;
    AUTO(set_drop) struct collateral_tdx *t = calloc(1, sizeof(*t));
    if (!t)
        return err_set(err, ERR_IO, 0, "out of memory");
    if (open_folder(dir, NULL, 0, &c, err) < 0 || collateral_tdx(c, fmspc, ca, t, err) < 0)
        return -1;
    return collateral_tdx_open(t, out, err);
}
