#include "cli/verify_tpm.h"

#include "base/auto.h"
#include "base/enc.h"
#include "tee/gcp_instance.h"
#include "tpm/signature.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#define QUOTE_MAX      65536
#define EXTRA_DATA_MAX 256

static int read_to(const char *path, size_t max, struct input *out)
{
    return path ? read_input(path, max, &out->p, &out->n) : 0;
}

/* ---- keys and certificates ---- */

static int read_ak(const char *path, struct tpm_material *m)
{
    struct err err = { 0 };
    int rc = read_to(path, QUOTE_MAX, &m->ak_file);
    if (rc || !path)
        return rc;
    struct bytes data = bytes_of(m->ak_file.p, m->ak_file.n);
    if (tpm_public_parse(data, &m->ak_public, &err) == 0
        && tpm_public_key(&m->ak_public, &m->ak, &err) == 0) {
        m->has_public = true;
        return 0;
    }
    return spki_parse(data, &m->ak, &err) == 0 ? 0
                                               : fail(STATUS_INPUT, path, "no public key",
                                                      "want PEM, DER (SubjectPublicKeyInfo) or TPMT_PUBLIC");
}

static int read_ak_cert(const struct tpm_files *files, struct tpm_material *m)
{
    static const enum trust_vendor vendors[] = { TRUST_GOOGLE, TRUST_MICROSOFT };
    struct err err = { 0 };
    int rc = 0;
    if (!files->ak_cert)
        return files->ak_chain.n
                   ? fail(STATUS_USAGE, files->ak_chain.item[0], "--ak-chain without --ak-cert", NULL)
                   : 0;
    if ((rc = cert_files_read(&m->cert, files->ak_cert)))
        return rc;
    for (size_t i = 0; i < files->ak_chain.n; i++)
        if ((rc = cert_files_read(&m->pool, files->ak_chain.item[i])))
            return rc;
    for (size_t i = 0; i < ARRAY_SIZE(vendors); i++)
        if (anchors_add(&m->anchors, vendors[i], &err) < 0)
            return fail_err(STATUS_ENVIRONMENT, "cvm-cli", "cannot start", &err);
    cert_files_add(&m->pool, m->cert.list + 1, m->cert.n - 1);
    cert_files_add(&m->pool, m->anchors.pool, m->anchors.pool_n);
    if (!m->ak) {
        m->ak = X509_get_pubkey(m->cert.list[0]);
        ERR_clear_error();
    }
    return m->ak ? 0 : fail(STATUS_INPUT, files->ak_cert, "no public key", "of a kind that is known");
}

/* ---- the rest ---- */

static int read_pcrs(const struct tpm_files *files, struct tpm_material *m)
{
    for (size_t i = 0; i < files->pcrs.n; i++) {
        AUTO(free_u8) uint8_t *data = NULL;
        size_t n = 0;
        struct err err = { 0 };
        const char *path = files->pcrs.item[i];
        int rc = read_input(path, TPM_PCRS_FILE_MAX, &data, &n);
        if (rc)
            return rc;
        if (m->bank_count == TPM_BANKS_MAX)
            return fail(STATUS_USAGE, path, "too many PCR files", NULL);
        if (tpm_pcrs_parse(bytes_of(data, n), &m->banks[m->bank_count], &err) < 0)
            return fail_err(STATUS_INPUT, path, "not a PCR file", &err);
        m->bank_count++;
    }
    return 0;
}

static int read_log(const char *path, struct tpm_material *m)
{
    struct err err = { 0 };
    int rc = read_to(path, EVENTLOG_SIZE_MAX, &m->log_file);
    if (rc || !path)
        return rc;
    if (tpm_eventlog_parse(bytes_of(m->log_file.p, m->log_file.n), EVENTLOG_TPM, &m->log, &err) < 0
        || tpm_eventlog_replay(&m->log, &m->replay, &err) < 0)
        return fail_err(status_of(&err), path, "not an event log", &err);
    m->has_log = true;
    return 0;
}

static int read_extra_data(const char *hex, struct tpm_material *m)
{
    struct err err = { 0 };
    m->extra_data = buf_new(EXTRA_DATA_MAX);
    m->extra_data_asked = hex != NULL;
    if (hex
        && (hex_decode(bytes_str(hex), &m->extra_data, &err) < 0
            || buf_check(&m->extra_data, "extra data", &err) < 0))
        return fail_err(STATUS_USAGE, "--extra-data", "want hexadecimal digits", &err);
    return 0;
}

int tpm_material_read(const struct tpm_files *files, struct tpm_material *out)
{
    int rc;
    if ((rc = read_extra_data(files->extra_data, out)) || (rc = read_to(files->quote, QUOTE_MAX, &out->quote))
        || (rc = read_to(files->signature, QUOTE_MAX, &out->signature)) || (rc = read_ak(files->ak, out))
        || (rc = read_ak_cert(files, out)) || (rc = read_pcrs(files, out)))
        return rc;
    return read_log(files->eventlog, out);
}

