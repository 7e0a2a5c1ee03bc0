#include "tee/pck_cert.h"

#include "base/auto.h"
#include "tee/der.h"
#include "tee/json_fields.h"

#include <openssl/bn.h>

/* Object identifiers are compared as their DER content. All begin with 1.2.840.113741.1.13.1. */
static const uint8_t oid_sgx[] = { 0x2A, 0x86, 0x48, 0x86, 0xF8, 0x4D, 0x01, 0x0D, 0x01 };

enum { ARC_PPID = 1, ARC_TCB, ARC_PCEID, ARC_FMSPC, ARC_SGX_TYPE, ARC_INSTANCE, ARC_CONFIGURATION, ARCS };
enum { ARC_TCB_PCESVN = 17, ARC_TCB_CPUSVN = 18 };

/* One (OID, value) pair: the OID is the extension's, then the arc of the list it is in (0: the outermost),
 * then *arc. All arcs are below 128, one byte each. */
static bool take_pair(struct reader *r, uint8_t list, uint8_t *arc, struct reader *value)
{
    struct bytes pair, oid, prefix;
    uint8_t have = 0;
    if (!der_take(r, DER_SEQUENCE, &pair))
        return false;
    *value = reader_of(pair);
    if (!der_take(value, DER_OID, &oid))
        return false;
    struct reader in = reader_of(oid);
    return rd_take(&in, sizeof(oid_sgx), &prefix) && bytes_equal(prefix, bytes_of(oid_sgx, sizeof(oid_sgx)))
           && (!list || (rd_u8(&in, &have) && have == list)) && rd_u8(&in, arc) && in.rest.n == 0;
}

static bool take_octets(struct reader *r, size_t n, struct bytes *out)
{
    struct bytes v;
    if (!der_take(r, DER_OCTETS, &v) || v.n != n)
        return false;
    *out = v;
    return true;
}

/* 18 pairs, each once: sixteen component SVNs, PCESVN, CPUSVN. */
static bool take_tcb(struct reader *r, struct pck_cert *p)
{
    struct bytes tcb;
    uint32_t seen = 0;
    if (!der_take(r, DER_SEQUENCE, &tcb))
        return false;
    for (struct reader in = reader_of(tcb); in.rest.n;) {
        struct reader value;
        uint64_t v = 0;
        uint8_t arc;
        if (!take_pair(&in, ARC_TCB, &arc, &value) || arc < 1 || arc > ARC_TCB_CPUSVN || (seen >> arc & 1))
            return false;
        seen |= 1u << arc;
        if (arc == ARC_TCB_CPUSVN
                ? !take_octets(&value, 16, &p->cpusvn)
                : !der_uint(&value, DER_INTEGER, arc == ARC_TCB_PCESVN ? UINT16_MAX : UINT8_MAX, &v))
            return false;
        if (value.rest.n != 0)
            return false;
        if (arc == ARC_TCB_PCESVN)
            p->pcesvn = (uint16_t)v;
        else if (arc < ARC_TCB_PCESVN)
            p->component_svn[arc - 1] = (uint8_t)v;
    }
    return seen == ((1u << (ARC_TCB_CPUSVN + 1)) - 2); /* bits 1 to 18 */
}

static bool take_configuration(struct reader *r, struct pck_cert *p)
{
    bool *flags[] = { &p->dynamic_platform, &p->cached_keys, &p->smt_enabled };
    struct bytes content;
    uint32_t seen = 0;
    if (!der_take(r, DER_SEQUENCE, &content))
        return false;
    for (struct reader in = reader_of(content); in.rest.n;) {
        struct reader value;
        uint8_t arc;
        if (!take_pair(&in, ARC_CONFIGURATION, &arc, &value) || arc < 1 || arc > 3 || (seen >> arc & 1)
            || !der_bool(&value, flags[arc - 1]) || value.rest.n != 0)
            return false;
        seen |= 1u << arc;
    }
    p->has_configuration = true;
    return true;
}

static bool take_value(uint8_t arc, struct reader *value, struct pck_cert *p)
{
    uint64_t type;
    switch (arc) {
    case ARC_PPID:
        return take_octets(value, 16, &p->ppid);
    case ARC_TCB:
        return take_tcb(value, p);
    case ARC_PCEID:
        return take_octets(value, 2, &p->pceid);
    case ARC_FMSPC:
        return take_octets(value, 6, &p->fmspc);
    case ARC_SGX_TYPE:
        if (!der_uint(value, DER_ENUMERATED, UINT8_MAX, &type))
            return false;
        p->sgx_type = (uint8_t)type;
        return true;
    case ARC_INSTANCE:
        return take_octets(value, 16, &p->platform_instance_id);
    case ARC_CONFIGURATION:
        return take_configuration(value, p);
    default:
        return false;
    }
}

