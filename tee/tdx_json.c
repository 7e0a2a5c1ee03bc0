#include "base/auto.h"
#include "base/x509.h"
#include "tee/json_fields.h"
#include "tee/pck_cert.h"
#include "tee/tdx_quote.h"

#include <stdio.h>

#define BODY(member) offsetof(struct tdx_body, member)

/* Intel's names first, then the spellings of other tools for the same bytes. */
static const struct json_field body_fields[] = {
    { "tee_tcb_svn", JSON_FIELD_BYTES, BODY(tee_tcb_svn) },
    { "mr_seam", JSON_FIELD_BYTES, BODY(mr_seam) },
    { "mr_signer_seam", JSON_FIELD_BYTES, BODY(mr_signer_seam) },
    { "seam_attributes", JSON_FIELD_BYTES, BODY(seam_attributes) },
    { "td_attributes", JSON_FIELD_BYTES, BODY(td_attributes) },
    { "xfam", JSON_FIELD_BYTES, BODY(xfam) },
    { "mr_td", JSON_FIELD_BYTES, BODY(mr_td) },
    { "mr_config_id", JSON_FIELD_BYTES, BODY(mr_config_id) },
    { "mr_owner", JSON_FIELD_BYTES, BODY(mr_owner) },
    { "mr_owner_config", JSON_FIELD_BYTES, BODY(mr_owner_config) },
    { "report_data", JSON_FIELD_BYTES, BODY(report_data) },
    { "tee_tcb_svn_2", JSON_FIELD_BYTES, BODY(tee_tcb_svn_2) },
    { "mr_service_td", JSON_FIELD_BYTES, BODY(mr_service_td) },
    { "mrseam", JSON_FIELD_BYTES, BODY(mr_seam) },
    { "mrsignerseam", JSON_FIELD_BYTES, BODY(mr_signer_seam) },
    { "mrtd", JSON_FIELD_BYTES, BODY(mr_td) },
    { "mrconfigid", JSON_FIELD_BYTES, BODY(mr_config_id) },
    { "mrowner", JSON_FIELD_BYTES, BODY(mr_owner) },
    { "mrownerconfig", JSON_FIELD_BYTES, BODY(mr_owner_config) },
    { "rtmr0", JSON_FIELD_BYTES, BODY(rtmr[0]) },
    { "rtmr1", JSON_FIELD_BYTES, BODY(rtmr[1]) },
    { "rtmr2", JSON_FIELD_BYTES, BODY(rtmr[2]) },
    { "rtmr3", JSON_FIELD_BYTES, BODY(rtmr[3]) },
    { "tee_tcb_svn2", JSON_FIELD_BYTES, BODY(tee_tcb_svn_2) },
    { "mrservicetd", JSON_FIELD_BYTES, BODY(mr_service_td) },
};

static const struct json_bit attribute_bits[] = {
    { "debug", TDX_ATTR_DEBUG },
    { "hgs_plus_prof", TDX_ATTR_HGS_PLUS_PROF },
    { "perf_prof", TDX_ATTR_PERF_PROF },
    { "pmt_prof", TDX_ATTR_PMT_PROF },
    { "icssd", TDX_ATTR_ICSSD },
    { "lass", TDX_ATTR_LASS },
    { "sept_ve_disable", TDX_ATTR_SEPT_VE_DISABLE },
    { "migratable", TDX_ATTR_MIGRATABLE },
    { "pks", TDX_ATTR_PKS },
    { "kl", TDX_ATTR_KL },
    { "tpa", TDX_ATTR_TPA },
    { "perfmon", TDX_ATTR_PERFMON },
};

bool tdx_body_json(json_t *object, const struct tdx_body *body)
{
    AUTO(json_drop) json_t *rtmr = json_array();
    AUTO(json_drop) json_t *bits = json_object();
    for (size_t i = 0; i < TDX_RTMRS; i++)
        if (json_array_append_new(rtmr, json_hex(body->rtmr[i])) < 0)
            return false;
    return json_set_fields(object, body_fields, ARRAY_SIZE(body_fields), body)
           && json_set(object, "rtmr", MOVE(rtmr))
           && json_set_bits(bits, attribute_bits, ARRAY_SIZE(attribute_bits), tdx_attributes(body))
           && json_set(object, "td_attributes_decoded", MOVE(bits))
           && json_set(object, "td_debug", json_boolean(tdx_attributes(body) >> TDX_ATTR_DEBUG & 1))
           && json_set(object, "td_under_debug", json_boolean(tdx_is_debug(body)));
}

