#include "tee/ak_chain.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "tee/vek_store.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

void ak_chain_done(struct ak_chain *c)
{
    for (size_t i = 0; i < AK_CHAIN_MAX; i++)
        buf_done(&c->cert[i]);
    c->n = 0;
}

static bool is_root(const X509 *cert)
{
    return X509_NAME_cmp(X509_get_issuer_name(cert), X509_get_subject_name(cert)) == 0;
}

static int fill(X509 *const *certs, size_t n, struct ak_chain *out, struct err *err)
{
    AUTO(ak_chain_done) struct ak_chain c = { 0 };
    for (; c.n < n; c.n++) {
        c.cert[c.n] = buf_new(CERT_MAX);
        if (x509_put_der(certs[c.n], &c.cert[c.n], err) < 0)
            return -1;
    }
    *out = c;
    c = (struct ak_chain){ 0 };
    return 0;
}

/* Whether certs lead from leaf to a self-issued certificate, each signing the one before. */
static bool leads_up(X509 *leaf, X509 *const *certs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!cert_signed_by(i ? certs[i - 1] : leaf, certs[i]))
            return false;
    return n > 0 && is_root(certs[n - 1]);
}

/* ---- what is kept ---- */

static void name_of(const uint8_t leaf[static STORE_DIGEST], char out[static FLIGHT_KEY_SIZE])
{
    char hex[2 * STORE_DIGEST + 1];
    snprintf(out, FLIGHT_KEY_SIZE, "ak-%s", hex_to(hex, bytes_of(leaf, STORE_DIGEST)));
}

/* The DER alone: an NV index pads it with zeros, which must not make another leaf of it. */
static int digest_leaf(struct bytes leaf, uint8_t out[static STORE_DIGEST], X509 **cert, struct err *err)
{
    AUTO(buf_done) struct buf der = buf_new(CERT_MAX);
    AUTO(x509_drop) X509 *c = NULL;
    if (x509_parse(leaf, &c, err) < 0 || x509_put_der(c, &der, err) < 0)
        return err_while(err, "read the AK certificate");
    sha256(buf_bytes(&der), out);
    *cert = MOVE(c);
    return 0;
}

static bool ak_memory_get(struct vek_store *s, const uint8_t leaf[static STORE_DIGEST], struct ak_chain *out)
{
    AUTO(ak_chain_done) struct ak_chain c = { 0 };
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < AK_MEMORY_MAX; i++) {
        const struct ak_memory *m = &s->ak[i];
        if (m->chain.n == 0 || memcmp(m->leaf, leaf, STORE_DIGEST) != 0)
            continue;
        for (; c.n < m->chain.n; c.n++) {
            c.cert[c.n] = buf_new(CERT_MAX);
            buf_put(&c.cert[c.n], buf_bytes(&m->chain.cert[c.n]));
        }
        break;
    }
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < c.n; i++)
        if (c.cert[i].failed)
            return false;
    if (c.n == 0)
        return false;
    *out = c;
    c = (struct ak_chain){ 0 };
    return true;
}

static void ak_memory_put(struct vek_store *s, const uint8_t leaf[static STORE_DIGEST], X509 *const *certs,
                          size_t n)
{
    struct ak_chain copy;
    if (fill(certs, n, &copy, NULL) < 0)
        return;
    pthread_mutex_lock(&s->lock);
    struct ak_memory *m = &s->ak[s->ak_next];
    s->ak_next = (s->ak_next + 1) % AK_MEMORY_MAX;
    ak_chain_done(&m->chain);
    m->chain = copy;
    memcpy(m->leaf, leaf, STORE_DIGEST);
    pthread_mutex_unlock(&s->lock);
}

int ak_chain_get(struct vek_store *s, struct bytes leaf, struct ak_chain *out, struct err *why)
{
    AUTO(x509_drop) X509 *cert = NULL;
    X509 *chain[AK_CHAIN_MAX] = { 0 };
    uint8_t digest[STORE_DIGEST];
    char name[FLIGHT_KEY_SIZE];
    if (digest_leaf(leaf, digest, &cert, why) < 0)
        return -1;
    if (ak_memory_get(s, digest, out))
        return 0;
    size_t n = pool_chain(s, cert, chain, AK_CHAIN_MAX);
    if (n) {
        ak_memory_put(s, digest, chain, n);
        return fill(chain, n, out, why);
    }
    name_of(digest, name);
    n = disk_get(s, name, chain, AK_CHAIN_MAX);
    int rc = leads_up(cert, chain, n)
                 ? fill(chain, n, out, why)
                 : err_set(why, ERR_NOT_FOUND, 0,
                           "the certificates above the AK certificate are neither built in "
                           "nor cached yet");
    if (rc == 0)
        ak_memory_put(s, digest, chain, n);
    certs_drop(chain, n);
    return rc;
}

/* ---- fetching by the address in the certificate ---- */

/* The certificate comes from the host, which must not make us call services of this VM: only a name with a
 * domain is asked, no IP address, port or user. What it answers is checked by signature. */
static bool harmless_url(struct bytes url)
{
    static const char scheme[] = "http://";
    size_t at = sizeof(scheme) - 1, last_dot = 0;
    if (url.n >= STORE_URL_MAX || url.n <= at || memcmp(url.p, scheme, at) != 0)
        return false;
    size_t host = at;
    for (; at < url.n && url.p[at] != '/'; at++) {
        uint8_t c = url.p[at];
        if (c == '.')
            last_dot = at;
        else if (!isalnum(c) && c != '-')
            return false;
    }
    if (last_dot <= host || last_dot + 1 >= at || !isalpha(url.p[last_dot + 1]))
        return false;
    for (; at < url.n; at++)
        if (!isgraph(url.p[at]))
            return false;
    return true;
}

