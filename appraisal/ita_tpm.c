/* The TPM's part of an appraisal request: a quote by a key that the TEE's evidence or a cloud's CA vouches
 * for. */
#include "appraisal/ita_internal.h"

#include "base/auto.h"
#include "base/json.h"
#include "evidence/claims.h"
#include "tpm/ak_verify.h"
#include "tpm/pcrs.h"
#include "tpm/quote_verify.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

/* ---- the key ---- */

static int hash_key(struct ita_judging *j, struct err *err)
{
    AUTO(buf_done) struct buf spki = buf_new(4096);
    if (spki_put_der(j->ak, &spki, err) < 0 || buf_check(&spki, "key", err) < 0)
        return -1;
    sha256(buf_bytes(&spki), j->ak_spki);
    j->ak_bound = j->report_data.n == 64 && memcmp(j->report_data.p, j->ak_spki, 32) == 0;
    return 0;
}

static int key_of_runtime_data(struct ita_judging *j, struct err *err)
{
    AUTO(buf_done) struct buf spki = buf_new(4096);
    struct checks *checks = &j->result->checks;
    struct err why = { 0 };
    if (hcl_key_spki(&j->hcl, HCL_KEY_AK, &spki, &why) < 0) {
        checks_add_rc(checks, "tpm.ak_anchor", -1, "", &why);
        return 0;
    }
    checks_add(checks, "tpm.ak_anchor",
               spki_parse_der(buf_bytes(&spki), &j->ak, &why) == 0 ? CHECK_OK : CHECK_FAILED,
               "HCLAkPub of runtime data that the hardware signed");
    return j->ak ? hash_key(j, err) : 0;
}

/* A cloud's CA vouches for the key; the hardware's report must name it too, or the quote may be of another
 * machine. */
static int key_of_cert(struct ita_judging *j, struct err *err)
{
    static const enum verify_vendor vendors[] = { VERIFY_GOOGLE, VERIFY_MICROSOFT };
    const struct ita_request *r = j->request;
    struct checks *checks = &j->result->checks;
    AUTO(x509_drop) X509 *cert = NULL;
    X509 *pool[ITA_CHAIN_MAX + 2 * VERIFY_POOL_MAX], *anchors[2 * VERIFY_ANCHORS_MAX];
    struct ak_cert_request rq = { .pool = pool, .anchors = anchors };
    struct ak_judged judged;
    struct err why = { 0 };
    size_t owned = 0;
    if (x509_parse(r->tpm.ak_cert, &cert, &why) < 0) {
        checks_add_rc(checks, "tpm.ak_chain", -1, "", &why);
        return 0;
    }
    for (; owned < r->tpm.ak_cert_chain.n; owned++)
        if (x509_parse(r->tpm.ak_cert_chain.item[owned], &pool[owned], &why) < 0)
            break;
    rq.cert = cert;
    rq.pool_n = owned;
    for (size_t v = 0; v < ARRAY_SIZE(vendors); v++) {
        const struct verify_vendor_trust *t = &j->options->trust->vendor[vendors[v]];
        for (size_t i = 0; i < t->pooled; i++)
            pool[rq.pool_n++] = t->pool[i];
        for (size_t i = 0; i < t->anchors; i++)
            anchors[rq.anchors_n++] = t->anchor[i];
    }
    ak_cert_judge(&rq, &judged);
    j->ak = X509_get_pubkey(cert);
    ERR_clear_error();
    bool holds = ak_cert_check(&judged, cert, j->ak, j->options->at, false, checks);
    for (size_t i = 0; i < owned; i++)
        X509_free(pool[i]);
    if (!holds || !j->ak)
        return 0;
    if (hash_key(j, err) < 0)
        return -1;
    checks_add(checks, "tpm.ak_anchor", CHECK_OK, "its certificate chains to the cloud's root");
    checks_add(checks, "binding.ak", j->ak_bound ? CHECK_OK : CHECK_FAILED, "%s",
               j->ak_bound ? "report_data names the key" : "report_data does not name the TPM's key");
    return 0;
}

static int take_key(struct ita_judging *j, struct err *err)
{
    if (j->tee_holds && j->hcl.root)
        return key_of_runtime_data(j, err);
    if (j->tee_holds && j->request->tpm.ak_cert.n)
        return key_of_cert(j, err);
    checks_add(&j->result->checks, "tpm.ak_anchor", CHECK_FAILED, "%s",
               j->tee_holds ? "nobody but the guest names the key: send runtime_data (Azure) or ak_cert"
                            : "not made: the hardware's evidence does not hold");
    return 0;
}

/* ---- the registers ---- */

/* Values one after the other, as the quote selects them, bank by bank. */
static int read_values(const struct tpm_attest *quote, struct bytes values, struct tpm_pcrs *banks, size_t *n,
                       struct err *err)
{
    struct reader r = { values, 0 };
    *n = 0;
    for (size_t s = 0; s < quote->quote.n; s++) {
        const struct tpm_selection *sel = &quote->quote.selections[s];
        struct tpm_pcrs *bank = &banks[*n];
        size_t size = digest_size(sel->alg);
        if (!sel->mask)
            continue;
        if (!size || *n == TPM_BANKS_MAX)
            return err_set(err, ERR_INPUT, 0, "the quote selects a bank that is not known");
        *bank = (struct tpm_pcrs){ .alg = sel->alg };
        for (unsigned i = 0; i < TPM_PCRS; i++) {
            struct bytes v;
            if (!(sel->mask >> i & 1))
                continue;
            if (!rd_take(&r, size, &v))
                return err_set(err, ERR_INPUT, 0, "%zu bytes of PCRs: the quote selects more", values.n);
            bank->pcr[i].alg = sel->alg;
            bank->pcr[i].n = (uint8_t)size;
            memcpy(bank->pcr[i].b, v.p, size);
            bank->mask |= 1u << i;
        }
        ++*n;
    }
    if (r.rest.n)
        return err_set(err, ERR_INPUT, 0, "%zu bytes of PCRs: the quote selects %zu", values.n, r.off);
    return 0;
}

