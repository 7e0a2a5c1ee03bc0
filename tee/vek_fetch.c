/* Fetching VEK certificates and chains. Source: AMD 57230, chapter 4 (KDS interface); Azure THIM. */
#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "tee/azure.h"
#include "tee/vek_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- chains without the network ---- */

int certs_fill(X509 *vek, X509 *const *chain, struct vek_certs *out, struct err *err)
{
    AUTO(vek_certs_done)
    struct vek_certs c = { buf_new(CERT_MAX), { buf_new(CERT_MAX), buf_new(CERT_MAX) }, 0 };
    if (x509_put_der(vek, &c.vek, err) < 0)
        return -1;
    for (; chain && c.chain_n < VEK_CHAIN_CERTS; c.chain_n++)
        if (x509_put_der(chain[c.chain_n], &c.chain[c.chain_n], err) < 0)
            return -1;
    *out = c;
    c = (struct vek_certs){ 0 };
    return 0;
}

/* The product that the certificate itself belongs to: the key of its chain. vek_fits() has accepted it. */
static int chain_name(const struct vek_key *key, enum snp_product product, char *out, size_t size)
{
    return path_set(out, size, NULL, "chain-%s-%s", snp_signing_key_name(key->signing_key),
                    snp_product_name(product));
}

static bool signs(X509 *vek, X509 *const chain[VEK_CHAIN_CERTS])
{
    return cert_signed_by(vek, chain[0]) && cert_signed_by(chain[0], chain[1]);
}

static bool chain_on_disk(const struct vek_store *s, const char *name, X509 *vek, struct vek_certs *out)
{
    X509 *chain[VEK_CHAIN_CERTS] = { 0 };
    bool good = disk_get(s, name, chain, VEK_CHAIN_CERTS) == VEK_CHAIN_CERTS && signs(vek, chain)
                && certs_fill(vek, chain, out, NULL) == 0;
    certs_drop(chain, VEK_CHAIN_CERTS);
    return good;
}

bool chain_find(const struct vek_store *s, const struct vek_key *key, X509 *vek, struct vek_certs *out)
{
    X509 *chain[VEK_CHAIN_CERTS];
    char name[64];
    if (pool_chain(s, vek, chain, VEK_CHAIN_CERTS) == VEK_CHAIN_CERTS)
        return certs_fill(vek, chain, out, NULL) == 0;
    for (size_t i = 0; i < key->products; i++)
        if (chain_name(key, key->product[i], name, sizeof(name)) == 0 && chain_on_disk(s, name, vek, out))
            return true;
    return false;
}

/* ---- KDS ---- */

int vek_store_download(const struct vek_store *s, const char *url, struct buf *body, unsigned *retry_after_s,
                       struct err *err)
{
    AUTO(http_response_done) struct http_response r = { 0 };
    struct http_request q = { .method = "GET",
                              .url = url,
                              .deadline_ms = VEK_REQUEST_MS,
                              .max_body = STORE_FILE_MAX,
                              .cancel = &s->stopping };
    if (atomic_load(&s->stopping))
        return err_set(err, ERR_UNAVAILABLE, 0, "shutting down");
    if (http_perform(&s->l->http, &q, &r, err) < 0)
        return -1;
    if (r.status != 200) {
        if (r.retry_after_s > *retry_after_s)
            *retry_after_s = r.retry_after_s;
        return err_set(err, r.status == 404 ? ERR_NOT_FOUND : ERR_UNAVAILABLE, r.status,
                       "%.120s answered with status %u%s", url, r.status,
                       r.status == 429 ? " (too many requests)" : "");
    }
    buf_put(body, buf_bytes(&r.body));
    return buf_check(body, "certificate answer", err);
}

/* 128 hex digits of chip id (16 on Turin, which also has an FMC), the components as two decimal digits. */
static int leaf_url(const struct vek_store *s, const struct vek_key *key, enum snp_product product, char *out,
                    size_t size, struct err *err)
{
    char chip[2 * 64 + 1], fmc[16] = "";
    struct snp_tcb tcb = snp_tcb_decode(product, bytes_of(key->tcb, sizeof(key->tcb)));
    hex_to(chip, bytes_of(key->chip_id, snp_chip_id_size(product)));
    if (tcb.has_fmc)
        snprintf(fmc, sizeof(fmc), "&fmcSPL=%02u", tcb.fmc);
    return path_set(out, size, err, "%s/vcek/v1/%s/%s?blSPL=%02u&teeSPL=%02u&snpSPL=%02u&ucodeSPL=%02u%s",
                    s->l->kds_url, snp_product_name(product), chip, tcb.bootloader, tcb.tee, tcb.snp,
                    tcb.microcode, fmc);
}

