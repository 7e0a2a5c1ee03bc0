#include "cli/verify_print.h"

#include "appraisal/appraise.h"
#include "base/auto.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/material.h"
#include "cli/policy_files.h"

#include <stdlib.h>

struct arguments {
    const char *document, *golden, *golden_key, *nonce, *at, *certs, *roots, *accept_binding, *accept_tcb;
    const char *kds, *pcs;
    struct option_list policies;
    bool offline, fetch, self_asserted, expired, json;
};

/* Files of one run. */
struct input {
    uint8_t *document, *golden, *golden_key, *roots;
    size_t document_n, golden_n, golden_key_n, roots_n;
};

static void input_done(struct input *in)
{
    free(in->document);
    free(in->golden);
    free(in->golden_key);
    free(in->roots);
}

static int read_optional(const char *path, size_t max, uint8_t **out, size_t *n)
{
    return path ? read_input(path, max, out, n) : 0;
}

static int read_files(const struct arguments *args, struct input *in)
{
    int rc = read_input(args->document, DOCUMENT_MAX, &in->document, &in->document_n);
    if (!rc)
        rc = read_optional(args->golden, 4u << 20, &in->golden, &in->golden_n);
    if (!rc)
        rc = read_optional(args->golden_key, 65536, &in->golden_key, &in->golden_key_n);
    if (!rc)
        rc = read_optional(args->roots, 1u << 20, &in->roots, &in->roots_n);
    if (!rc && args->golden && !in->golden_n) /* no bytes would mean: none was asked for */
        rc = fail(STATUS_INPUT, args->golden, "not a golden measurement", "the file is empty");
    if (!rc && args->golden_key && !in->golden_key_n)
        rc = fail(STATUS_INPUT, args->golden_key, "not a public key", "the file is empty");
    if (!rc && args->roots && !in->roots_n)
        rc = fail(STATUS_INPUT, args->roots, "not a bundle of roots", "the file is empty");
    return rc;
}

static int read_options(const struct arguments *args, struct verify_options *out)
{
    struct err err = { 0 };
    out->accept_tcb = TDX_ACCEPT_DEFAULT;
    if (args->accept_tcb && tdx_accept_parse(args->accept_tcb, &out->accept_tcb, &err) < 0)
        return fail_err(STATUS_USAGE, "--accept-tcb", "not a list of TCB statuses", &err);
    if (args->accept_binding && verify_binding_names_check(args->accept_binding, &err) < 0)
        return fail_err(STATUS_USAGE, "--accept-binding", "not a binding rule", &err);
    if (args->nonce && !*args->nonce)
        return fail(STATUS_USAGE, "--nonce", "a nonce has 1 to 30 bytes", NULL);
    out->nonce = bytes_str(args->nonce);
    out->accept_binding = args->accept_binding;
    out->accept_self_asserted_ak = args->self_asserted;
    out->accept_expired = args->expired;
    return verify_clock(args->at, &out->at);
}

