#include "appraisal/ita_request.h"

#include "base/auto.h"
#include "base/enc.h"

#include <errno.h>
#include <string.h>

/* One request while it is read. Byte members are decoded into one buffer that has room for all of them, so
 * that it never moves. */
struct reading {
    struct ita_request *r;
    struct err *err;
};

typedef int take_fn(struct reading *g, const char *path, json_t *value);

/* A member of an object: what it is, and where it goes. */
struct member {
    const char *name;
    take_fn *take;
};

static int refuse(struct reading *g, const char *path, const char *want)
{
    return err_set(g->err, ERR_INPUT, 0, "%.80s: want %s", path, want);
}

static int walk(struct reading *g, const char *path, json_t *object, const struct member *members, size_t n)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return refuse(g, *path ? path : "body", "an object");
    json_object_foreach(object, key, value)
    {
        char at[96];
        size_t i = 0;
        snprintf(at, sizeof(at), "%s%s%.60s", path, *path ? "." : "", key);
        while (i < n && strcmp(members[i].name, key) != 0)
            i++;
        if (i == n)
            return err_set(g->err, ERR_INPUT, 0, "%.90s: no such member here", at);
        if (!json_is_null(value) && members[i].take(g, at, value) < 0)
            return -1;
    }
    return 0;
}

/* ---- kinds of values ---- */

static int take_bytes(struct reading *g, const char *path, const json_t *value, struct bytes *out)
{
    size_t from = g->r->bytes.n;
    if (!json_is_string(value))
        return refuse(g, path, "base64");
    struct bytes text = bytes_of(json_string_value(value), json_string_length(value));
    if (b64_decode(text, &g->r->bytes, g->err) < 0 || buf_check(&g->r->bytes, "evidence", g->err) < 0) {
        struct err why = *g->err;
        return err_set(g->err, why.kind, 0, "%.80s: %.100s", path, why.cause);
    }
    *out = bytes_of(g->r->bytes.p + from, g->r->bytes.n - from);
    return 0;
}

static int take_chain(struct reading *g, const char *path, json_t *value, struct ita_chain *out)
{
    if (!json_is_array(value) || json_array_size(value) > ITA_CHAIN_MAX)
        return refuse(g, path, "an array of at most 8 certificates (DER, base64)");
    for (out->n = 0; out->n < json_array_size(value); out->n++)
        if (take_bytes(g, path, json_array_get(value, out->n), &out->item[out->n]) < 0)
            return -1;
    return 0;
}

static int take_text(struct reading *g, const char *path, const json_t *value, const char **out)
{
    if (!json_is_string(value))
        return refuse(g, path, "text");
    *out = json_string_value(value);
    return 0;
}

static int take_flag(struct reading *g, const char *path, const json_t *value, bool *out)
{
    if (!json_is_boolean(value))
        return refuse(g, path, "true or false");
    *out = json_is_true(value);
    return 0;
}

/* Members that clients send and that prove nothing here; the token says so. */
static int note(struct reading *g, const char *name)
{
    struct ita_request *r = g->r;
    if (r->not_read_n < ITA_NOTES_MAX)
        r->not_read[r->not_read_n++] = name;
    return 0;
}

/* ---- nonce, runtime data ---- */

static int take_nonce(struct reading *g, const char *path, json_t *value, struct ita_nonce *out)
{
    const char *const names[] = { "val", "iat", "signature" };
    struct bytes *const to[] = { &out->val, &out->iat, &out->signature };
    const char *key;
    json_t *v;
    if (out->given)
        return refuse(g, path, "one nonce, not two");
    out->given = true;
    if (json_is_string(value)) /* the bytes alone */
        return take_bytes(g, path, value, &out->val);
    if (!json_is_object(value))
        return refuse(g, path, "{\"val\",\"iat\",\"signature\"} in base64");
    json_object_foreach(value, key, v)
    {
        size_t i = 0;
        while (i < ARRAY_SIZE(names) && strcmp(names[i], key) != 0)
            i++;
        if (i == ARRAY_SIZE(names))
            return refuse(g, path, "the members val, iat and signature only");
        if (take_bytes(g, path, v, to[i]) < 0)
            return -1;
    }
    if (!out->val.n || out->val.n + out->iat.n > ITA_NONCE_MAX)
        return refuse(g, path, "a val, and at most 1024 bytes");
    return 0;
}

