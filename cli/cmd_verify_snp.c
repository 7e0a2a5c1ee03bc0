#include "base/auto.h"
#include "cli/verify_print.h"
#include "cli/verify_snp.h"

static int judge(const char *path, struct bytes report, const struct snp_files *files, time_t at, bool json)
{
    AUTO(snp_material_done) struct snp_material material = { 0 };
    AUTO(checks_drop) struct checks *checks = calloc(1, sizeof(*checks));
    AUTO(json_drop) json_t *facts = json_object();
    struct snp_report parsed = { 0 };
    struct snp_verdict verdict;
    struct err err = { 0 };
    if (!checks || !facts)
        return fail(STATUS_ENVIRONMENT, path, "cannot verify", "memory is short");
    bool readable = snp_report_parse(report, &parsed, &err) == 0;
    int rc = snp_material_read(files, parsed.signing_key, &material);
    if (rc)
        return rc;
    snp_material_verify(&material, report, at, checks, &verdict);
    if (verdict.authentic)
        json_object_set_new(facts, "report", snp_verdict_json(&verdict));
    const struct verify_answer answer = {
        .where = path, .checks = checks, .facts = facts, .malformed = !readable
    };
    return verify_print(&answer, json);
}

static int run(int argc, char **argv)
{
    AUTO(free_u8) uint8_t *data = NULL;
    struct snp_files files = { .vek = NULL };
    const char *path = NULL, *at_text = NULL;
    bool json = false;
    size_t n = 0;
    time_t at;
    const struct option_row rows[] = {
        { "vek", OPTION_TEXT, &files.vek },
        { "chain", OPTION_LIST, &files.chain },
        { "certtable", OPTION_TEXT, &files.certtable },
        { "crl", OPTION_TEXT, &files.crl },
        { "at", OPTION_TEXT, &at_text },
        { "json", OPTION_FLAG, &json },
    };
    int rc = options_parse(&command_verify_snp, argc, argv, rows, ARRAY_SIZE(rows), &path, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if ((rc = verify_clock(at_text, &at)) || (rc = read_input(path, 1u << 20, &data, &n)))
        return rc;
    return judge(path, bytes_of(data, n), &files, at, json);
}

const struct command command_verify_snp = {
    "verify-snp",
    "REPORT.bin [--vek CERT] [--chain PEM]... [--certtable F] [--crl DER] [--at TIME] [--json]",
    "Judges a raw SEV-SNP report",
    "REPORT.bin is the report (1184 bytes) or the ioctl's whole response (4000); - is standard input.\n"
    "\n"
    "  --vek CERT      the VCEK or VLEK certificate that signed it, DER or PEM; its chain may be in the "
    "file\n"
    "  --chain PEM     ASK or ASVK, ARK; may be given several times. Without it, and without one in the\n"
    "                  table, AMD's own are taken; only the built-in ARKs are trusted\n"
    "  --certtable F   the certificate table that came with the report (auxblob, extended report)\n"
    "  --crl DER       AMD's revocation list for the product; without it snp.crl is null\n"
    "  --at TIME       the clock to judge by, like 2025-01-31T12:00:00Z; without it, now\n"
    "  --json          the answer as JSON: success, checks, report, warnings\n"
    "\n"
    "Prints the checks, one a line. Exit status: 0 all hold, 1 one does not, 3 an input is malformed.\n",
    run,
};
