#include "tee/tdx_collateral.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"
#include "tee/json_range.h"
#include "tee/tdx_quote.h"

#include <ctype.h>
#include <stddef.h>

enum part_kind { KIND_DOCUMENT, KIND_SIGNATURE, KIND_CHAIN, KIND_CRL };

/* inner: the member of a PCS answer that is signed. */
static const struct {
    const char *name, *inner;
    enum part_kind kind;
    size_t at;
} parts[TDX_PARTS] = {
    [TDX_PART_TCB_INFO] = { "tcb_info", "tcbInfo", KIND_DOCUMENT, offsetof(struct tdx_collateral, tcb_info) },
    [TDX_PART_TCB_INFO_SIGNATURE] = { "tcb_info_signature", NULL, KIND_SIGNATURE,
                                      offsetof(struct tdx_collateral, tcb_info) },
    [TDX_PART_TCB_INFO_CHAIN] = { "tcb_info_issuer_chain", NULL, KIND_CHAIN,
                                  offsetof(struct tdx_collateral, tcb_info_chain) },
    [TDX_PART_QE_IDENTITY] = { "qe_identity", "enclaveIdentity", KIND_DOCUMENT,
                               offsetof(struct tdx_collateral, qe_identity) },
    [TDX_PART_QE_IDENTITY_SIGNATURE] = { "qe_identity_signature", NULL, KIND_SIGNATURE,
                                         offsetof(struct tdx_collateral, qe_identity) },
    [TDX_PART_QE_IDENTITY_CHAIN] = { "qe_identity_issuer_chain", NULL, KIND_CHAIN,
                                     offsetof(struct tdx_collateral, qe_identity_chain) },
    [TDX_PART_PCK_CRL] = { "pck_crl", NULL, KIND_CRL, offsetof(struct tdx_collateral, pck_crl) },
    [TDX_PART_PCK_CRL_CHAIN] = { "pck_crl_issuer_chain", NULL, KIND_CHAIN,
                                 offsetof(struct tdx_collateral, pck_crl_chain) },
    [TDX_PART_ROOT_CA_CRL] = { "root_ca_crl", NULL, KIND_CRL, offsetof(struct tdx_collateral, root_ca_crl) },
};

const char *tdx_part_name(enum tdx_part part)
{
    return parts[part].name;
}

struct tdx_collateral *tdx_collateral_new(void)
{
    return calloc(1, sizeof(struct tdx_collateral));
}

static void certs_done(struct tdx_certs *certs)
{
    while (certs->n > 0)
        X509_free(certs->list[--certs->n]);
}

void tdx_collateral_free(struct tdx_collateral *c)
{
    if (!c)
        return;
    free(c->tcb_info.raw);
    free(c->qe_identity.raw);
    certs_done(&c->tcb_info_chain);
    certs_done(&c->qe_identity_chain);
    certs_done(&c->pck_crl_chain);
    X509_CRL_free(c->pck_crl);
    X509_CRL_free(c->root_ca_crl);
    free(c);
}

static int twice(const char *name, struct err *err)
{
    return err_set(err, ERR_INPUT, 0, "\"%s\" is given twice", name);
}

static struct bytes trimmed(struct bytes text)
{
    while (text.n && isspace(text.p[0]))
        text = bytes_of(text.p + 1, text.n - 1);
    while (text.n && (isspace(text.p[text.n - 1]) || text.p[text.n - 1] == '\0'))
        text.n--;
    return text;
}

/* ---- documents and signatures ---- */

/* 128 hex digits; some tools keep the 64 bytes as they are, or as base64. */
static int decode_signature(struct bytes given, uint8_t out[static TDX_SIGNATURE_SIZE], struct err *err)
{
    AUTO(buf_done) struct buf decoded = buf_new(TDX_SIGNATURE_SIZE);
    struct bytes text = trimmed(given), raw = given;
    if (given.n != TDX_SIGNATURE_SIZE) {
        if (text.n > 88 || b64_decode(text, &decoded, &(struct err){ 0 }) < 0)
            return hex_decode_fixed(text, out, TDX_SIGNATURE_SIZE, err);
        raw = buf_bytes(&decoded);
    }
    if (raw.n != TDX_SIGNATURE_SIZE)
        return err_set(err, ERR_INPUT, 0, "%zu bytes where %d are needed", raw.n, TDX_SIGNATURE_SIZE);
    memcpy(out, raw.p, TDX_SIGNATURE_SIZE);
    return 0;
}

