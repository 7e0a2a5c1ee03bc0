#include "base/auto.h"
#include "cli/collateral_files.h"
#include "cli/verify_print.h"
#include "cli/verify_snp.h"
#include "cli/verify_tpm.h"
#include "tee/azure_verify.h"
#include "tee/tdx_verify.h"

#define TD_QUOTE_MAX (1u << 20)

struct arguments {
    const char *hcl, *tdx_quote, *collateral;
    struct snp_files snp;
    struct tpm_files tpm;
    time_t at;
    uint32_t accept;
    bool json;
};

/* One verification: what it was given, and what it has found. Large: on the heap. */
struct work {
    const struct arguments *args;
    struct checks checks;
    json_t *facts;
    struct azure_report report;
    uint8_t *td_quote;
    size_t td_quote_n;
    struct tdx_verdict tdx;
    bool malformed; /* a quote that was given, or the HCL report */
};

static void work_free(struct work **at)
{
    struct work *w = *at;
    if (!w)
        return;
    json_decref(w->facts);
    azure_close(&w->report);
    free(w->td_quote);
    free(w);
}

/* ---- the hardware report ---- */

static int judge_snp(struct work *w)
{
    AUTO(snp_material_done) struct snp_material material = { 0 };
    struct snp_report parsed = { 0 };
    struct snp_verdict verdict;
    struct err err = { 0 };
    if (snp_report_parse(w->report.hcl.hw, &parsed, &err) < 0)
        parsed.signing_key = SNP_KEY_NONE; /* snp_verify() says the same, as a check */
    int rc = snp_material_read(&w->args->snp, parsed.signing_key, &material);
    if (rc)
        return rc;
    snp_material_verify(&material, w->report.hcl.hw, w->args->at, &w->checks, &verdict);
    if (verdict.authentic)
        json_object_set_new(w->facts, "report", snp_verdict_json(&verdict));
    return 0;
}

static int read_td_quote(struct work *w, struct tdx_collateral **collateral)
{
    const struct arguments *args = w->args;
    if (!args->tdx_quote)
        checks_warn(&w->checks, "no TD quote was given: a TDREPORT alone proves nothing (--tdx-quote)");
    else {
        int rc = read_input(args->tdx_quote, TD_QUOTE_MAX, &w->td_quote, &w->td_quote_n);
        if (rc)
            return rc;
    }
    return args->collateral
               ? collateral_read_for(args->collateral, bytes_of(w->td_quote, w->td_quote_n), collateral)
               : 0;
}

