/* The parts of a verification beside the operations of libcrypto that they cannot do without. */
#include "verify_inputs.h"

#include "base/auto.h"
#include "base/file.h"
#include "tee/p256.h"
#include "tpm/quote_verify.h"
#include "tpm/signature.h"

#include <stdio.h>
#include <stdlib.h>

#define LOG_SIZE (200u << 10)

/* One signature as libcrypto verifies it. */
struct operation {
    EVP_PKEY *key;
    const EVP_MD *md;
    struct bytes data;
    struct buf signature; /* DER, or an RSA signature's bytes */
};

static void operate(const struct operation *o)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (EVP_DigestVerifyInit(ctx, NULL, o->md, NULL, o->key) != 1
        || EVP_DigestVerify(ctx, o->signature.p, o->signature.n, o->data.p, o->data.n) != 1)
        bench_fatal("bare verification", &(struct err){ .cause = "the signature does not hold" });
    EVP_MD_CTX_free(ctx);
}

static void must_hold(const struct checks *checks)
{
    const struct check *failed = checks_first_failed(checks);
    if (failed)
        bench_fatal(failed->name, &(struct err){ .cause = "does not hold" });
}

/* ---- SEV-SNP ---- */

struct snp_bench {
    struct bytes raw;
    X509 *cert;
    struct snp_vek *vek;
    struct operation bare;
    struct checks checks;
    time_t at;
};

void snp_bare_once(const struct snp_bench *b)
{
    operate(&b->bare);
}

static void snp_bare(void *ctx)
{
    snp_bare_once(ctx);
}

static void snp_ours(void *ctx)
{
    struct snp_bench *b = ctx;
    struct snp_verdict verdict;
    b->checks.n = b->checks.warnings_n = 0;
    snp_verify(b->raw, b->vek, b->at, &b->checks, &verdict);
}

struct snp_bench *snp_bare_new(struct input *in)
{
    struct snp_bench *b = calloc(1, sizeof(*b));
    struct snp_report report;
    struct err err = { 0 };
    if (!b || x509_parse(in->document.vek_cert, &b->cert, &err) < 0)
        bench_fatal("VEK", &err);
    b->raw = in->document.tee_report;
    b->at = in->at;
    b->bare = (struct operation){ X509_get0_pubkey(b->cert), EVP_sha384(), snp_report_signed(b->raw),
                                  buf_new(256) };
    if (snp_report_parse(b->raw, &report, &err) < 0
        || snp_report_signature_der(&report, &b->bare.signature, &err) < 0)
        bench_fatal("SNP report", &err);
    return b;
}

void snp_bare_free(struct snp_bench *b)
{
    X509_free(b->cert);
    snp_vek_free(b->vek);
    buf_done(&b->bare.signature);
    free(b);
}

void bench_snp(struct input *in, unsigned rounds)
{
    const struct verify_vendor_trust *amd = &in->trust.vendor[VERIFY_AMD];
    const struct document_list *chain = &in->document.cert_chain;
    X509 *pool[DOCUMENT_CHAIN_MAX];
    struct err err = { 0 };
    struct snp_bench *b = snp_bare_new(in);
    for (size_t i = 0; i < chain->n; i++)
        if (x509_parse(chain->item[i], &pool[i], &err) < 0)
            bench_fatal("chain of the VEK", &err);
    const struct snp_vek_request rq = {
        .vek = b->cert, .pool = pool, .pool_n = chain->n, .anchors = amd->anchor, .anchors_n = amd->anchors
    };
    if (snp_vek_new(&rq, &b->vek, &err) < 0)
        bench_fatal("VEK", &err);
    snp_ours(b);
    must_hold(&b->checks);
    struct race race = { snp_bare, snp_ours, b, rounds, 0, 0 };
    race_print(&race, "bare: one P-384 verification", "SNP report, warm chain",
               "SNP report over the bare verification", 1.15, false);
    for (size_t i = 0; i < chain->n; i++)
        X509_free(pool[i]);
    snp_bare_free(b);
}

/* ---- TDX ---- */

struct tdx_bench {
    struct tdx_request rq;
    struct tdx_quote quote;
    EVP_PKEY *attestation, *pck;
    struct checks checks;
};

static void tdx_bare(void *ctx)
{
    const struct tdx_bench *b = ctx;
    const struct tdx_quote *q = &b->quote;
    if (!p256_verify(b->attestation, q->signed_bytes, q->signature)
        || !p256_verify(b->pck, q->qe_report.raw, q->qe_report_signature))
        bench_fatal("bare verification", &(struct err){ .cause = "the signature does not hold" });
}

static void tdx_ours(void *ctx)
{
    struct tdx_bench *b = ctx;
    struct tdx_verdict verdict;
    b->checks.n = b->checks.warnings_n = 0;
    tdx_verify(&b->rq, &b->checks, &verdict);
}

