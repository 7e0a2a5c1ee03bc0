/* Messages made from what the hardware signed: the inverse of evidence/attestation.c. */
#include "base/auto.h"
#include "base/enc.h"
#include "evidence/attestation.h"
#include "evidence/attestation_places.h"
#include "tee/tdx_quote.h"

#include <openssl/evp.h>

#define TAG "cvm-agent/attestation-v1"

/* AMD SEV-SNP firmware ABI 56860, table 23 (ATTESTATION_REPORT). */
static const struct attestation_place report_rows[] = {
    { 1, 0x000, 4, true },    { 2, 0x004, 4, true },    { 3, 0x008, 8, true },    { 4, 0x010, 16, false },
    { 5, 0x020, 16, false },  { 6, 0x030, 4, true },    { 7, 0x034, 4, true },    { 8, 0x038, 8, true },
    { 9, 0x040, 8, true },    { 10, 0x048, 4, true },   { 11, 0x050, 64, false }, { 12, 0x090, 48, false },
    { 13, 0x0C0, 32, false }, { 14, 0x0E0, 48, false }, { 15, 0x110, 48, false }, { 16, 0x140, 32, false },
    { 17, 0x160, 32, false }, { 18, 0x180, 8, true },   { 19, 0x1A0, 64, false }, { 20, 0x1E0, 8, true },
    { 21, 0x1E8, 1, true },   { 22, 0x1E9, 1, true },   { 23, 0x1EA, 1, true },   { 24, 0x1EC, 1, true },
    { 25, 0x1ED, 1, true },   { 26, 0x1EE, 1, true },   { 27, 0x1F0, 8, true },   { 28, 0x2A0, 512, false },
    { 30, 0x1F8, 8, true },   { 31, 0x200, 8, true },
};

/* Intel TDX DCAP Quoting Library API, "Version 4 Quote Format": header, TD quote body, QE report. The message
 * names bytes 8 and 10 of the header PCE SVN and QE SVN. */
static const struct attestation_place header_rows[] = {
    { 1, 0, 2, true },   { 2, 2, 2, true },    { 3, 4, 4, true },    { 5, 8, 2, false },
    { 4, 10, 2, false }, { 6, 12, 16, false }, { 7, 28, 20, false },
};
static const struct attestation_place body_rows[] = {
    { 1, 0, 16, false },   { 2, 16, 48, false },   { 3, 64, 48, false },   { 4, 112, 8, false },
    { 5, 120, 8, false },  { 6, 128, 8, false },   { 7, 136, 48, false },  { 8, 184, 48, false },
    { 9, 232, 48, false }, { 10, 280, 48, false }, { 12, 520, 64, false },
};
static const struct attestation_place enclave_rows[] = {
    { 1, 0, 16, false },  { 2, 16, 4, true },   { 3, 20, 28, false },   { 4, 48, 16, false },
    { 5, 64, 32, false }, { 6, 96, 32, false }, { 7, 128, 32, false },  { 8, 160, 96, false },
    { 9, 256, 2, true },  { 10, 258, 2, true }, { 11, 260, 60, false }, { 12, 320, 64, false },
};

#define PLACES(rows)                                                                                         \
    {                                                                                                        \
        rows, ARRAY_SIZE(rows)                                                                               \
    }
const struct attestation_places attestation_report_places = PLACES(report_rows);
const struct attestation_places attestation_header_places = PLACES(header_rows);
const struct attestation_places attestation_body_places = PLACES(body_rows);
const struct attestation_places attestation_enclave_places = PLACES(enclave_rows);

/* ---- what is bound ---- */