/* Some tools give the signature both beside and inside the document: that is fine if it is one. */
static int set_signature(struct tdx_signed *s, const char *name, struct bytes given, struct err *err)
{
    struct err inner = { 0 };
    uint8_t signature[sizeof(s->signature)];
    if (decode_signature(given, signature, &inner) < 0)
        return err_set(err, ERR_INPUT, 0, "\"%s\" is not a signature of 128 hex digits: %.120s", name,
                       inner.cause);
    if (s->has_signature && memcmp(s->signature, signature, sizeof(signature)) != 0)
        return twice(name, err);
    memcpy(s->signature, signature, sizeof(signature));
    s->has_signature = true;
    return 0;
}

/* A PCS answer has the signature beside the signed object. */
static int open_answer(struct tdx_signed *s, enum tdx_part part, const json_t *doc, struct bytes text,
                       struct bytes *raw, struct err *err)
{
    const json_t *signature = json_object_get(doc, "signature");
    if (!json_is_object(json_object_get(doc, parts[part].inner))
        || !json_member_range(text, parts[part].inner, raw))
        return err_set(err, ERR_INPUT, 0, "\"%s\" in \"%s\" is no object", parts[part].inner,
                       parts[part].name);
    if (!signature)
        return 0;
    if (!json_is_string(signature))
        return err_set(err, ERR_INPUT, 0, "the signature in \"%s\" is no text", parts[part].name);
    return set_signature(s, parts[part + 1].name, bytes_str(json_string_value(signature)), err);
}

static int set_document(struct tdx_signed *s, enum tdx_part part, struct bytes text, struct err *err)
{
    AUTO(json_drop) json_t *doc = NULL;
    struct bytes raw = trimmed(text);
    if (s->raw)
        return twice(parts[part].name, err);
    if (json_parse(text, TDX_COLLATERAL_PART_MAX, &doc, err) < 0)
        return -1;
    if (!json_is_object(doc))
        return err_set(err, ERR_INPUT, 0, "\"%s\" is no JSON object", parts[part].name);
    if (json_object_get(doc, parts[part].inner) && open_answer(s, part, doc, text, &raw, err) < 0)
        return -1;
    uint8_t *copy = malloc(raw.n ? raw.n : 1);
    if (!copy)
        return err_set(err, ERR_IO, 0, "out of memory");
    memcpy(copy, raw.p, raw.n);
    s->raw = copy;
    s->raw_n = raw.n;
    return 0;
}

/* ---- certificates and CRLs ---- */

static int set_chain(struct tdx_certs *certs, const char *name, struct bytes data, struct err *err)
{
    AUTO(buf_done) struct buf decoded = buf_new(TDX_COLLATERAL_PART_MAX);
    if (certs->n)
        return twice(name, err);
    if (memmem(data.p, data.n, "-----BEGIN%20", 13)) { /* as PCS sends it in a header */
        if (percent_decode(trimmed(data), &decoded, err) < 0)
            return -1;
        data = buf_bytes(&decoded);
    }
    int n = x509_parse_chain(data, certs->list, TDX_CHAIN_MAX, err);
    if (n < 0)
        return -1;
    certs->n = (size_t)n;
    return 0;
}

/* DER of a CRL has bytes above 0x7F in its first length: text is hex or base64, or PEM as it is. */
static int crl_decode(struct bytes data, struct buf *out, struct err *err)
{
    struct bytes text = trimmed(data);
    bool hex = true, ascii = true, prefixed = text.n > 2 && !memcmp(text.p, "0x", 2);
    for (size_t i = 0; i < text.n; i++) {
        hex &= isxdigit(text.p[i]) != 0 || (prefixed && i == 1);
        ascii &= text.p[i] < 0x80;
    }
    if (!ascii || memmem(text.p, text.n, "-----BEGIN ", 11))
        buf_put(out, data);
    else if (hex)
        return hex_decode(text, out, err);
    else
        return b64_decode(text, out, err);
    return buf_check(out, "a CRL", err);
}

