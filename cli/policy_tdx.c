/* cvm-cli policy tdx: from values given, or from the quote. */
#include "cli/policy_make.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/json_wide.h"
#include "policy/cocos.h"
#include "tee/tdx_quote.h"

#include <string.h>
#include <sys/stat.h>

#define FIELDS 9

struct arguments {
    const char *report, *config, *rtmrs, *min_qe, *min_pce, *roots, *out;
    const char *given[FIELDS]; /* by the rows of fields[] */
    bool collateral, from_quote, check_crl;
};

/* Byte fields: option, member of the policy, size, place in the quote's body; header: of the header policy.
 */
static const struct field {
    const char *option, *member;
    size_t size, offset;
    bool header;
} fields[FIELDS] = {
    { "qe_vendor_id", "qeVendorId", 16, 12, true },
    { "minimum_tee_tcb_svn", "minimumTeeTcbSvn", 16, TDX_OFF_TEE_TCB_SVN, false },
    { "mr_seam", "mrSeam", 48, TDX_OFF_MR_SEAM, false },
    { "td_attributes", "tdAttributes", 8, TDX_OFF_TD_ATTRIBUTES, false },
    { "xfam", "xfam", 8, TDX_OFF_XFAM, false },
    { "mr_td", "mrTd", 48, TDX_OFF_MR_TD, false },
    { "mr_config_id", "mrConfigId", 48, TDX_OFF_MR_CONFIG_ID, false },
    { "mr_owner", "mrOwner", 48, TDX_OFF_MR_OWNER, false },
    { "mr_config_owner", "mrOwnerConfig", 48, TDX_OFF_MR_OWNER_CONFIG, false },
};

/* The parts of a quote that policies compare. */
struct view {
    struct bytes header, body;
};

static int set_hex(json_t *o, const char *option, const char *member, const char *text, size_t size)
{
    uint8_t raw[48];
    struct err err = { 0 };
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        return fail(STATUS_USAGE, option, "hex without a prefix is wanted", text);
    if (hex_decode_fixed(bytes_str(text), raw, size, &err) < 0)
        return fail_err(STATUS_USAGE, option, "not hex of its field's size", &err);
    json_object_set_new(o, member, json_b64(bytes_of(raw, size)));
    return 0;
}

static int set_fields(const struct arguments *a, const struct view *quote, json_t *header, json_t *body)
{
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        const struct field *f = &fields[i];
        json_t *o = f->header ? header : body;
        int rc = a->given[i] ? set_hex(o, f->option, f->member, a->given[i], f->size) : 0;
        if (rc)
            return rc;
        if (!a->given[i] && quote)
            json_object_set_new(o, f->member,
                                json_b64(bytes_of((f->header ? quote->header : quote->body).p + f->offset,
                                                  f->size)));
    }
    return 0;
}

static int set_rtmrs(const char *text, const struct view *quote, json_t *body)
{
    AUTO(json_drop) json_t *list = json_array();
    for (size_t i = 0; text && i < 4; i++) {
        size_t n = strcspn(text, ",");
        const char *from = text, *to = text + n;
        uint8_t raw[48];
        struct err err = { 0 };
        while (from < to && *from == ' ')
            from++;
        while (to > from && to[-1] == ' ')
            to--;
        if (from < to && hex_decode_fixed(bytes_of(from, (size_t)(to - from)), raw, sizeof(raw), &err) < 0)
            return fail_err(STATUS_USAGE, "--rtmrs", "a part is neither empty nor hex of 48 bytes", &err);
        json_array_append_new(list, from < to ? json_b64(bytes_of(raw, sizeof(raw))) : json_string(""));
        if ((i == 3) == (text[n] == ','))
            return fail(STATUS_USAGE, "--rtmrs", "want four parts with commas between them", NULL);
        text += n + (text[n] == ',');
    }
    for (size_t i = 0; !text && quote && i < 4; i++)
        json_array_append_new(list, json_b64(bytes_of(quote->body.p + TDX_OFF_RTMR + 48 * i, 48)));
    if (json_array_size(list))
        json_object_set(body, "rtmrs", list);
    return 0;
}

static int set_minimum(const char *option, const char *text, const char *member, const uint8_t *quoted,
                       json_t *o)
{
    uint64_t v = quoted ? le_uint(quoted, 2) : 0;
    int rc = text ? policy_number(option, text, UINT16_MAX, &v) : 0;
    if (!rc && v)
        json_object_set_new(o, member, json_integer((json_int_t)v));
    return rc;
}

static int set_roots(const char *text, json_t *trust)
{
    json_t *list = json_array();
    json_object_set_new(trust, "cabundlePaths", list);
    while (text && *text) {
        size_t n = strcspn(text, ",");
        char path[4096];
        struct stat st;
        snprintf(path, sizeof(path), "%.*s", (int)(n < sizeof(path) ? n : sizeof(path) - 1), text);
        if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
            return fail(STATUS_INPUT, path, "no such file", "--trusted_root names PEM bundles");
        json_array_append_new(list, json_string(path));
        text += n + (text[n] == ',');
    }
    return 0;
}

