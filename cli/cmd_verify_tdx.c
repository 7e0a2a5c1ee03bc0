#include "cli/collateral_files.h"
#include "cli/commands.h"
#include "cli/verify_print.h"

#include "base/auto.h"
#include "policy/trust.h"
#include "tee/tdx_verify.h"

#include <stdlib.h>
#include <time.h>

#define QUOTE_FILE_MAX (1u << 20) /* real ones have 5 to 8 KB */

struct arguments {
    const char *quote, *collateral;
    time_t at;
    uint32_t accept;
    bool refuse_service_td, json;
};

/* The pinned roots of Intel, parsed. */
struct roots {
    X509 *list[TRUST_ROWS];
    size_t n;
};

static void roots_done(struct roots *roots)
{
    while (roots->n > 0)
        X509_free(roots->list[--roots->n]);
}

static int roots_load(struct roots *roots, struct err *err)
{
    for (size_t i = 0; i < TRUST_ROWS; i++) {
        const struct trust_row *row = &trust_rows()[i];
        if (row->vendor != TRUST_INTEL || !row->anchor)
            continue;
        if (x509_parse(trust_pem(i), &roots->list[roots->n], err) < 0)
            return err_while(err, "read a built-in root");
        roots->n++;
    }
    return 0;
}

/* Prepares what there is, verifies, prints.
 */
static int judge(const struct arguments *args, struct bytes quote, const struct tdx_collateral *collateral)
{
    AUTO(roots_done) struct roots roots = { 0 };
    AUTO(tdx_prepared_collateral_drop) struct tdx_prepared_collateral *prepared = NULL;
    AUTO(free_u8) uint8_t *room = calloc(1, sizeof(struct checks) + sizeof(struct tdx_verdict));
    struct err err = { 0 };
    if (!room)
        return fail(STATUS_ENVIRONMENT, args->quote, "cannot verify", "out of memory");
    struct checks *checks = (struct checks *)(void *)room;
    struct tdx_verdict *verdict = (struct tdx_verdict *)(void *)(room + sizeof(*checks));
    if (roots_load(&roots, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, args->quote, "cannot verify", &err);
    const struct tdx_anchors anchors = { roots.list, roots.n };
    if (collateral && tdx_prepare_collateral(collateral, &anchors, &prepared, &err) < 0)
        return fail_err(status_of(&err), args->collateral, "cannot verify", &err);
    const struct tdx_request rq = {
        .quote = quote,
        .collateral = prepared,
        .anchors = anchors,
        .at = args->at,
        .accept = args->accept,
        .refuse_service_td = args->refuse_service_td,
    };
    tdx_verify(&rq, checks, verdict);
    AUTO(json_drop) json_t *facts = json_object();
    if (!facts || !tdx_verdict_members(facts, verdict))
        return fail(STATUS_ENVIRONMENT, args->quote, "cannot make the answer", "out of memory");
    const struct verify_answer answer = { args->quote, checks, facts, !verdict->parsed };
    return verify_print(&answer, args->json);
}

static int read_options(struct arguments *args, const char *at, const char *accept)
{
    struct err err = { 0 };
    args->accept = TDX_ACCEPT_DEFAULT;
    if (accept && tdx_accept_parse(accept, &args->accept, &err) < 0)
        return fail_err(STATUS_USAGE, "--accept-tcb", "not a list of TCB statuses", &err);
    return verify_clock(at, &args->at);
}

static int run(int argc, char **argv)
{
    AUTO(free_u8) uint8_t *quote = NULL;
    AUTO(tdx_collateral_drop) struct tdx_collateral *collateral = NULL;
    struct arguments args = { 0 };
    const char *at = NULL, *accept = NULL;
    const struct option_row rows[] = {
        { "collateral", OPTION_TEXT, &args.collateral },
        { "at", OPTION_TEXT, &at },
        { "accept-tcb", OPTION_TEXT, &accept },
        { "refuse-service-td", OPTION_FLAG, &args.refuse_service_td },
        { "json", OPTION_FLAG, &args.json },
    };
    size_t n = 0;
    int rc = options_parse(&command_verify_tdx, argc, argv, rows, ARRAY_SIZE(rows), &args.quote, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if ((rc = read_options(&args, at, accept)) || (rc = read_input(args.quote, QUOTE_FILE_MAX, &quote, &n))
        || (args.collateral && (rc = collateral_read_for(args.collateral, bytes_of(quote, n), &collateral))))
        return rc;
    return judge(&args, bytes_of(quote, n), collateral);
}

const struct command command_verify_tdx = {
    "verify-tdx",
    "QUOTE.bin [--collateral FILE.json|DIR] [--at TIME] [--accept-tcb S,...] [--json]",
    "Judges a raw TDX quote",
    "QUOTE.bin is a quote of version 4 or 5; padding behind it is passed over. - is standard input.\n"
    "\n"
    "  --collateral F      one JSON in the member names of DCAP tools (tcb_info, tcb_info_signature,\n"
    "                      tcb_info_issuer_chain, qe_identity, qe_identity_signature,\n"
    "                      qe_identity_issuer_chain, pck_crl, pck_crl_issuer_chain, root_ca_crl), or a\n"
    "                      folder of PCS files: tcb_info.json, tcb_signing_chain.pem, qe_identity.json,\n"
    "                      pck_crl.der, pck_crl_issuer_chain.pem, root_ca_crl.der; or the folder that\n"
    "                      collateral preload fills. Without collateral\n"
    "                      revocation and TCB status are unknown, and the quote is refused\n"
    "  --at TIME           the clock, as 2025-01-31T12:00:00Z; else now\n"
    "  --accept-tcb S,...  TCB statuses that are good enough, in Intel's names; UpToDate always is. Else\n"
    "                      UpToDate,SWHardeningNeeded. none: a quote without collateral is accepted\n"
    "  --refuse-service-td a TD that a service TD (for migration) is bound to is accepted\n"
    "  --json              "
    "{\"success\":...,\"checks\":[...],\"tcb_status\":...,\"platform_tcb_status\":...,\n"
    "                      "
    "\"tdx_module_status\":...,\"qe_status\":...,\"tcb_date\":...,\"advisory_ids\":[...]}\n"
    "\n"
    "Exit status 1: judged, and the answer is no; 3: no quote, or collateral that cannot be read.\n",
    run,
};
