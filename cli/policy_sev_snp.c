/* cvm-cli policy sev-snp: what the host tool of Cocos asks the firmware for, out of a report of the machine.
 */
#include "cli/policy_make.h"

#include "base/auto.h"
#include "base/json_wide.h"
#include "tee/snp_report.h"

#define POLICY_DEFAULT 196608 /* SMT allowed, reserved bit: the Cube guide's */

static uint64_t tcb_number(struct bytes stored)
{
    return le_uint(stored.p, stored.n);
}

static int product_number(enum snp_product p)
{
    return p == SNP_MILAN ? 1 : p == SNP_GENOA ? 2 : p == SNP_TURIN ? 3 : 0;
}

static json_t *policy_of(const struct snp_report *r, enum snp_product product, uint64_t guest_policy)
{
    char version[16];
    snprintf(version, sizeof(version), "%u.%u", r->current.major, r->current.minor);
    return json_pack("{s:o,s:o,s:o,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:i,s:b,s:b,s:b,s:{s:i}}", "policy",
                     json_wide_number(guest_policy), "family_id", json_b64(r->family_id), "image_id",
                     json_b64(r->image_id), "vmpl", (json_int_t)r->vmpl, "minimum_tcb",
                     json_wide_number(tcb_number(r->reported_tcb)), "minimum_launch_tcb",
                     json_wide_number(tcb_number(r->launch_tcb)), "measurement", json_b64(r->measurement),
                     "host_data", json_b64(r->host_data), "report_id_ma", json_b64(r->report_id_ma),
                     "chip_id", json_b64(r->chip_id), "minimum_guest_svn", json_wide_number(r->guest_svn),
                     "minimum_version", version, "minimum_build", r->current.build,
                     "permit_provisional_firmware", 1, "require_author_key", 0, "require_id_block", 0,
                     "product", "name", product_number(product));
}

static int add_pcrs(const char *path, json_t *policy)
{
    AUTO(free_u8) uint8_t *text = NULL;
    AUTO(json_drop) json_t *pcrs = NULL;
    struct err err = { 0 };
    size_t n;
    int rc = read_input(path, POLICY_FILE_MAX, &text, &n);
    if (rc)
        return rc;
    if (json_wide_parse(bytes_of(text, n), POLICY_FILE_MAX, &pcrs, &err) < 0)
        return fail_err(STATUS_INPUT, path, "not a file of PCR values", &err);
    if (!json_is_object(json_object_get(pcrs, "pcr_values")))
        return fail(STATUS_INPUT, path, "not a file of PCR values",
                    "want {\"pcr_values\":{\"sha256\":{...}}}");
    return json_object_update(policy, pcrs) < 0
               ? fail(STATUS_ENVIRONMENT, path, "cannot be merged", "out of memory")
               : 0;
}

/* A version 2 report does not say which product it is of. */
static int find_product(const struct snp_report *r, const char *given, enum snp_product *out)
{
    *out = given ? snp_product_by_name(bytes_str(given)) : r->product;
    if (given && product_number(*out) == 0)
        return fail(STATUS_USAGE, "--product", "want Milan, Genoa or Turin", given);
    return 0;
}

static int make(const char *path, uint64_t guest_policy, const char *product_name, const char *pcr_file,
                const char *out)
{
    AUTO(policy_evidence_done) struct policy_evidence e = { .file = NULL };
    struct snp_report r;
    struct err err = { 0 };
    enum snp_product product = SNP_UNKNOWN;
    int rc = policy_evidence_read(path, &e);
    if (rc)
        return rc;
    if (!e.snp_report.n)
        return fail(STATUS_INPUT, path, "no SNP report in it", NULL);
    if (snp_report_parse(buf_bytes(&e.snp_report), &r, &err) < 0)
        return fail_err(STATUS_INPUT, path, "not an SNP report", &err);
    if ((rc = find_product(&r, product_name, &product)))
        return rc;
    AUTO(json_drop)
    json_t *policy = json_pack("{s:o,s:{s:b,s:b}}", "policy", policy_of(&r, product, guest_policy),
                               "root_of_trust", "check_crl", 1, "disallow_network", 0);
    if (!policy)
        return fail(STATUS_ENVIRONMENT, path, "no policy was made", "out of memory");
    if (product != SNP_UNKNOWN) {
        json_t *trust = json_object_get(policy, "root_of_trust");
        json_object_set_new(trust, "product", json_string(snp_product_name(product)));
        json_object_set_new(trust, "product_line", json_string(snp_product_name(product)));
    }
    if (pcr_file && (rc = add_pcrs(pcr_file, policy)))
        return rc;
    if (strcmp(out, "-") != 0 && (rc = policy_write(policy, out)))
        return rc;
    return policy_write(policy, "-");
}

static int run(int argc, char **argv)
{
    const char *report, *guest_policy = NULL, *pcr = NULL, *product = NULL, *out = POLICY_FILE;
    uint64_t number = POLICY_DEFAULT;
    const struct option_row rows[] = {
        { "policy", OPTION_TEXT, &guest_policy },
        { "pcr", OPTION_TEXT, &pcr },
        { "product", OPTION_TEXT, &product },
        { "o", OPTION_TEXT, &out },
    };
    int rc = options_parse(&policy_sev_snp, argc, argv, rows, ARRAY_SIZE(rows), &report, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (guest_policy && (rc = policy_number("--policy", guest_policy, UINT64_MAX, &number)))
        return rc;
    return make(report, number, product, pcr, out);
}

const struct command policy_sev_snp = {
    "policy sev-snp",
    "REPORT [--policy U64] [--pcr FILE] [--product P] [-o FILE]",
    "Makes an SNP policy from a report of the machine itself",
    "REPORT is an SNP report, or anything that holds one: an attestation, a collaterals document. It is "
    "taken as it\n"
    "is: verify it first. The policy is printed and written to " POLICY_FILE ".\n"
    "\n"
    "  --policy U64   the guest policy to permit, decimal or 0x (196608: SMT)\n"
    "  --pcr FILE     PCR values to add: {\"pcr_values\":{\"sha256\":{\"0\":HEX,...}}}\n"
    "  --product P    Milan, Genoa or Turin, where the report does not say (version 2)\n"
    "  -o FILE        another file; -: print only\n",
    run,
};