static int set_crl(X509_CRL **crl, const char *name, struct bytes data, struct err *err)
{
    AUTO(buf_done) struct buf der = buf_new(TDX_CRL_MAX);
    if (*crl)
        return twice(name, err);
    return crl_decode(data, &der, err) < 0 || crl_parse(buf_bytes(&der), crl, err) < 0 ? -1 : 0;
}

int tdx_collateral_set(struct tdx_collateral *c, enum tdx_part part, struct bytes data, struct err *err)
{
    void *at = (char *)c + parts[part].at;
    if (data.n > TDX_COLLATERAL_PART_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "\"%s\" has %zu bytes, at most %u are read", parts[part].name,
                       data.n, TDX_COLLATERAL_PART_MAX);
    switch (parts[part].kind) {
    case KIND_DOCUMENT:
        return set_document(at, part, data, err);
    case KIND_SIGNATURE:
        return set_signature(at, parts[part].name, data, err);
    case KIND_CHAIN:
        return set_chain(at, parts[part].name, data, err);
    default:
        return set_crl(at, parts[part].name, data, err);
    }
}

/* ---- the collateral object ---- */

/* Bytes as some serialisers write them: a list of numbers. */
static bool take_numbers(const json_t *list, struct buf *out)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *n = json_array_get(list, i);
        if (!json_is_integer(n) || json_integer_value(n) < 0 || json_integer_value(n) > UINT8_MAX)
            return false;
        buf_u8(out, (uint8_t)json_integer_value(n));
    }
    return out->n && !out->failed;
}

/* The signed bytes of a document that stands in the text as an object are those of the text. */
static int set_member(struct tdx_collateral *c, enum tdx_part part, struct bytes text, const json_t *v,
                      struct err *err)
{
    AUTO(buf_done) struct buf numbers = buf_new(TDX_CRL_MAX);
    bool binary = parts[part].kind == KIND_SIGNATURE || parts[part].kind == KIND_CRL;
    struct bytes value;
    if (json_is_string(v))
        value = bytes_of(json_string_value(v), json_string_length(v));
    else if (binary && json_is_array(v) && take_numbers(v, &numbers))
        value = buf_bytes(&numbers);
    else if (parts[part].kind != KIND_DOCUMENT || !json_is_object(v)
             || !json_member_range(text, parts[part].name, &value))
        return err_set(err, ERR_INPUT, 0, "\"%s\" is not text", parts[part].name);
    struct err inner = { 0 };
    if (tdx_collateral_set(c, part, value, &inner) < 0)
        return err_set(err, inner.kind, 0, "\"%s\": %.180s", parts[part].name, inner.cause);
    return 0;
}

int tdx_collateral_parse(struct bytes text, struct tdx_collateral **out, struct err *err)
{
    AUTO(json_drop) json_t *doc = NULL;
    AUTO(tdx_collateral_drop) struct tdx_collateral *c = tdx_collateral_new();
    size_t found = 0;
    if (!c)
        return err_set(err, ERR_IO, 0, "out of memory");
    if (json_parse(text, TDX_COLLATERAL_MAX, &doc, err) < 0)
        return -1;
    for (enum tdx_part part = 0; part < TDX_PARTS; part++) {
        const json_t *v = json_object_get(doc, parts[part].name);
        if (!v || json_is_null(v))
            continue;
        if (set_member(c, part, text, v, err) < 0)
            return -1;
        found++;
    }
    if (!found)
        return err_set(
            err, ERR_INPUT, 0,
            "no TDX collateral: none of \"tcb_info\", \"qe_identity\", \"pck_crl\" and so on is there");
    *out = MOVE(c);
    return 0;
}