static int load_trust(const struct arguments *args, const struct input *in, struct verify_trust *trust)
{
    struct err err = { 0 };
    if (trust_load(trust, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, "built-in roots", "cannot verify", &err);
    if (args->roots && verify_trust_add_extra(trust, bytes_of(in->roots, in->roots_n), &err) < 0)
        return fail_err(STATUS_INPUT, args->roots, "not a bundle of roots", &err);
    return 0;
}

static int load_material(const struct arguments *args, const struct document *document, bool revocation,
                         const struct verify_options *options, const struct verify_trust *trust,
                         struct material *out)
{
    const struct supply_evidence evidence = supply_evidence_of(document);
    const struct material_request request = { .folder = args->certs,
                                              .fetch = !args->offline,
                                              .keep = args->fetch,
                                              .cache = true,
                                              .revocation = revocation,
                                              .at = options->at,
                                              .trust = trust,
                                              .kds_url = args->kds,
                                              .pcs_url = args->pcs };
    struct err err = { 0 };
    int rc = 0;
    if (args->certs && args->fetch && dir_make(args->certs, 0755, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, args->certs, "cannot be used", &err);
    if (args->certs && (rc = material_read(args->certs, trust, out)))
        return rc;
    return material_add(&request, &evidence, out);
}

static int judge(const struct arguments *args, const struct input *in, const struct verify_options *given)
{
    AUTO(policies_done) struct policies policies = { 0 };
    struct verify_options options = *given;
    AUTO(verify_trust_done) struct verify_trust trust = { 0 };
    AUTO(material_done) struct material material = { 0 };
    AUTO(appraisal_done) struct appraisal appraisal = { NULL, NULL };
    AUTO(document_done) struct document document = { .root = NULL };
    struct err err = { 0 };
    int rc = policy_files_load(&args->policies, &policies);
    if (rc || (rc = load_trust(args, in, &trust)))
        return rc;
    if (document_parse(bytes_of(in->document, in->document_n), &document, &err) < 0)
        return fail_err(status_of(&err), args->document, "cannot be judged", &err);
    if ((rc = load_material(args, &document, policies_check_crl(&policies), &options, &trust, &material)))
        return rc;
    options.trust = &trust;
    options.material = &material.view;
    const struct appraise_request request = {
        .document = &document,
        .golden = bytes_of(in->golden, in->golden_n),
        .golden_key = bytes_of(in->golden_key, in->golden_key_n),
        .policies = &policies,
        .verify = options,
    };
    if (appraise(&request, &appraisal, &err) < 0)
        return fail_err(status_of(&err), args->document, "cannot be judged", &err);
    const struct verify_answer answer = { .where = args->document,
                                          .checks = &appraisal.result->checks,
                                          .facts = appraisal.facts };
    return verify_print(&answer, args->json);
}

static int run(int argc, char **argv)
{
    AUTO(input_done) struct input in = { .document = NULL };
    struct arguments args = { .json = false };
    struct verify_options options = { .trust = NULL };
    const struct option_row rows[] = {
        { "golden", OPTION_TEXT, &args.golden },
        { "golden-key", OPTION_TEXT, &args.golden_key },
        { "policy", OPTION_LIST, &args.policies },
        { "nonce", OPTION_TEXT, &args.nonce },
        { "at", OPTION_TEXT, &args.at },
        { "certs", OPTION_TEXT, &args.certs },
        { "offline", OPTION_FLAG, &args.offline },
        { "fetch", OPTION_FLAG, &args.fetch },
        { "kds", OPTION_TEXT, &args.kds },
        { "pcs", OPTION_TEXT, &args.pcs },
        { "trust-emulator", OPTION_TEXT, &args.roots },
        { "accept-self-asserted-ak", OPTION_FLAG, &args.self_asserted },
        { "accept-binding", OPTION_TEXT, &args.accept_binding },
        { "accept-tcb", OPTION_TEXT, &args.accept_tcb },
        { "accept-expired", OPTION_FLAG, &args.expired },
        { "json", OPTION_FLAG, &args.json },
    };
    int rc = options_parse(&command_verify, argc, argv, rows, ARRAY_SIZE(rows), &args.document, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (args.fetch && args.offline)
        return fail(STATUS_USAGE, "--fetch", "not together with --offline", NULL);
    if ((rc = read_options(&args, &options)) || (rc = read_files(&args, &in)))
        return rc;
    return judge(&args, &in, &options);
}

const struct command command_verify = {
    "verify",
    "COLLATERALS.json [--golden GM.json] [--golden-key PUB.pem] [--policy FILE]... [--nonce TEXT]\n"
    "           [--at TIME] [--certs DIR] [--offline | --fetch] [--kds URL] [--pcs URL] [--trust-emulator "
    "ROOTS.pem] "
    "[--accept-self-asserted-ak] [--accept-binding R]\n"
    "           [--accept-tcb S,...] [--accept-expired] [--json]",
    "Judges a collaterals document",
    "COLLATERALS.json is what GET /collaterals/NONCE answers; - is standard input.\n"
    "\n"
    "  --golden GM.json           the golden measurement that the machine must have\n"
    "  --golden-key PUB.pem       the key that must have signed it\n"
    "  --policy FILE              an attestation policy (Cocos or Cube JSON, or Rego) that must hold; may be "
    "given\n"
    "                             several times\n"
    "  --nonce TEXT               the nonce that was asked with; without it freshness is unchecked\n"
    "  --at TIME                  the clock to judge by, like 2025-01-31T12:00:00Z; without it, now\n"
    "  --certs DIR                where the document has none: what collateral preload has fetched, or\n"
    "                             certificates (VCEK, VLEK, chains), a CRL of AMD (*.crl), and PCS files of\n"
    "                             Intel, as they come\n"
    "  --offline                  no network. Without it what a due check needs, and neither the document,\n"
    "                             DIR nor the cache (~/.cache/cvm-agent/collateral) has, is asked of AMD,\n"
    "                             Intel and the AK's issuer for 5 seconds at most, and kept in the cache\n"
    "  --fetch                    keeps it in DIR instead, and asks for AMD's revocation list too\n"
    "  --kds URL, --pcs URL       mirrors to ask, or a PCCS; what they say is not kept in the cache\n"
    "  --trust-emulator ROOTS.pem accepts emulated evidence below these roots: it proves no hardware\n"
    "  --accept-self-asserted-ak  takes PCR values whose key only the guest named: the host can forge them\n"
    "  --accept-binding R,...     takes documents of older agents whose rule R leaves the key or the nonce\n"
    "                             unbound: automata-early, automata-v1, automata-v2, automata-late,\n"
    "                             automata-uuid, go-tpm-tools\n"
    "  --accept-tcb S,...         Intel's TCB statuses to accept, or none: a TDX quote without collateral\n"
    "  --accept-expired           takes collateral whose date is over; the answer says so\n"
    "  --json                     the answer as JSON: success, checks, claims, coverage, not_checked,\n"
    "                             freshness, warnings\n"
    "\n"
    "Prints the checks, one a line, and the verdict. Exit status: 0 verified, 1 judged, and the answer is "
    "no,\n"
    "3 an input is malformed.\n",
    run,
};