static struct tdx_prepared_collateral *load_collateral(const struct input *in, struct tdx_anchors anchors)
{
    static const struct {
        enum tdx_part part;
        const char *file;
    } files[] = {
        { TDX_PART_TCB_INFO, "tcb_info.json" },       { TDX_PART_TCB_INFO_CHAIN, "tcb_signing_chain.pem" },
        { TDX_PART_QE_IDENTITY, "qe_identity.json" }, { TDX_PART_QE_IDENTITY_CHAIN, "tcb_signing_chain.pem" },
        { TDX_PART_PCK_CRL, "pck_crl.der" },          { TDX_PART_PCK_CRL_CHAIN, "pck_crl_issuer_chain.pem" },
        { TDX_PART_ROOT_CA_CRL, "root_ca_crl.der" },
    };
    AUTO(tdx_collateral_drop) struct tdx_collateral *c = tdx_collateral_new();
    struct tdx_prepared_collateral *prepared;
    struct err err = { 0 };
    for (size_t i = 0; c && i < ARRAY_SIZE(files); i++) {
        AUTO(free_u8) uint8_t *data = NULL;
        char path[PATH_MAX + 64];
        size_t n;
        snprintf(path, sizeof(path), "%s/emulator/collateral/%s", in->state, files[i].file);
        if (file_read(path, TDX_COLLATERAL_PART_MAX, &data, &n, &err) < 0
            || tdx_collateral_set(c, files[i].part, bytes_of(data, n), &err) < 0)
            bench_fatal(files[i].file, &err);
    }
    if (!c || tdx_prepare_collateral(c, &anchors, &prepared, &err) < 0)
        bench_fatal("TDX collateral", &err);
    return prepared;
}

void bench_tdx(struct input *in, unsigned rounds)
{
    const struct verify_vendor_trust *intel = &in->trust.vendor[VERIFY_INTEL];
    struct tdx_anchors anchors = { intel->anchor, intel->anchors };
    struct tdx_bench *b = calloc(1, sizeof(*b));
    struct tdx_prepared_signer *signer;
    X509 *chain[DOCUMENT_CHAIN_MAX];
    struct err err = { 0 };
    int certs;
    if (!b || tdx_quote_parse(in->document.tee_report, &b->quote, &err) < 0
        || p256_key(b->quote.attestation_key, &b->attestation, &err) < 0
        || (certs = x509_parse_chain(b->quote.pck_chain, chain, DOCUMENT_CHAIN_MAX, &err)) < 1
        || tdx_prepare_signer(&b->quote, &anchors, &signer, &err) < 0)
        bench_fatal("TDX quote", &err);
    struct tdx_prepared_collateral *collateral = load_collateral(in, anchors);
    b->pck = X509_get0_pubkey(chain[0]);
    b->rq = (struct tdx_request){ .quote = in->document.tee_report,
                                  .collateral = collateral,
                                  .signer = signer,
                                  .anchors = anchors,
                                  .at = in->at,
                                  .accept = TDX_ACCEPT_DEFAULT };
    tdx_ours(b);
    must_hold(&b->checks);
    struct race race = { tdx_bare, tdx_ours, b, rounds, 0, 0 };
    race_print(&race, "bare: the two P-256 verifications of a quote", "TDX quote, warm signer and collateral",
               "TDX quote over the two bare verifications", 1.25, false);
    stats_row("TDX quote over the one that a warm signer leaves", 2 * race.ours_us / race.bare_us, "x", 1.25,
              true);
    for (int i = 0; i < certs; i++)
        X509_free(chain[i]);
    EVP_PKEY_free(b->attestation);
    tdx_prepared_signer_free(signer);
    tdx_prepared_collateral_free(collateral);
    free(b);
}

/* ---- the TPM's quote ---- */

struct tpm_bench {
    struct tpm_quote_request rq;
    struct tpm_public area;
    struct operation bare;
    struct checks checks;
};

static void tpm_bare(void *ctx)
{
    operate(&((struct tpm_bench *)ctx)->bare);
}

static void tpm_ours(void *ctx)
{
    struct tpm_bench *b = ctx;
    struct tpm_quote_verdict verdict;
    b->checks.n = b->checks.warnings_n = 0;
    tpm_quote_verify(&b->rq, &b->checks, &verdict);
}

