#include "cli/verify_print.h"

#include "appraisal/appraise.h"
#include "base/auto.h"
#include "base/enc.h"
#include "cli/commands.h"
#include "cli/material.h"
#include "evidence/verify_attestation.h"

#include <stdlib.h>

struct arguments {
    const char *file, *certs, *roots;
    struct verify_attestation_options options;
    bool json;
};

static void verdict_free(struct attestation_verdict **v)
{
    free(*v);
}

static void checks_free(struct checks **c)
{
    free(*c);
}

static int print(const struct arguments *args, const struct checks *checks,
                 const struct attestation_verdict *v)
{
    AUTO(json_drop) json_t *facts = json_pack("{s:s,s:s?}", "freshness", v->freshness, "binding", v->binding);
    if (!facts || (v->tdx.parsed && !tdx_verdict_members(facts, &v->tdx)))
        return fail(STATUS_ENVIRONMENT, args->file, "cannot make the answer", "out of memory");
    const struct verify_answer answer = { .where = args->file, .checks = checks, .facts = facts };
    return verify_print(&answer, args->json);
}

static int load_material(const struct arguments *args, const struct attestation *a,
                         const struct verify_trust *trust, struct material *out)
{
    const struct material_request kept = { .folder = args->certs, .at = args->options.at, .trust = trust };
    const struct supply_evidence evidence = {
        .tee = a->snp_report.n  ? TEE_SEV_SNP
               : a->tdx_quote.n ? TEE_TDX
                                : TEE_NONE,
        .tee_report = buf_bytes(a->snp_report.n ? &a->snp_report : &a->tdx_quote),
        .vek_cert = a->vcek_cert.n ? a->vcek_cert : a->vlek_cert,
        .ak_cert = a->ak_cert,
        .has_ak_chain = a->intermediate_count != 0,
    };
    int rc = material_read(args->certs, trust, out);
    return rc ? rc : material_add(&kept, &evidence, out);
}

static int judge(struct arguments *args, struct bytes data)
{
    AUTO(verify_trust_done) struct verify_trust trust = { 0 };
    AUTO(material_done) struct material material = { 0 };
    AUTO(attestation_done) struct attestation attestation = { .quote_count = 0 };
    AUTO(checks_free) struct checks *checks = calloc(1, sizeof(*checks));
    AUTO(verdict_free) struct attestation_verdict *verdict = calloc(1, sizeof(*verdict));
    AUTO(free_u8) uint8_t *roots = NULL;
    struct err err = { 0 };
    size_t roots_n = 0;
    int rc;
    if (!checks || !verdict)
        return fail(STATUS_ENVIRONMENT, args->file, "cannot verify", "out of memory");
    if (attestation_parse(data, &attestation, &err) < 0)
        return fail_err(STATUS_INPUT, args->file, "not an attestation", &err);
    if (trust_load(&trust, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, "built-in roots", "cannot verify", &err);
    if (args->roots && (rc = read_input(args->roots, 1u << 20, &roots, &roots_n)))
        return rc;
    if (args->roots && verify_trust_add_extra(&trust, bytes_of(roots, roots_n), &err) < 0)
        return fail_err(STATUS_INPUT, args->roots, "not a bundle of roots", &err);
    if (args->certs && (rc = load_material(args, &attestation, &trust, &material)))
        return rc;
    args->options.trust = &trust;
    args->options.material = &material.view;
    if (verify_attestation(&attestation, &args->options, checks, verdict, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, args->file, "cannot verify", &err);
    return print(args, checks, verdict);
}

static int run(int argc, char **argv)
{
    AUTO(free_u8) uint8_t *data = NULL;
    AUTO(buf_done) struct buf nonce = buf_new(256);
    struct arguments args = { .options.accept_tcb = TDX_ACCEPT_DEFAULT };
    AUTO(buf_done) struct buf report_data = buf_new(64);
    const char *nonce_hex = NULL, *report_data_hex = NULL, *at = NULL, *accept = NULL;
    struct err err = { 0 };
    size_t n = 0;
    const struct option_row rows[] = {
        { "nonce", OPTION_TEXT, &nonce_hex },
        { "report-data", OPTION_TEXT, &report_data_hex },
        { "at", OPTION_TEXT, &at },
        { "certs", OPTION_TEXT, &args.certs },
        { "trust-emulator", OPTION_TEXT, &args.roots },
        { "accept-tcb", OPTION_TEXT, &accept },
        { "json", OPTION_FLAG, &args.json },
    };
    int rc = options_parse(&command_verify_attestation, argc, argv, rows, ARRAY_SIZE(rows), &args.file, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (nonce_hex && (hex_decode(bytes_str(nonce_hex), &nonce, &err) < 0 || !nonce.n))
        return fail_err(STATUS_USAGE, "--nonce", "not hex", &err);
    if (report_data_hex
        && (hex_decode(bytes_str(report_data_hex), &report_data, &err) < 0 || report_data.failed
            || !report_data.n))
        return fail_err(STATUS_USAGE, "--report-data", "not hex of 1 to 64 bytes", &err);
    args.options.report_data = buf_bytes(&report_data);
    if (accept && tdx_accept_parse(accept, &args.options.accept_tcb, &err) < 0)
        return fail_err(STATUS_USAGE, "--accept-tcb", "not a list of TCB statuses", &err);
    args.options.nonce = buf_bytes(&nonce);
    if ((rc = verify_clock(at, &args.options.at)) || (rc = read_input(args.file, ATTESTATION_MAX, &data, &n)))
        return rc;
    return judge(&args, bytes_of(data, n));
}

const struct command command_verify_attestation = {
    "verify-attestation",
    "FILE.pb|FILE.json [--nonce HEX] [--report-data HEX] [--at TIME] [--certs DIR] [--accept-tcb S,...]\n"
    "           [--trust-emulator ROOTS.pem] [--json]",
    "Judges a go-tpm-tools attest.Attestation",
    "FILE is the protobuf message or its JSON form; - is standard input. Judged are its quotes, one a bank, "
    "the\n"
    "boot log against each, the attestation key's certificate (Google's roots), and the report of a TEE "
    "inside\n"
    "with what its report_data binds.\n"
    "\n"
    "  --nonce HEX                the nonce that was asked with; without it freshness is unchecked\n"
    "  --report-data HEX          the report_data that was asked with; else as the message says, or the "
    "nonce\n"
    "  --at TIME                  the clock to judge by, like 2025-01-31T12:00:00Z; without it, now\n"
    "  --certs DIR                PCS files of Intel, for a TDX quote; a CRL of AMD (*.crl)\n"
    "  --accept-tcb S,...         Intel's TCB statuses to accept, or none: a TDX quote without collateral\n"
    "  --trust-emulator ROOTS.pem accepts emulated evidence below these roots: it proves no hardware\n"
    "  --json                     the answer as JSON: success, checks, freshness, binding, warnings\n"
    "\n"
    "Prints the checks, one a line, and the verdict. Exit status: 0 verified, 1 judged, and the answer is "
    "no,\n"
    "3 the file is malformed.\n",
    run,
};
