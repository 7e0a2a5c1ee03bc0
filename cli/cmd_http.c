/* Commands that ask an agent: collaterals, golden. */
#include "cli/call.h"

#include "base/auto.h"
#include "base/digest.h"

#include <string.h>

static int run_collaterals(int argc, char **argv)
{
    struct call c = { .command = &command_collaterals };
    const struct option_row rows[] = {
        { "nonce", OPTION_TEXT, &c.nonce },
        { "o", OPTION_TEXT, &c.file },
        { "bank", OPTION_TEXT, &c.bank },
        { "fresh", OPTION_FLAG, &c.fresh },
        JUDGE_OPTIONS(c),
    };
    AUTO(http_response_done) struct http_response r = { 0 };
    int rc = options_parse(c.command, argc, argv, rows, ARRAY_SIZE(rows), &c.url, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (c.bank && !digest_by_name(c.bank))
        return fail(STATUS_USAGE, c.bank, "no such bank", "one of sha256, sha384");
    if (c.bank)
        c.bank = digest_name(digest_by_name(c.bank));
    if ((rc = call_prepare(&c)) || (rc = call_collaterals(&c, &r)))
        return rc;
    return write_out(&r.body, c.file);
}

/* A golden measurement carries no proof: the key that hands it out is the one that the collaterals vouch for.
 */
static int run_golden(int argc, char **argv)
{
    struct call c = { .command = &command_golden };
    const struct option_row rows[] = {
        { "o", OPTION_TEXT, &c.file },
        { "all", OPTION_FLAG, &c.all },
        { "pcrs", OPTION_TEXT, &c.pcrs },
        JUDGE_OPTIONS(c),
    };
    AUTO(http_response_done) struct http_response collaterals = { 0 }, r = { 0 };
    char path[256];
    int rc = options_parse(c.command, argc, argv, rows, ARRAY_SIZE(rows), &c.url, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (c.pcrs && (strlen(c.pcrs) > 100 || strspn(c.pcrs, "0123456789,") != strlen(c.pcrs)))
        return fail(STATUS_USAGE, c.pcrs, "no list of PCRs", "write 0,4,9");
    if ((rc = call_prepare(&c)))
        return rc;
    if (c.target.tls && !c.pin && !c.insecure) {
        if ((rc = call_collaterals(&c, &collaterals)))
            return rc;
        c.pin = c.peer_pin;
    }
    snprintf(path, sizeof(path), "/golden-measurement%s%s%s%s", c.all || c.pcrs ? "?" : "",
             c.all ? "all=1" : "", c.all && c.pcrs ? "&" : "", c.pcrs ? "pcrs=" : "");
    snprintf(path + strlen(path), sizeof(path) - strlen(path), "%s", c.pcrs ? c.pcrs : "");
    rc = call_get(&c, path, c.insecure ? NULL : c.pin, c.target.tls && c.insecure, &r);
    return rc ? rc : write_out(&r.body, c.file);
}

const struct command command_collaterals = {
    "collaterals",
    "URL [--nonce auto|TEXT] [-o FILE] [--bank B] [--fresh] [--pin SHA256] [--insecure] [--trust-emulator "
    "ROOTS.pem]",
    "Fetches a collaterals document from an agent",
    ADDRESS_HELP "  --nonce TEXT  1 to 30 bytes; auto (the default) makes 15 random bytes, as 30 hex digits\n"
                 "  -o FILE       writes FILE, whole or not at all, instead of standard output\n"
                 "  --bank B      quotes this PCR bank (sha256, sha384)\n"
                 "  --fresh       on Azure: a new hardware report for this nonce\n" TLS_HELP "\n"
                 "On https without --pin the whole document is verified, offline, with the key of the "
                 "connection: whoever answers\n"
                 "must be the machine of the evidence. Else nonce and magic and the TPM quote under the "
                 "document's own AK are\n"
                 "checked, and standard error says what was not.\n"
                 "Exit status 1: a check says no; nothing is written then.\n",
    run_collaterals,
};

const struct command command_golden = {
    "golden",
    "URL [-o FILE] [--all] [--pcrs 0,4,9] [--pin SHA256] [--insecure] [--trust-emulator ROOTS.pem]",
    "Fetches the golden measurement of a machine from its agent",
    ADDRESS_HELP "  -o FILE       writes FILE, whole or not at all, instead of standard output\n"
                 "  --all         pins PCRs 1, 5, 6 and 10 as well\n"
                 "  --pcrs LIST   pins these PCRs\n" TLS_HELP "\n"
                 "On https the collaterals are fetched and checked first (see collaterals), and the golden "
                 "measurement is\n"
                 "taken from the same TLS key.\n",
    run_golden,
};
