#include "evidence/verify_internal.h"

#include "base/auto.h"
#include "evidence/claims.h"

#include <errno.h>

bool verify_listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    while (list && *list) {
        size_t word = strcspn(list, ",");
        if (word == n && !memcmp(list, name, n))
            return true;
        list += word + (list[word] == ',');
    }
    return false;
}

void verify_cache_key(const struct verification *v, const char *kind, struct bytes data,
                      uint8_t out[static 32])
{
    const struct bytes parts[] = { bytes_str(kind), bytes_of(v->options->trust->id, 32), data };
    struct digest d;
    struct err err;
    if (digest_parts(ALG_SHA256, parts, ARRAY_SIZE(parts), &d, &err) < 0)
        abort(); /* as sha256() */
    memcpy(out, d.b, 32);
}

/* ---- what the document says about itself ---- */

/* AMD names the cloud that it gave a VLEK to. */
static bool vlek_of_aws(const struct verify_result *r)
{
    return r->tee_authentic && r->document.tee == TEE_SEV_SNP
           && strstr(r->snp.csp_id, "amazonaws.com") != NULL;
}

static enum cloud_type cloud_by_name(const char *name)
{
    static const enum cloud_type clouds[] = { CLOUD_NONE, CLOUD_GCP, CLOUD_AZURE, CLOUD_AWS };
    for (size_t i = 0; i < ARRAY_SIZE(clouds); i++)
        if (!strcmp(cloud_name(clouds[i]), name))
            return clouds[i];
    return CLOUD_NONE;
}

static int check_said(const struct verify_result *r, struct err *err)
{
    const struct document *d = &r->document;
    enum cloud_type said = cloud_by_name(d->platform.cloud);
    if (strcmp(tee_name(d->tee), d->platform.tee) != 0)
        return err_set(err, ERR_DENIED, 0, "platform.tee is not the TEE of the evidence");
    if (strcmp(cloud_name(said), d->platform.cloud) != 0)
        return err_set(err, ERR_DENIED, 0, "platform.cloud is none that is known");
    if (r->tee_authentic && d->platform.emulated != r->emulated)
        return err_set(err, ERR_DENIED, 0, "platform.emulated is %s, and the evidence reaches %s",
                       d->platform.emulated ? "true" : "false",
                       r->emulated ? "a given root" : "a vendor's root");
    if ((said == CLOUD_AZURE) != (d->var_data.n > 0))
        return err_set(err, ERR_DENIED, 0,
                       "platform.cloud and the presence of Azure's runtime data disagree");
    if (r->cloud_proven && said != r->cloud)
        return err_set(err, ERR_DENIED, 0, "platform.cloud is %s, and a certificate proves %s",
                       d->platform.cloud, cloud_name(r->cloud));
    return 0;
}

static void judge_platform(struct verification *v)
{
    struct verify_result *r = v->result;
    const struct document *d = &r->document;
    struct err err = { 0 };
    if (!r->cloud_proven && vlek_of_aws(r)) {
        r->cloud = CLOUD_AWS;
        r->cloud_proven = true;
    }
    if (!r->cloud_proven && v->ak_is_runtime_key && v->runtime_data_bound) {
        r->cloud = CLOUD_AZURE;
        r->cloud_proven = true;
    }
    if (!d->platform.said)
        checks_add(v->checks, "platform.claims", CHECK_NOT_APPLICABLE,
                   "the document of an older agent: it says nothing");
    else
        checks_add_rc(v->checks, "platform.claims", check_said(r, &err),
                      "TEE, cloud and emulation fit the evidence", &err);
    if (!r->cloud_proven)
        r->cloud = d->platform.said ? cloud_by_name(d->platform.cloud)
                   : d->var_data.n  ? CLOUD_AZURE
                                    : CLOUD_NONE;
    if (!r->cloud_proven && r->cloud != CLOUD_NONE)
        checks_warn(v->checks, "nothing proves that the machine is at %s: the document says so",
                    cloud_name(r->cloud));
}

/* ---- the answer's parts ---- */