static int kds_leaf(const struct vek_store *s, const struct vek_key *key, X509 **out, unsigned *retry_after_s,
                    struct err *err)
{
    char url[STORE_URL_MAX];
    int rc = -1;
    for (size_t i = 0; i < key->products; i++) {
        AUTO(buf_done) struct buf body = buf_new(STORE_FILE_MAX);
        if (leaf_url(s, key, key->product[i], url, sizeof(url), err) < 0)
            return -1;
        rc = vek_store_download(s, url, &body, retry_after_s, err);
        if (rc < 0 && err->kind == ERR_NOT_FOUND)
            continue; /* perhaps the other product's chip */
        if (rc < 0)
            return -1;
        AUTO(x509_drop) X509 *cert = NULL;
        if (x509_parse(buf_bytes(&body), &cert, err) < 0 || vek_fits(key, cert, err) < 0)
            return err_while(err, "take the answer of the AMD KDS");
        *out = MOVE(cert);
        return 0;
    }
    return rc;
}

static int kds_chain(const struct vek_store *s, const struct vek_key *key, X509 *vek, X509 **chain,
                     unsigned *retry_after_s, struct err *err)
{
    char url[STORE_URL_MAX];
    for (size_t i = 0; i < key->products; i++) {
        AUTO(buf_done) struct buf body = buf_new(STORE_FILE_MAX);
        if (path_set(url, sizeof(url), err, "%s/%s/v1/%s/cert_chain", s->l->kds_url,
                     snp_signing_key_name(key->signing_key), snp_product_name(key->product[i]))
                < 0
            || vek_store_download(s, url, &body, retry_after_s, err) < 0)
            return -1;
        int n = x509_parse_chain(buf_bytes(&body), chain, VEK_CHAIN_CERTS, err);
        if (n == VEK_CHAIN_CERTS && signs(vek, chain))
            return 0;
        certs_drop(chain, n > 0 ? (size_t)n : 0);
        if (n >= 0)
            err_set(err, ERR_IO, 0, "the AMD KDS gave a chain that does not sign the certificate");
    }
    return err_while(err, "take the chain of the AMD KDS");
}

/* ---- a flight ---- */

struct fetch {
    struct vek_store *s;
    struct vek_key key;
    bool thim;
};

static int thim_certs(const struct fetch *f, X509 **vek, X509 **chain, size_t *chain_n,
                      unsigned *retry_after_s, struct err *err)
{
    AUTO(azure_thim_done) struct azure_thim t = { 0 };
    AUTO(x509_drop) X509 *cert = NULL;
    if (azure_thim(f->s->l, AZURE_IMDS_MS, &t, retry_after_s, err) < 0
        || x509_parse(buf_bytes(&t.vcek), &cert, err) < 0 || vek_fits(&f->key, cert, err) < 0)
        return err_while(err, "take the answer of Azure THIM");
    X509 *found[VEK_CHAIN_CERTS] = { 0 };
    if (x509_parse(buf_bytes(&t.chain[0]), &found[0], NULL) == 0
        && x509_parse(buf_bytes(&t.chain[1]), &found[1], NULL) == 0 && signs(cert, found)) {
        memcpy(chain, found, sizeof(found));
        *chain_n = VEK_CHAIN_CERTS;
    } else {
        certs_drop(found, VEK_CHAIN_CERTS);
    }
    *vek = MOVE(cert);
    return 0;
}

/* The leaf: what is there already (only its chain is missing then), THIM, KDS. */
static int get_leaf(const struct fetch *f, X509 **vek, X509 **chain, size_t *chain_n, unsigned *retry_after_s,
                    struct err *err)
{
    AUTO(vek_certs_done) struct vek_certs known = { 0 };
    if (memory_get(f->s, f->key.name, NULL, &known))
        return x509_parse(buf_bytes(&known.vek), vek, err);
    if (f->thim && thim_certs(f, vek, chain, chain_n, retry_after_s, err) == 0)
        return 0;
    if (f->key.signing_key == SNP_KEY_VLEK || !f->key.chip_known)
        return f->thim ? -1 : err_set(err, ERR_NOT_FOUND, 0, "nothing names the certificate to the AMD KDS");
    return kds_leaf(f->s, &f->key, vek, retry_after_s, err);
}