/* As a collaterals document has them: {"hash":11,"pcrs":{"0":base64,...}}. */
static int read_document_form(const json_t *object, struct tpm_pcrs *out, struct err *err)
{
    const json_t *values = json_object_get(object, "pcrs");
    json_int_t alg = json_integer_value(json_object_get(object, "hash"));
    size_t size = alg > 0 && alg <= UINT16_MAX ? digest_size((uint16_t)alg) : 0;
    *out = (struct tpm_pcrs){ .alg = (uint16_t)alg };
    for (unsigned i = 0; size && i < TPM_PCRS; i++) {
        AUTO(buf_done) struct buf value = buf_new(DIGEST_MAX);
        char key[4];
        snprintf(key, sizeof(key), "%u", i);
        if (!json_object_get(values, key))
            continue;
        if (json_get_b64(values, key, &value, err) < 0 || value.n != size)
            return err_set(err, ERR_INPUT, 0, "tpm.pcrs.pcrs.%s: want %zu bytes in base64", key, size);
        out->pcr[i] = (struct digest){ .alg = out->alg, .n = (uint8_t)size };
        memcpy(out->pcr[i].b, value.p, size);
        out->mask |= 1u << i;
    }
    return out->mask ? 0
                     : err_set(err, ERR_INPUT, 0, "tpm.pcrs: want a known hash and at least one register");
}

static int read_object(const json_t *object, struct tpm_pcrs *banks, size_t *n, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(TPM_PCRS_FILE_MAX);
    *n = 1;
    if (json_object_get(object, "hash"))
        return read_document_form(object, &banks[0], err);
    json_put(&text, object, false);
    if (buf_check(&text, "pcrs", err) < 0 || tpm_pcrs_parse(buf_bytes(&text), &banks[0], err) < 0)
        return -1;
    return 0;
}

static int read_pcrs(const struct ita_request *r, struct tpm_pcrs *banks, size_t *n, struct checks *checks)
{
    struct tpm_attest quote;
    struct err err = { 0 };
    int rc = r->tpm.pcrs_object ? read_object(r->tpm.pcrs_object, banks, n, &err)
                                : tpm_attest_parse(r->tpm.quote, &quote, &err);
    if (rc == 0 && !r->tpm.pcrs_object)
        rc = read_values(&quote, r->tpm.pcrs, banks, n, &err);
    if (rc < 0)
        checks_add_rc(checks, "tpm.pcr_digest", -1, "", &err);
    return rc;
}

/* ---- the quote ---- */

static int put_claims(struct ita_judging *j, const struct tpm_pcrs *banks, size_t n, struct err *err)
{
    json_t *all = claims_tpm(&banks[0]);
    for (size_t i = 1; i < n; i++) {
        AUTO(json_drop) json_t *more = claims_tpm(&banks[i]);
        json_array_extend(json_object_get(all, "pcrs"), json_object_get(more, "pcrs"));
    }
    if (json_object_set_new(j->result->claims, "tpm", all) < 0)
        return err_set(err, ERR_IO, ENOMEM, "no memory for claims");
    return 0;
}

/* Clients of the service put the SHA-256 of nonce and data into the quote; our documents the bytes. */
static void expect_extra_data(const struct ita_request *r, const struct buf *held, uint8_t hash[static 32],
                              struct tpm_quote_request *rq)
{
    struct tpm_attest quote;
    struct err ignored = { 0 };
    rq->extra_data_asked = held->n > 0;
    if (!held->n)
        return;
    sha256(buf_bytes(held), hash);
    rq->extra_data = bytes_of(hash, 32);
    if (tpm_attest_parse(r->tpm.quote, &quote, &ignored) == 0 && quote.extra_data.n == held->n
        && memcmp(quote.extra_data.p, held->p, held->n) == 0)
        rq->extra_data = buf_bytes(held);
}

int ita_judge_tpm(struct ita_judging *j, struct err *err)
{
    AUTO(free_u8) uint8_t *memory = calloc(TPM_BANKS_MAX, sizeof(struct tpm_pcrs));
    struct tpm_pcrs *banks = (struct tpm_pcrs *)(void *)memory;
    AUTO(buf_done) struct buf held = buf_new(ITA_EVIDENCE_MAX + ITA_NONCE_MAX);
    const struct ita_request *r = j->request;
    struct checks *checks = &j->result->checks;
    struct tpm_quote_verdict verdict;
    uint8_t hash[32];
    size_t n = 0;
    if (!banks)
        return err_set(err, ERR_IO, ENOMEM, "no memory for registers");
    if (take_key(j, err) < 0)
        return -1;
    ita_held_put(&held, &r->tpm.held);
    if (buf_check(&held, "nonce and data", err) < 0)
        return -1;
    if (read_pcrs(r, banks, &n, checks) < 0)
        return 0;
    struct tpm_quote_request rq = { .quote = r->tpm.quote,
                                    .signature = r->tpm.signature,
                                    .ak = j->ak,
                                    .banks = banks,
                                    .bank_count = n,
                                    .pcrs_due = true };
    expect_extra_data(r, &held, hash, &rq);
    tpm_quote_verify(&rq, checks, &verdict);
    if (!n || !verdict.authentic || !verdict.pcrs_hold || !checks_hold(checks, "tpm.ak_anchor"))
        return 0;
    for (size_t i = 0; i < n; i++)
        banks[i].mask &= tpm_quote_covers(&verdict, banks[i].alg);
    return put_claims(j, banks, n, err);
}
