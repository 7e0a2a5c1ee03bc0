#include "tee/vek_cert.h"

#include "tee/der.h"
#include "tee/json_fields.h"

#include "base/auto.h"

enum presence { REQUIRED, OPTIONAL };

#define AT(member) offsetof(struct vek_cert, member)

/* The integers, all of 0 to 255 (SPLs other than the microcode's stay below 128). */
static const struct spl {
    const char *oid, *name;
    size_t at;
    enum presence presence;
} spls[] = {
    { VEK_OID_PREFIX "1", "struct_version", AT(struct_version), REQUIRED },
    { VEK_OID_PREFIX "3.1", "bl_spl", AT(tcb.bootloader), REQUIRED },
    { VEK_OID_PREFIX "3.2", "tee_spl", AT(tcb.tee), REQUIRED },
    { VEK_OID_PREFIX "3.3", "snp_spl", AT(tcb.snp), REQUIRED },
    { VEK_OID_PREFIX "3.8", "ucode_spl", AT(tcb.microcode), REQUIRED },
    { VEK_OID_PREFIX "3.5", "spl5", AT(spl5), OPTIONAL },
    { VEK_OID_PREFIX "3.6", "spl6", AT(spl6), OPTIONAL },
    { VEK_OID_PREFIX "3.7", "spl7", AT(spl7), OPTIONAL },
};

/* 1: read, 0: absent, -1: not an INTEGER of 0 to 255. */
static int take_spl(const X509 *cert, const char *oid, const char *name, uint8_t *out, struct err *err)
{
    struct bytes value;
    uint64_t v;
    if (!x509_extension(cert, oid, &value))
        return 0;
    struct reader r = reader_of(value);
    if (!der_uint(&r, DER_INTEGER, UINT8_MAX, &v) || r.rest.n != 0)
        return err_set(err, ERR_INPUT, 0, "VEK certificate extension %s (%s) is not an INTEGER of 0 to 255",
                       oid, name);
    *out = (uint8_t)v;
    return 1;
}

static int take_spls(const X509 *cert, struct vek_cert *v, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(spls); i++) {
        uint8_t *out = (uint8_t *)v + spls[i].at;
        int rc = take_spl(cert, spls[i].oid, spls[i].name, out, err);
        if (rc < 0)
            return -1;
        if (rc == 0 && spls[i].presence == REQUIRED)
            return err_set(err, ERR_INPUT, 0, "no VEK certificate: extension %s (%s) is missing", spls[i].oid,
                           spls[i].name);
    }
    int spl4 = take_spl(cert, VEK_OID_PREFIX "3.4", "spl4", &v->spl4, err);
    int fmc = spl4 < 0 ? -1 : take_spl(cert, VEK_OID_PREFIX "3.9", "fmc_spl", &v->tcb.fmc, err);
    v->has_spl4 = spl4 > 0;
    v->tcb.has_fmc = fmc > 0;
    return fmc < 0 ? -1 : 0;
}

/* Raw octets in most certificates; some have them in an OCTET STRING of their own. */
static bool take_hwid(struct bytes value, struct bytes *hwid)
{
    struct reader r = reader_of(value);
    struct bytes inner = value;
    if (value.n == 64 || value.n == 8) {
        *hwid = value;
        return true;
    }
    if (!der_take(&r, DER_OCTETS, &inner) || r.rest.n != 0 || (inner.n != 64 && inner.n != 8))
        return false;
    *hwid = inner;
    return true;
}

static bool take_text(struct bytes value, char out[static VEK_TEXT_MAX])
{
    struct reader r = reader_of(value);
    return der_text(&r, DER_IA5, out, VEK_TEXT_MAX) && r.rest.n == 0;
}

int vek_cert_parse(const X509 *cert, struct vek_cert *out, struct err *err)
{
    struct vek_cert v = { .hwid = bytes_of(NULL, 0) };
    struct bytes product, hwid, csp;
    if (take_spls(cert, &v, err) < 0)
        return -1;
    if (!x509_extension(cert, VEK_OID_PREFIX "2", &product) || !take_text(product, v.product_name))
        return err_set(err, ERR_INPUT, 0, "VEK certificate has no readable product name (%s2)",
                       VEK_OID_PREFIX);
    v.product = snp_product_by_name(bytes_str(v.product_name));
    bool has_hwid = x509_extension(cert, VEK_OID_PREFIX "4", &hwid);
    bool has_csp = x509_extension(cert, VEK_OID_PREFIX "5", &csp);
    if (has_hwid == has_csp)
        return err_set(err, ERR_INPUT, 0, "VEK certificate has %s of hardware id (%s4) and CSP id (%s5)",
                       has_hwid ? "both" : "neither", VEK_OID_PREFIX, VEK_OID_PREFIX);
    if (has_hwid && !take_hwid(hwid, &v.hwid))
        return err_set(err, ERR_INPUT, 0, "VEK certificate hardware id of %zu bytes: want 64 or 8", hwid.n);
    if (has_csp && (!take_text(csp, v.csp_id) || v.csp_id[0] == '\0'))
        return err_set(err, ERR_INPUT, 0, "VEK certificate CSP id is not a text of 1 to %d characters",
                       VEK_TEXT_MAX - 1);
    *out = v;
    return 0;
}

int vek_cert_json(const struct vek_cert *vek, json_t **out, struct err *err)
{
    json_t *o = json_object();
    bool done = json_set(o, "product_name", json_string(vek->product_name))
                && json_set(o, "product", json_string(snp_product_name(vek->product)));
    for (size_t i = 0; i < ARRAY_SIZE(spls); i++) {
        const uint8_t *value = (const uint8_t *)vek + spls[i].at;
        done = done && json_set(o, spls[i].name, json_integer(*value));
    }
    done = done && (!vek->has_spl4 || json_set(o, "spl4", json_integer(vek->spl4)))
           && (!vek->tcb.has_fmc || json_set(o, "fmc_spl", json_integer(vek->tcb.fmc)))
           && (!vek->hwid.n || json_set(o, "hwid", json_hex(vek->hwid)))
           && (!vek->csp_id[0] || json_set(o, "csp_id", json_string(vek->csp_id)));
    return json_finish(o, done, out, err);
}