/* Contract, section 3: the PCRs are claims once somebody else than the guest vouches for their key, or the
 * caller takes the guest's word. */
static bool pcrs_count(const struct verification *v)
{
    const struct check *anchor = checks_find(v->checks, "tpm.ak_anchor");
    const struct check *bound = checks_find(v->checks, "binding.ak");
    return v->result->pcrs_proven && anchor && anchor->result != CHECK_FAILED && bound
           && bound->result != CHECK_FAILED;
}

static void set_claims(struct verification *v)
{
    struct verify_result *r = v->result;
    AUTO(json_drop) json_t *runtime = NULL;
    struct err ignored;
    if (v->runtime_data_bound
        && json_parse(r->document.var_data, r->document.var_data.n, &runtime, &ignored) < 0)
        runtime = NULL;
    const struct verify_vendor_trust *vendors = v->options->trust->vendor;
    if (r->tee_authentic && r->document.tee == TEE_SEV_SNP) {
        const struct claims_chain chain = { vendors[VERIFY_AMD].anchor[r->snp.anchor],
                                            checks_hold(v->checks, "snp.crl") };
        json_object_set_new(r->claims, "sevsnp", claims_snp(&r->snp, &chain, runtime));
    }
    if (r->tee_authentic && r->document.tee == TEE_TDX) {
        const struct claims_chain chain = { vendors[VERIFY_INTEL].anchor[r->tdx.anchor],
                                            checks_hold(v->checks, "tdx.crl") };
        json_object_set_new(r->claims, "tdx", claims_tdx(&r->tdx, &chain, runtime));
    }
    if (!pcrs_count(v))
        return;
    json_t *tpm = claims_tpm(&r->document.pcrs);
    if (v->boot_events && checks_hold(v->checks, "tpm.eventlog_replay"))
        json_object_set(tpm, "tcg_event_logs", v->boot_events);
    json_object_set_new(r->claims, "tpm", tpm);
}

static bool rtmrs_live(const struct tdx_body *td)
{
    for (unsigned i = 0; td && i < TDX_RTMRS; i++)
        if (!bytes_zero(td->rtmr[i]))
            return true;
    return false;
}

static void set_freshness(struct verification *v)
{
    const struct check *nonce = checks_find(v->checks, "binding.nonce");
    v->result->freshness = !v->options->nonce.n || !nonce || nonce->result == CHECK_NOT_APPLICABLE
                               ? "unchecked"
                           : nonce->result == CHECK_OK ? "fresh"
                                                       : "stale";
    if (!v->options->nonce.n)
        checks_warn(v->checks, "no nonce was given: how old this evidence is, is not known");
}

/* Every name of the contract is in the answer: what is another platform's is null, and what this document
 * should have had judged, and an earlier failure made impossible, is false. */
static void close_checks(struct verification *v)
{
    static const char *const names[] = {
        "snp.format",
        "snp.report_signature",
        "snp.vek_chain",
        "snp.vek_validity",
        "snp.vek_tcb",
        "snp.vek_chip_id",
        "snp.crl",
        "snp.debug",
        "tdx.format",
        "tdx.quote_signature",
        "tdx.qe_report_signature",
        "tdx.qe_binding",
        "tdx.pck_chain",
        "tdx.crl",
        "tdx.tcb_info_signature",
        "tdx.qe_identity_signature",
        "tdx.collateral_dates",
        "tdx.fmspc",
        "tdx.module_identity",
        "tdx.qe_identity",
        "tdx.tcb_status",
        "tdx.debug",
        "azure.format",
        "azure.runtime_data_binding",
        "azure.ak_binding",
        "azure.td_quote_binding",
    };
    const struct document *d = v->document;
    const char *tee = d->tee == TEE_SEV_SNP ? "snp." : d->tee == TEE_TDX ? "tdx." : "none";
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        bool azure = !strncmp(names[i], "azure.", 6);
        bool own = azure ? d->var_data.n > 0 : !strncmp(names[i], tee, strlen(tee));
        if (!checks_find(v->checks, names[i]))
            checks_add(v->checks, names[i], own ? CHECK_FAILED : CHECK_NOT_APPLICABLE, "%s",
                       own ? "not made: an earlier check failed" : CHECK_OTHER_PLATFORM);
    }
}

