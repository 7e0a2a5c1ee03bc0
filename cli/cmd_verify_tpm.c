#include "base/auto.h"
#include "cli/verify_print.h"
#include "cli/verify_tpm.h"

/* A key that only its owner named anchors nothing; here nobody asked for more (contract, section 5). */
static void judge_anchor(const struct tpm_material *m, const struct tpm_answer *answer, struct checks *checks)
{
    if (m->cert.n == 0)
        checks_add(checks, "tpm.ak_anchor", CHECK_NOT_APPLICABLE, "the key is the caller's word");
    else
        checks_add(checks, "tpm.ak_anchor", answer->chain_holds ? CHECK_OK : CHECK_FAILED, "%s",
                   answer->chain_holds ? "a cloud's CA certifies the key"
                                       : "no certificate that holds: key named by the caller only");
}

static int judge(const struct tpm_files *files, time_t at, bool json)
{
    AUTO(tpm_material_free) struct tpm_material *material = calloc(1, sizeof(*material));
    AUTO(checks_drop) struct checks *checks = calloc(1, sizeof(*checks));
    AUTO(json_drop) json_t *facts = json_object();
    struct tpm_answer found = { 0 };
    if (!material || !checks || !facts)
        return fail(STATUS_ENVIRONMENT, files->quote, "cannot verify", "memory is short");
    int rc = tpm_material_read(files, material);
    if (rc)
        return rc;
    tpm_material_verify(material, material->ak, false, at, checks, &found, facts);
    judge_anchor(material, &found, checks);
    const struct verify_answer answer = {
        .where = files->quote, .checks = checks, .facts = facts, .malformed = found.malformed
    };
    return verify_print(&answer, json);
}

static int run(int argc, char **argv)
{
    struct tpm_files files = { .quote = NULL };
    const char *at_text = NULL;
    bool json = false;
    time_t at;
    const struct option_row rows[] = {
        { "quote", OPTION_TEXT, &files.quote },
        { "signature", OPTION_TEXT, &files.signature },
        { "ak", OPTION_TEXT, &files.ak },
        { "ak-cert", OPTION_TEXT, &files.ak_cert },
        { "ak-chain", OPTION_LIST, &files.ak_chain },
        { "pcrs", OPTION_LIST, &files.pcrs },
        { "extra-data", OPTION_TEXT, &files.extra_data },
        { "eventlog", OPTION_TEXT, &files.eventlog },
        { "at", OPTION_TEXT, &at_text },
        { "json", OPTION_FLAG, &json },
    };
    int rc = options_parse(&command_verify_tpm, argc, argv, rows, ARRAY_SIZE(rows), NULL, 0, 0);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (!files.quote || !files.signature || (!files.ak && !files.ak_cert))
        return fail(STATUS_USAGE, "verify-tpm", "--quote, --signature, and --ak or --ak-cert are needed",
                    "see cvm-cli help verify-tpm");
    return (rc = verify_clock(at_text, &at)) ? rc : judge(&files, at, json);
}

const struct command command_verify_tpm = {
    "verify-tpm",
    "--quote F --signature F (--ak F | --ak-cert F [--ak-chain F]...) [--pcrs F]... [--extra-data HEX]\n"
    "           [--eventlog F] [--at TIME] [--json]",
    "Judges a TPM quote",
    "  --quote F         TPMS_ATTEST, with or without its size prefix\n"
    "  --signature F     TPMT_SIGNATURE, or a bare RSA signature\n"
    "  --ak F            the attestation key: PEM, DER or TPMT_PUBLIC; its attributes are judged only in "
    "the\n"
    "                    last. Whose key it is, is then your word: tpm.ak_chain and tpm.ak_anchor are null\n"
    "  --ak-cert F       the key's certificate, DER (padding allowed) or PEM; must chain to the built-in\n"
    "                    roots of Google or Microsoft\n"
    "  --ak-chain F      intermediates beyond the built-in ones\n"
    "  --pcrs F          values of a bank, {\"alg\":\"sha256\",\"pcrs\":{\"0\":hex,...}}\n"
    "  --extra-data HEX  what the quote must carry: the nonce\n"
    "  --eventlog F      the boot log; must give the values of the firmware's and boot loader's PCRs\n"
    "  --at TIME         the clock to judge by, like 2025-01-31T12:00:00Z; without it, now\n"
    "  --json            the answer as JSON: success, checks, quote, instance, registers, warnings\n"
    "\n"
    "Prints the checks, one a line. Exit status: 0 all hold, 1 one does not, 3 an input is malformed.\n",
    run,
};