int pck_extension_parse(struct bytes extension, struct pck_cert *out, struct err *err)
{
    static const uint32_t required =
        1u << ARC_PPID | 1u << ARC_TCB | 1u << ARC_PCEID | 1u << ARC_FMSPC | 1u << ARC_SGX_TYPE;
    struct reader r = reader_of(extension);
    struct pck_cert p = { .platform_instance_id = bytes_of(NULL, 0) };
    struct bytes content;
    uint32_t seen = 0;
    if (!der_take(&r, DER_SEQUENCE, &content) || r.rest.n != 0)
        return err_set(err, ERR_INPUT, 0, "PCK certificate's SGX extension is not one SEQUENCE");
    for (struct reader in = reader_of(content); in.rest.n;) {
        struct reader value;
        size_t at = in.off;
        uint8_t arc;
        if (!take_pair(&in, 0, &arc, &value) || arc >= ARCS || (seen >> arc & 1)
            || !take_value(arc, &value, &p) || value.rest.n != 0)
            return err_set(err, ERR_INPUT, 0, "PCK certificate's SGX extension is malformed at offset %zu",
                           at);
        seen |= 1u << arc;
    }
    if ((seen & required) != required)
        return err_set(err, ERR_INPUT, 0,
                       "PCK certificate's SGX extension has not all of PPID, TCB, PCEID, "
                       "FMSPC and type");
    *out = p;
    return 0;
}

int pck_cert_parse(const X509 *cert, struct pck_cert *out, struct err *err)
{
    struct bytes extension;
    if (!x509_extension(cert, PCK_OID_SGX, &extension))
        return err_set(err, ERR_INPUT, 0, "no PCK certificate: the SGX extension %s is missing", PCK_OID_SGX);
    return pck_extension_parse(extension, out, err);
}

#define AT(member) offsetof(struct pck_cert, member)

static const struct json_field fields[] = {
    { "fmspc", JSON_FIELD_BYTES, AT(fmspc) },
    { "pceid", JSON_FIELD_BYTES, AT(pceid) },
    { "pcesvn", JSON_FIELD_U16, AT(pcesvn) },
    { "cpusvn", JSON_FIELD_BYTES, AT(cpusvn) },
    { "ppid", JSON_FIELD_BYTES, AT(ppid) },
    { "sgx_type", JSON_FIELD_U8, AT(sgx_type) },
    { "platform_instance_id", JSON_FIELD_BYTES, AT(platform_instance_id) },
};

static const struct json_field configuration_fields[] = {
    { "dynamic_platform", JSON_FIELD_BOOL, AT(dynamic_platform) },
    { "cached_keys", JSON_FIELD_BOOL, AT(cached_keys) },
    { "smt_enabled", JSON_FIELD_BOOL, AT(smt_enabled) },
};

static json_t *components(const struct pck_cert *pck)
{
    AUTO(json_drop) json_t *list = json_array();
    for (size_t i = 0; i < PCK_COMPONENTS; i++)
        if (json_array_append_new(list, json_integer(pck->component_svn[i])) < 0)
            return NULL;
    return MOVE(list);
}

static json_t *common_name(const X509_NAME *name)
{
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    const ASN1_STRING *cn = at < 0 ? NULL : X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    return cn ? json_text(bytes_of(ASN1_STRING_get0_data(cn), (size_t)ASN1_STRING_length(cn))) : json_null();
}

static json_t *serial_hex(const X509 *cert)
{
    uint8_t serial[64]; /* RFC 5280: at most 20 octets */
    BIGNUM *v = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    int n = v && BN_num_bytes(v) <= (int)sizeof(serial) ? BN_bn2bin(v, serial) : -1;
    BN_free(v);
    return n < 0 ? json_null() : json_hex(bytes_of(serial, (size_t)n));
}

static json_t *time_text(const ASN1_TIME *t)
{
    char text[24];
    struct err ignored = { 0 };
    return asn1_time_text(t, text, &ignored) < 0 ? json_null() : json_string(text);
}

int pck_cert_json(const struct pck_cert *pck, const X509 *cert, json_t **out, struct err *err)
{
    json_t *o = json_object();
    bool done = json_set_fields(o, fields, ARRAY_SIZE(fields), pck)
                && json_set(o, "sgx_component_svn", components(pck))
                && (!pck->has_configuration
                    || json_set_fields(o, configuration_fields, ARRAY_SIZE(configuration_fields), pck))
                && json_set(o, "issuer", common_name(X509_get_issuer_name(cert)))
                && json_set(o, "serial", serial_hex(cert))
                && json_set(o, "not_before", time_text(X509_get0_notBefore(cert)))
                && json_set(o, "not_after", time_text(X509_get0_notAfter(cert)));
    return json_finish(o, done, out, err);
}
