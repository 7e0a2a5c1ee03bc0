#include "tee/tdx_quote.h"

#include "base/auto.h"

/* Inner certification data: the sizes that are fixed (0: any), and whether it is PEM. Encrypted PPIDs are
 * followed by CPUSVN (16), PCESVN (2) and PCE id (2). */
static const struct {
    size_t size;
    uint16_t type;
    bool pem;
} cert_types[] = {
    { 0, TDX_CERT_PPID_PLAIN, false },
    { 256 + 20, TDX_CERT_PPID_RSA2048, false },
    { 384 + 20, TDX_CERT_PPID_RSA3072, false },
    { 0, TDX_CERT_PCK_LEAF, true },
    { 0, TDX_CERT_PCK_CHAIN, true },
};

static int take_header(struct reader *r, struct tdx_quote *q, struct err *err)
{
    if (!rd_u16le(r, &q->version) || !rd_u16le(r, &q->att_key_type) || !rd_u32le(r, &q->tee_type)
        || !rd_skip(r, 4) /* reserved; some readers take them for SVNs */
        || !rd_take(r, 16, &q->qe_vendor_id) || !rd_take(r, 20, &q->user_data))
        return err_set(err, ERR_INPUT, 0, "TDX quote of %zu bytes has no header", r->off + r->rest.n);
    if ((q->version != 4 && q->version != 5) || q->tee_type != TDX_TEE_TYPE)
        return err_set(err, ERR_INPUT, 0,
                       "quote version %u at offset 0, TEE type %#" PRIx32 " at offset 4: want 4 or 5, 0x81",
                       q->version, q->tee_type);
    if (q->att_key_type != TDX_KEY_ECDSA_P256)
        return err_set(err, ERR_INPUT, 0,
                       "TDX quote attestation key type %u at offset 2: want 2 (ECDSA P-256)",
                       q->att_key_type);
    return 0;
}

/* Version 5 says which body follows; version 4 has but one. */
static int take_descriptor(struct reader *r, struct tdx_quote *q, struct err *err)
{
    uint32_t size;
    q->body_type = TDX_BODY_10;
    if (q->version == 4)
        return 0;
    if (!rd_u16le(r, &q->body_type) || !rd_u32le(r, &size))
        return err_set(err, ERR_INPUT, 0, "TDX quote cut short at offset %zu: no body descriptor", r->off);
    if (!(q->body_type == TDX_BODY_10 && size == TDX_BODY_10_SIZE)
        && !(q->body_type == TDX_BODY_15 && size == TDX_BODY_15_SIZE))
        return err_set(err, ERR_INPUT, 0,
                       "TDX quote body type %u of %" PRIu32
                       " bytes before offset %zu: want 2 (584) or 3 (648)",
                       q->body_type, size, r->off);
    return 0;
}

static int take_body(struct reader *r, uint16_t type, struct tdx_body *b, struct err *err)
{
    b->tee_tcb_svn_2 = b->mr_service_td = bytes_of(NULL, 0);
    if (!rd_take(r, 16, &b->tee_tcb_svn) || !rd_take(r, 48, &b->mr_seam)
        || !rd_take(r, 48, &b->mr_signer_seam) || !rd_take(r, 8, &b->seam_attributes)
        || !rd_take(r, 8, &b->td_attributes) || !rd_take(r, 8, &b->xfam) || !rd_take(r, 48, &b->mr_td)
        || !rd_take(r, 48, &b->mr_config_id) || !rd_take(r, 48, &b->mr_owner)
        || !rd_take(r, 48, &b->mr_owner_config) || !rd_take(r, 48, &b->rtmr[0])
        || !rd_take(r, 48, &b->rtmr[1]) || !rd_take(r, 48, &b->rtmr[2]) || !rd_take(r, 48, &b->rtmr[3])
        || !rd_take(r, 64, &b->report_data)
        || (type == TDX_BODY_15
            && (!rd_take(r, 16, &b->tee_tcb_svn_2) || !rd_take(r, 48, &b->mr_service_td))))
        return err_set(err, ERR_INPUT, 0, "TDX quote cut short at offset %zu, in the body", r->off);
    return 0;
}

