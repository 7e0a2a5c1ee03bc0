/* The TPM's part of a collection; everything here runs on the TPM worker. */
#include "evidence/collect_internal.h"

#include "base/auto.h"
#include "base/x509.h"
#include "tpm/attest.h"
#include "tpm/pcrs.h"
#include "tpm/signature.h"

#include <string.h>

void collector_tpm_drop(struct collector *c)
{
    if (c->tpm)
        tpm_ak_done(c->tpm, &c->ak);
    tpm_close(c->tpm);
    c->tpm = NULL;
    if (c->tcti)
        c->lower->tpm.close(c->lower->tpm.ctx, c->tcti);
    c->tcti = NULL;
    c->ak = (struct tpm_ak){ 0 };
}

/* ---- the attestation key and its certificates ---- */

static const struct ak_place *load_ak(struct collector *c, struct err *err)
{
    for (size_t i = 0; i < c->shape->ak_count; i++) {
        const struct ak_place *place = &c->shape->ak[i];
        if (tpm_ak_load(c->tpm, place->source, place->handle, &c->ak, err) == 0)
            return place;
        if (err->kind != ERR_NOT_FOUND)
            return NULL;
    }
    return NULL;
}

/* The index may be longer than the certificate (Azure pads to 4096): keep the DER. */
static void read_ak_cert(struct collector *c, const struct ak_place *place, struct buf *cert, char *why,
                         size_t size)
{
    AUTO(buf_done) struct buf raw = buf_new(TPM_NV_MAX);
    struct err err = { 0 };
    why[0] = '\0';
    if (!place->certificate) {
        snprintf(why, size, "the attestation key has no certificate: the guest made it");
    } else if (tpm_nv_read(c->tpm, place->certificate, &raw, &err) < 0) {
        snprintf(why, size, "NV index 0x%08x: %.120s", place->certificate, err.cause);
    } else {
        size_t n = der_length(buf_bytes(&raw));
        if (n == 0 || !bytes_zero(bytes_of(raw.p + n, raw.n - n)))
            snprintf(why, size, "NV index 0x%08x holds no certificate", place->certificate);
        else
            buf_put(cert, bytes_of(raw.p, n));
    }
}

static void take_chain(struct collector *c)
{
    struct ak_chain chain = { 0 };
    struct err why = { 0 };
    AUTO(buf_done) struct buf leaf = buf_new(AK_MAX);
    pthread_mutex_lock(&c->lock);
    buf_put(&leaf, buf_bytes(&c->id.cert));
    pthread_mutex_unlock(&c->lock);
    int rc = ak_chain_get(c->veks, buf_bytes(&leaf), &chain, &why);
    pthread_mutex_lock(&c->lock);
    ak_chain_done(&c->id.chain);
    c->id.chain = (struct ak_chain){ 0 };
    if (rc == 0)
        c->id.chain = chain;
    else
        snprintf(c->id.chain_why, sizeof(c->id.chain_why), "%.190s", why.cause);
    pthread_mutex_unlock(&c->lock);
}

static void chain_fetched(void *arg, const struct err *err)
{
    if (!err)
        take_chain(arg);
}

static void find_chain(struct collector *c)
{
    struct err ignored = { 0 };
    take_chain(c);
    if (!c->id.chain.n)
        (void)!ak_chain_fetch(c->veks, buf_bytes(&c->id.cert), VEK_REQUEST_MS, chain_fetched, c, &ignored);
}

static void publish_identity(struct collector *c, const struct ak_place *place)
{
    AUTO(buf_done) struct buf cert = buf_new(AK_MAX);
    char why[200];
    read_ak_cert(c, place, &cert, why, sizeof(why));
    pthread_mutex_lock(&c->lock);
    bool same = bytes_equal(buf_bytes(&c->id.spki), buf_bytes(&c->ak.spki))
                && bytes_equal(buf_bytes(&c->id.cert), buf_bytes(&cert));
    if (!same) {
        buf_done(&c->id.spki);
        buf_done(&c->id.public_area);
        buf_done(&c->id.cert);
        buf_put(&c->id.spki, buf_bytes(&c->ak.spki));
        buf_put(&c->id.public_area, buf_bytes(&c->ak.public_area));
        buf_put(&c->id.cert, buf_bytes(&cert));
        memcpy(c->id.cert_why, why, sizeof(why));
    }
    bool want_chain = c->id.cert.n && !c->id.chain.n;
    pthread_mutex_unlock(&c->lock);
    if (want_chain)
        find_chain(c);
}

int collector_tpm_ready(struct collector *c, struct err *err)
{
    if (c->ak.spki.n)
        return 0;
    if (!c->tcti && c->lower->tpm.open(c->lower->tpm.ctx, &c->tcti, err) < 0)
        return err_while(err, "open the TPM");
    if (!c->tpm && tpm_open_tcti(c->tcti, &c->tpm, err) < 0) {
        collector_tpm_drop(c);
        return err_while(err, "open the TPM");
    }
    const struct ak_place *place = load_ak(c, err);
    if (!place || tpm_banks_get(c->tpm, &c->banks, err) < 0) {
        collector_tpm_drop(c);
        return err_while(err, "load the attestation key");
    }
    atomic_fetch_add(&c->tpm_reopened, 1);
    memset(c->pcr_cache, 0, sizeof(c->pcr_cache));
    publish_identity(c, place);
    struct err later = { 0 };
    if (c->shape->report == REPORT_HCL)
        (void)!collector_hcl_read(c, &later);
    return 0;
}