static int tee_nonce(struct reading *g, const char *path, json_t *value)
{
    return take_nonce(g, path, value, &g->r->tee.nonce);
}

static int tee_runtime_data(struct reading *g, const char *path, json_t *value)
{
    g->r->tee.has_runtime_data = true;
    return take_bytes(g, path, value, &g->r->tee.runtime_data);
}

static int tee_user_data(struct reading *g, const char *path, json_t *value)
{
    g->r->tee.has_user_data = true;
    return take_bytes(g, path, value, &g->r->tee.user_data);
}

/* ---- TDX, SEV-SNP ---- */

static int tdx_quote(struct reading *g, const char *path, json_t *value)
{
    if (g->r->route == ITA_SNP_V1)
        return refuse(g, path, "no TD quote: this route takes \"report\"");
    g->r->has_tdx = true;
    return take_bytes(g, path, value, &g->r->quote);
}

static int tdx_collateral(struct reading *g, const char *path, json_t *value)
{
    if (!json_is_object(value))
        return refuse(g, path, "the collateral object of DCAP tools");
    g->r->collateral = value;
    return 0;
}

static int tdx_event_log(struct reading *g, const char *path, json_t *value)
{
    (void)path, (void)value;
    return note(g, "tdx.event_log");
}

static int tdx(struct reading *g, const char *path, json_t *value)
{
    static const struct member members[] = {
        { "quote", tdx_quote },         { "runtime_data", tee_runtime_data },
        { "user_data", tee_user_data }, { "verifier_nonce", tee_nonce },
        { "event_log", tdx_event_log }, { "collateral", tdx_collateral },
    };
    if (g->r->has_tdx)
        return refuse(g, path, "one quote: it is at the top already");
    if (walk(g, path, value, members, ARRAY_SIZE(members)) < 0)
        return -1;
    return g->r->has_tdx ? 0 : refuse(g, path, "a quote");
}

static int snp_report(struct reading *g, const char *path, json_t *value)
{
    g->r->has_snp = true;
    return take_bytes(g, path, value, &g->r->report);
}

static int snp_vek(struct reading *g, const char *path, json_t *value)
{
    return take_bytes(g, path, value, &g->r->vek_cert);
}

static int snp_chain(struct reading *g, const char *path, json_t *value)
{
    return take_chain(g, path, value, &g->r->cert_chain);
}

static int snp(struct reading *g, const char *path, json_t *value)
{
    static const struct member members[] = {
        { "report", snp_report },       { "runtime_data", tee_runtime_data },
        { "user_data", tee_user_data }, { "verifier_nonce", tee_nonce },
        { "vek_cert", snp_vek },        { "cert_chain", snp_chain },
    };
    if (g->r->has_snp)
        return refuse(g, path, "one report: it is at the top already");
    if (walk(g, path, value, members, ARRAY_SIZE(members)) < 0)
        return -1;
    return g->r->has_snp ? 0 : refuse(g, path, "a report");
}

/* ---- TPM, GPU ---- */

static int tpm_quote(struct reading *g, const char *path, json_t *value)
{
    return take_bytes(g, path, value, &g->r->tpm.quote);
}

static int tpm_signature(struct reading *g, const char *path, json_t *value)
{
    return take_bytes(g, path, value, &g->r->tpm.signature);
}

