/* Documents that carry other evidence: the collaterals document (contract, section 3) and attest.Attestation.
 */
#include "evidence/attestation.h"
#include "evidence/inspect_types.h"

#include "base/auto.h"
#include "base/enc.h"
#include "tpm/pcrs.h"

#define DOCUMENT_MAX (32u << 20)

int put_nested(json_t *out, const char *key, const char *type, struct bytes data, struct err *err)
{
    json_t *inner = NULL;
    struct err why = { 0 };
    if (inspect_decode(inspect_type_by_name(type), data, &inner, &why) < 0)
        return err_set(err, why.kind, 0, "%s: %.190s", key, why.cause);
    put(out, key, inner);
    return 0;
}

/* How a base64 member of a document is shown. */
struct member {
    const char *parent, *key; /* parent "": at the top */
    const char *type;         /* of inspect, or NULL: hex, with the text beside it if it is text */
    bool list;
};

static const struct member members[] = {
    { "sev_snp", "attestation_report", "snp_report", false },
    { "sev_snp", "vek_cert", "certificate", false },
    { "sev_snp", "vek_certs", "certificate", true },
    { "sev_snp", "cert_chain", "certificate", true },
    { "tdx", "attestation_report", "tdx_quote", false },
    { "tpm", "quote", "tpm_attest", false },
    { "tpm", "raw_sig", "tpm_signature", false },
    { "tpm", "ak_pub", "public_key", false },
    { "tpm", "ak_public", "tpm_public", false },
    { "tpm", "ak_cert", "certificate", false },
    { "tpm", "ak_cert_chain", "certificate", true },
    { "tpm", "tpm_certs", "certificate", true },
    { "tpm", "var_data", "runtime_data", false },
    { "", "boot_log_tpm", "eventlog", false },
    { "", "boot_log_ccel", "eventlog", false },
    { "", "magic", NULL, false },
    { "", "nonce", NULL, false },
    { "", "uuid", NULL, false },
};

static const struct member *member_of(const char *parent, const char *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        if (strcmp(members[i].parent, parent) == 0 && strcmp(members[i].key, key) == 0)
            return &members[i];
    return NULL;
}

static bool printable(struct bytes b)
{
    for (size_t i = 0; i < b.n; i++)
        if (b.p[i] < 0x20 || b.p[i] > 0x7E)
            return false;
    return b.n > 0;
}

static int decode_b64(const char *key, const json_t *v, struct buf *out, struct err *err)
{
    struct err why = { 0 };
    if (!json_is_string(v))
        return err_set(err, ERR_INPUT, 0, "%s: not a base64 string", key);
    if (b64_decode(bytes_of(json_string_value(v), json_string_length(v)), out, &why) < 0)
        return err_set(err, ERR_INPUT, 0, "%s: %s", key, why.cause);
    return 0;
}

static int put_list(json_t *out, const struct member *m, const json_t *list, struct err *err)
{
    json_t *shown = json_array();
    put(out, m->key, shown);
    if (!json_is_array(list) || json_array_size(list) > INSPECT_CERTS_MAX)
        return err_set(err, ERR_INPUT, 0, "%s: not a list of at most %d", m->key, INSPECT_CERTS_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        AUTO(buf_done) struct buf data = buf_new(DOCUMENT_MAX);
        AUTO(json_drop) json_t *one = json_object();
        if (decode_b64(m->key, json_array_get(list, i), &data, err) < 0
            || put_nested(one, m->key, m->type, buf_bytes(&data), err) < 0)
            return -1;
        json_array_append(shown, json_object_get(one, m->key));
    }
    return 0;
}

static int put_member(json_t *out, const struct member *m, const json_t *v, struct err *err)
{
    AUTO(buf_done) struct buf data = buf_new(DOCUMENT_MAX);
    char text_key[64];
    if (m->list)
        return put_list(out, m, v, err);
    if (decode_b64(m->key, v, &data, err) < 0)
        return -1;
    if (m->type)
        return put_nested(out, m->key, m->type, buf_bytes(&data), err);
    put(out, m->key, json_hex(buf_bytes(&data)));
    snprintf(text_key, sizeof(text_key), "%s_text", m->key);
    if (printable(buf_bytes(&data)))
        put(out, text_key, json_text(buf_bytes(&data)));
    return 0;
}

/* {"hash":11,"pcrs":{"0":base64,...}} */
static int put_pcrs(json_t *out, const json_t *v, struct err *err)
{
    json_t *shown = json_object(), *values = json_object(), *value;
    json_int_t hash = json_integer_value(json_object_get(v, "hash"));
    const char *key, *name = hash > 0 && hash <= UINT16_MAX ? digest_name((uint16_t)hash) : NULL;
    put(out, "pcrs", shown);
    put(shown, "hash", json_integer(hash));
    put(shown, "alg", name ? json_string(name) : json_null());
    put(shown, "pcrs", values);
    json_object_foreach(json_object_get(v, "pcrs"), key, value)
    {
        AUTO(buf_done) struct buf data = buf_new(DIGEST_MAX);
        if (decode_b64(key, value, &data, err) < 0)
            return err_while(err, "pcrs");
        put(values, key, json_hex(buf_bytes(&data)));
    }
    return 0;
}