static int fill(const struct arguments *a, const struct view *quote, json_t *policy)
{
    json_t *parts = json_object_get(policy, "policy"), *trust = json_object_get(policy, "rootOfTrust");
    json_t *header = json_object_get(parts, "headerPolicy"),
           *body = json_object_get(parts, "tdQuoteBodyPolicy");
    int rc = set_fields(a, quote, header, body);
    if (rc || (rc = set_rtmrs(a->rtmrs, quote, body))
        || (rc = set_minimum("--minimum_pce_svn", a->min_pce, "minimumPceSvn",
                             quote ? quote->header.p + 8 : NULL, header))
        || (rc = set_minimum("--minimum_qe_svn", a->min_qe, "minimumQeSvn",
                             quote ? quote->header.p + 10 : NULL, header)))
        return rc;
    if (a->roots && (rc = set_roots(a->roots, trust)))
        return rc;
    json_object_set_new(trust, "checkCrl", json_boolean(a->check_crl));
    json_object_set_new(trust, "getCollateral", json_boolean(a->collateral || a->check_crl));
    return 0;
}

/* A whole policy of the user's, in our spelling of the file's place only: it is checked and written as it is.
 */
static int from_config(const struct arguments *a)
{
    AUTO(free_u8) uint8_t *text = NULL;
    AUTO(json_drop) json_t *root = NULL;
    struct err err = { 0 };
    size_t n;
    int rc = read_input(a->config, POLICY_FILE_MAX, &text, &n);
    if (rc)
        return rc;
    if (json_wide_parse(bytes_of(text, n), POLICY_FILE_MAX, &root, &err) < 0)
        return fail_err(STATUS_INPUT, a->config, "not a policy", &err);
    return policy_write(root, a->out);
}

static int make(const struct arguments *a)
{
    AUTO(policy_evidence_done) struct policy_evidence e = { .file = NULL };
    struct tdx_quote q;
    struct err err = { 0 };
    int rc = policy_evidence_read(a->report, &e);
    if (rc)
        return rc;
    if (!e.tdx_quote.n)
        return fail(STATUS_INPUT, a->report, "no TDX quote in it", NULL);
    if (tdx_quote_parse(buf_bytes(&e.tdx_quote), &q, &err) < 0)
        return fail_err(STATUS_INPUT, a->report, "not a TDX quote", &err);
    if (a->config)
        return from_config(a);
    struct view view = { bytes_of(e.tdx_quote.p, TDX_QUOTE_HEADER),
                         bytes_of(q.body.tee_tcb_svn.p, TDX_BODY_10_SIZE) };
    AUTO(json_drop)
    json_t *policy =
        json_pack("{s:{s:{},s:{}},s:{}}", "policy", "headerPolicy", "tdQuoteBodyPolicy", "rootOfTrust");
    if (!policy)
        return fail(STATUS_ENVIRONMENT, a->report, "no policy was made", "out of memory");
    if ((rc = fill(a, a->from_quote ? &view : NULL, policy)))
        return rc;
    return policy_write(policy, a->out);
}

static int run(int argc, char **argv)
{
    struct arguments a = { .out = POLICY_FILE };
    struct option_row rows[ARRAY_SIZE(fields) + 11] = {
        { "rtmrs", OPTION_TEXT, &a.rtmrs },
        { "minimum_qe_svn", OPTION_TEXT, &a.min_qe },
        { "minimum_pce_svn", OPTION_TEXT, &a.min_pce },
        { "trusted_root", OPTION_TEXT, &a.roots },
        { "config", OPTION_TEXT, &a.config },
        { "get_collateral", OPTION_FLAG, &a.collateral },
        { "check_crl", OPTION_FLAG, &a.check_crl },
        { "from-quote", OPTION_FLAG, &a.from_quote },
        { "o", OPTION_TEXT, &a.out },
        { "mr_owner_config", OPTION_TEXT, &a.given[8] },
    };
    size_t n = 10;
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        rows[n++] = (struct option_row){ fields[i].option, OPTION_TEXT, &a.given[i] };
    int rc = options_parse(&policy_tdx, argc, argv, rows, n, &a.report, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    return make(&a);
}

const struct command policy_tdx = {
    "policy tdx",
    "REPORT [--from-quote] [--mr_td HEX] [--rtmrs HEX,HEX,HEX,HEX] ... [-o FILE]",
    "Makes a TDX policy from values given, or from a quote",
    "REPORT is a TDX quote, or anything that holds one. Only what is given is pinned; with --from-quote the "
    "rest is\n"
    "taken from REPORT, which is not verified here: verify it first. Hex is without prefix. The policy is "
    "written to\n" POLICY_FILE ".\n"
    "\n"
    "  --from-quote                 pins what the quote has\n"
    "  --qe_vendor_id HEX           16 bytes\n"
    "  --mr_seam, --mr_td, --mr_config_id, --mr_owner, --mr_config_owner HEX\n"
    "                               48 bytes each\n"
    "  --td_attributes, --xfam HEX  8 bytes each, as they lie in the quote\n"
    "  --rtmrs HEX,HEX,HEX,HEX      four parts, each 48 bytes or empty: that register is not pinned\n"
    "  --minimum_tee_tcb_svn HEX    16 bytes, each a minimum\n"
    "  --minimum_qe_svn N, --minimum_pce_svn N\n"
    "  --trusted_root PATH,...      bundles of roots that the evidence must end in\n"
    "  --get_collateral             permits the fetching of collateral\n"
    "  --check_crl                  wants Intel's CRLs checked (sets getCollateral too)\n"
    "  --config FILE                takes a whole policy instead; it is checked\n"
    "  -o FILE                      another file; -: standard output\n",
    run,
};
