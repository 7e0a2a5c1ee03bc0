/* The TPM's part: the quote, the key that signed it, and who says whose key that is. */
#include "evidence/verify_internal.h"

#include "base/auto.h"

#include <errno.h>
#include <openssl/err.h>

#define MATERIAL_MAX   64 /* certificates of the material that a chain may be built with */
#define NAMED_BY_GUEST "key named by the guest only"

static void free_key(void *key)
{
    EVP_PKEY_free(key);
}

static void free_certificate(void *cert)
{
    X509_free(cert);
}

/* Reading a key or certificate costs as much as its signature: those seen before are kept. */
static bool hold_key(struct verification *v)
{
    uint8_t name[32];
    verify_cache_key(v, "key", buf_bytes(&v->ak_spki), name);
    if (!verify_cache_get(v->options->cache, name, &v->ak_held)) {
        EVP_PKEY *key;
        struct err why = { 0 };
        if (spki_parse_der(buf_bytes(&v->ak_spki), &key, &why) < 0)
            return false;
        verify_cache_add(v->options->cache, name, key, free_key, &v->ak_held);
    }
    v->ak = v->ak_held.object;
    return true;
}

static int hold_certificate(struct verification *v, struct err *err)
{
    uint8_t name[32];
    verify_cache_key(v, "certificate", v->document->ak_cert, name);
    if (!verify_cache_get(v->options->cache, name, &v->cert_held)) {
        X509 *cert;
        if (x509_parse(v->document->ak_cert, &cert, err) < 0)
            return -1;
        verify_cache_add(v->options->cache, name, cert, free_certificate, &v->cert_held);
    }
    v->cert = v->cert_held.object;
    return 0;
}

/* The key as the document names it: ak_pub, else the public area's, else the certificate's. */
static int find_key(struct verification *v, const struct tpm_public *area, struct err *err)
{
    const struct document *d = v->document;
    v->ak_spki = buf_new(8192);
    int rc = 0;
    if (d->ak_pub.n)
        buf_put(&v->ak_spki, d->ak_pub);
    else if (area)
        rc = tpm_public_spki(area, &v->ak_spki, err);
    else if (v->cert)
        rc = spki_put_der(X509_get0_pubkey(v->cert), &v->ak_spki, err);
    if (rc < 0 || buf_check(&v->ak_spki, "attestation key", err) < 0)
        return -1;
    return hold_key(v) ? 0 : err_set(err, ERR_INPUT, 0, "tpm.ak_pub is no key that is understood");
}

/* ---- the certificate ---- */

static bool is_cloud(const struct document *d, enum cloud_type cloud)
{
    return d->platform.said ? !strcmp(d->platform.cloud, cloud_name(cloud))
                            : (cloud == CLOUD_AZURE) == (d->var_data.n > 0);
}

/* Without verdict: no roots that such a certificate could end at. */
static const struct verify_vendor_trust *roots_of(const struct verification *v, enum cloud_type *cloud)
{
    const struct verify_vendor_trust *vendor = v->options->trust->vendor;
    *cloud = is_cloud(v->document, CLOUD_AZURE) ? CLOUD_AZURE : CLOUD_GCP;
    if (*cloud == CLOUD_GCP && !is_cloud(v->document, CLOUD_GCP))
        return NULL;
    return &vendor[*cloud == CLOUD_AZURE ? VERIFY_MICROSOFT : VERIFY_GOOGLE];
}

/* @return whether all of the document's chain was of use: else there are warnings, due the next time too */
static bool judge_certificate(struct verification *v, X509 *cert, const struct verify_vendor_trust *roots,
                              struct ak_judged *out)
{
    struct err err = { 0 };
    const struct document_list *chain = &v->document->ak_cert_chain;
    const struct verify_material *m = v->options->material;
    X509 *pool[DOCUMENT_CHAIN_MAX + MATERIAL_MAX + VERIFY_POOL_MAX];
    size_t n = 0, owned;
    for (size_t i = 0; i < chain->n; i++) {
        if (x509_parse(chain->item[i], &pool[n], &err) < 0)
            checks_warn(v->checks, "tpm.ak_cert_chain[%zu] is no certificate: %.150s", i, err.cause);
        else
            n++;
    }
    owned = n;
    for (size_t i = 0; m && i < m->certs_n && i < MATERIAL_MAX; i++)
        pool[n++] = m->certs[i];
    for (size_t i = 0; i < roots->pooled; i++)
        pool[n++] = roots->pool[i];
    const struct ak_cert_request rq = {
        .cert = cert, .pool = pool, .pool_n = n, .anchors = roots->anchor, .anchors_n = roots->anchors
    };
    ak_cert_judge(&rq, out);
    bool all = owned == chain->n;
    while (owned)
        X509_free(pool[--owned]);
    return all;
}

