#include "tee/gcp_instance.h"

#include "base/auto.h"
#include "tee/der.h"
#include "tee/json_fields.h"

#include <stdio.h>

#define AT(member) offsetof(struct gcp_instance, member)

/* The booleans of the security properties, by context tag and JSON name. */
static const struct {
    uint8_t tag;
    struct json_field field;
} flags[] = {
    { 1, { "is_production", JSON_FIELD_BOOL, AT(is_production) } },
    { 2, { "tpm_data_always_encrypted", JSON_FIELD_BOOL, AT(tpm_data_always_encrypted) } },
    { 3, { "suspend_resume_always_disabled", JSON_FIELD_BOOL, AT(suspend_resume_always_disabled) } },
    { 4, { "vmtd_always_disabled", JSON_FIELD_BOOL, AT(vmtd_always_disabled) } },
    { 5, { "always_in_yarn", JSON_FIELD_BOOL, AT(always_in_yarn) } },
};

/* [tag] EXPLICIT, optional: true with an empty reader if it is not next. */
static bool take_tagged(struct reader *r, uint8_t tag, struct reader *inside)
{
    struct bytes content = bytes_of(NULL, 0);
    if (r->rest.n && r->rest.p[0] == DER_CONTEXT + tag
        && (!der_take(r, DER_CONTEXT + tag, &content) || !content.n))
        return false;
    *inside = reader_of(content);
    return true;
}

static bool take_security(struct bytes content, struct gcp_instance *g)
{
    struct reader outer = reader_of(content), inside;
    struct bytes sequence;
    if (!der_take(&outer, DER_SEQUENCE, &sequence) || outer.rest.n != 0)
        return false;
    struct reader r = reader_of(sequence);
    if (!take_tagged(&r, 0, &inside))
        return false;
    if (inside.rest.n && (!der_uint(&inside, DER_INTEGER, INT64_MAX, &g->security_version) || inside.rest.n))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        bool *out = (void *)((char *)g + flags[i].field.at);
        if (!take_tagged(&r, flags[i].tag, &inside))
            return false;
        if (inside.rest.n && (!der_bool(&inside, out) || inside.rest.n))
            return false;
    }
    g->has_security = true;
    return r.rest.n == 0;
}

int gcp_extension_parse(struct bytes extension, struct gcp_instance *out, struct err *err)
{
    struct reader outer = reader_of(extension);
    struct gcp_instance g = { .has_security = false };
    struct bytes content;
    if (!der_take(&outer, DER_SEQUENCE, &content) || outer.rest.n != 0)
        return err_set(err, ERR_INPUT, 0, "GCE instance extension is not one SEQUENCE");
    struct reader r = reader_of(content), security;
    if (!der_text(&r, DER_UTF8, g.zone, sizeof(g.zone))
        || !der_uint(&r, DER_INTEGER, UINT64_MAX, &g.project_number)
        || !der_text(&r, DER_UTF8, g.project_id, sizeof(g.project_id))
        || !der_uint(&r, DER_INTEGER, UINT64_MAX, &g.instance_id)
        || !der_text(&r, DER_UTF8, g.instance_name, sizeof(g.instance_name)) || !take_tagged(&r, 0, &security)
        || (security.rest.n && !take_security(security.rest, &g)) || r.rest.n != 0)
        return err_set(err, ERR_INPUT, 0, "GCE instance extension is malformed at offset %zu of %zu", r.off,
                       content.n);
    *out = g;
    return 0;
}

int gcp_instance_parse(const X509 *cert, struct gcp_instance *out, struct err *err)
{
    struct bytes extension;
    if (!x509_extension(cert, GCP_OID_INSTANCE, &extension))
        return err_set(err, ERR_NOT_FOUND, 0, "certificate has no GCE instance extension %s",
                       GCP_OID_INSTANCE);
    return gcp_extension_parse(extension, out, err);
}

static json_t *decimal(uint64_t v)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, v);
    return json_string(text);
}

int gcp_instance_json(const struct gcp_instance *in, json_t **out, struct err *err)
{
    json_t *o = json_object();
    bool done = json_set(o, "zone", json_string(in->zone))
                && json_set(o, "project_number", decimal(in->project_number))
                && json_set(o, "project_id", json_string(in->project_id))
                && json_set(o, "instance_id", decimal(in->instance_id))
                && json_set(o, "instance_name", json_string(in->instance_name));
    if (in->has_security)
        done = done && json_set(o, "security_version", json_integer((json_int_t)in->security_version));
    for (size_t i = 0; in->has_security && i < ARRAY_SIZE(flags); i++)
        done = done && json_set_fields(o, &flags[i].field, 1, in);
    return json_finish(o, done, out, err);
}
