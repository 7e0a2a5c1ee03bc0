#include "evidence/attestation.h"

#include "base/auto.h"
#include "evidence/attestation_places.h"
#include "tee/tdx_quote.h"

#include <stdlib.h>

static int put_places(struct bytes message, const struct attestation_place *places, size_t count,
                      const char *what, uint8_t *out, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct attestation_place *at = &places[i];
        struct pb_field f;
        if (!pb_find(message, at->number, &f))
            continue; /* proto3 leaves zeros out */
        if (at->integer) {
            if (at->size < 8 && f.value >> (8 * at->size))
                return err_set(err, ERR_INPUT, 0, "%s: field %u is too large for %u bytes", what, at->number,
                               at->size);
            for (unsigned k = 0; k < at->size; k++)
                out[at->offset + k] = (uint8_t)(f.value >> (8 * k));
        } else {
            if (f.data.n != at->size && f.data.n != 0)
                return err_set(err, ERR_INPUT, 0, "%s: field %u has %zu bytes, want %u", what, at->number,
                               f.data.n, at->size);
            memcpy(out + at->offset, f.data.p, f.data.n);
        }
    }
    return 0;
}

/* CPUID leaf 1 EAX packs family, model and stepping; the report has a byte for each (from version 3 on). */
static void put_cpuid(uint64_t eax, uint8_t *report)
{
    uint8_t family = eax >> 8 & 0x0F, model = eax >> 4 & 0x0F;
    if (family == 0x0F)
        family = (uint8_t)(family + (eax >> 20 & 0xFF));
    model = (uint8_t)(model | (eax >> 16 & 0x0F) << 4);
    report[0x188] = family;
    report[0x189] = model;
    report[0x18A] = eax & 0x0F;
}

int attestation_snp_report(struct bytes report, struct buf *out, struct err *err)
{
    uint8_t raw[SNP_REPORT_SIZE] = { 0 };
    if (put_places(report, attestation_report_places.row, attestation_report_places.n, "sevsnp.Report", raw,
                   err)
        < 0)
        return -1;
    if (pb_get_uint(report, 1) >= 3)
        put_cpuid(pb_get_uint(report, 29), raw);
    buf_put(out, bytes_of(raw, sizeof(raw)));
    return buf_check(out, "SNP report", err);
}

static int put_rtmrs(struct bytes body, uint8_t *out, struct err *err)
{
    struct reader r = reader_of(body);
    struct pb_field f;
    size_t n = 0;
    while (pb_next(&r, &f, err) > 0) {
        if (f.number != 11)
            continue;
        if (n == 4 || f.data.n != 48)
            return err_set(err, ERR_INPUT, 0, "tdx.TDQuoteBody: want four RTMRs of 48 bytes");
        memcpy(out + 328 + 48 * n++, f.data.p, 48);
    }
    return n == 4 ? 0 : err_set(err, ERR_INPUT, 0, "tdx.TDQuoteBody: %zu RTMRs, want four", n);
}

/* The certification data of type 6: QE report, its signature, authentication data, PCK chain. */
static int put_certification(struct bytes qe, struct buf *out, struct err *err)
{
    uint8_t report[QE_REPORT_SIZE] = { 0 };
    struct bytes auth = pb_get_bytes(pb_get_bytes(qe, 3), 2), pck = pb_get_bytes(qe, 4);
    struct bytes signature = pb_get_bytes(qe, 2), chain = pb_get_bytes(pck, 3);
    if (put_places(pb_get_bytes(qe, 1), attestation_enclave_places.row, attestation_enclave_places.n,
                   "tdx.EnclaveReport", report, err)
        < 0)
        return -1;
    if (signature.n != 64 || auth.n > UINT16_MAX || chain.n > UINT32_MAX)
        return err_set(err, ERR_INPUT, 0, "tdx.QEReportCertificationData: a part has a wrong size");
    buf_put(out, bytes_of(report, sizeof(report)));
    buf_put(out, signature);
    buf_u16le(out, (uint16_t)auth.n);
    buf_put(out, auth);
    buf_u16le(out, (uint16_t)pb_get_uint(pck, 1));
    buf_u32le(out, (uint32_t)chain.n);
    buf_put(out, chain);
    return 0;
}

/* The value of that name behind a TDX quote; whatever else is there is passed over. */
static struct bytes find_behind(struct bytes behind, const char *wanted)
{
    struct reader r = reader_of(behind);
    struct bytes name, value;
    uint32_t n;
    while (rd_take(&r, ATTESTATION_NAME_SIZE, &name) && rd_u32le(&r, &n) && rd_take(&r, n, &value))
        if (attestation_is_named(name, wanted))
            return value;
    return bytes_of(NULL, 0);
}

