#include "tee/vek.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/file.h"
#include "tee/cert_table.h"
#include "tee/vek_cert.h"
#include "tee/vek_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a report wants ---- */

/* Version 2 reports do not name the product: this machine's CPU does, unless the hypervisor hides it. */
static enum snp_product local_product(const struct vek_store *s)
{
    uint32_t r[4] = { 0 };
    if (s->l->cpuid.get)
        s->l->cpuid.get(s->l->cpuid.ctx, 1, 0, r);
    uint32_t family = (r[0] >> 8 & 0xF) + (r[0] >> 20 & 0xFF),
             model = (r[0] >> 12 & 0xF0) | (r[0] >> 4 & 0xF);
    return snp_product_of((uint8_t)family, (uint8_t)model);
}

static void set_products(const struct vek_store *s, const struct snp_report *report, struct vek_key *key)
{
    enum snp_product p = report->product != SNP_UNKNOWN ? report->product : local_product(s);
    if (p != SNP_UNKNOWN) {
        key->product[0] = p;
        key->products = 1;
    } else {
        key->product[0] = SNP_MILAN; /* layout and length of the chip id are the same for both */
        key->product[1] = SNP_GENOA;
        key->products = 2;
    }
}

int vek_key_of(const struct vek_store *s, struct bytes report, struct vek_key *out, struct err *err)
{
    struct snp_report r;
    char chip[2 * 64 + 1], tcb[2 * 8 + 1];
    if (snp_report_parse(report, &r, err) < 0)
        return -1;
    struct vek_key key = { .signing_key = r.signing_key, .chip_known = !bytes_zero(r.chip_id) };
    if (r.mask_chip_key || r.signing_key == SNP_KEY_NONE)
        return err_set(err, ERR_NOT_FOUND, 0, "the report is not signed (%s): there is no certificate for it",
                       r.mask_chip_key ? "the host masks the chip key" : "signing key \"none\"");
    if (r.signing_key != SNP_KEY_VCEK && r.signing_key != SNP_KEY_VLEK)
        return err_set(err, ERR_NOT_FOUND, 0, "the report names an unknown signing key, %u", r.signing_key);
    set_products(s, &r, &key);
    memcpy(key.tcb, r.reported_tcb.p, sizeof(key.tcb));
    memcpy(key.chip_id, r.chip_id.p, sizeof(key.chip_id));
    hex_to(chip, bytes_of(key.chip_id, key.chip_known ? snp_chip_id_size(key.product[0]) : 0));
    hex_to(tcb, bytes_of(key.tcb, sizeof(key.tcb)));
    if (path_set(key.name, sizeof(key.name), err, "%s-%s-%s-%s", snp_signing_key_name(key.signing_key),
                 snp_product_name(key.product[0]), chip, tcb)
        < 0)
        return -1;
    *out = key;
    return 0;
}

static bool tcb_equal(const struct snp_tcb *a, const struct snp_tcb *b)
{
    return snp_tcb_at_least(a, b) && snp_tcb_at_least(b, a);
}

int vek_fits(const struct vek_key *key, const X509 *cert, struct err *err)
{
    struct vek_cert v = { 0 };
    if (vek_cert_parse(cert, &v, err) < 0)
        return -1;
    bool vlek = v.csp_id[0] != '\0', product = false;
    if (vlek != (key->signing_key == SNP_KEY_VLEK))
        return err_set(err, ERR_IO, 0, "a %s certificate, but the report is signed by a %s",
                       vlek ? "VLEK" : "VCEK", vlek ? "VCEK" : "VLEK");
    for (size_t i = 0; i < key->products; i++)
        product = product || v.product == key->product[i];
    if (!product)
        return err_set(err, ERR_IO, 0, "a certificate of product \"%.20s\", the report's is %s",
                       v.product_name, snp_product_name(key->product[0]));
    struct snp_tcb want = snp_tcb_decode(v.product, bytes_of(key->tcb, sizeof(key->tcb)));
    if (!tcb_equal(&v.tcb, &want))
        return err_set(err, ERR_IO, 0, "a certificate for another TCB than the report's");
    if (!vlek && key->chip_known
        && (!bytes_equal(v.hwid, bytes_of(key->chip_id, v.hwid.n))
            || !bytes_zero(bytes_of(key->chip_id + v.hwid.n, sizeof(key->chip_id) - v.hwid.n))))
        return err_set(err, ERR_IO, 0, "a certificate of another chip than the report's");
    return 0;
}

