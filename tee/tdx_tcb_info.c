/* TCB info and TD quoting enclave identity: JSON to structs. */
#include "tee/tdx_tcb.h"

#include "base/auto.h"
#include "base/chain.h"
#include "base/enc.h"
#include "base/json.h"

#include <strings.h>

/* One object being read: its name for messages. */
struct object {
    const json_t *v;
    const char *what;
    struct err *err;
};

static int bad(const struct object *o, const char *key, const char *want)
{
    return err_set(o->err, ERR_INPUT, 0, "%s: \"%s\" is not %s", o->what, key, want);
}

static const char *text_of(const struct object *o, const char *key)
{
    return json_string_value(json_object_get(o->v, key));
}

static int get_hex(const struct object *o, const char *key, uint8_t *out, size_t n)
{
    const char *text = text_of(o, key);
    struct err ignored = { 0 };
    if (!text || hex_decode_fixed(bytes_str(text), out, n, &ignored) < 0)
        return bad(o, key, "there as hex of the right length");
    return 0;
}

static int get_uint(const struct object *o, const char *key, uint32_t max, uint32_t *out)
{
    const json_t *v = json_object_get(o->v, key);
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > (json_int_t)max)
        return bad(o, key, "there as a number in range");
    *out = (uint32_t)json_integer_value(v);
    return 0;
}

static int get_u16(const struct object *o, const char *key, uint16_t *out)
{
    uint32_t v;
    if (get_uint(o, key, UINT16_MAX, &v) < 0)
        return -1;
    *out = (uint16_t)v;
    return 0;
}

static int get_time(const struct object *o, const char *key, time_t *out)
{
    const char *text = text_of(o, key);
    struct err ignored = { 0 };
    if (!text || rfc3339_parse(text, out, &ignored) < 0)
        return bad(o, key, "there as a time like 2025-01-31T12:00:00Z");
    return 0;
}

/* The array of a member, with at most max elements; absent: empty if that is allowed. */
static int get_array(const struct object *o, const char *key, size_t max, bool optional, const json_t **out)
{
    const json_t *v = json_object_get(o->v, key);
    if (!(json_is_array(v) && json_array_size(v) <= max) && !(optional && !v))
        return bad(o, key, "an array of at most the levels that are read");
    *out = v;
    return 0;
}

/* "TDX" and version 3, say. what_sgx: the ids that the same vendor gives to things for SGX. */
static int check_kind(const struct object *o, const char *id, uint32_t version, const char *what_sgx)
{
    const char *is = text_of(o, "id");
    uint32_t v;
    if (!is || strcmp(is, id) != 0)
        return err_set(o->err, ERR_INPUT, 0, "%s has id \"%.20s\"%s, want \"%s\"", o->what, is ? is : "",
                       is && strstr(what_sgx, is) ? " (it is SGX's)" : "", id);
    if (get_uint(o, "version", UINT32_MAX, &v) < 0)
        return -1;
    if (v != version)
        return err_set(o->err, ERR_INPUT, 0, "%s has version %" PRIu32 ", want %" PRIu32, o->what, v,
                       version);
    return 0;
}

/* ---- levels ---- */

static int get_status(const struct object *o, enum tdx_tcb_status *out)
{
    static const enum tdx_tcb_status given[] = {
        TDX_TCB_UP_TO_DATE,
        TDX_TCB_SW_HARDENING_NEEDED,
        TDX_TCB_OUT_OF_DATE,
        TDX_TCB_CONFIGURATION_NEEDED,
        TDX_TCB_REVOKED,
        TDX_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED,
        TDX_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED,
    };
    const char *text = text_of(o, "tcbStatus");
    for (size_t i = 0; text && i < ARRAY_SIZE(given); i++) {
        if (strcmp(text, tdx_tcb_status_name(given[i])) == 0) {
            *out = given[i];
            return 0;
        }
    }
    return bad(o, "tcbStatus", "one of Intel's statuses");
}

