/* SNP verification. The input is a report, or certificates. Nothing becomes authentic but what the made
 * vendor's key signs here; of that, what is wrong is never overlooked. */
#include "fuzz.h"
#include "made_snp.h"

#include "base/auto.h"
#include "policy/trust.h"
#include "tee/snp_verify.h"

#include <string.h>

#define CERTS_MAX 4

static struct made_snp vendor;
static struct snp_vek *vek;
static X509 *amd[TRUST_ROWS];
static size_t amd_n;
static struct checks checks;

static void start(void)
{
    struct err err = { 0 };
    if (vek)
        return;
    vendor = made_snp(&(struct made_snp_spec){ .vlek = false });
    const struct snp_vek_request rq = {
        .vek = vendor.vek, .pool = &vendor.ask, .pool_n = 1, .anchors = &vendor.ark, .anchors_n = 1
    };
    CHECK(snp_vek_new(&rq, &vek, &err) == 0);
    for (size_t i = 0; i < TRUST_ROWS; i++)
        if (trust_rows()[i].vendor == TRUST_AMD && trust_rows()[i].anchor)
            CHECK(x509_parse(trust_pem(i), &amd[amd_n++], &err) == 0);
}

static bool judge(struct bytes report, const struct snp_vek *by, struct snp_verdict *out)
{
    memset(&checks, 0, sizeof(checks));
    snp_verify(report, by, MADE_NOW, &checks, out);
    CHECK(checks.n == 10 && !checks.overflow);
    CHECK(out->parsed || !out->authentic);
    return checks_all_hold(&checks);
}

/* The report as it is, and (a P-384 signature costs a thousand parses: only some) signed by the vendor. */
static void as_report(const uint8_t *data, size_t size)
{
    uint8_t report[MADE_SNP_SIZE];
    struct snp_verdict v;
    CHECK(!judge(bytes_of(data, size), NULL, &v) && !v.authentic);
    if (size != sizeof(report) || !v.parsed)
        return;
    memcpy(report, data, sizeof(report));
    if (report[SNP_OFF_SIGNATURE_R] % 8 == 0) {
        CHECK(!judge(bytes_of(report, sizeof(report)), vek, &v) && !v.authentic);
    }
    if (report[SNP_OFF_SIGNATURE_R + 1] % 4)
        return;
    made_snp_sign(&vendor, report);
    bool holds = judge(bytes_of(report, sizeof(report)), vek, &v);
    CHECK(!holds || v.authentic);
    if (!holds)
        return;
    CHECK(!(v.report.policy >> SNP_POLICY_DEBUG & 1) && v.report.vmpl <= 3);
    CHECK(v.reported.bootloader == 3 && v.reported.snp == 22 && v.reported.microcode == 209);
    CHECK(v.report.signing_key == SNP_KEY_VCEK && v.product == SNP_MILAN);
}

/* Certificates below AMD's own roots. Recorded ones may chain; a report of zeros is still nobody's. */
static void as_certificates(const uint8_t *data, size_t size)
{
    X509 *certs[CERTS_MAX];
    struct snp_vek *judged = NULL;
    struct snp_verdict v;
    struct err err = { 0 };
    static const uint8_t zeros[MADE_SNP_SIZE] = { 3 };
    int n = x509_parse_chain(bytes_of(data, size), certs, CERTS_MAX, &err);
    if (n < 0)
        return;
    const struct snp_vek_request rq = {
        .vek = certs[0], .pool = certs + 1, .pool_n = (size_t)n - 1, .anchors = amd, .anchors_n = amd_n
    };
    if (snp_vek_new(&rq, &judged, &err) < 0)
        CHECK(err.kind == ERR_INPUT);
    else
        CHECK(!judge(bytes_of(zeros, sizeof(zeros)), judged, &v) && !v.authentic);
    snp_vek_free(judged);
    while (n > 0)
        X509_free(certs[--n]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    start();
    as_report(data, size);
    if (size && (data[0] == 0x30 || data[0] == '-'))
        as_certificates(data, size);
    return 0;
}