#define QE(member) offsetof(struct tdx_qe_report, member)

static const struct json_field qe_fields[] = {
    { "cpu_svn", JSON_FIELD_BYTES, QE(cpu_svn) },       { "misc_select", JSON_FIELD_U32, QE(misc_select) },
    { "attributes", JSON_FIELD_BYTES, QE(attributes) }, { "mr_enclave", JSON_FIELD_BYTES, QE(mr_enclave) },
    { "mr_signer", JSON_FIELD_BYTES, QE(mr_signer) },   { "isv_prod_id", JSON_FIELD_U16, QE(isv_prod_id) },
    { "isv_svn", JSON_FIELD_U16, QE(isv_svn) },         { "report_data", JSON_FIELD_BYTES, QE(report_data) },
};

#define AT(member) offsetof(struct tdx_quote, member)

static const struct json_field head_fields[] = {
    { "quote_version", JSON_FIELD_U16, AT(version) },
    { "version", JSON_FIELD_U16, AT(version) },
    { "att_key_type", JSON_FIELD_U16, AT(att_key_type) },
    { "qe_vendor_id", JSON_FIELD_BYTES, AT(qe_vendor_id) },
    { "user_data", JSON_FIELD_BYTES, AT(user_data) },
};

static const struct json_field tail_fields[] = {
    { "signature_data_len", JSON_FIELD_U32, AT(signature_data_len) },
    { "signature", JSON_FIELD_BYTES, AT(signature) },
    { "attestation_key", JSON_FIELD_BYTES, AT(attestation_key) },
    { "cert_data_type", JSON_FIELD_U16, AT(cert_data_type) },
    { "qe_report_signature", JSON_FIELD_BYTES, AT(qe_report_signature) },
    { "inner_cert_data_type", JSON_FIELD_U16, AT(inner_cert_data_type) },
};

#define PCK_CHAIN_MAX 8

static json_t *pck_json(const struct tdx_quote *q)
{
    X509 *certs[PCK_CHAIN_MAX];
    struct pck_cert pck;
    struct err ignored = { 0 };
    json_t *o = NULL;
    int n = q->pck_chain.n ? x509_parse_chain(q->pck_chain, certs, PCK_CHAIN_MAX, &ignored) : 0;
    if (n <= 0)
        return json_null();
    int rc = pck_cert_parse(certs[0], &pck, &ignored);
    if (rc == 0 && pck_cert_json(&pck, certs[0], &o, &ignored) < 0)
        o = NULL;
    while (n-- > 0)
        X509_free(certs[n]);
    return rc == 0 ? o : json_null();
}

static bool set_tail(json_t *o, const struct tdx_quote *q)
{
    AUTO(json_drop) json_t *qe = json_object();
    return json_set_fields(o, tail_fields, ARRAY_SIZE(tail_fields), q)
           && json_set_fields(qe, qe_fields, ARRAY_SIZE(qe_fields), &q->qe_report)
           && json_set(o, "qe_report", MOVE(qe)) && json_set(o, "qe_auth_data", json_hex(q->qe_auth_data))
           && json_set(o, "certification_data_len", json_integer((json_int_t)q->certification_data.n))
           && (q->pck_chain.n ? json_set(o, "pck_chain", json_text(q->pck_chain))
                              : json_set(o, "certification_data", json_hex(q->certification_data)))
           && json_set(o, "pck", pck_json(q));
}

int tdx_quote_json(const struct tdx_quote *q, json_t **out, struct err *err)
{
    json_t *o = json_object();
    char tee_type[16];
    snprintf(tee_type, sizeof(tee_type), "%#" PRIx32, q->tee_type);
    bool done = json_set(o, "type", json_string("tdx_quote"))
                && json_set_fields(o, head_fields, ARRAY_SIZE(head_fields), q)
                && json_set(o, "tee_type", json_string(tee_type))
                && json_set(o, "body_type", q->version == 4 ? json_null() : json_integer(q->body_type))
                && tdx_body_json(o, &q->body) && set_tail(o, q)
                && json_set(o, "quote_len", json_integer((json_int_t)q->quote_len))
                && json_set(o, "trailing_bytes", json_integer((json_int_t)q->trailing.n));
    return json_finish(o, done, out, err);
}
