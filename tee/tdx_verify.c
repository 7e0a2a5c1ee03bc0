#include "tee/tdx_prepared.h"

#include "base/auto.h"
#include "base/enc.h"
#include "tee/json_fields.h"
#include "tee/p256.h"

#include <stdio.h>

#define CHECK_FORMAT "tdx.format"
#define CHECK_CLOCK  "document.clock"

/* One verification. */
struct run {
    const struct tdx_request *rq;
    struct checks *checks;
    struct tdx_verdict *v;
    const struct tdx_prepared_signer *signer;
    const struct tdx_prepared_collateral *c;
    char room[224]; /* for a reason that has to be put together */
    bool expired;   /* some collateral is, and that is accepted */
};

/* why: NULL if the check holds. */
static bool record(struct run *r, const char *name, const char *why, const char *fine)
{
    checks_add(r->checks, name, why ? CHECK_FAILED : CHECK_OK, "%s", why ? why : fine);
    return !why;
}

static const char *outside(struct run *r, const char *what, struct window w)
{
    char from[24], to[24], now[24];
    if (w.from <= r->rq->at && r->rq->at <= w.to)
        return NULL;
    snprintf(r->room, sizeof(r->room), "%s: valid %s to %s, the clock says %s", what,
             rfc3339_text(w.from, from), rfc3339_text(w.to, to), rfc3339_text(r->rq->at, now));
    return r->room;
}

/* ---- the quote ---- */

static const char *why_no_quote_signature(const struct run *r)
{
    const struct tdx_quote *q = &r->v->quote;
    if (!r->signer->attestation_key)
        return "the attestation key is no point of P-256";
    return p256_verify(r->signer->attestation_key, q->signed_bytes, q->signature)
               ? NULL
               : "the signature is not by the attestation key over header and body";
}

static const char *why_not(const struct judged *j)
{
    return j->ok ? NULL : j->why;
}

static void check_quote(struct run *r)
{
    const struct tdx_prepared_signer *s = r->signer;
    bool quote = record(r, "tdx.quote_signature", why_no_quote_signature(r),
                        "by the attestation key over header and body");
    bool report = record(r, "tdx.qe_report_signature", why_not(&s->report), "by the PCK");
    bool bound =
        record(r, "tdx.qe_binding", why_not(&s->bound), "the enclave's report names the attestation key");
    bool chain =
        record(r, "tdx.pck_chain", s->chain.ok ? outside(r, "PCK chain", s->path.dates) : s->chain.why,
               "to a trusted Intel SGX Root CA");
    r->v->authentic = quote && report && bound && chain;
    r->v->anchor = r->v->authentic ? s->path.anchor_index : 0;
}

/* ---- the collateral ---- */

static bool other_anchor(const struct run *r, const X509 *anchor)
{
    return r->signer->chain.ok && X509_cmp(anchor, r->signer->path.anchor) != 0;
}

static const char *why_crl_fails(struct run *r)
{
    const struct tdx_prepared_collateral *c = r->c;
    const char *why;
    if (!r->signer->chain.ok)
        return "impossible: the PCK chain does not hold";
    if (!c->root_crl.ok || !c->pck_crl.ok)
        return c->root_crl.ok ? c->pck_crl.why : c->root_crl.why;
    if ((why = outside(r, "PCK CRL issuer", c->pck_crl_chain.dates)))
        return why;
    if (other_anchor(r, c->pck_crl_chain.anchor) || other_anchor(r, c->root_crl_issuer))
        return "a CRL is of another root than the PCK certificate";
    if (X509_NAME_cmp(X509_get_issuer_name(r->signer->leaf), X509_get_subject_name(c->pck_crl_issuer)) != 0
        || EVP_PKEY_eq(X509_get0_pubkey(r->signer->ca), X509_get0_pubkey(c->pck_crl_issuer)) != 1)
        return "the PCK CRL is of another CA than the one that issued the PCK certificate";
    if (c->tcb_signer_revoked)
        return "a TCB signing certificate is revoked";
    if (crl_revokes(c->pck_revoked, r->signer->leaf))
        return "the PCK certificate is revoked";
    return crl_revokes(c->root_revoked, r->signer->ca) ? "the CA that issued the PCK certificate is revoked"
                                                       : NULL;
}