/* ---- quote and PCRs ---- */

static int bank_slot(const struct collector *c, uint16_t alg, struct err *err)
{
    AUTO(buf_done) struct buf names = buf_new(120);
    for (size_t i = 0; i < c->banks.n; i++) {
        if (c->banks.alg[i] == alg)
            return (int)i;
        buf_printf(&names, "%s%s", i ? ", " : "",
                   digest_name(c->banks.alg[i]) ? digest_name(c->banks.alg[i]) : "?");
    }
    return err_set(err, ERR_INPUT, 0, "PCR bank %s is not active in this TPM; active: %.*s", digest_name(alg),
                   (int)names.n, (const char *)buf_bytes(&names).p);
}

/* Does the quote speak about these values? */
static bool quote_agrees(const struct evidence *e, const struct tpm_pcrs *pcrs, uint16_t sig_hash)
{
    struct tpm_attest attest;
    struct digest digest;
    struct err ignored = { 0 };
    return tpm_attest_parse(buf_bytes(&e->quote), &attest, &ignored) == 0 && attest.type == TPM_ATTEST_QUOTE
           && tpm_pcr_digest(attest.quote.selections, attest.quote.n, pcrs, 1, sig_hash, &digest, &ignored)
                  == 0
           && bytes_equal(attest.quote.pcr_digest, digest_bytes(&digest));
}

/* The values that the last quote confirmed are tried first: the quote itself says whether they still hold, so
 * that reading the PCRs is needed only after one has moved. */
static int quote_once(struct collector *c, struct evidence *e, size_t slot, bool *agrees, struct err *err)
{
    struct tpm_signature signature;
    e->quote.n = e->sig.n = 0;
    if (tpm_quote(c->tpm, &c->ak, e->bank, TPM_PCRS_ALL, bytes_of(e->extra, e->extra_n), &e->quote, &e->sig,
                  err)
            < 0
        || tpm_signature_parse(buf_bytes(&e->sig), &signature, err) < 0)
        return -1;
    struct tpm_pcrs *cached = &c->pcr_cache[slot];
    *agrees = cached->mask == TPM_PCRS_ALL && quote_agrees(e, cached, signature.hash);
    if (!*agrees) {
        cached->mask = 0;
        struct tpm_pcrs now;
        if (tpm_pcr_read(c->tpm, e->bank, TPM_PCRS_ALL, &now, err) < 0)
            return -1;
        *agrees = quote_agrees(e, &now, signature.hash);
        if (*agrees)
            *cached = now;
    }
    if (*agrees) {
        e->pcrs = *cached;
        collector_marks(c, &e->marks); /* nothing is extended before this job of the worker ends */
    }
    return 0;
}

static int quote(struct collector *c, struct evidence *e, struct err *err)
{
    int slot = bank_slot(c, e->bank, err);
    bool agrees = false;
    if (slot < 0)
        return -1;
    if (!bytes_equal(buf_bytes(&e->ak_spki), buf_bytes(&c->ak.spki)))
        return err_set(err, ERR_UNAVAILABLE, 0, "the TPM came back with another attestation key: ask again");
    for (int i = 0; i < QUOTE_TRIES; i++) {
        if (quote_once(c, e, (size_t)slot, &agrees, err) < 0)
            return -1;
        if (agrees)
            return 0;
        atomic_fetch_add(&c->quote_retries, 1);
    }
    return err_set(err, ERR_UNAVAILABLE, 0, "PCRs changed during each of %d quotes: ask again", QUOTE_TRIES);
}

static bool is_active(const struct collector *c, uint16_t alg)
{
    for (size_t i = 0; i < c->banks.n; i++)
        if (c->banks.alg[i] == alg)
            return true;
    return false;
}

/* An attestation has a quote of each bank that policies list. */
static int quote_all(struct collector *c, struct evidence *e, struct err *err)
{
    if (e->attestation && is_active(c, ALG_SHA384)) {
        e->bank = ALG_SHA384;
        int rc = quote(c, e, err);
        e->bank = ALG_SHA256;
        if (rc < 0)
            return -1;
        e->second.quote.n = e->second.sig.n = 0;
        buf_put(&e->second.quote, buf_bytes(&e->quote));
        buf_put(&e->second.sig, buf_bytes(&e->sig));
        e->second.pcrs = e->pcrs;
    }
    return quote(c, e, err);
}

void collect_tpm_part(struct job *job)
{
    struct evidence *e = (struct evidence *)((char *)job - offsetof(struct evidence, tpm_job));
    struct collector *c = e->c;
    struct err err = { 0 };
    if (evidence_given_up(e))
        return;
    int rc = collector_tpm_ready(c, &err);
    if (rc == 0)
        rc = quote_all(c, e, &err);
    if (rc < 0 && tpm_error_is_fatal(&err)) { /* the device may be back: once more on a new connection */
        collector_tpm_drop(c);
        rc = collector_tpm_ready(c, &err) < 0 || quote_all(c, e, &err) < 0 ? -1 : 0;
        if (rc < 0 && tpm_error_is_fatal(&err))
            collector_tpm_drop(c);
    }
    evidence_part_done(e, rc < 0 ? &err : NULL);
}
