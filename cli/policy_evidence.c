/* Evidence that policies are made from, in all the forms that tools save. */
#include "cli/policy_make.h"

#include "base/auto.h"
#include "base/json_wide.h"
#include "evidence/verify_document.h"
#include "policy/cocos.h"
#include "tee/snp_report.h"
#include "tee/tdx_quote.h"

#include <errno.h>
#include <stdlib.h>

#define EVIDENCE_MAX (32u << 20)

static int from_attestation(struct bytes data, struct policy_evidence *out, struct err *err)
{
    AUTO(attestation_done) struct attestation a = { .quote_count = 0 };
    if (attestation_parse(data, &a, err) < 0)
        return -1;
    buf_put(&out->snp_report, buf_bytes(&a.snp_report));
    buf_put(&out->tdx_quote, buf_bytes(&a.tdx_quote));
    return 0;
}

/* A sevsnp.Attestation: field 1 is the report. */
static int from_snp_message(struct bytes message, struct policy_evidence *out, struct err *err)
{
    struct pb_field report;
    if (pb_check(&snp_attestation_message, reader_of(message), err) < 0)
        return -1;
    if (!pb_find(message, 1, &report))
        return err_set(err, ERR_INPUT, 0, "sevsnp.Attestation has no report");
    return attestation_snp_report(report.data, &out->snp_report, err);
}

static int from_tdx_message(struct bytes message, struct policy_evidence *out, struct err *err)
{
    if (pb_check(&tdx_quote_message, reader_of(message), err) < 0)
        return -1;
    return attestation_tdx_quote(message, &out->tdx_quote, err);
}

static int from_document(json_t *root, struct policy_evidence *out, struct err *err)
{
    AUTO(document_done) struct document d = { .root = NULL };
    if (document_from_json(root, &d, err) < 0)
        return -1;
    buf_put(d.tee == TEE_TDX ? &out->tdx_quote : &out->snp_report, d.tee_report);
    return 0;
}

static bool has(const json_t *root, const char *a, const char *b)
{
    return json_object_get(root, a) || json_object_get(root, b);
}

static int from_json(struct bytes data, struct policy_evidence *out, struct err *err)
{
    AUTO(json_drop) json_t *root = NULL;
    if (json_wide_parse(data, EVIDENCE_MAX, &root, err) < 0)
        return -1;
    if (has(root, "akPub", "ak_pub") || has(root, "sevSnpAttestation", "sev_snp_attestation")
        || has(root, "tdxAttestation", "tdx_attestation"))
        return from_attestation(data, out, err);
    if (has(root, "sev_snp", "tdx"))
        return from_document(root, out, err);
    if (has(root, "tdQuoteBody", "td_quote_body"))
        return pb_from_json(&tdx_quote_message, root, &out->wire, err) < 0
                   ? -1
                   : from_tdx_message(buf_bytes(&out->wire), out, err);
    if (json_object_get(root, "report"))
        return pb_from_json(&snp_attestation_message, root, &out->wire, err) < 0
                   ? -1
                   : from_snp_message(buf_bytes(&out->wire), out, err);
    return err_set(err, ERR_INPUT, 0, "JSON that is neither an attestation nor a collaterals document");
}

static bool is_tdx_quote(struct bytes data)
{
    struct reader r = reader_of(data);
    uint16_t version = 0, key = 0;
    uint32_t tee = 0;
    return rd_u16le(&r, &version) && rd_u16le(&r, &key) && rd_u32le(&r, &tee)
           && (version == 4 || version == 5) && key == TDX_KEY_ECDSA_P256 && tee == TDX_TEE_TYPE;
}

/* A certificate table may follow the report. */
static bool is_snp_report(struct bytes data)
{
    struct reader r = reader_of(data);
    uint32_t version = 0;
    return data.n >= SNP_REPORT_SIZE && rd_u32le(&r, &version) && version >= SNP_VERSION_MIN
           && version <= SNP_VERSION_MAX;
}

static int from_binary(struct bytes data, struct policy_evidence *out, struct err *err)
{
    struct snp_report response;
    if (is_tdx_quote(data)) {
        buf_put(&out->tdx_quote, data);
        return 0;
    }
    if (is_snp_report(data)) {
        buf_put(&out->snp_report, bytes_of(data.p, SNP_REPORT_SIZE));
        return 0;
    }
    if (snp_report_parse(data, &response, err) == 0) { /* as the ioctl hands it out */
        buf_put(&out->snp_report, response.raw);
        return 0;
    }
    return attestation_looks(data) ? from_attestation(data, out, err) : from_snp_message(data, out, err);
}

int policy_evidence_read(const char *path, struct policy_evidence *out)
{
    struct err err = { 0 };
    size_t n;
    out->wire = out->snp_report = out->tdx_quote = buf_new(EVIDENCE_MAX);
    int rc = read_input(path, EVIDENCE_MAX, &out->file, &n);
    if (rc)
        return rc;
    struct bytes data = bytes_of(out->file, n);
    if ((cocos_looks(data) ? from_json : from_binary)(data, out, &err) < 0)
        return fail_err(STATUS_INPUT, path, "not evidence that a policy is made from", &err);
    return 0;
}

void policy_evidence_done(struct policy_evidence *e)
{
    free(e->file);
    buf_done(&e->wire);
    buf_done(&e->snp_report);
    buf_done(&e->tdx_quote);
}

/* ---- writing ---- */

/* Bundles stay where they are: only that they are named counts here. */
static int pass_over(void *ctx, const char *path, struct buf *out, struct err *err)
{
    AUTO(free_u8) uint8_t *data = NULL;
    size_t n = 0;
    (void)ctx, (void)err;
    int rc = read_input(path, POLICY_FILE_MAX, &data, &n);
    buf_put(out, bytes_of(data, n));
    return rc ? err_set(err, ERR_INPUT, 0, "\"%.100s\" cannot be read", path) : 0;
}

int policy_write(const json_t *policy, const char *file)
{
    AUTO(buf_done) struct buf text = buf_new(POLICY_FILE_MAX);
    AUTO(cocos_drop) struct cocos_policy *parsed = NULL;
    const struct cocos_files files = { pass_over, NULL };
    struct err err = { 0 };
    json_wide_put(&text, policy);
    if (buf_check(&text, "policy", &err) < 0 || cocos_parse(buf_bytes(&text), &files, &parsed, &err) < 0)
        return fail_err(STATUS_INPUT, file, "no policy was written", &err);
    return write_out(&text, strcmp(file, "-") ? file : NULL);
}

int policy_number(const char *option, const char *text, uint64_t max, uint64_t *out)
{
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *digits = text + (hex ? 2 : 0);
    char *end = NULL;
    errno = 0;
    unsigned long long v = strtoull(digits, &end, hex ? 16 : 10);
    if (!*digits || digits[strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789")] || *end || errno
        || v > max)
        return fail(STATUS_USAGE, option, "not a whole number, or too large", text);
    *out = v;
    return 0;
}