static const char *why_not_signed(struct run *r, const struct judged *signature,
                                  const struct tdx_chain *chain)
{
    if (!signature->ok)
        return signature->why;
    if (other_anchor(r, chain->anchor))
        return "its signing certificate is of another root than the PCK certificate";
    return outside(r, "its signing certificate", chain->dates);
}

static const char *why_not_current(struct run *r)
{
    const struct tdx_prepared_collateral *c = r->c;
    const struct {
        const char *what;
        const struct judged *judged;
    } items[DATED] = { [DATED_TCB_INFO] = { "TCB info", &c->tcb_info_content },
                       [DATED_QE_IDENTITY] = { "QE identity", &c->qe_identity_content },
                       [DATED_PCK_CRL] = { "PCK CRL", &c->pck_crl },
                       [DATED_ROOT_CRL] = { "root CA CRL", &c->root_crl } };
    const char *why = NULL;
    for (size_t i = 0; i < DATED && !why; i++) {
        char when[24];
        bool expired = items[i].judged->ok && c->dated[i].from <= r->rq->at && c->dated[i].to < r->rq->at;
        if (expired && r->rq->accept_expired) {
            checks_warn(r->checks,
                        "the %s expired on %s, which is accepted: what Intel found since is not in it",
                        items[i].what, rfc3339_text(c->dated[i].to, when));
            r->expired = true;
        } else if (items[i].judged->ok) {
            why = outside(r, items[i].what, c->dated[i]);
        } else {
            snprintf(r->room, sizeof(r->room), "impossible: the %s has no date that is authentic",
                     items[i].what);
            why = r->room;
        }
    }
    return why;
}

/* ---- what the collateral says about the quote ---- */

static const char *why_no_fmspc(struct run *r, bool info_signed)
{
    char platform[13], info[13];
    const struct tdx_tcb_info *i = &r->c->info;
    if (!r->signer->chain.ok)
        return "impossible: the PCK chain does not hold";
    if (!info_signed)
        return "impossible: the TCB info is not authentic";
    if (!r->c->tcb_info_content.ok)
        return r->c->tcb_info_content.why;
    if (bytes_equal(r->signer->facts.fmspc, bytes_of(i->fmspc, sizeof(i->fmspc)))
        && bytes_equal(r->signer->facts.pceid, bytes_of(i->pceid, sizeof(i->pceid))))
        return NULL;
    snprintf(r->room, sizeof(r->room),
             "the TCB info is for FMSPC %s, PCE-ID %02x%02x; the PCK certificate is of %s, %02x%02x",
             hex_to(info, bytes_of(i->fmspc, sizeof(i->fmspc))), i->pceid[0], i->pceid[1],
             hex_to(platform, r->signer->facts.fmspc), r->signer->facts.pceid.p[0],
             r->signer->facts.pceid.p[1]);
    return r->room;
}

static bool check_module(struct run *r, bool of_platform, const struct tdx_module **module)
{
    struct err err = { 0 };
    const char *why = NULL;
    if (!r->v->authentic || !of_platform)
        why = r->v->authentic ? "impossible: there is no authentic TCB info for this platform"
                              : "impossible: the quote is not authentic";
    else if (tdx_module_identity_check(&r->c->info, &r->v->quote.body, module, &err) < 0)
        why = err.cause;
    return record(r, "tdx.module_identity", why, "the TDX module is one of the TCB info's");
}

static bool check_qe(struct run *r, bool identity_signed)
{
    struct err err = { 0 };
    const char *why = NULL;
    if (!r->v->authentic)
        why = "impossible: the quote is not authentic";
    else if (!identity_signed)
        why = "impossible: the QE identity is not authentic";
    else if (!r->c->qe_identity_content.ok)
        why = r->c->qe_identity_content.why;
    else if (tdx_qe_identity_check(&r->c->identity, &r->v->quote.qe_report, &err) < 0)
        why = err.cause;
    return record(r, "tdx.qe_identity", why, "the quoting enclave is Intel's for TDs");
}

