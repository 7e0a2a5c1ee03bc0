/* cvm-cli policy gcp and download: Google's endorsement of the firmware of an SNP machine. */
#include "cli/policy_make.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/http.h"
#include "base/json_wide.h"
#include "cli/verify_print.h"
#include "tee/gcp_endorsement.h"
#include "tee/snp_report.h"

#include <stdlib.h>
#include <string.h>

#define STORAGE_URL  "https://storage.googleapis.com"
#define DEADLINE_MS  60000
#define FIRMWARE_MAX (64u << 20)
#define ROOTS_MAX    8
#define FIRMWARE     "ovmf.fd"

struct arguments {
    const char *args[2]; /* report, vCPUs */
    const char *endorsement, *roots, *url, *out;
    bool json, insecure;
    uint64_t vcpus;
    time_t at;
};

/* An endorsement that holds, and the bytes it lies in. */
struct endorsed {
    uint8_t *file;     /* owned: from a file */
    struct buf answer; /* owned: from the network */
    struct gcp_endorsement e;
};

static void endorsed_done(struct endorsed *e)
{
    free(e->file);
    buf_done(&e->answer);
}

static int fetch(const struct arguments *a, const struct buf *object, size_t max, struct buf *out)
{
    AUTO(http_response_done) struct http_response answer = { .status = 0 };
    struct http client = http_curl();
    struct err err = { 0 };
    char url[1024], why[64];
    size_t n = strlen(a->url);
    while (n && a->url[n - 1] == '/')
        n--;
    if (snprintf(url, sizeof(url), "%.*s/%.*s", (int)n, a->url, (int)object->n, (const char *)object->p)
        >= (int)sizeof(url))
        return fail(STATUS_USAGE, "--url", "too long", NULL);
    const struct http_request request = {
        .method = "GET", .url = url, .deadline_ms = DEADLINE_MS, .max_body = max, .insecure = a->insecure
    };
    if (http_perform(&client, &request, &answer, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, url, "cannot fetch", &err);
    snprintf(why, sizeof(why), "HTTP status %u%s", answer.status,
             answer.status == 404 ? ": no endorsement of this firmware" : "");
    if (answer.status != 200)
        return fail(STATUS_ENVIRONMENT, url, "cannot fetch", why);
    *out = answer.body;
    answer.body = buf_new(0);
    return 0;
}

/* The measurement of the report, 48 bytes into out. */
static int read_measurement(const struct arguments *a, uint8_t out[static GCP_MEASUREMENT])
{
    AUTO(policy_evidence_done) struct policy_evidence e = { .file = NULL };
    struct snp_report r;
    struct err err = { 0 };
    int rc = policy_evidence_read(a->args[0], &e);
    if (rc)
        return rc;
    const uint8_t *p = e.file;
    while (*p && strchr(" \t\r\n", *p))
        p++;
    if (a->json && *p != '{')
        return fail(STATUS_INPUT, a->args[0], "not JSON, and --json was given", NULL);
    if (!e.snp_report.n)
        return fail(STATUS_INPUT, a->args[0], "no SNP report in it", NULL);
    if (snp_report_parse(buf_bytes(&e.snp_report), &r, &err) < 0)
        return fail_err(STATUS_INPUT, a->args[0], "not an SNP report", &err);
    memcpy(out, r.measurement.p, GCP_MEASUREMENT);
    return 0;
}

/* ---- the endorsement ---- */

static int judge(const struct arguments *a, const char *where, const struct gcp_endorsement *e)
{
    AUTO(free_u8) uint8_t *pem = NULL;
    X509 *roots[ROOTS_MAX];
    struct err err = { 0 };
    size_t n = 0;
    int count = 0, rc = a->roots ? read_input(a->roots, 1u << 20, &pem, &n) : 0;
    if (rc)
        return rc;
    if (a->roots && (count = x509_parse_chain(bytes_of(pem, n), roots, ROOTS_MAX, &err)) <= 0)
        return fail_err(STATUS_INPUT, a->roots, "not a bundle of roots", &err);
    if (!a->roots && !e->signature.n && !e->cert.n) {
        fail(0, where, "not checked", "the endorsement is not signed at all");
        return 0;
    }
    if (gcp_endorsement_verify(e, roots, (size_t)count, a->at, &err) < 0)
        rc = fail_err(status_of(&err), where, "the endorsement does not hold", &err);
    while (count)
        X509_free(roots[--count]);
    if (!rc && !a->roots)
        fail(0, where, "origin not checked",
             "give Google's root with --root: anybody can sign an endorsement");
    return rc;
}

static int get_endorsement(const struct arguments *a, const uint8_t *measurement, struct endorsed *out)
{
    AUTO(buf_done) struct buf object = buf_new(512);
    const char *where = a->endorsement ? a->endorsement : "endorsement";
    struct err err = { 0 };
    size_t n = 0;
    int rc;
    gcp_endorsement_object(bytes_of(measurement, GCP_MEASUREMENT), &object);
    out->answer = buf_new(0);
    rc = a->endorsement ? read_input(a->endorsement, GCP_ENDORSEMENT_MAX, &out->file, &n)
                        : fetch(a, &object, GCP_ENDORSEMENT_MAX, &out->answer);
    if (rc)
        return rc;
    struct bytes raw = a->endorsement ? bytes_of(out->file, n) : buf_bytes(&out->answer);
    if (gcp_endorsement_parse(raw, &out->e, &err) < 0)
        return fail_err(STATUS_INPUT, where, "not an endorsement", &err);
    return judge(a, where, &out->e);
}

/* The firmware of the endorsement is perhaps not the one that booted. */
static void warn_other(const struct arguments *a, const uint8_t *measurement, struct bytes endorsed)
{
    if (memcmp(measurement, endorsed.p, GCP_MEASUREMENT) != 0)
        fail(0, a->args[0], "its measurement is another than the one endorsed for so many vCPUs",
             "this machine will not satisfy the policy");
}

/* ---- gcp ---- */

static int make_gcp(const struct arguments *a)
{
    AUTO(endorsed_done) struct endorsed endorsed = { .file = NULL };
    uint8_t measurement[GCP_MEASUREMENT];
    char why[64];
    int rc = read_measurement(a, measurement);
    if (rc || (rc = get_endorsement(a, measurement, &endorsed)))
        return rc;
    struct bytes listed = gcp_endorsement_snp(&endorsed.e, (uint32_t)a->vcpus);
    snprintf(why, sizeof(why), "no measurement for %u vCPUs", (unsigned)a->vcpus);
    if (!listed.n)
        return fail(STATUS_NO, a->args[0], "the firmware's endorsement does not fit", why);
    warn_other(a, measurement, listed);
    AUTO(json_drop)
    json_t *policy = json_pack("{s:{s:o,s:o},s:{s:b,s:b,s:s,s:s},s:{s:n,s:n,s:n}}", "policy", "policy",
                               json_wide_number(endorsed.e.policy), "measurement", json_b64(listed),
                               "root_of_trust", "check_crl", 1, "disallow_network", 0, "product", "Milan",
                               "product_line", "Milan", "pcr_values", "sha1", "sha256", "sha384");
    if (!policy)
        return fail(STATUS_ENVIRONMENT, a->args[0], "no policy was made", "out of memory");
    return policy_write(policy, a->out);
}

/* ---- download ---- */

static int make_download(const struct arguments *a)
{
    AUTO(endorsed_done) struct endorsed endorsed = { .file = NULL };
    AUTO(buf_done) struct buf object = buf_new(512);
    AUTO(buf_done) struct buf image = buf_new(0);
    AUTO(buf_done) struct buf line = buf_new(512);
    uint8_t measurement[GCP_MEASUREMENT];
    struct digest digest;
    struct err err = { 0 };
    int rc = read_measurement(a, measurement);
    if (rc || (rc = get_endorsement(a, measurement, &endorsed)))
        return rc;
    if (!endorsed.e.digest.n)
        return fail(STATUS_INPUT, a->args[0], "the endorsement names no firmware image", NULL);
    gcp_firmware_object(endorsed.e.digest, &object);
    if ((rc = fetch(a, &object, FIRMWARE_MAX, &image)))
        return rc;
    if (digest_of(ALG_SHA384, buf_bytes(&image), &digest, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, a->out, "cannot be hashed", &err);
    if (!bytes_equal(digest_bytes(&digest), endorsed.e.digest))
        return fail(STATUS_NO, a->out, "not written", "SHA-384 of the image is not the endorsed digest");
    if (file_write_atomic(a->out, buf_bytes(&image), 0644, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, a->out, "cannot write", &err);
    buf_printf(&line, "%s: %zu bytes, SHA-384 is the endorsed digest ", a->out, image.n);
    hex_put(&line, endorsed.e.digest);
    return write_out(&line, NULL);
}

/* ---- both ---- */

static int run_either(const struct command *command, int argc, char **argv, bool gcp)
{
    struct arguments a = { .url = STORAGE_URL, .out = gcp ? POLICY_FILE : FIRMWARE };
    const char *at = NULL;
    const struct option_row rows[] = {
        { "json", OPTION_FLAG, &a.json },  { "j", OPTION_FLAG, &a.json },
        { "root", OPTION_TEXT, &a.roots }, { "endorsement", OPTION_TEXT, &a.endorsement },
        { "url", OPTION_TEXT, &a.url },    { "insecure", OPTION_FLAG, &a.insecure },
        { "at", OPTION_TEXT, &at },        { "o", OPTION_TEXT, &a.out },
    };
    size_t args = gcp ? 2 : 1;
    int rc = options_parse(command, argc, argv, rows, ARRAY_SIZE(rows), a.args, args, args);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (gcp && (rc = policy_number("VCPUS", a.args[1], UINT32_MAX, &a.vcpus)))
        return rc;
    if ((rc = verify_clock(at, &a.at)))
        return rc;
    return gcp ? make_gcp(&a) : make_download(&a);
}

static int run_gcp(int argc, char **argv)
{
    return run_either(&policy_gcp, argc, argv, true);
}

static int run_download(int argc, char **argv)
{
    return run_either(&policy_download, argc, argv, false);
}

#define OPTIONS                                                                                              \
    "\n"                                                                                                     \
    "  --json, -j          REPORT is JSON (it is found out in any case)\n"                                   \
    "  --endorsement FILE  the endorsement, without a network\n"                                             \
    "  --root PEM          Google's root for firmware endorsements; without it the signature and the "       \
    "chain\n"                                                                                                \
    "                      are checked by the certificates inside, which proves no origin, and that is "     \
    "said\n"                                                                                                 \
    "  --url URL           a mirror of " STORAGE_URL "\n"                                                    \
    "  --insecure          takes any certificate of an https server\n"                                       \
    "  --at TIME           the clock, like 2025-01-31T12:00:00Z; else now\n"

const struct command policy_gcp = {
    "policy gcp",
    "REPORT VCPUS [--endorsement FILE] [--root PEM] [--json] [--at TIME] [-o FILE]",
    "Makes an SNP policy from Google's endorsement of the firmware",
    "REPORT is an attest.Attestation with an SNP report inside, protobuf or JSON, or anything else that "
    "holds one;\n"
    "its measurement names the endorsement. The policy wants the measurement endorsed for VCPUS and is "
    "written to\n" POLICY_FILE ".\n" OPTIONS "  -o FILE             another file; -: standard output\n",
    run_gcp,
};

const struct command policy_download = {
    "policy download",
    "REPORT [--endorsement FILE] [--root PEM] [--json] [--at TIME] [-o FILE]",
    "Fetches the firmware image that Google endorses",
    "REPORT is as for policy gcp. The image is written to " FIRMWARE
    " if its SHA-384 is the endorsed digest, and not\n"
    "otherwise (exit status 1).\n" OPTIONS "  -o FILE             another file\n",
    run_download,
};