void tpm_material_free(struct tpm_material **at)
{
    struct tpm_material *m = *at;
    if (!m)
        return;
    EVP_PKEY_free(m->ak);
    cert_files_done(&m->cert);
    cert_files_done(&m->pool);
    anchors_done(&m->anchors);
    tpm_eventlog_done(&m->log);
    buf_done(&m->extra_data);
    free(m->quote.p);
    free(m->signature.p);
    free(m->ak_file.p);
    free(m->log_file.p);
    free(m);
}

/* ---- judging ---- */

/* What Google's CA says of the instance, once the certificate is known to be Google's. */
static void put_instance(const X509 *cert, struct checks *checks, json_t *facts)
{
    struct gcp_instance instance;
    json_t *json = NULL;
    struct err err = { 0 };
    if (gcp_instance_parse(cert, &instance, &err) < 0) {
        if (err.kind != ERR_NOT_FOUND)
            checks_warn(checks, "the AK certificate's instance extension: %.200s", err.cause);
        return;
    }
    if (!instance.has_security || !instance.is_production)
        checks_warn(checks, "the AK certificate does not say that the instance is a production one");
    else if (gcp_instance_json(&instance, &json, &err) == 0)
        json_object_set_new(facts, "instance", json);
}

bool tpm_material_check_cert(const struct tpm_material *m, EVP_PKEY *ak, bool cert_optional, time_t at,
                             struct checks *checks, json_t *facts)
{
    struct ak_judged judged;
    if (m->cert.n == 0) {
        checks_add(checks, "tpm.ak_chain", CHECK_NOT_APPLICABLE, "no certificate of the key was given");
        return false;
    }
    const struct ak_cert_request rq = { .cert = m->cert.list[0],
                                        .pool = m->pool.list,
                                        .pool_n = m->pool.n,
                                        .anchors = m->anchors.list,
                                        .anchors_n = m->anchors.n };
    ak_cert_judge(&rq, &judged);
    bool holds = ak_cert_check(&judged, m->cert.list[0], ak, at, cert_optional, checks);
    if (holds)
        put_instance(m->cert.list[0], checks, facts);
    return holds;
}

static json_t *registers_json(const struct tpm_log_verdict *v)
{
    const struct {
        uint32_t mask;
        const char *word;
    } rows[] = { { v->explained, "agrees" }, { v->extended, "differs" }, { v->unknown, "unexplained" } };
    json_t *out = json_object();
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        char key[4];
        snprintf(key, sizeof(key), "%u", i);
        for (size_t k = 0; k < ARRAY_SIZE(rows); k++)
            if (rows[k].mask & 1u << i)
                json_object_set_new(out, key, json_string(rows[k].word));
    }
    return out;
}

static void judge_log(const struct tpm_material *m, const struct tpm_quote_verdict *quote,
                      struct checks *checks, json_t *facts)
{
    struct tpm_log_verdict log;
    if (!m->has_log) {
        checks_add(checks, "tpm.eventlog_replay", CHECK_NOT_APPLICABLE, "not asked: no log was given");
        return;
    }
    for (size_t i = 0; i < m->bank_count; i++) {
        uint32_t covered = tpm_quote_covers(quote, m->banks[i].alg);
        if (!covered)
            continue;
        tpm_log_verify(&m->log, &m->replay, &m->banks[i], covered, checks, &log);
        json_object_set_new(facts, "registers", registers_json(&log));
        return;
    }
    checks_add(checks, "tpm.eventlog_replay", CHECK_FAILED, "not made: no PCR value is proven by the quote");
}

/* A TPMT_SIGNATURE, or as long as an RSA signature. */
static bool signature_reads(const struct tpm_material *m)
{
    struct bytes raw = bytes_of(m->signature.p, m->signature.n);
    struct tpm_signature sig;
    struct err ignored = { 0 };
    return tpm_signature_parse(raw, &sig, &ignored) == 0
           || tpm_signature_parse_bare(raw, TPM_SCHEME_RSASSA, ALG_SHA256, &sig, &ignored) == 0;
}

void tpm_material_verify(const struct tpm_material *m, EVP_PKEY *ak, bool cert_optional, time_t at,
                         struct checks *checks, struct tpm_answer *out, json_t *facts)
{
    const struct tpm_quote_request rq = { .quote = bytes_of(m->quote.p, m->quote.n),
                                          .signature = bytes_of(m->signature.p, m->signature.n),
                                          .ak = ak,
                                          .ak_public = m->has_public ? &m->ak_public : NULL,
                                          .banks = m->banks,
                                          .bank_count = m->bank_count,
                                          .extra_data_asked = m->extra_data_asked,
                                          .extra_data = buf_bytes(&m->extra_data) };
    tpm_quote_verify(&rq, checks, &out->quote);
    out->malformed = !out->quote.parsed || !signature_reads(m);
    out->chain_holds = tpm_material_check_cert(m, ak, cert_optional, at, checks, facts);
    judge_log(m, &out->quote, checks, facts);
    if (out->quote.authentic)
        json_object_set_new(facts, "quote", tpm_attest_json(&out->quote.attest));
}