static int get_advisories(const struct object *o, const json_t **out)
{
    const json_t *v = json_object_get(o->v, "advisoryIDs");
    *out = NULL;
    if (!v)
        return 0;
    if (!json_is_array(v) || json_array_size(v) > TDX_ADVISORIES_MAX / 3)
        return bad(o, "advisoryIDs", "an array of names");
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *id = json_array_get(v, i);
        if (!json_is_string(id) || json_string_length(id) >= TDX_ADVISORY_SIZE)
            return bad(o, "advisoryIDs", "an array of names");
    }
    *out = v;
    return 0;
}

static int get_components(const struct object *tcb, const char *key, uint8_t out[static TDX_TCB_COMPONENTS])
{
    const json_t *list = json_object_get(tcb->v, key);
    if (!json_is_array(list) || json_array_size(list) != TDX_TCB_COMPONENTS)
        return bad(tcb, key, "an array of 16 components");
    for (size_t i = 0; i < TDX_TCB_COMPONENTS; i++) {
        const struct object component = { json_array_get(list, i), tcb->what, tcb->err };
        uint32_t svn;
        if (get_uint(&component, "svn", UINT8_MAX, &svn) < 0)
            return -1;
        out[i] = (uint8_t)svn;
    }
    return 0;
}

static int get_level(const struct object *o, struct tdx_tcb_level *level)
{
    const struct object tcb = { json_object_get(o->v, "tcb"), o->what, o->err };
    time_t date;
    if (get_components(&tcb, "sgxtcbcomponents", level->sgx) < 0
        || get_components(&tcb, "tdxtcbcomponents", level->tdx) < 0
        || get_u16(&tcb, "pcesvn", &level->pcesvn) < 0 || get_status(o, &level->status) < 0
        || get_time(o, "tcbDate", &date) < 0 || get_advisories(o, &level->advisories) < 0)
        return -1;
    rfc3339_text(date, level->date);
    return 0;
}

static int get_isv_levels(const struct object *o, struct tdx_isv_levels *out)
{
    const json_t *list;
    if (get_array(o, "tcbLevels", TDX_ISV_LEVELS_MAX, false, &list) < 0)
        return -1;
    out->n = json_array_size(list);
    for (size_t i = 0; i < out->n; i++) {
        const struct object level = { json_array_get(list, i), o->what, o->err };
        const struct object tcb = { json_object_get(level.v, "tcb"), o->what, o->err };
        if (get_u16(&tcb, "isvsvn", &out->list[i].isvsvn) < 0 || get_status(&level, &out->list[i].status) < 0
            || get_advisories(&level, &out->list[i].advisories) < 0)
            return -1;
    }
    return 0;
}

/* ---- TCB info ---- */

static int get_module(const struct object *o, struct tdx_module *m)
{
    return get_hex(o, "mrsigner", m->mr_signer, sizeof(m->mr_signer)) < 0
                   || get_hex(o, "attributes", m->attributes, sizeof(m->attributes)) < 0
                   || get_hex(o, "attributesMask", m->attributes_mask, sizeof(m->attributes_mask)) < 0
               ? -1
               : 0;
}

static int get_identity(const json_t *v, struct err *err, struct tdx_module *m)
{
    const struct object o = { v, "TDX module identity", err };
    const char *id = text_of(&o, "id");
    struct err ignored = { 0 };
    if (!id || strlen(id) != 6 || strncasecmp(id, "TDX_", 4) != 0
        || hex_decode_fixed(bytes_str(id + 4), &m->version, 1, &ignored) < 0)
        return bad(&o, "id", "TDX_ and two hex digits");
    return get_module(&o, m) < 0 || get_isv_levels(&o, &m->levels) < 0 ? -1 : 0;
}

static int get_modules(const struct object *o, struct tdx_tcb_info *info)
{
    const struct object module = { json_object_get(o->v, "tdxModule"), "TDX module of the TCB info", o->err };
    const json_t *list;
    info->has_module = module.v != NULL;
    if ((module.v && get_module(&module, &info->module) < 0)
        || get_array(o, "tdxModuleIdentities", TDX_MODULES_MAX, true, &list) < 0)
        return -1;
    info->identities_n = json_array_size(list);
    for (size_t i = 0; i < info->identities_n; i++)
        if (get_identity(json_array_get(list, i), o->err, &info->identities[i]) < 0)
            return -1;
    return 0;
}