static int judge_tdx(struct work *w)
{
    AUTO(anchors_done) struct anchors anchors = { 0 };
    AUTO(tdx_collateral_drop) struct tdx_collateral *collateral = NULL;
    AUTO(tdx_prepared_collateral_drop) struct tdx_prepared_collateral *prepared = NULL;
    struct err err = { 0 };
    int rc = read_td_quote(w, &collateral);
    if (rc)
        return rc;
    if (anchors_add(&anchors, TRUST_INTEL, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, "cvm-cli", "cannot start", &err);
    const struct tdx_anchors roots = { anchors.list, anchors.n };
    if (collateral && tdx_prepare_collateral(collateral, &roots, &prepared, &err) < 0)
        return fail_err(status_of(&err), w->args->collateral, "cannot verify", &err);
    const struct tdx_request rq = { .quote = bytes_of(w->td_quote, w->td_quote_n),
                                    .collateral = prepared,
                                    .anchors = roots,
                                    .at = w->args->at,
                                    .accept = w->args->accept };
    tdx_verify(&rq, &w->checks, &w->tdx);
    w->malformed = w->malformed || (w->args->tdx_quote && !w->tdx.parsed);
    return tdx_verdict_members(w->facts, &w->tdx)
               ? 0
               : fail(STATUS_ENVIRONMENT, w->args->hcl, "cannot verify", "memory is short");
}

/* ---- what hangs on it ---- */

static void judge_quote(struct work *w, const struct tpm_material *material)
{
    struct tpm_answer found = { 0 };
    tpm_material_verify(material, w->report.ak, true, w->args->at, &w->checks, &found, w->facts);
    w->malformed = w->malformed || found.malformed;
    if (found.quote.authentic)
        azure_verify_ak(&w->report, w->report.ak, "the quote is signed by", &w->checks);
    else
        checks_add(&w->checks, "azure.ak_binding", CHECK_FAILED, "the quote is not signed by HCLAkPub");
}

static int judge_tpm(struct work *w)
{
    AUTO(tpm_material_free) struct tpm_material *material = calloc(1, sizeof(*material));
    if (!material)
        return fail(STATUS_ENVIRONMENT, w->args->hcl, "cannot verify", "memory is short");
    int rc = tpm_material_read(&w->args->tpm, material);
    if (rc)
        return rc;
    if (w->args->tpm.quote)
        judge_quote(w, material);
    else
        tpm_material_check_cert(material, w->report.ak, true, w->args->at, &w->checks, w->facts);
    if (material->cert.n)
        azure_verify_ak(&w->report, material->ak, "the AK certificate is of", &w->checks);
    if (!w->args->tpm.quote && !material->cert.n)
        checks_add(&w->checks, "azure.ak_binding", CHECK_NOT_APPLICABLE,
                   "neither a quote nor an AK certificate was given");
    return 0;
}

static int judge(struct work *w, struct bytes hcl)
{
    w->malformed = !azure_open(hcl, &w->report, &w->checks);
    if (w->malformed)
        return 0;
    bool tdx = w->report.hcl.report_type == HCL_TDX;
    int rc = tdx ? judge_tdx(w) : judge_snp(w);
    if (rc)
        return rc;
    bool hardware = checks_all_hold(&w->checks);
    bool bound = azure_verify(&w->report, w->tdx.parsed ? &w->tdx.quote.body : NULL, &w->checks);
    if ((rc = judge_tpm(w)))
        return rc;
    azure_verify_anchor(&w->report, hardware, bound, &w->checks);
    if (hardware && bound && w->report.claims.root)
        json_object_set(w->facts, "runtime_data", w->report.claims.root);
    return 0;
}

static int verify(const struct arguments *args)
{
    AUTO(free_u8) uint8_t *hcl = NULL;
    AUTO(work_free) struct work *w = calloc(1, sizeof(*w));
    size_t n = 0;
    if (!w || !(w->facts = json_object()))
        return fail(STATUS_ENVIRONMENT, args->hcl, "cannot verify", "memory is short");
    w->args = args;
    int rc = read_input(args->hcl, HCL_REPORT_MAX, &hcl, &n);
    if (rc || (rc = judge(w, bytes_of(hcl, n))))
        return rc;
    const struct verify_answer answer = {
        .where = args->hcl, .checks = &w->checks, .facts = w->facts, .malformed = w->malformed
    };
    return verify_print(&answer, args->json);
}

static int check_usage(const struct arguments *args)
{
    static const char see[] = "see cvm-cli help verify-azure";
    const struct tpm_files *tpm = &args->tpm;
    if (!args->hcl)
        return fail(STATUS_USAGE, "verify-azure", "--hcl is needed", see);
    if (!tpm->quote != !tpm->signature)
        return fail(STATUS_USAGE, "verify-azure", "--quote and --signature go together", see);
    if (!tpm->quote && (tpm->pcrs.n || tpm->extra_data || tpm->eventlog))
        return fail(STATUS_USAGE, "verify-azure", "--pcrs, --extra-data and --eventlog need --quote", see);
    return 0;
}

static int run(int argc, char **argv)
{
    struct arguments a = { .accept = TDX_ACCEPT_DEFAULT };
    const char *at = NULL, *accept = NULL;
    struct err err = { 0 };
    const struct option_row rows[] = {
        { "hcl", OPTION_TEXT, &a.hcl },
        { "vek", OPTION_TEXT, &a.snp.vek },
        { "chain", OPTION_LIST, &a.snp.chain },
        { "certtable", OPTION_TEXT, &a.snp.certtable },
        { "crl", OPTION_TEXT, &a.snp.crl },
        { "tdx-quote", OPTION_TEXT, &a.tdx_quote },
        { "collateral", OPTION_TEXT, &a.collateral },
        { "accept-tcb", OPTION_TEXT, &accept },
        { "quote", OPTION_TEXT, &a.tpm.quote },
        { "signature", OPTION_TEXT, &a.tpm.signature },
        { "pcrs", OPTION_LIST, &a.tpm.pcrs },
        { "ak-cert", OPTION_TEXT, &a.tpm.ak_cert },
        { "ak-chain", OPTION_LIST, &a.tpm.ak_chain },
        { "extra-data", OPTION_TEXT, &a.tpm.extra_data },
        { "eventlog", OPTION_TEXT, &a.tpm.eventlog },
        { "at", OPTION_TEXT, &at },
        { "json", OPTION_FLAG, &a.json },
    };
    int rc = options_parse(&command_verify_azure, argc, argv, rows, ARRAY_SIZE(rows), NULL, 0, 0);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (accept && tdx_accept_parse(accept, &a.accept, &err) < 0)
        return fail_err(STATUS_USAGE, "--accept-tcb", "not a list of TCB statuses", &err);
    if ((rc = check_usage(&a)) || (rc = verify_clock(at, &a.at)))
        return rc;
    return verify(&a);
}

const struct command command_verify_azure = {
    "verify-azure",
    "--hcl F [--vek CERT] [--chain PEM]... [--tdx-quote F] [--collateral F] [--quote F --signature F]\n"
    "             [--pcrs F]... [--ak-cert F] [--ak-chain F]... [--extra-data HEX] [--at TIME] [--json]",
    "Judges an Azure HCL report and what hangs on it",
    "  --hcl F           the HCL report, as NV index 0x01400001 holds it\n"
    "  --vek, --chain, --certtable, --crl\n"
    "                    of the SNP report inside, as for verify-snp\n"
    "  --tdx-quote F     the TD quote that was made of the TDREPORT inside; without it the hardware proves\n"
    "                    nothing\n"
    "  --collateral, --accept-tcb\n"
    "                    of the TD quote, as for verify-tdx\n"
    "  --quote, --signature, --pcrs, --extra-data, --eventlog\n"
    "                    a quote by the virtual TPM, as for verify-tpm; its key is HCLAkPub\n"
    "  --ak-cert F       the AK certificate: its key must be HCLAkPub. Its chain is judged if its issuer is\n"
    "                    built in or among --ak-chain; HCLAkPub is anchored without it\n"
    "  --at TIME         the clock to judge by, like 2025-01-31T12:00:00Z; without it, now\n"
    "  --json            the answer as JSON: success, checks, report, runtime_data, quote, warnings\n"
    "\n"
    "Prints the checks, one a line. Exit status: 0 all hold, 1 one does not, 3 an input is malformed.\n",
    run,
};