/* Version 5 puts a descriptor of the body between header and body. */
static void put_body(const uint8_t *head, struct bytes behind, struct buf *out)
{
    struct bytes more = find_behind(behind, ATTESTATION_BODY_15);
    buf_put(out, bytes_of(head, TDX_HEADER_SIZE));
    if (le_uint(head, 2) == 5) {
        buf_u16le(out, more.n ? TDX_BODY_15 : TDX_BODY_10);
        buf_u32le(out, TDX_BODY_SIZE + (uint32_t)more.n);
    }
    buf_put(out, bytes_of(head + TDX_HEADER_SIZE, TDX_BODY_SIZE));
    if (le_uint(head, 2) == 5)
        buf_put(out, more);
}

int attestation_tdx_quote(struct bytes quote, struct buf *out, struct err *err)
{
    uint8_t head[TDX_HEADER_SIZE + TDX_BODY_SIZE] = { 0 };
    struct bytes header = pb_get_bytes(quote, 1), body = pb_get_bytes(quote, 2), sig = pb_get_bytes(quote, 4);
    struct bytes signature = pb_get_bytes(sig, 1), key = pb_get_bytes(sig, 2), cert = pb_get_bytes(sig, 3);
    AUTO(buf_done) struct buf inner = buf_new(out->max);
    if (put_places(header, attestation_header_places.row, attestation_header_places.n, "tdx.Header", head,
                   err)
            < 0
        || put_places(body, attestation_body_places.row, attestation_body_places.n, "tdx.TDQuoteBody",
                      head + TDX_HEADER_SIZE, err)
               < 0
        || put_rtmrs(body, head + TDX_HEADER_SIZE, err) < 0)
        return -1;
    if (signature.n != 64 || key.n != 64)
        return err_set(err, ERR_INPUT, 0, "tdx.QuoteV4: signature of %zu and key of %zu bytes, want 64 each",
                       signature.n, key.n);
    if (put_certification(pb_get_bytes(cert, 3), &inner, err) < 0 || buf_check(&inner, "TDX quote", err) < 0)
        return -1;
    put_body(head, pb_get_bytes(quote, 5), out);
    buf_u32le(out, (uint32_t)pb_get_uint(quote, 3));
    buf_put(out, signature);
    buf_put(out, key);
    buf_u16le(out, (uint16_t)pb_get_uint(cert, 1));
    buf_u32le(out, (uint32_t)inner.n);
    buf_put(out, buf_bytes(&inner));
    buf_put(out, pb_get_bytes(quote, 5));
    return buf_check(out, "TDX quote", err);
}

static int read_pcrs(struct bytes message, struct tpm_pcrs *out, struct err *err)
{
    struct reader r = reader_of(message);
    struct pb_field f;
    size_t size = digest_size((uint16_t)pb_get_uint(message, 1));
    if (size == 0 || pb_get_uint(message, 1) > UINT16_MAX)
        return err_set(err, ERR_INPUT, 0, "tpm.PCRs: hash %" PRIu64 " is not known", pb_get_uint(message, 1));
    out->alg = (uint16_t)pb_get_uint(message, 1);
    while (pb_next(&r, &f, err) > 0) {
        if (f.number != 2)
            continue;
        uint64_t index = pb_get_uint(f.data, 1);
        struct bytes value = pb_get_bytes(f.data, 2);
        if (index >= TPM_PCRS || value.n != size || (out->mask & 1u << index))
            return err_set(err, ERR_INPUT, 0, "tpm.PCRs: PCR %" PRIu64 " with %zu bytes: wrong or twice",
                           index, value.n);
        out->mask |= 1u << index;
        out->pcr[index] = (struct digest){ .alg = out->alg, .n = (uint8_t)size };
        memcpy(out->pcr[index].b, value.p, size);
    }
    return 0;
}

static int read_quote(struct bytes message, struct attestation *a, struct err *err)
{
    struct pb_field pcrs;
    if (a->quote_count == ATTESTATION_QUOTES_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "more than %d quotes", ATTESTATION_QUOTES_MAX);
    struct attestation_quote *q = &a->quotes[a->quote_count++];
    *q = (struct attestation_quote){ .quote = pb_get_bytes(message, 1), .raw_sig = pb_get_bytes(message, 2) };
    return pb_find(message, 3, &pcrs) ? read_pcrs(pcrs.data, &q->pcrs, err) : 0;
}

static int read_lists(struct attestation *a, struct err *err)
{
    struct reader r = reader_of(a->message);
    struct pb_field f;
    while (pb_next(&r, &f, err) > 0) {
        if (f.number == 2 && read_quote(f.data, a, err) < 0)
            return -1;
        if (f.number != 7)
            continue;
        if (a->intermediate_count == ATTESTATION_CERTS_MAX)
            return err_set(err, ERR_TOO_LARGE, 0, "more than %d certificates", ATTESTATION_CERTS_MAX);
        a->intermediate_certs[a->intermediate_count++] = f.data;
    }
    return 0;
}