static int hash(const char *name, const struct bytes *parts, size_t n, uint8_t out[static 64],
                struct err *err)
{
    EVP_MD *md = EVP_MD_fetch(NULL, name, NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = md && ctx && EVP_DigestInit_ex(ctx, md, NULL) == 1;
    for (size_t i = 0; good && i < n; i++)
        good = EVP_DigestUpdate(ctx, parts[i].p, parts[i].n) == 1;
    good = good && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_MD_free(md);
    return good ? 0 : err_set(err, ERR_IO, 0, "libcrypto has no %s", name);
}

int attestation_bind_cocos(struct bytes report_data, struct bytes ak_public, uint8_t out[static 64],
                           struct err *err)
{
    const struct bytes parts[] = { report_data, ak_public };
    return hash("SHA3-512", parts, ARRAY_SIZE(parts), out, err);
}

int attestation_bind_v1(struct bytes report_data, struct bytes nonce, uint8_t out[static 64], struct err *err)
{
    const struct bytes parts[] = { bytes_of(TAG, sizeof(TAG)), report_data, nonce }; /* with its 0x00 */
    return hash("SHA512", parts, ARRAY_SIZE(parts), out, err);
}

/* ---- values behind a quote ---- */

static void raw_name(const char *spelled, uint8_t out[static ATTESTATION_NAME_SIZE])
{
    AUTO(buf_done) struct buf hex = buf_new(64);
    struct err ignored;
    for (; *spelled; spelled++)
        if (*spelled != '-')
            buf_u8(&hex, (uint8_t)*spelled);
    memset(out, 0, ATTESTATION_NAME_SIZE);
    (void)!hex_decode_fixed(buf_bytes(&hex), out, ATTESTATION_NAME_SIZE, &ignored);
}

bool attestation_is_named(struct bytes name, const char *spelled)
{
    uint8_t raw[ATTESTATION_NAME_SIZE];
    raw_name(spelled, raw);
    return bytes_equal(name, bytes_of(raw, sizeof(raw)));
}

void attestation_put_behind(const char *name, struct bytes value, struct buf *out)
{
    uint8_t raw[ATTESTATION_NAME_SIZE];
    raw_name(name, raw);
    buf_put(out, bytes_of(raw, sizeof(raw)));
    buf_u32le(out, (uint32_t)value.n);
    buf_put(out, value);
}

/* ---- messages ---- */

/* proto3 leaves zeros out; byte fields that the structure has are there even if they are zero. */
static void put_place(const uint8_t *raw, const struct attestation_place *at, struct buf *out)
{
    uint64_t v = at->integer ? le_uint(raw + at->offset, at->size) : 0;
    if (!at->integer)
        pb_put_bytes(out, at->number, bytes_of(raw + at->offset, at->size));
    else if (v)
        pb_put_uint(out, at->number, v);
}

/* In the order of their numbers. */
static void put_places(const uint8_t *raw, struct attestation_places places, uint32_t from, uint32_t to,
                       struct buf *out)
{
    for (uint32_t number = from; number <= to; number++)
        for (size_t i = 0; i < places.n; i++)
            if (places.row[i].number == number)
                put_place(raw, &places.row[i], out);
}

/* CPUID leaf 1 EAX of a report's family, model and stepping (AMD APM volume 3, Fn0000_0001_EAX). */
static uint32_t cpuid_of(const uint8_t *raw)
{
    uint32_t family = raw[0x188], model = raw[0x189], stepping = raw[0x18A];
    uint32_t base = family > 0x0F ? 0x0F : family, extended = family - base;
    return extended << 20 | (model >> 4) << 16 | base << 8 | (model & 0x0F) << 4 | (stepping & 0x0F);
}

int attestation_put_snp_report(struct bytes raw, struct buf *out, struct err *err)
{
    if (raw.n != SNP_REPORT_SIZE)
        return err_set(err, ERR_INPUT, 0, "an SNP report of %zu bytes, want %d", raw.n, SNP_REPORT_SIZE);
    put_places(raw.p, attestation_report_places, 1, 28, out);
    if (le_uint(raw.p, 4) >= 3 && cpuid_of(raw.p))
        pb_put_uint(out, 29, cpuid_of(raw.p));
    put_places(raw.p, attestation_report_places, 30, 31, out);
    return buf_check(out, "SNP report", err);
}

static void put_message(struct buf *out, uint32_t number, const struct buf *inner)
{
    if (inner->failed)
        out->failed = true;
    pb_put_bytes(out, number, buf_bytes(inner));
}

static void put_certification(const struct tdx_quote *q, struct buf *out)
{
    AUTO(buf_done) struct buf enclave = buf_new(out->max);
    AUTO(buf_done) struct buf auth = buf_new(out->max);
    AUTO(buf_done) struct buf pck = buf_new(out->max);
    AUTO(buf_done) struct buf qe = buf_new(out->max);
    put_places(q->qe_report.raw.p, attestation_enclave_places, 1, 12, &enclave);
    if (q->qe_auth_data.n)
        pb_put_uint(&auth, 1, q->qe_auth_data.n);
    pb_put_bytes(&auth, 2, q->qe_auth_data);
    pb_put_uint(&pck, 1, q->inner_cert_data_type);
    pb_put_uint(&pck, 2, q->certification_data.n);
    pb_put_bytes(&pck, 3, q->certification_data);
    put_message(&qe, 1, &enclave);
    pb_put_bytes(&qe, 2, q->qe_report_signature);
    put_message(&qe, 3, &auth);
    put_message(&qe, 4, &pck);
    pb_put_uint(out, 1, q->cert_data_type);
    /* QE report, its signature, two sizes with their data, type */
    pb_put_uint(out, 2, QE_REPORT_SIZE + 64 + 2 + q->qe_auth_data.n + 2 + 4 + q->certification_data.n);
    put_message(out, 3, &qe);
}

int attestation_put_tdx_quote(struct bytes raw, struct bytes behind, struct buf *out, struct err *err)
{
    AUTO(buf_done) struct buf header = buf_new(out->max);
    AUTO(buf_done) struct buf body = buf_new(out->max);
    AUTO(buf_done) struct buf certification = buf_new(out->max);
    AUTO(buf_done) struct buf sig = buf_new(out->max);
    AUTO(buf_done) struct buf tail = buf_new(out->max);
    struct tdx_quote q;
    if (tdx_quote_parse(raw, &q, err) < 0)
        return -1;
    const uint8_t *fixed = q.body.tee_tcb_svn.p; /* behind the descriptor, if there is one */
    put_places(raw.p, attestation_header_places, 1, 7, &header);
    put_places(fixed, attestation_body_places, 1, 10, &body);
    for (unsigned i = 0; i < TDX_RTMRS; i++)
        pb_put_bytes(&body, 11, q.body.rtmr[i]);
    put_places(fixed, attestation_body_places, 12, 12, &body);
    put_certification(&q, &certification);
    pb_put_bytes(&sig, 1, q.signature);
    pb_put_bytes(&sig, 2, q.attestation_key);
    put_message(&sig, 3, &certification);
    put_message(out, 1, &header);
    put_message(out, 2, &body);
    pb_put_uint(out, 3, q.signature_data_len);
    put_message(out, 4, &sig);
    buf_put(&tail, behind);
    if (q.body_type == TDX_BODY_15)
        attestation_put_behind(ATTESTATION_BODY_15,
                               bytes_of(fixed + TDX_BODY_SIZE, TDX_BODY_15_SIZE - TDX_BODY_SIZE), &tail);
    if (tail.n)
        pb_put_bytes(out, 5, buf_bytes(&tail));
    if (tail.failed)
        out->failed = true;
    return buf_check(out, "TDX quote", err);
}