void bench_tpm(struct input *in, unsigned rounds)
{
    const struct document *d = &in->document;
    struct tpm_bench *b = calloc(1, sizeof(*b));
    struct tpm_attest attest;
    struct tpm_signature signature;
    struct err err = { 0 };
    EVP_PKEY *key = NULL;
    if (!b || tpm_public_parse(d->ak_public, &b->area, &err) < 0 || tpm_public_key(&b->area, &key, &err) < 0
        || tpm_attest_parse(d->quote, &attest, &err) < 0
        || tpm_signature_parse(d->raw_sig, &signature, &err) < 0)
        bench_fatal("TPM quote", &err);
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_get_bits(key) != 2048
        || signature.hash != ALG_SHA256)
        bench_fatal("TPM quote", &(struct err){ .cause = "want one by RSA-2048 over SHA-256" });
    b->bare = (struct operation){ key, EVP_sha256(), attest.raw, buf_new(1024) };
    buf_put(&b->bare.signature, signature.rsa);
    b->rq = (struct tpm_quote_request){ .quote = d->quote,
                                        .signature = d->raw_sig,
                                        .ak = key,
                                        .ak_public = &b->area,
                                        .public_due = true,
                                        .banks = &d->pcrs,
                                        .bank_count = 1,
                                        .pcrs_due = true };
    tpm_ours(b);
    must_hold(&b->checks);
    struct race race = { tpm_bare, tpm_ours, b, rounds, 0, 0 };
    race_print(&race, "bare: one RSA-2048 verification", "TPM quote with 24 PCRs and public area",
               "TPM quote over the bare verification", 1.5, false);
    buf_done(&b->bare.signature);
    EVP_PKEY_free(key);
    free(b);
}

/* ---- the boot log ---- */

struct log_bench {
    struct buf raw;
    struct tpm_eventlog log;
    EVP_MD_CTX *ctx[EVENTLOG_ALGS_MAX]; /* by the header's order; NULL: a hash that nobody has */
};

/* The hash alone: as many records, of the same sizes. */
static void log_bare(void *arg)
{
    static const uint8_t record[2 * DIGEST_MAX];
    const struct log_bench *b = arg;
    uint8_t out[EVP_MAX_MD_SIZE];
    for (size_t i = 0; i < b->log.count; i++)
        for (size_t k = 0; k < b->log.alg_count; k++)
            if (b->ctx[k] && b->log.events[i].type != EV_NO_ACTION
                && (EVP_DigestInit_ex2(b->ctx[k], NULL, NULL) != 1
                    || EVP_DigestUpdate(b->ctx[k], record, 2 * b->log.algs[k].size) != 1
                    || EVP_DigestFinal_ex(b->ctx[k], out, NULL) != 1))
                abort();
}

static void log_ours(void *arg)
{
    const struct log_bench *b = arg;
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { .events = NULL };
    struct tpm_replay replay;
    struct err err = { 0 };
    if (tpm_eventlog_parse(buf_bytes(&b->raw), EVENTLOG_TPM, &log, &err) < 0
        || tpm_eventlog_replay(&log, &replay, &err) < 0)
        bench_fatal("event log", &err);
}

/* The header once, and then the events again and again. Those that extend nothing may stand only once. */
static void repeat_events(struct bytes raw, struct buf *out)
{
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { .events = NULL };
    struct err err = { 0 };
    if (tpm_eventlog_parse(raw, EVENTLOG_TPM, &log, &err) < 0 || log.count < 2)
        bench_fatal("event log", &err);
    buf_put(out, bytes_of(raw.p, log.events[1].offset));
    while (out->n < LOG_SIZE)
        for (size_t i = 1; i < log.count; i++) {
            size_t end = i + 1 < log.count ? log.events[i + 1].offset : log.used;
            if (log.events[i].type != EV_NO_ACTION)
                buf_put(out, bytes_of(raw.p + log.events[i].offset, end - log.events[i].offset));
        }
}

void bench_log(struct input *in, unsigned rounds)
{
    struct log_bench b = { .raw = buf_new(2 * LOG_SIZE) };
    struct err err = { 0 };
    char ours[80];
    repeat_events(in->document.boot_log_tpm, &b.raw);
    if (tpm_eventlog_parse(buf_bytes(&b.raw), EVENTLOG_TPM, &b.log, &err) < 0)
        bench_fatal("event log", &err);
    for (size_t k = 0; k < b.log.alg_count; k++) {
        const char *name = digest_name(b.log.algs[k].alg);
        const EVP_MD *md = name ? EVP_get_digestbyname(name) : NULL;
        b.ctx[k] = md ? EVP_MD_CTX_new() : NULL;
        if (md && EVP_DigestInit_ex(b.ctx[k], md, NULL) != 1)
            abort();
    }
    snprintf(ours, sizeof(ours), "event log of %zu KiB, %zu events in %zu banks", b.raw.n >> 10, b.log.count,
             b.log.alg_count);
    struct race race = { log_bare, log_ours, &b, rounds, 0, 0 };
    race_print(&race, "bare: the hash over as many records", ours, "event log's speed over the hash's", 0.8,
               true);
    for (size_t k = 0; k < b.log.alg_count; k++)
        EVP_MD_CTX_free(b.ctx[k]);
    tpm_eventlog_done(&b.log);
    buf_done(&b.raw);
}