/* As judge_certificate(), from the cache where it is known. */
static int hold_judged(struct verification *v, X509 *cert, const struct verify_vendor_trust *roots,
                       struct verify_held *out, struct err *err)
{
    const struct document *d = v->document;
    const struct verify_material *m = v->options->material;
    struct verify_cache *cache = !m || m->id || !m->certs_n ? v->options->cache : NULL;
    AUTO(buf_done) struct buf made_from = buf_new((DOCUMENT_CHAIN_MAX + 2) * (CERT_MAX + 16));
    uint8_t key[32];
    buf_str(&made_from, "ak");
    buf_u8(&made_from, (uint8_t)(roots - v->options->trust->vendor));
    buf_put(&made_from, bytes_of(v->options->trust->id, 32));
    buf_tpm2b(&made_from, bytes_of(m ? m->id : NULL, m && m->id ? 32 : 0));
    buf_tpm2b(&made_from, d->ak_cert);
    for (size_t i = 0; i < d->ak_cert_chain.n; i++)
        buf_tpm2b(&made_from, d->ak_cert_chain.item[i]);
    if (buf_check(&made_from, "AK certificate and chain", err) < 0)
        return -1;
    sha256(buf_bytes(&made_from), key);
    if (verify_cache_get(cache, key, out))
        return 0;
    struct ak_judged *judged = calloc(1, sizeof(*judged));
    if (!judged)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a verdict");
    bool keep = judge_certificate(v, cert, roots, judged);
    verify_cache_add(keep ? cache : NULL, key, judged, free, out);
    return 0;
}

/* A certificate that is due: Google issues them. Where the caller takes the guest's word none is needed. */
static void judge_no_certificate(struct verification *v, enum cloud_type cloud)
{
    bool due = v->document->platform.said && is_cloud(v->document, CLOUD_GCP)
               && !v->options->accept_self_asserted_ak;
    checks_add(v->checks, "tpm.ak_chain", due ? CHECK_FAILED : CHECK_NOT_APPLICABLE, "%s",
               due                    ? "no AK certificate, and Google issues them"
               : cloud == CLOUD_AZURE ? "no AK certificate: the runtime data name the key"
                                      : "no AK certificate: the guest made the key");
}

static int judge_ak_chain(struct verification *v, struct err *err)
{
    X509 *cert = v->cert;
    AUTO(verify_held_done) struct verify_held held = { NULL, NULL, NULL, NULL };
    enum cloud_type cloud;
    const struct verify_vendor_trust *roots = roots_of(v, &cloud);
    if (!v->document->ak_cert.n) {
        judge_no_certificate(v, cloud);
        return 0;
    }
    if (!cert || !roots) {
        checks_add(v->checks, "tpm.ak_chain", CHECK_FAILED, "%s",
                   !cert ? "tpm.ak_cert is no certificate"
                         : "an AK certificate, and no cloud whose roots could vouch");
        return 0;
    }
    if (hold_judged(v, cert, roots, &held, err) < 0)
        return -1;
    v->ak_certified =
        ak_cert_check(held.object, cert, v->ak, v->options->at, cloud == CLOUD_AZURE, v->checks);
    if (v->ak_certified) {
        v->result->cloud = cloud;
        v->result->cloud_proven = true;
    }
    return 0;
}

/* ---- the quote ---- */

