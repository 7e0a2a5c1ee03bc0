#include "agent/attestation_route.h"

#include "agent/handlers.h"
#include "agent/operate.h"
#include "agent/server.h"
#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"

/* Shorter values get zeros behind them. One text for what is no base64 and what is too long. */
static int read_bytes(const json_t *root, const char *name, uint8_t *out, size_t size, struct err *err)
{
    AUTO(buf_done) struct buf raw = buf_new(ATTESTATION_BODY_MAX);
    const json_t *v = json_object_get(root, name);
    struct err why = { 0 };
    memset(out, 0, size);
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_string(v)
        || b64_decode(bytes_of(json_string_value(v), json_string_length(v)), &raw, &why) < 0 || raw.n > size)
        return err_set(err, ERR_INPUT, 0, "%s: want base64 of at most %zu bytes", name, size);
    memcpy(out, raw.p ? raw.p : (const uint8_t *)"", raw.n);
    return 0;
}

/* Members that nobody here knows are passed over: older clients sent a type. */
static int read_body(struct request *r, struct collect_attestation *out, struct err *err)
{
    AUTO(json_drop) json_t *root = NULL;
    if (json_parse(buf_bytes(&r->body), ATTESTATION_BODY_MAX, &root, err) < 0)
        return err_while(err, "request body");
    if (!json_is_object(root))
        return err_set(err, ERR_INPUT, 0,
                       "want {\"report_data\":base64,\"nonce\":base64,\"to_json\":true or false}");
    const json_t *to_json = json_object_get(root, "to_json");
    if (to_json && !json_is_null(to_json) && !json_is_boolean(to_json))
        return err_set(err, ERR_INPUT, 0, "to_json: want true or false");
    r->to_json = json_is_true(to_json);
    return read_bytes(root, "report_data", out->report_data, sizeof(out->report_data), err) < 0
                   || read_bytes(root, "nonce", out->nonce, sizeof(out->nonce), err) < 0
               ? -1
               : 0;
}

int attestation_begin(struct request *r, struct err *err)
{
    const struct operate *o = server_operate(r->server);
    if (read_body(r, &r->attestation, err) < 0)
        return -1;
    r->attestation.raw = o && operate_policy(o)->raw_report_data;
    r->collect = (struct collect_request){ .attestation = &r->attestation };
    r->type = r->to_json ? NULL : "application/octet-stream";
    return evidence_begin(r, err);
}

int attestation_answer(struct request *r, struct buf *out, struct err *err)
{
    struct collector *c = server_collector_get(r->server);
    if (!c)
        return err_set(err, ERR_UNAVAILABLE, 0,
                       "the agent is shutting down: try again when it has restarted");
    int rc = evidence_attestation(c, r->evidence, r->to_json, out, err);
    server_collector_put(r->server);
    return rc;
}