/* ---- signatures and the pool ---- */

bool cert_signed_by(X509 *child, X509 *parent)
{
    EVP_PKEY *key = X509_get0_pubkey(parent);
    return X509_NAME_cmp(X509_get_issuer_name(child), X509_get_subject_name(parent)) == 0 && key
           && X509_verify(child, key) == 1;
}

static bool self_issued(const X509 *cert)
{
    return X509_NAME_cmp(X509_get_issuer_name(cert), X509_get_subject_name(cert)) == 0;
}

size_t pool_chain(const struct vek_store *s, X509 *leaf, X509 **out, size_t max)
{
    X509 *at = leaf;
    for (size_t n = 0; n < max;) {
        X509 *issuer = NULL;
        for (size_t i = 0; i < s->pool_n && !issuer; i++)
            if (cert_signed_by(at, s->pool[i]))
                issuer = s->pool[i];
        if (!issuer)
            return 0;
        out[n++] = at = issuer;
        if (self_issued(issuer))
            return n;
    }
    return 0;
}

/* ---- lookup ---- */

void vek_certs_done(struct vek_certs *c)
{
    buf_done(&c->vek);
    buf_done(&c->chain[0]);
    buf_done(&c->chain[1]);
    c->chain_n = 0;
}

static bool table_cert(const struct cert_table *t, enum cert_kind kind, X509 **out)
{
    struct bytes data;
    return cert_table_find(t, kind, &data) && x509_parse(data, out, NULL) == 0;
}

/* The host's own chain is taken only if it signs the VEK; the verifier decides whether its root counts. */
static bool table_chain(const struct cert_table *t, X509 *vek, struct vek_certs *out)
{
    X509 *chain[VEK_CHAIN_CERTS] = { 0 };
    bool good = table_cert(t, CERT_ASK, &chain[0]) && table_cert(t, CERT_ARK, &chain[1])
                && cert_signed_by(vek, chain[0]) && cert_signed_by(chain[0], chain[1])
                && certs_fill(vek, chain, out, NULL) == 0;
    certs_drop(chain, VEK_CHAIN_CERTS);
    return good;
}

static int from_table(const struct vek_store *s, const struct vek_key *key, struct bytes raw,
                      struct vek_certs *out, struct err *why)
{
    AUTO(x509_drop) X509 *vek = NULL;
    struct cert_table t = { 0 };
    bool vlek = key->signing_key == SNP_KEY_VLEK;
    if (cert_table_parse(raw, &t, why) < 0)
        return err_while(why, "read the host's certificate table");
    if (!table_cert(&t, vlek ? CERT_VLEK : CERT_VCEK, &vek))
        return err_set(why, ERR_NOT_FOUND, 0, "the host's certificate table has no %s",
                       vlek ? "VLEK" : "VCEK");
    if (vek_fits(key, vek, why) < 0)
        return err_while(why, "look at the host's certificate table");
    if (table_chain(&t, vek, out) || chain_find(s, key, vek, out))
        return 0;
    return certs_fill(vek, NULL, out, why);
}

static bool from_disk(const struct vek_store *s, const struct vek_key *key, struct vek_certs *out)
{
    AUTO(x509_drop) X509 *vek = NULL;
    if (disk_get(s, key->name, &vek, 1) != 1 || vek_fits(key, vek, NULL) < 0)
        return false;
    return chain_find(s, key, vek, out) || certs_fill(vek, NULL, out, NULL) == 0;
}