/* Values among the extra certificates of an SNP report. */
static void read_extras(struct bytes chain, struct attestation *a)
{
    struct reader r = reader_of(chain);
    struct pb_field f;
    struct err ignored;
    while (pb_next(&r, &f, &ignored) > 0) {
        struct bytes key = f.number == 7 ? pb_get_bytes(f.data, 1) : bytes_of(NULL, 0);
        if (bytes_equal(key, bytes_str(ATTESTATION_ASKED)))
            a->asked = pb_get_bytes(f.data, 2);
        if (bytes_equal(key, bytes_str(ATTESTATION_RUNTIME)))
            a->runtime_data = pb_get_bytes(f.data, 2);
    }
}

static int read_tee(struct attestation *a, struct err *err)
{
    struct pb_field snp, tdx, report;
    bool has_snp = pb_find(a->message, 8, &snp), has_tdx = pb_find(a->message, 9, &tdx);
    if (has_snp && has_tdx)
        return err_set(err, ERR_INPUT, 0, "attest.Attestation has both an SNP and a TDX part");
    if (has_tdx) {
        a->asked = find_behind(pb_get_bytes(tdx.data, 5), ATTESTATION_ASKED);
        a->runtime_data = find_behind(pb_get_bytes(tdx.data, 5), ATTESTATION_RUNTIME);
        return attestation_tdx_quote(tdx.data, &a->tdx_quote, err);
    }
    if (!has_snp)
        return 0;
    struct bytes chain = pb_get_bytes(snp.data, 2);
    a->vcek_cert = pb_get_bytes(chain, 1);
    a->ask_cert = pb_get_bytes(chain, 2);
    a->ark_cert = pb_get_bytes(chain, 3);
    a->vlek_cert = pb_get_bytes(chain, 6);
    read_extras(chain, a);
    return pb_find(snp.data, 1, &report) ? attestation_snp_report(report.data, &a->snp_report, err) : 0;
}

static bool is_json(struct bytes data)
{
    for (size_t i = 0; i < data.n; i++)
        if (!strchr(" \t\r\n", data.p[i]) || !data.p[i])
            return data.p[i] == '{';
    return false;
}

bool attestation_looks(struct bytes data)
{
    static const char *const names[] = { "\"akPub\"", "\"ak_pub\"", "\"quotes\"" };
    struct reader r = reader_of(data);
    uint8_t key;
    struct pb_field f;
    struct err ignored;
    if (is_json(data)) {
        return (memmem(data.p, data.n, names[0], 7) || memmem(data.p, data.n, names[1], 8))
               && memmem(data.p, data.n, names[2], 8);
    }
    struct reader head = r;
    if (!rd_u8(&head, &key) || key != (1 << 3 | PB_BYTES) || pb_next(&r, &f, &ignored) <= 0 || f.data.n < 4)
        return false;
    uint64_t type = be_uint(f.data.p, 2); /* TPM_ALG_RSA, TPM_ALG_ECC */
    return type == 0x0001 || type == 0x0023;
}

static int read_json(struct bytes data, struct attestation *a, struct err *err)
{
    AUTO(json_drop) json_t *json = NULL;
    if (json_parse(data, ATTESTATION_MAX, &json, err) < 0
        || pb_from_json(&attestation_message, json, &a->wire, err) < 0)
        return -1;
    a->message = buf_bytes(&a->wire);
    return 0;
}

int attestation_parse(struct bytes data, struct attestation *out, struct err *err)
{
    AUTO(attestation_done)
    struct attestation a = { .message = data,
                             .wire = buf_new(ATTESTATION_MAX),
                             .snp_report = buf_new(SNP_REPORT_SIZE),
                             .tdx_quote = buf_new(ATTESTATION_MAX) };
    if (data.n > ATTESTATION_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "attestation of %zu bytes, at most %u are read", data.n,
                       ATTESTATION_MAX);
    if (is_json(data) && read_json(data, &a, err) < 0)
        return -1;
    if (pb_check(&attestation_message, reader_of(a.message), err) < 0)
        return -1;
    a.ak_pub = pb_get_bytes(a.message, 1);
    a.event_log = pb_get_bytes(a.message, 3);
    a.canonical_event_log = pb_get_bytes(a.message, 5);
    a.ak_cert = pb_get_bytes(a.message, 6);
    a.vcek_cert = a.ask_cert = a.ark_cert = a.vlek_cert = a.asked = a.runtime_data = bytes_of(NULL, 0);
    if (read_lists(&a, err) < 0 || read_tee(&a, err) < 0)
        return -1;
    if (a.ak_pub.n == 0 && a.quote_count == 0 && a.snp_report.n == 0 && a.tdx_quote.n == 0)
        return err_set(err, ERR_INPUT, 0, "attest.Attestation of %zu bytes holds no evidence", data.n);
    *out = a;
    a = (struct attestation){ 0 };
    return 0;
}

void attestation_done(struct attestation *a)
{
    buf_done(&a->wire);
    buf_done(&a->snp_report);
    buf_done(&a->tdx_quote);
}