static int put_group(json_t *out, const char *parent, const json_t *group, struct err *err)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)group, key, v)
    {
        const struct member *m = member_of(parent, key);
        int rc = 0;
        if (*parent == '\0' && json_is_object(v)
            && (!strcmp(key, "sev_snp") || !strcmp(key, "tdx") || !strcmp(key, "tpm"))) {
            json_t *inner = json_object();
            put(out, key, inner);
            rc = put_group(inner, key, v, err);
        } else if (m) {
            rc = put_member(out, m, v, err);
        } else if (!strcmp(parent, "tpm") && !strcmp(key, "pcrs")) {
            rc = put_pcrs(out, v, err);
        } else if (!json_object_get(out, key)) {
            put(out, key, json_incref(v));
        }
        if (rc < 0)
            return -1;
    }
    return 0;
}

bool looks_collaterals(struct bytes data)
{
    return json_has(data, '{', "magic") && json_has(data, '{', "nonce")
           && (json_has(data, '{', "tpm") || json_has(data, '{', "sev_snp") || json_has(data, '{', "tdx"));
}

int inspect_collaterals(struct bytes data, json_t *out, struct err *err)
{
    AUTO(json_drop) json_t *json = NULL;
    if (json_parse(data, DOCUMENT_MAX, &json, err) < 0)
        return -1;
    if (!json_is_string(json_object_get(json, "magic")) || !json_is_string(json_object_get(json, "nonce")))
        return err_set(err, ERR_INPUT, 0, "no \"magic\" and \"nonce\" at the top");
    return put_group(out, "", json, err);
}

/* Adds a nested object unless there are no bytes. */
static int put_some(json_t *out, const char *key, const char *type, struct bytes data, struct err *err)
{
    return data.n ? put_nested(out, key, type, data, err) : 0;
}

static int put_quotes(json_t *out, const struct attestation *a, struct err *err)
{
    json_t *list = json_array();
    put(out, "quotes", list);
    for (size_t i = 0; i < a->quote_count; i++) {
        const struct attestation_quote *q = &a->quotes[i];
        json_t *one = json_object();
        json_array_append_new(list, one);
        if (put_some(one, "quote", "tpm_attest", q->quote, err) < 0
            || put_some(one, "raw_sig", "tpm_signature", q->raw_sig, err) < 0)
            return -1;
        if (q->pcrs.alg)
            put(one, "pcrs", tpm_pcrs_json(&q->pcrs));
    }
    return 0;
}

/* Adds a nested message of its own type, if it is there. */
static int put_message(json_t *out, const char *key, const struct pb_message *type, uint32_t number,
                       struct bytes message, struct err *err)
{
    struct pb_field f;
    json_t *shown = NULL;
    for (size_t i = 0; i < type->count; i++) {
        const struct pb_member *m = &type->members[i];
        if (m->number != number || !pb_find(message, number, &f))
            continue;
        if (pb_to_json(m->message, f.data, PB_READABLE, &shown, err) < 0)
            return -1;
        put(out, key, shown);
    }
    return 0;
}

static int put_snp(json_t *out, const struct attestation *a, struct err *err)
{
    struct pb_field snp;
    if (!pb_find(a->message, 8, &snp))
        return 0;
    json_t *inner = json_object(), *chain = json_object();
    put(out, "sev_snp_attestation", inner);
    put(inner, "certificate_chain", chain);
    if (put_message(inner, "product", &snp_attestation_message, 3, snp.data, err) < 0
        || put_some(inner, "report", "snp_report", buf_bytes(&a->snp_report), err) < 0
        || put_some(chain, "vcek_cert", "certificate", a->vcek_cert, err) < 0
        || put_some(chain, "vlek_cert", "certificate", a->vlek_cert, err) < 0
        || put_some(chain, "ask_cert", "certificate", a->ask_cert, err) < 0
        || put_some(chain, "ark_cert", "certificate", a->ark_cert, err) < 0)
        return -1;
    return 0;
}

int inspect_attestation(struct bytes data, json_t *out, struct err *err)
{
    AUTO(attestation_done) struct attestation a = { 0 };
    if (attestation_parse(data, &a, err) < 0)
        return -1;
    put(out, "encoding", json_string(a.wire.n ? "json" : "protobuf"));
    if (put_some(out, "ak_pub", "tpm_public", a.ak_pub, err) < 0 || put_quotes(out, &a, err) < 0
        || put_some(out, "event_log", "eventlog", a.event_log, err) < 0
        || put_message(out, "instance_info", &attestation_message, 4, a.message, err) < 0)
        return -1;
    if (a.canonical_event_log.n)
        put(out, "canonical_event_log", json_hex(a.canonical_event_log));
    if (put_some(out, "ak_cert", "certificate", a.ak_cert, err) < 0)
        return -1;
    json_t *list = json_array();
    put(out, "intermediate_certs", list);
    for (size_t i = 0; i < a.intermediate_count; i++) {
        AUTO(json_drop) json_t *one = json_object();
        if (put_nested(one, "intermediate_certs", "certificate", a.intermediate_certs[i], err) < 0)
            return -1;
        json_array_append(list, json_object_get(one, "intermediate_certs"));
    }
    if (put_snp(out, &a, err) < 0)
        return -1;
    return put_some(out, "tdx_attestation", "tdx_quote", buf_bytes(&a.tdx_quote), err);
}