static void check_status(struct run *r, bool possible, const struct tdx_module *module)
{
    if (!possible) {
        record(r, "tdx.tcb_status", "impossible: the checks before it do not hold", NULL);
        return;
    }
    const struct tdx_tcb_request rq = {
        .info = &r->c->info,
        .qe_identity = &r->c->identity,
        .pck = &r->signer->facts,
        .body = &r->v->quote.body,
        .module = module,
        .qe_isv_svn = r->v->quote.qe_report.isv_svn,
    };
    tdx_tcb_evaluate(&rq, &r->v->tcb);
    bool accepted = r->rq->accept >> r->v->tcb.status & 1 && r->v->tcb.status < TDX_TCB_REVOKED;
    checks_add(r->checks, "tdx.tcb_status", accepted ? CHECK_OK : CHECK_FAILED, "%s%s%s, %zu advisories",
               tdx_tcb_status_name(r->v->tcb.status), r->v->tcb.date[0] ? ", level of " : "", r->v->tcb.date,
               r->v->tcb.advisories.n);
}

static void check_clock(struct run *r)
{
    char latest[24], now[24];
    time_t signed_at = r->c->latest_signed;
    if (!signed_at) {
        checks_add(r->checks, CHECK_CLOCK, CHECK_NOT_APPLICABLE, "no authentic signed time was seen");
        return;
    }
    r->v->latest_signed = signed_at;
    snprintf(r->room, sizeof(r->room), "the clock says %s, but something was signed at %s",
             rfc3339_text(r->rq->at, now), rfc3339_text(signed_at, latest));
    record(r, CHECK_CLOCK, r->rq->at < signed_at ? r->room : NULL, "not before the latest signed time seen");
}

static void check_collateral(struct run *r)
{
    const struct tdx_prepared_collateral *c = r->c;
    const struct tdx_module *module = NULL;
    record(r, "tdx.crl", why_crl_fails(r),
           "neither the PCK nor its CA nor the TCB signing certificate is revoked");
    bool info = record(r, "tdx.tcb_info_signature", why_not_signed(r, &c->tcb_info, &c->tcb_info_chain),
                       "by Intel's TCB signing certificate");
    bool identity =
        record(r, "tdx.qe_identity_signature", why_not_signed(r, &c->qe_identity, &c->qe_identity_chain),
               "by Intel's TCB signing certificate");
    const char *why = why_not_current(r);
    record(r, "tdx.collateral_dates", why,
           r->expired ? "expired collateral, accepted as asked: the warnings name it"
                      : "TCB info, QE identity and both CRLs are current");
    bool platform = record(r, "tdx.fmspc", why_no_fmspc(r, info), "the TCB info is for this platform");
    bool known_module = check_module(r, platform, &module);
    bool known_qe = check_qe(r, identity);
    check_status(r, known_module && known_qe, module);
    r->v->has_evaluation = info && c->tcb_info_content.ok;
    r->v->evaluation = r->v->has_evaluation ? c->info.evaluation : 0;
}

static const char *const of_collateral[] = {
    "tdx.crl",   "tdx.tcb_info_signature", "tdx.qe_identity_signature", "tdx.collateral_dates",
    "tdx.fmspc", "tdx.module_identity",    "tdx.qe_identity",           "tdx.tcb_status",
};

/* Missing material is a failure, unless the caller has said that it does without. */
static void without_collateral(struct run *r)
{
    bool accepted = r->rq->accept & TDX_ACCEPT_NO_COLLATERAL;
    for (size_t i = 0; i < ARRAY_SIZE(of_collateral); i++)
        checks_add(r->checks, of_collateral[i], accepted ? CHECK_NOT_APPLICABLE : CHECK_FAILED, "%s",
                   accepted
                       ? "no collateral, which is accepted: the platform's TCB and revocation are unknown"
                       : "no collateral was given");
    checks_add(r->checks, CHECK_CLOCK, CHECK_NOT_APPLICABLE, "no authentic signed time was seen");
}

/* ---- what the TD itself says ---- */

static const char service_td_bound[] =
    "a service TD (for migration) is bound to this TD: MRSERVICETD is not zero";