static void set_not_checked(struct verify_result *r)
{
    for (size_t i = 0; i < r->checks.n; i++) {
        const struct check *c = &r->checks.list[i];
        char text[CHECK_NAME_MAX + CHECK_DETAIL_MAX + 4];
        if (c->result != CHECK_NOT_APPLICABLE || !strcmp(c->detail, CHECK_OTHER_PLATFORM))
            continue;
        snprintf(text, sizeof(text), "%s: %s", c->name, c->detail);
        json_array_append_new(r->not_checked, json_text(bytes_str(text)));
    }
}

static void warn_document(struct verification *v)
{
    const struct document *d = v->document;
    for (size_t i = 0; i < d->unknown_n; i++)
        checks_warn(v->checks, "%s: a member that nobody here knows", d->unknown[i]);
    if (d->has_tpm && d->pcrs.alg == ALG_SHA1)
        checks_warn(v->checks, "PCRs of the SHA-1 bank never satisfy a golden measurement");
    if (d->var_data.n && v->runtime_data_bound)
        checks_warn(v->checks,
                    "the runtime data are Microsoft's only if the launch measurement is its paravisor's: "
                    "pin it");
}

/* ---- all of it ---- */

static int judge(struct verification *v, struct err *err)
{
    struct verify_result *r = v->result;
    checks_add(v->checks, "document.format", CHECK_OK, "%s",
               v->document->platform.said ? "a collaterals document, version 1"
                                          : "a collaterals document of an automata agent");
    if (verify_tee(v, err) < 0 || verify_question(v, err) < 0 || verify_tpm(v, err) < 0
        || verify_binding(v, err) < 0)
        return -1;
    verify_anchor(v);
    verify_boot_logs(v);
    verify_measured_logs(v);
    judge_platform(v);
    checks_add(v->checks, "document.clock", CHECK_NOT_APPLICABLE, "nothing with a signed date");
    close_checks(v);
    warn_document(v);
    set_claims(v);
    set_freshness(v);
    bool vouched = checks_hold(v->checks, "tpm.ak_anchor");
    r->coverage = coverage_json(v->document->tee, r->cloud, v->document->has_tpm, rtmrs_live(v->td), vouched);
    set_not_checked(r);
    return 0;
}

static void verification_done(struct verification *v)
{
    buf_done(&v->extra);
    buf_done(&v->runtime_key);
    buf_done(&v->ak_spki);
    verify_held_done(&v->cert_held);
    verify_held_done(&v->ak_held);
    json_decref(v->boot_events);
}

int verify_document(struct document *document, const struct verify_options *options,
                    struct verify_result **out, struct err *err)
{
    AUTO(verify_result_drop) struct verify_result *r = calloc(1, sizeof(*r));
    if (!r)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a verdict");
    r->document = *document;
    *document = (struct document){ .root = NULL };
    r->claims = json_object();
    r->not_checked = json_array();
    AUTO(verification_done)
    struct verification v = {
        .options = options,
        .result = r,
        .document = &r->document,
        .checks = &r->checks,
        .extra = buf_new(0),
        .runtime_key = buf_new(0),
        .ak_spki = buf_new(0),
    };
    if (judge(&v, err) < 0)
        return err_while(err, "verify the document");
    if (!r->claims || !r->not_checked || !r->coverage)
        return err_set(err, ERR_IO, ENOMEM, "no memory for claims");
    *out = MOVE(r);
    return 0;
}

void verify_result_free(struct verify_result *r)
{
    if (!r)
        return;
    document_done(&r->document);
    json_decref(r->claims);
    json_decref(r->coverage);
    json_decref(r->not_checked);
    tpm_eventlog_done(&r->boot_log);
    free(r);
}

bool verify_success(const struct verify_result *r)
{
    return checks_all_hold(&r->checks) && checks_hold(&r->checks, "platform.hardware_root");
}