/* The first caIssuers address over plain http. */
static bool issuer_url(X509 *cert, char out[static STORE_URL_MAX])
{
    bool found = false;
    AUTHORITY_INFO_ACCESS *aia = X509_get_ext_d2i(cert, NID_info_access, NULL, NULL);
    for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(aia) && !found; i++) {
        const ACCESS_DESCRIPTION *d = sk_ACCESS_DESCRIPTION_value(aia, i);
        if (OBJ_obj2nid(d->method) != NID_ad_ca_issuers || d->location->type != GEN_URI)
            continue;
        const ASN1_IA5STRING *uri = d->location->d.uniformResourceIdentifier;
        struct bytes text = bytes_of(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri));
        if (harmless_url(text)) {
            memcpy(out, text.p, text.n);
            out[text.n] = '\0';
            found = true;
        }
    }
    AUTHORITY_INFO_ACCESS_free(aia);
    return found;
}

struct ak_fetch {
    struct vek_store *s;
    X509 *leaf;
    uint8_t digest[STORE_DIGEST];
};

static void drop(void *arg)
{
    struct ak_fetch *f = arg;
    X509_free(f->leaf);
    free(f);
}

static int fetch_issuer(const struct vek_store *s, X509 *child, X509 **out, unsigned *retry_after_s,
                        struct err *err)
{
    char url[STORE_URL_MAX];
    AUTO(buf_done) struct buf body = buf_new(STORE_FILE_MAX);
    AUTO(x509_drop) X509 *issuer = NULL;
    if (!issuer_url(child, url))
        return err_set(err, ERR_NOT_FOUND, 0,
                       "a certificate above the AK names no http address of its issuer");
    if (vek_store_download(s, url, &body, retry_after_s, err) < 0
        || x509_parse(buf_bytes(&body), &issuer, err) < 0)
        return err_while(err, "fetch an issuer's certificate");
    if (!cert_signed_by(child, issuer))
        return err_set(err, ERR_IO, 0, "%.120s gave a certificate that does not sign the one below", url);
    *out = MOVE(issuer);
    return 0;
}

/* Upwards until the pool takes over or a self-issued certificate is reached. */
static int climb(const struct ak_fetch *f, X509 **chain, size_t *n, unsigned *retry_after_s, struct err *err)
{
    X509 *at = f->leaf, *known[AK_CHAIN_MAX];
    while (*n < AK_CHAIN_MAX) {
        size_t rest = pool_chain(f->s, at, known, AK_CHAIN_MAX - *n);
        for (size_t i = 0; i < rest; i++) {
            X509_up_ref(known[i]);
            chain[(*n)++] = known[i];
        }
        if (rest)
            return 0;
        if (fetch_issuer(f->s, at, &chain[*n], retry_after_s, err) < 0)
            return -1;
        at = chain[(*n)++];
        if (is_root(at))
            return 0;
    }
    return err_set(err, ERR_TOO_LARGE, 0, "more than %d certificates above the AK certificate", AK_CHAIN_MAX);
}

static int attempt(void *arg, unsigned *retry_after_s, struct err *err)
{
    struct ak_fetch *f = arg;
    X509 *chain[AK_CHAIN_MAX] = { 0 };
    char name[FLIGHT_KEY_SIZE];
    size_t n = 0;
    int rc = climb(f, chain, &n, retry_after_s, err);
    if (rc == 0) {
        name_of(f->digest, name);
        disk_put(f->s, name, chain, n);
        ak_memory_put(f->s, f->digest, chain, n);
    }
    certs_drop(chain, n);
    return rc;
}

/* A fetch of the issuers of a leaf that names an address. */
static int fetch_new(struct vek_store *s, struct bytes leaf, struct ak_fetch **out, struct err *err)
{
    char url[STORE_URL_MAX];
    struct ak_fetch *f = calloc(1, sizeof(*f));
    if (!f)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a fetch");
    f->s = s;
    if (digest_leaf(leaf, f->digest, &f->leaf, err) < 0) {
        drop(f);
        return -1;
    }
    if (!issuer_url(f->leaf, url)) {
        drop(f);
        return err_set(err, ERR_NOT_FOUND, 0, "the AK certificate names no http address of its issuer");
    }
    *out = f;
    return 0;
}

int ak_chain_name(struct bytes leaf, char out[static FLIGHT_KEY_SIZE], struct err *err)
{
    AUTO(x509_drop) X509 *cert = NULL;
    uint8_t digest[STORE_DIGEST];
    if (digest_leaf(leaf, digest, &cert, err) < 0)
        return -1;
    name_of(digest, out);
    return 0;
}

int ak_chain_fetch_now(struct vek_store *s, struct bytes leaf, unsigned *retry_after_s, struct err *err)
{
    struct ak_fetch *f = NULL;
    if (fetch_new(s, leaf, &f, err) < 0)
        return -1;
    int rc = attempt(f, retry_after_s, err);
    drop(f);
    return rc;
}

int ak_chain_fetch(struct vek_store *s, struct bytes leaf, unsigned deadline_ms, vek_done_fn *done, void *arg,
                   struct err *err)
{
    char name[FLIGHT_KEY_SIZE];
    struct ak_fetch *f = NULL;
    if (fetch_new(s, leaf, &f, err) < 0)
        return -1;
    name_of(f->digest, name);
    return flights_join(s->flights, name, (struct flight_task){ attempt, drop, f }, deadline_ms, done, arg,
                        err);
}