/* Memory first, the leaf on disk last: who looks meanwhile finds all or nothing. */
static void keep(const struct fetch *f, X509 *vek, X509 *const *chain, bool fetched_chain,
                 const struct vek_certs *certs)
{
    static const uint8_t no_table[STORE_DIGEST];
    char name[64];
    memory_put(f->s, f->key.name, no_table, certs);
    for (size_t i = 0; fetched_chain && i < f->key.products; i++)
        if (chain_name(&f->key, f->key.product[i], name, sizeof(name)) == 0)
            disk_put(f->s, name, chain, VEK_CHAIN_CERTS);
    disk_put(f->s, f->key.name, &vek, 1);
}

static int fetch_all(const struct fetch *f, unsigned *retry_after_s, struct err *err)
{
    AUTO(x509_drop) X509 *vek = NULL;
    AUTO(vek_certs_done) struct vek_certs certs = { 0 };
    X509 *chain[VEK_CHAIN_CERTS] = { 0 };
    size_t chain_n = 0;
    if (get_leaf(f, &vek, chain, &chain_n, retry_after_s, err) < 0)
        return -1;
    int rc = 0;
    if (chain_n == 0 && chain_find(f->s, &f->key, vek, &certs)) {
        keep(f, vek, chain, false, &certs);
        return 0;
    }
    if (chain_n == 0 && (rc = kds_chain(f->s, &f->key, vek, chain, retry_after_s, err)) == 0)
        chain_n = VEK_CHAIN_CERTS;
    if (certs_fill(vek, chain_n ? chain : NULL, &certs, rc == 0 ? err : NULL) == 0)
        keep(f, vek, chain, chain_n != 0, &certs); /* the leaf is kept even when its chain failed */
    certs_drop(chain, chain_n);
    return rc;
}

static int attempt(void *arg, unsigned *retry_after_s, struct err *err)
{
    const struct fetch *f = arg;
    int rc = fetch_all(f, retry_after_s, err);
    pthread_mutex_lock(&f->s->lock);
    f->s->stats.requests++;
    f->s->stats.failures += rc != 0;
    pthread_mutex_unlock(&f->s->lock);
    return rc;
}

/* Whether there is anything to ask, and somebody to ask it. */
static int fetchable(struct vek_store *s, struct bytes report, bool thim, struct vek_key *key,
                     struct err *err)
{
    AUTO(vek_certs_done) struct vek_certs known = { 0 };
    if (vek_key_of(s, report, key, err) < 0)
        return -1;
    bool leaf_known = memory_get(s, key->name, NULL, &known);
    if (key->signing_key == SNP_KEY_VLEK && !leaf_known)
        return err_set(err, ERR_NOT_FOUND, 0,
                       "a VLEK certificate comes from the host only, and it gave none");
    if (!key->chip_known && key->signing_key == SNP_KEY_VCEK && !leaf_known && !thim)
        return err_set(err, ERR_NOT_FOUND, 0,
                       "the report's chip id is masked: the AMD KDS cannot be asked for its certificate");
    return 0;
}

int vek_fetch_now(struct vek_store *s, struct bytes report, bool thim, unsigned *retry_after_s,
                  struct err *err)
{
    struct fetch f = { .s = s, .thim = thim };
    return fetchable(s, report, thim, &f.key, err) < 0 ? -1 : attempt(&f, retry_after_s, err);
}

int vek_fetch(struct vek_store *s, struct bytes report, bool thim, unsigned deadline_ms, vek_done_fn *done,
              void *arg, struct err *err)
{
    struct vek_key key;
    if (fetchable(s, report, thim, &key, err) < 0)
        return -1;
    struct fetch *f = malloc(sizeof(*f));
    if (!f)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a fetch");
    *f = (struct fetch){ s, key, thim };
    return flights_join(s->flights, key.name, (struct flight_task){ attempt, free, f }, deadline_ms, done,
                        arg, err);
}