static void check_td(struct run *r)
{
    const struct tdx_body *body = &r->v->quote.body;
    const char *not_authentic = r->v->authentic ? NULL : "impossible: the quote is not authentic";
    const char *debug = tdx_is_debug(body) ? "the TD is under debug (attributes, bits 7:0)" : NULL;
    bool bound = body->mr_service_td.n && !bytes_zero(body->mr_service_td);
    record(r, "tdx.debug", not_authentic ? not_authentic : debug, "not a debug TD");
    if (r->v->authentic && !body->mr_service_td.n)
        checks_add(r->checks, "tdx.service_td", CHECK_NOT_APPLICABLE, "a TD 1.0 quote does not name one");
    else if (not_authentic || !bound)
        record(r, "tdx.service_td", not_authentic, "no service TD is bound");
    else
        record(r, "tdx.service_td", r->rq->refuse_service_td ? service_td_bound : NULL, service_td_bound);
    if (r->v->authentic && bound)
        checks_warn(r->checks, "%s: it may take part in moving this TD to another machine", service_td_bound);
}

static void all_impossible(struct run *r)
{
    static const char *const others[] = { "tdx.quote_signature", "tdx.qe_report_signature", "tdx.qe_binding",
                                          "tdx.pck_chain" };
    const char *why = "impossible: the quote cannot be read";
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        record(r, others[i], why, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(of_collateral); i++)
        record(r, of_collateral[i], why, NULL);
    record(r, "tdx.debug", why, NULL);
    record(r, "tdx.service_td", why, NULL);
    checks_add(r->checks, CHECK_CLOCK, CHECK_NOT_APPLICABLE, "not reached");
}

void tdx_verify(const struct tdx_request *rq, struct checks *checks, struct tdx_verdict *out)
{
    AUTO(tdx_prepared_signer_drop) struct tdx_prepared_signer *own = NULL;
    struct run r = { rq, checks, out, rq->signer, rq->collateral, "", false };
    struct err err = { 0 };
    memset(out, 0, sizeof(*out));
    if (tdx_quote_parse(rq->quote, &out->quote, &err) < 0) {
        checks_add_rc(checks, CHECK_FORMAT, -1, "", &err);
        all_impossible(&r);
        return;
    }
    if ((!r.signer || !bytes_equal(bytes_of(r.signer->raw, r.signer->raw_n), tdx_signer_bytes(&out->quote)))
        && (tdx_prepare_signer(&out->quote, &rq->anchors, &own, &err) < 0 || !own)) {
        checks_add_rc(checks, CHECK_FORMAT, -1, "", &err);
        all_impossible(&r);
        return;
    }
    out->parsed = true;
    r.signer = own ? own : r.signer;
    checks_add(checks, CHECK_FORMAT, CHECK_OK, "quote version %u, TD %s", out->quote.version,
               out->quote.body_type == TDX_BODY_15 ? "1.5" : "1.0");
    check_quote(&r);
    if (r.c)
        check_collateral(&r);
    else
        without_collateral(&r);
    check_td(&r);
    if (r.c)
        check_clock(&r);
}

/* ---- the verdict as JSON ---- */

static json_t *status_json(enum tdx_tcb_status status)
{
    const char *name = tdx_tcb_status_name(status);
    return name ? json_string(name) : json_null();
}

static json_t *advisories_json(const struct tdx_advisories *set)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < set->n; i++) {
        if (json_array_append_new(list, json_string(set->id[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

bool tdx_verdict_members(json_t *object, const struct tdx_verdict *v)
{
    return json_set(object, "tcb_status", status_json(v->tcb.status))
           && json_set(object, "platform_tcb_status", status_json(v->tcb.platform))
           && json_set(object, "tdx_module_status", status_json(v->tcb.module))
           && json_set(object, "qe_status", status_json(v->tcb.qe))
           && json_set(object, "tcb_date", v->tcb.date[0] ? json_string(v->tcb.date) : json_null())
           && json_set(object, "advisory_ids", advisories_json(&v->tcb.advisories))
           && json_set(object, "tcb_evaluation_data_number",
                       v->has_evaluation ? json_integer(v->evaluation) : json_null());
}