static int get_levels(const struct object *o, struct tdx_tcb_info *info)
{
    const json_t *list;
    if (get_array(o, "tcbLevels", TDX_TCB_LEVELS_MAX, false, &list) < 0)
        return -1;
    info->levels_n = json_array_size(list);
    for (size_t i = 0; i < info->levels_n; i++) {
        const struct object level = { json_array_get(list, i), "level of the TCB info", o->err };
        if (get_level(&level, &info->levels[i]) < 0)
            return -1;
    }
    return 0;
}

static int read_tcb_info(const struct object *o, struct tdx_tcb_info *info)
{
    uint32_t type;
    if (check_kind(o, "TDX", 3, "SGX") < 0 || get_uint(o, "tcbType", UINT32_MAX, &type) < 0)
        return -1;
    if (type != 0)
        return err_set(o->err, ERR_INPUT, 0, "TCB info has tcbType %" PRIu32 ", want 0", type);
    return get_time(o, "issueDate", &info->issued) < 0 || get_time(o, "nextUpdate", &info->next_update) < 0
                   || get_uint(o, "tcbEvaluationDataNumber", UINT32_MAX, &info->evaluation) < 0
                   || get_hex(o, "fmspc", info->fmspc, sizeof(info->fmspc)) < 0
                   || get_hex(o, "pceId", info->pceid, sizeof(info->pceid)) < 0 || get_modules(o, info) < 0
                   || get_levels(o, info) < 0
               ? -1
               : 0;
}

int tdx_tcb_info_parse(struct bytes raw, struct tdx_tcb_info *out, struct err *err)
{
    AUTO(json_drop) json_t *doc = NULL;
    struct tdx_tcb_info info = { 0 };
    if (json_parse(raw, TDX_COLLATERAL_DOC_MAX, &doc, err) < 0
        || read_tcb_info(&(struct object){ doc, "TCB info", err }, &info) < 0)
        return -1;
    info.doc = MOVE(doc);
    *out = info;
    return 0;
}

void tdx_tcb_info_done(struct tdx_tcb_info *info)
{
    json_decref(info->doc);
    info->doc = NULL;
}

/* ---- quoting enclave identity ---- */

static int read_identity(const struct object *o, struct tdx_qe_identity *q)
{
    return check_kind(o, "TD_QE", 2, "QE QVE") < 0 || get_time(o, "issueDate", &q->issued) < 0
                   || get_time(o, "nextUpdate", &q->next_update) < 0
                   || get_uint(o, "tcbEvaluationDataNumber", UINT32_MAX, &q->evaluation) < 0
                   || get_hex(o, "miscselect", q->misc_select, sizeof(q->misc_select)) < 0
                   || get_hex(o, "miscselectMask", q->misc_select_mask, sizeof(q->misc_select_mask)) < 0
                   || get_hex(o, "attributes", q->attributes, sizeof(q->attributes)) < 0
                   || get_hex(o, "attributesMask", q->attributes_mask, sizeof(q->attributes_mask)) < 0
                   || get_hex(o, "mrsigner", q->mr_signer, sizeof(q->mr_signer)) < 0
                   || get_u16(o, "isvprodid", &q->isv_prod_id) < 0 || get_isv_levels(o, &q->levels) < 0
               ? -1
               : 0;
}

int tdx_qe_identity_parse(struct bytes raw, struct tdx_qe_identity *out, struct err *err)
{
    AUTO(json_drop) json_t *doc = NULL;
    struct tdx_qe_identity q = { 0 };
    if (json_parse(raw, TDX_COLLATERAL_DOC_MAX, &doc, err) < 0
        || read_identity(&(struct object){ doc, "QE identity", err }, &q) < 0)
        return -1;
    q.doc = MOVE(doc);
    *out = q;
    return 0;
}

void tdx_qe_identity_done(struct tdx_qe_identity *identity)
{
    json_decref(identity->doc);
    identity->doc = NULL;
}