static int tpm_pcrs(struct reading *g, const char *path, json_t *value)
{
    g->r->tpm.pcrs_object = json_is_object(value) ? value : NULL;
    return json_is_object(value) ? 0 : take_bytes(g, path, value, &g->r->tpm.pcrs);
}

static int tpm_user_data(struct reading *g, const char *path, json_t *value)
{
    g->r->tpm.held.has_user_data = true;
    return take_bytes(g, path, value, &g->r->tpm.held.user_data);
}

static int tpm_nonce(struct reading *g, const char *path, json_t *value)
{
    return take_nonce(g, path, value, &g->r->tpm.held.nonce);
}

static int tpm_ak_cert(struct reading *g, const char *path, json_t *value)
{
    return take_bytes(g, path, value, &g->r->tpm.ak_cert);
}

static int tpm_ak_chain(struct reading *g, const char *path, json_t *value)
{
    return take_chain(g, path, value, &g->r->tpm.ak_cert_chain);
}

static int tpm_ima(struct reading *g, const char *path, json_t *value)
{
    (void)path, (void)value;
    return note(g, "tpm.ima_logs");
}

static int tpm_logs(struct reading *g, const char *path, json_t *value)
{
    (void)path, (void)value;
    return note(g, "tpm.tcg_event_logs");
}

static int tpm(struct reading *g, const char *path, json_t *value)
{
    static const struct member members[] = {
        { "quote", tpm_quote },
        { "signature", tpm_signature },
        { "pcrs", tpm_pcrs },
        { "user_data", tpm_user_data },
        { "verifier_nonce", tpm_nonce },
        { "ak_cert", tpm_ak_cert },
        { "ak_cert_chain", tpm_ak_chain },
        { "ima_logs", tpm_ima },
        { "tcg_event_logs", tpm_logs },
        { "uefi_event_logs", tpm_logs },
        { "event_log", tpm_logs },
    };
    if (walk(g, path, value, members, ARRAY_SIZE(members)) < 0)
        return -1;
    g->r->has_tpm = true;
    if (!g->r->tpm.quote.n || !g->r->tpm.signature.n || (!g->r->tpm.pcrs.n && !g->r->tpm.pcrs_object))
        return refuse(g, path, "quote, signature and pcrs");
    return 0;
}

static int gpu_token(struct reading *g, const char *path, json_t *value)
{
    return take_text(g, path, value, &g->r->gpu_token);
}

static int gpu_nonce(struct reading *g, const char *path, json_t *value)
{
    return take_text(g, path, value, &g->r->gpu_nonce);
}

static int nvgpu(struct reading *g, const char *path, json_t *value)
{
    static const struct member members[] = { { "token", gpu_token }, { "nonce", gpu_nonce } };
    if (json_is_string(value))
        return gpu_token(g, path, value);
    if (walk(g, path, value, members, ARRAY_SIZE(members)) < 0)
        return -1;
    return g->r->gpu_token ? 0 : refuse(g, path, "a token of NVIDIA's attestation service");
}

/* ---- the request ---- */

static int policy_ids(struct reading *g, const char *path, json_t *value)
{
    struct ita_request *r = g->r;
    size_t n = json_array_size(value);
    if (!json_is_array(value))
        return refuse(g, path, "an array of policy ids");
    if (n > ITA_POLICIES_MAX)
        return err_set(g->err, ERR_INPUT, 0, "%.40s: %zu policies, want at most %d", path, n,
                       ITA_POLICIES_MAX);
    for (size_t i = 0; i < n; i++) {
        if (take_text(g, path, json_array_get(value, i), &r->policy_id[i]) < 0)
            return -1;
        for (size_t k = 0; k < i; k++)
            if (strcmp(r->policy_id[i], r->policy_id[k]) == 0)
                return err_set(g->err, ERR_INPUT, 0, "%.40s: %.60s is there twice", path, r->policy_id[i]);
    }
    r->policies = n;
    return 0;
}