static bool take_qe_report(struct reader *r, struct tdx_qe_report *q)
{
    if (!rd_take(r, TDX_QE_REPORT_SIZE, &q->raw))
        return false;
    struct reader in = reader_of(q->raw);
    return rd_take(&in, 16, &q->cpu_svn) && rd_u32le(&in, &q->misc_select) && rd_skip(&in, 28)
           && rd_take(&in, 16, &q->attributes) && rd_take(&in, 32, &q->mr_enclave) && rd_skip(&in, 32)
           && rd_take(&in, 32, &q->mr_signer) && rd_skip(&in, 96) && rd_u16le(&in, &q->isv_prod_id)
           && rd_u16le(&in, &q->isv_svn) && rd_skip(&in, 60) && rd_take(&in, 64, &q->report_data)
           && in.rest.n == 0;
}

static int check_certification(struct tdx_quote *q, size_t end, struct err *err)
{
    q->pck_chain = bytes_of(NULL, 0);
    for (size_t i = 0; i < ARRAY_SIZE(cert_types); i++) {
        if (cert_types[i].type != q->inner_cert_data_type)
            continue;
        if (cert_types[i].size && cert_types[i].size != q->certification_data.n)
            return err_set(err, ERR_INPUT, 0,
                           "TDX quote certification data type %u of %zu bytes before offset %zu: want %zu",
                           q->inner_cert_data_type, q->certification_data.n, end, cert_types[i].size);
        if (cert_types[i].pem)
            q->pck_chain = q->certification_data;
        return 0;
    }
    return err_set(err, ERR_INPUT, 0, "TDX quote certification data type %u at offset %zu: want 1 to 5",
                   q->inner_cert_data_type, end - q->certification_data.n - 6);
}

/* Quote signature, key, and the QE report that vouches for the key; nothing may be left over. */
static int take_signature_data(struct bytes data, size_t base, struct tdx_quote *q, struct err *err)
{
    struct reader r = { data, base };
    struct bytes outer;
    uint32_t outer_size, inner_size;
    uint16_t auth_size;
    if (!rd_take(&r, TDX_SIGNATURE_SIZE, &q->signature) || !rd_take(&r, TDX_KEY_SIZE, &q->attestation_key)
        || !rd_u16le(&r, &q->cert_data_type) || !rd_u32le(&r, &outer_size))
        return err_set(err, ERR_INPUT, 0, "TDX quote signature data cut short at offset %zu", r.off);
    if (q->cert_data_type != TDX_CERT_QE_REPORT)
        return err_set(err, ERR_INPUT, 0,
                       "TDX quote certification data type %u at offset %zu: want 6 (QE report)",
                       q->cert_data_type, r.off - 6);
    struct reader in = { bytes_of(NULL, 0), r.off };
    if (!rd_take(&r, outer_size, &outer) || r.rest.n != 0)
        return err_set(err, ERR_INPUT, 0,
                       "TDX quote QE certification data of %" PRIu32 " bytes at offset %zu do not fill it",
                       outer_size, in.off);
    in.rest = outer;
    if (!take_qe_report(&in, &q->qe_report) || !rd_take(&in, TDX_SIGNATURE_SIZE, &q->qe_report_signature)
        || !rd_u16le(&in, &auth_size) || !rd_take(&in, auth_size, &q->qe_auth_data)
        || !rd_u16le(&in, &q->inner_cert_data_type) || !rd_u32le(&in, &inner_size)
        || !rd_take(&in, inner_size, &q->certification_data) || in.rest.n != 0)
        return err_set(
            err, ERR_INPUT, 0,
            "TDX quote QE certification data are inconsistent at offset %zu, %zu bytes before their end",
            in.off, in.rest.n);
    return check_certification(q, in.off, err);
}

int tdx_quote_parse(struct bytes raw, struct tdx_quote *out, struct err *err)
{
    struct reader r = reader_of(raw);
    struct tdx_quote q = { 0 };
    struct bytes data;
    if (take_header(&r, &q, err) < 0 || take_descriptor(&r, &q, err) < 0
        || take_body(&r, q.body_type, &q.body, err) < 0)
        return -1;
    q.signed_bytes = bytes_of(raw.p, r.off);
    if (!rd_u32le(&r, &q.signature_data_len) || !rd_take(&r, q.signature_data_len, &data))
        return err_set(err, ERR_INPUT, 0,
                       "TDX quote cut short at offset %zu of %zu: signature data of %" PRIu32, r.off, raw.n,
                       q.signature_data_len);
    if (take_signature_data(data, r.off - data.n, &q, err) < 0)
        return -1;
    q.quote_len = r.off;
    q.trailing = r.rest;
    *out = q;
    return 0;
}

uint64_t tdx_attributes(const struct tdx_body *body)
{
    return le_uint(body->td_attributes.p, body->td_attributes.n);
}

bool tdx_is_debug(const struct tdx_body *body)
{
    return (tdx_attributes(body) & 0xFF) != 0;
}
