/* The collaterals document, contract section 3. Written by appending: the boot logs, most of its bytes, are
 * encoded once at start. */
#include "evidence/collect_internal.h"

#include "base/enc.h"
#include "base/json.h"

#include "tee/hcl_report.h"

#include <time.h>

static void put_text(struct buf *out, const char *key, const char *value)
{
    json_put_key(out, key);
    json_put_string(out, bytes_str(value));
}

static void put_raw(struct buf *out, const char *key, const char *json)
{
    if (!json)
        return;
    json_put_key(out, key);
    buf_str(out, json);
}

/* A value that is base64 already. */
static void put_ready_b64(struct buf *out, const char *key, const struct buf *b64)
{
    json_put_key(out, key);
    buf_u8(out, '"');
    buf_put(out, buf_bytes(b64));
    buf_u8(out, '"');
}

static void put_b64_list(struct buf *out, const char *key, const struct buf *items, size_t n)
{
    if (!n)
        return;
    json_put_key(out, key);
    buf_u8(out, '[');
    for (size_t i = 0; i < n; i++) {
        buf_str(out, i ? ",\"" : "\"");
        b64_put(out, buf_bytes(&items[i]));
        buf_u8(out, '"');
    }
    buf_u8(out, ']');
}

static void put_tee(const struct shape *shape, const struct evidence *e, struct buf *out)
{
    if (shape->tee == TEE_NONE)
        return;
    put_raw(out, tee_name(shape->tee), "{");
    json_put_b64(out, "attestation_report", buf_bytes(&e->tee.report));
    if (e->certs.vek.n)
        json_put_b64(out, "vek_cert", buf_bytes(&e->certs.vek));
    put_b64_list(out, "cert_chain", e->certs.chain, e->certs.chain_n);
    if (e->collateral.n) {
        json_put_key(out, "collateral");
        buf_put(out, buf_bytes(&e->collateral));
    }
    buf_u8(out, '}');
}

static void put_pcrs(const struct tpm_pcrs *pcrs, struct buf *out)
{
    put_raw(out, "pcrs", "{");
    buf_printf(out, "\"hash\":%u,\"pcrs\":{", pcrs->alg);
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        char key[8];
        snprintf(key, sizeof(key), "%u", i);
        if (pcrs->mask >> i & 1)
            json_put_b64(out, key, digest_bytes(&pcrs->pcr[i]));
    }
    buf_str(out, "}}");
}

static int put_azure(const struct evidence *e, struct buf *out, struct err *err)
{
    struct hcl_report report;
    char when[32];
    struct tm tm;
    if (hcl_report_parse(buf_bytes(&e->hcl), &report, err) < 0)
        return err_while(err, "parse the HCL report");
    json_put_b64(out, "var_data", hcl_var_data(&report));
    put_text(out, "report", e->report_label);
    gmtime_r(&e->report_time, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    put_text(out, "report_time", when);
    return 0;
}

static int put_tpm(const struct shape *shape, const struct evidence *e, struct buf *out, struct err *err)
{
    put_raw(out, "tpm", "{");
    json_put_b64(out, "quote", buf_bytes(&e->quote));
    json_put_b64(out, "raw_sig", buf_bytes(&e->sig));
    put_pcrs(&e->pcrs, out);
    json_put_b64(out, "ak_pub", buf_bytes(&e->ak_spki));
    json_put_b64(out, "ak_public", buf_bytes(&e->ak_public));
    if (e->ak_cert.n)
        json_put_b64(out, "ak_cert", buf_bytes(&e->ak_cert));
    put_b64_list(out, "ak_cert_chain", e->ak_chain.cert, e->ak_chain.n);
    if (shape->report == REPORT_HCL && put_azure(e, out, err) < 0)
        return -1;
    buf_u8(out, '}');
    return 0;
}

static void put_log(const char *key, const struct boot_log *log, struct buf *out)
{
    if (log->b64.n)
        put_ready_b64(out, key, &log->b64);
}

static void put_missing(const struct collector *c, const struct evidence *e,
                        const struct document_extras *extras, struct buf *out)
{
    put_raw(out, "missing", "{");
    for (size_t i = 0; i < e->missing_n; i++)
        put_text(out, e->missing[i].key, e->missing[i].why);
    if (c->log_tpm.why[0])
        put_text(out, "boot_log_tpm", c->log_tpm.why);
    if (c->log_ccel.why[0])
        put_text(out, "boot_log_ccel", c->log_ccel.why);
    if (!extras->workload_log)
        put_text(out, "workload_log",
                 "the workload log is not open, or too long for a document: the agent's log says why");
    if (extras->no_mirror)
        put_text(out, "mirror", extras->no_mirror);
    if (extras->no_rtmr3)
        put_text(out, "rtmr3", extras->no_rtmr3);
    if (!extras->journal_log)
        put_text(out, "journal_log",
                 "the journal is not open, or too long for a document: the agent's log says why");
    if (!c->shape->tpm)
        put_text(out, "tpm", "this platform shape has no TPM");
    if (c->shape->tee == TEE_NONE)
        put_text(out, "tee", "no TEE was found: the TPM alone proves no confidential hardware");
    buf_u8(out, '}');
}

int evidence_document(const struct collector *c, const struct evidence *e,
                      const struct document_extras *extras, struct buf *out, struct err *err)
{
    const struct shape *shape = c->shape;
    buf_str(out, "{\"version\":1,\"platform\":{");
    put_text(out, "tee", tee_name(shape->tee));
    put_text(out, "cloud", cloud_name(c->cloud));
    put_raw(out, "emulated", c->lower->emulated ? "true" : "false");
    buf_u8(out, '}');
    put_tee(shape, e, out);
    if (shape->tpm && put_tpm(shape, e, out, err) < 0)
        return -1;
    json_put_b64(out, "magic", bytes_of(e->magic, MAGIC_SIZE));
    json_put_b64(out, "nonce", bytes_of(e->shown_nonce, e->shown_nonce_n));
    if (e->service[0])
        put_text(out, "service", e->service);
    put_log("boot_log_tpm", &c->log_tpm, out);
    put_log("boot_log_ccel", &c->log_ccel, out);
    put_raw(out, "workload_log", extras->workload_log);
    put_raw(out, "journal_log", extras->journal_log);
    if (extras->tls_spki_sha256)
        put_text(out, "tls_spki_sha256", extras->tls_spki_sha256);
    put_missing(c, e, extras, out);
    buf_u8(out, '}');
    return buf_check(out, "collaterals document", err);
}