static void say_missing(const struct vek_key *key, bool had_table, const struct err *table, struct err *why)
{
    const char *name = key->signing_key == SNP_KEY_VLEK ? "VLEK" : "VCEK";
    if (had_table)
        err_set(why, ERR_NOT_FOUND, 0, "no %s certificate: %s", name, table->cause);
    else
        err_set(why, ERR_NOT_FOUND, 0,
                "no %s certificate: the host gave none with the report, and none is cached%s", name,
                key->signing_key == SNP_KEY_VLEK ? "; a VLEK certificate comes from the host only"
                : !key->chip_known               ? "; the chip id is masked, so it cannot be fetched"
                                                 : "");
}

static void count(struct vek_store *s, uint64_t *counter)
{
    pthread_mutex_lock(&s->lock);
    ++*counter;
    pthread_mutex_unlock(&s->lock);
}

int vek_lookup(struct vek_store *s, struct bytes report, struct bytes cert_table, struct vek_certs *out,
               struct err *why)
{
    struct vek_key key = { 0 };
    struct err table_why = { 0 };
    uint8_t table[STORE_DIGEST] = { 0 };
    bool has_table = !bytes_zero(cert_table);
    if (vek_key_of(s, report, &key, why) < 0)
        return -1;
    if (has_table)
        sha256(cert_table, table);
    AUTO(vek_certs_done) struct vek_certs c = { 0 };
    if (!memory_get(s, key.name, table, &c)) {
        bool found = (has_table && from_table(s, &key, cert_table, &c, &table_why) == 0)
                     || memory_get(s, key.name, NULL, &c) || from_disk(s, &key, &c);
        if (!found) {
            count(s, &s->stats.misses);
            say_missing(&key, has_table, &table_why, why);
            return -1;
        }
        memory_put(s, key.name, table, &c);
    }
    count(s, &s->stats.hits);
    if (c.chain_n == 0)
        err_set(why, ERR_NOT_FOUND, 0,
                "no certificates above the %s: neither built in, nor given by the host",
                snp_signing_key_name(key.signing_key));
    *out = c;
    c = (struct vek_certs){ 0 };
    return 0;
}

/* ---- life ---- */

static int fill_pool(struct vek_store *s, const struct chain_pool *pool, struct err *err)
{
    for (size_t i = 0; pool && i < pool->n; i++) {
        if (s->pool_n == CHAIN_POOL_MAX)
            return err_set(err, ERR_TOO_LARGE, 0, "more than %d chain certificates", CHAIN_POOL_MAX);
        if (x509_parse(pool->der[i], &s->pool[s->pool_n], err) < 0)
            return err_while(err, "read the built-in chain certificates");
        s->pool_n++;
    }
    return 0;
}

int vek_store_new(const struct lower *l, const char *cache_dir, const struct chain_pool *pool,
                  struct vek_store **out, struct err *err)
{
    struct vek_store *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the certificate store");
    pthread_mutex_init(&s->lock, NULL);
    s->l = l;
    if (cache_dir
        && (dir_make(cache_dir, 0700, NULL) < 0
            || path_set(s->cache_dir, sizeof(s->cache_dir), NULL, "%s", cache_dir) < 0))
        s->cache_dir[0] = '\0';
    if (fill_pool(s, pool, err) < 0 || flights_new(&s->flights, err) < 0) {
        vek_store_free(s);
        return -1;
    }
    *out = s;
    return 0;
}

void vek_store_free(struct vek_store *s)
{
    if (!s)
        return;
    atomic_store(&s->stopping, true);
    flights_free(s->flights);
    certs_drop(s->pool, s->pool_n);
    for (size_t i = 0; i < VEK_MEMORY_MAX; i++)
        vek_certs_done(&s->vek[i].certs);
    for (size_t i = 0; i < AK_MEMORY_MAX; i++)
        ak_chain_done(&s->ak[i].chain);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void vek_stats_get(struct vek_store *s, struct vek_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    pthread_mutex_unlock(&s->lock);
}