static int must_match(struct reading *g, const char *path, json_t *value)
{
    return take_flag(g, path, value, &g->r->policy_must_match);
}

static int signing_alg(struct reading *g, const char *path, json_t *value)
{
    const char *name = NULL;
    if (take_text(g, path, value, &name) < 0)
        return -1;
    g->r->rs256 = strcmp(name, "RS256") == 0;
    return g->r->rs256 || strcmp(name, "PS384") == 0 ? 0 : refuse(g, path, "PS384 or RS256");
}

static int trust_roots(struct reading *g, const char *path, json_t *value)
{
    return take_text(g, path, value, &g->r->trust_roots);
}

static int at(struct reading *g, const char *path, json_t *value)
{
    return take_text(g, path, value, &g->r->at);
}

static int flat_quote(struct reading *g, const char *path, json_t *value)
{
    if (g->r->has_tdx)
        return refuse(g, path, "one quote: \"tdx\" has it already");
    g->r->flat = true;
    return tdx_quote(g, path, value);
}

static int flat_report(struct reading *g, const char *path, json_t *value)
{
    if (g->r->has_snp)
        return refuse(g, path, "one report: \"sevsnp\" has it already");
    g->r->flat = true;
    return snp_report(g, path, value);
}

static int check(struct reading *g)
{
    const struct ita_request *r = g->r;
    if (r->has_tdx && r->has_snp)
        return refuse(g, "body", "one TEE: tdx and sevsnp are both there");
    if (r->route == ITA_SNP_V1 && !r->has_snp)
        return refuse(g, "body", "\"report\": a SEV-SNP report, base64");
    if (!r->has_tdx && !r->has_snp && !r->gpu_token)
        return refuse(g, "body", "evidence: tdx, sevsnp or nvgpu (and tpm beside a TEE)");
    if (r->has_tpm && !r->has_tdx && !r->has_snp)
        return refuse(g, "tpm", "a TEE beside it: a virtual TPM alone has no hardware root");
    if (r->route == ITA_V2_AZURE && !r->tee.has_runtime_data)
        return refuse(g, "body", "runtime_data: on Azure it names the TPM's key");
    return 0;
}

int ita_request_parse(struct bytes text, enum ita_route route, struct ita_request *out, struct err *err)
{
    static const struct member members[] = {
        { "tdx", tdx },
        { "sevsnp", snp },
        { "tpm", tpm },
        { "nvgpu", nvgpu },
        { "policy_ids", policy_ids },
        { "policy_must_match", must_match },
        { "token_signing_alg", signing_alg },
        { "trust_roots", trust_roots },
        { "at", at },
        /* the older, flat form */
        { "quote", flat_quote },
        { "report", flat_report },
        { "runtime_data", tee_runtime_data },
        { "user_data", tee_user_data },
        { "verifier_nonce", tee_nonce },
        { "nonce", tee_nonce },
        { "event_log", tdx_event_log },
        { "vek_cert", snp_vek },
        { "cert_chain", snp_chain },
        { "collateral", tdx_collateral },
    };
    AUTO(ita_request_done) struct ita_request r = { .bytes = buf_new(ITA_EVIDENCE_MAX), .route = route };
    struct reading g = { &r, err };
    if (json_parse(text, ITA_EVIDENCE_MAX, &r.root, err) < 0)
        return -1;
    if (!buf_room(&r.bytes, text.n)) /* base64 decodes to less: views into it stay where they are */
        return err_set(err, ERR_IO, ENOMEM, "no memory for the evidence");
    r.bytes.n = 0;
    if (walk(&g, "", r.root, members, ARRAY_SIZE(members)) < 0 || check(&g) < 0)
        return -1;
    *out = r;
    r = (struct ita_request){ .root = NULL };
    return 0;
}

void ita_request_done(struct ita_request *r)
{
    json_decref(r->root);
    buf_done(&r->bytes);
    *r = (struct ita_request){ .root = NULL };
}