static void no_tpm(struct verification *v)
{
    static const char *const names[] = { "tpm.quote_format", "tpm.quote_signature", "tpm.extra_data",
                                         "tpm.pcr_digest",   "tpm.ak_attributes",   "tpm.ak_chain",
                                         "tpm.ak_anchor" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        checks_add(v->checks, names[i], CHECK_NOT_APPLICABLE, "no TPM in this document");
}

/* extraData of an older agent is judged by its rule: binding.nonce. */
static bool extra_is_ours(const struct verification *v)
{
    struct tpm_attest attest;
    struct err ignored;
    return v->document->platform.said || tpm_attest_parse(v->document->quote, &attest, &ignored) < 0
           || bytes_equal(attest.extra_data, buf_bytes(&v->extra));
}

/* Older agents' documents have no public area. Where another than the guest vouches for the key it is not
 * missed; nor where the guest's word is taken, which the area would only repeat. */
static bool public_due(const struct verification *v)
{
    const struct document *d = v->document;
    return d->platform.said || (!d->var_data.n && !d->ak_cert.n && !v->options->accept_self_asserted_ak);
}

int verify_tpm(struct verification *v, struct err *err)
{
    const struct document *d = v->document;
    struct tpm_public area;
    struct err why = { 0 };
    if (!d->has_tpm) {
        no_tpm(v);
        return 0;
    }
    bool has_area = d->ak_public.n && tpm_public_parse(d->ak_public, &area, &why) == 0;
    if (d->ak_public.n && !has_area)
        checks_add_rc(v->checks, "tpm.ak_attributes", -1, NULL, &why);
    if (d->ak_cert.n && hold_certificate(v, &why) < 0)
        checks_warn(v->checks, "tpm.ak_cert: %.200s", why.cause);
    if (find_key(v, has_area ? &area : NULL, &why) < 0)
        checks_add_rc(v->checks, "tpm.quote_signature", -1, NULL, &why);
    const struct tpm_quote_request rq = {
        .quote = d->quote,
        .signature = d->raw_sig,
        .ak = v->ak,
        .ak_public = has_area ? &area : NULL,
        .public_due = public_due(v),
        .banks = &d->pcrs,
        .bank_count = 1,
        .pcrs_due = true,
        .extra_data_asked = extra_is_ours(v),
        .extra_data = buf_bytes(&v->extra),
    };
    tpm_quote_verify(&rq, v->checks, &v->quote);
    v->covered = tpm_quote_covers(&v->quote, d->pcrs.alg);
    v->result->pcrs_proven = v->covered && (d->pcrs.mask & ~v->covered) == 0;
    if (v->covered && !v->result->pcrs_proven)
        checks_add(v->checks, "tpm.pcr_digest", CHECK_FAILED,
                   "the document shows PCRs that the quote does not cover");
    v->ak_is_runtime_key =
        v->runtime_key.n && v->ak_spki.n && bytes_equal(buf_bytes(&v->runtime_key), buf_bytes(&v->ak_spki));
    return judge_ak_chain(v, err);
}

/* ---- the anchor ---- */

static bool rtmrs_pinned(const struct verification *v)
{
    const struct verify_options *o = v->options;
    return v->td && v->ak_bound && !v->document->var_data.n && !bytes_zero(v->td->rtmr[1])
           && !bytes_zero(v->td->rtmr[2]) && bytes_equal(v->td->rtmr[1], o->pinned_rtmr1)
           && bytes_equal(v->td->rtmr[2], o->pinned_rtmr2);
}

void verify_anchor(struct verification *v)
{
    static const char name[] = "tpm.ak_anchor";
    if (!v->document->has_tpm)
        return;
    if (!v->quote.authentic)
        checks_add(v->checks, name, CHECK_FAILED, NAMED_BY_GUEST ": it signed no quote that holds");
    else if (v->ak_is_runtime_key && v->runtime_data_bound)
        checks_add(v->checks, name, CHECK_OK, "HCLAkPub, in runtime data that the hardware report signs");
    else if (v->ak_certified)
        checks_add(v->checks, name, CHECK_OK, "certified by the cloud's CA");
    else if (rtmrs_pinned(v))
        checks_add(v->checks, name, CHECK_OK,
                   "RTMR1 and RTMR2 are pinned: they vouch for the system that named the key");
    else if (v->options->accept_self_asserted_ak) {
        checks_add(v->checks, name, CHECK_NOT_APPLICABLE, NAMED_BY_GUEST ": accepted as asked");
        checks_warn(v->checks, NAMED_BY_GUEST ": the host can boot another system and sign these PCR values");
    } else
        checks_add(v->checks, name, CHECK_FAILED,
                   NAMED_BY_GUEST
                   ": PCR values prove nothing against the host; --accept-self-asserted-ak takes it");
}
