/* TCB info and QE identity as the PCS answers them: {"tcbInfo":INNER,"signature":"128 hex digits"}, the
 * signature over the bytes of INNER. Source: Intel PCS API version 4, Get TDX TCB Info, Get TD QE Identity.
 */
#include "base/auto.h"
#include "base/enc.h"
#include "tee/emulator/emu_tdx_certs.h"

#include <openssl/ec.h>
#include <string.h>
#include <time.h>

#define COLLATERAL_DAYS 30
#define DAY             86400
#define SIGNATURE_KEY   ",\"signature\":\""
#define ZERO96                                                                                               \
    "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"               \
    "00000000"

int p256_sign(EVP_PKEY *key, struct bytes data, uint8_t out[static 64], struct err *err)
{
    uint8_t der[80];
    size_t n = sizeof(der);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1
              && EVP_DigestSign(ctx, der, &n, data.p, data.n) == 1;
    EVP_MD_CTX_free(ctx);
    const unsigned char *p = der;
    ECDSA_SIG *sig = ok ? d2i_ECDSA_SIG(NULL, &p, (long)n) : NULL;
    ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32) == 32
         && BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32) == 32;
    ECDSA_SIG_free(sig);
    return ok ? 0 : err_set(err, ERR_IO, 0, "libcrypto cannot sign with a P-256 key");
}

static void put_time(struct buf *out, const char *key, time_t t)
{
    struct tm tm;
    char text[32];
    gmtime_r(&t, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_printf(out, "\"%s\":\"%s\"", key, text);
}

/* Names of the components as Intel labels them; only some have one. */
static const char *const sgx_labels[16] = {
    ",\"category\":\"BIOS\",\"type\":\"Early Microcode Update\"",
    ",\"category\":\"OS/VMM\",\"type\":\"SGX Late Microcode Update\"",
    ",\"category\":\"OS/VMM\",\"type\":\"TXT SINIT\"",
    ",\"category\":\"BIOS\"",
    ",\"category\":\"BIOS\"",
    ",\"category\":\"BIOS\"",
    "",
    ",\"category\":\"OS/VMM\",\"type\":\"SEAMLDR ACM\"",
};
static const char *const tdx_labels[16] = {
    ",\"category\":\"OS/VMM\",\"type\":\"TDX Module\"",
    ",\"category\":\"OS/VMM\",\"type\":\"TDX Module\"",
    ",\"category\":\"OS/VMM\",\"type\":\"TDX Late Microcode Update\"",
};

static void put_components(struct buf *out, const char *key, const uint8_t svn[static 16],
                           const char *const labels[static 16], uint8_t less)
{
    buf_printf(out, "\"%s\":[", key);
    for (size_t i = 0; i < 16; i++)
        buf_printf(out, "%s{\"svn\":%u%s}", i ? "," : "", svn[i] > less ? svn[i] - less : 0,
                   labels[i] ? labels[i] : "");
    buf_str(out, "]");
}

/* less: how much older than this platform the level is. */
static void put_level(struct buf *out, uint8_t less, const char *rest)
{
    const uint8_t module[16] = { 5, 0, 7 }; /* component 1 is the module's version, which levels leave at 0 */
    buf_str(out, "{\"tcb\":{");
    put_components(out, "sgxtcbcomponents", tdx_cpu_svn, sgx_labels, less);
    buf_printf(out, ",\"pcesvn\":%u,", TDX_PCE_SVN - less);
    put_components(out, "tdxtcbcomponents", module, tdx_labels, less);
    buf_printf(out, "},%s}", rest);
}

static void put_tcb_info(struct buf *out, time_t now)
{
    char fmspc[2 * sizeof(tdx_fmspc) + 1];
    buf_str(out, "{\"id\":\"TDX\",\"version\":3,");
    put_time(out, "issueDate", now);
    buf_str(out, ",");
    put_time(out, "nextUpdate", now + COLLATERAL_DAYS * DAY);
    buf_printf(out, ",\"fmspc\":\"%s\",\"pceId\":\"0000\",\"tcbType\":0,\"tcbEvaluationDataNumber\":18,",
               hex_to(fmspc, bytes_of(tdx_fmspc, sizeof(tdx_fmspc))));
    static const char module[] = "\"mrsigner\":\"" ZERO96 "\",\"attributes\":\"0000000000000000\","
                                 "\"attributesMask\":\"FFFFFFFFFFFFFFFF\"";
    buf_printf(out, "\"tdxModule\":{%s},\"tdxModuleIdentities\":[{\"id\":\"TDX_01\",%s,\"tcbLevels\":[",
               module, module);
    buf_str(out, "{\"tcb\":{\"isvsvn\":5},\"tcbDate\":\"2025-05-14T00:00:00Z\",\"tcbStatus\":\"UpToDate\"},"
                 "{\"tcb\":{\"isvsvn\":2},\"tcbDate\":\"2023-08-09T00:00:00Z\",\"tcbStatus\":\"OutOfDate\","
                 "\"advisoryIDs\":[\"INTEL-SA-01036\"]}]}],\"tcbLevels\":[");
    put_level(out, 0, "\"tcbDate\":\"2025-05-14T00:00:00Z\",\"tcbStatus\":\"UpToDate\"");
    buf_str(out, ",");
    put_level(out, 1,
              "\"tcbDate\":\"2023-08-09T00:00:00Z\",\"tcbStatus\":\"OutOfDate\","
              "\"advisoryIDs\":[\"INTEL-SA-01036\",\"INTEL-SA-01103\"]");
    buf_str(out, "]}");
}

static void put_qe_identity(struct buf *out, time_t now)
{
    buf_str(out, "{\"id\":\"TD_QE\",\"version\":2,");
    put_time(out, "issueDate", now);
    buf_str(out, ",");
    put_time(out, "nextUpdate", now + COLLATERAL_DAYS * DAY);
    buf_str(out,
            ",\"tcbEvaluationDataNumber\":18,\"miscselect\":\"00000000\",\"miscselectMask\":\"FFFFFFFF\","
            "\"attributes\":\"11000000000000000000000000000000\","
            "\"attributesMask\":\"FBFFFFFFFFFFFFFF0000000000000000\",\"mrsigner\":\"");
    for (size_t i = 0; i < sizeof(tdx_qe_mr_signer); i++)
        buf_printf(out, "%02X", tdx_qe_mr_signer[i]);
    buf_printf(out,
               "\",\"isvprodid\":%u,\"tcbLevels\":[{\"tcb\":{\"isvsvn\":4},\"tcbDate\":"
               "\"2024-11-13T00:00:00Z\",\"tcbStatus\":\"UpToDate\"}]}",
               TDX_QE_ISV_PRODID);
}

/* A kept document: is it ours, bit for bit, and how old. Its shape is known, since we wrote it. */
static bool genuine(const struct tdx_certs *c, struct bytes doc, size_t head, time_t *issued)
{
    uint8_t raw[64];
    size_t tail = strlen(SIGNATURE_KEY) + 128 + 2;
    struct err ignored = { 0 };
    if (doc.n < head + tail)
        return false;
    struct bytes inner = bytes_of(doc.p + head, doc.n - head - tail);
    if (memcmp(inner.p + inner.n, SIGNATURE_KEY, strlen(SIGNATURE_KEY)) != 0
        || hex_decode_fixed(bytes_of(doc.p + doc.n - 130, 128), raw, sizeof(raw), &ignored) < 0)
        return false;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, 32, NULL), *v = BN_bin2bn(raw + 32, 32, NULL);
    if (!sig || ECDSA_SIG_set0(sig, r, v) != 1) {
        BN_free(r);
        BN_free(v);
        ECDSA_SIG_free(sig);
        return false;
    }
    unsigned char *der = NULL;
    int n = i2d_ECDSA_SIG(sig, &der);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = n > 0 && ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, c->tcb_signing.key) == 1
              && EVP_DigestVerify(ctx, der, (size_t)n, inner.p, inner.n) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    ECDSA_SIG_free(sig);
    char *date = ok ? memmem(inner.p, inner.n, "\"issueDate\":\"", 13) : NULL;
    struct tm tm = { 0 };
    if (!date || !strptime(date + 13, "%Y-%m-%dT%H:%M:%SZ", &tm))
        return false;
    *issued = timegm(&tm);
    return true;
}

static int document_load(struct tdx_certs *c, const struct store *s, const char *file, const char *head,
                         void (*inner)(struct buf *out, time_t now), struct buf *out, struct err *err)
{
    AUTO(buf_done) struct buf kept = buf_new(STORE_FILE_MAX), object = buf_new(STORE_FILE_MAX);
    time_t now = time(NULL), issued = 0;
    uint8_t raw[64];
    if (store_get(s, file, &kept, err) == 0) {
        if (!genuine(c, buf_bytes(&kept), strlen(head), &issued))
            return store_damaged(s, file, "not signed by the TCB signing key", err);
        if (now >= issued && now - issued < COLLATERAL_DAYS * DAY / 2) {
            buf_put(out, buf_bytes(&kept));
            return buf_check(out, file, err);
        }
    } else if (err->kind != ERR_NOT_FOUND) {
        return -1;
    }
    inner(&object, now);
    if (buf_check(&object, "collateral", err) < 0
        || p256_sign(c->tcb_signing.key, buf_bytes(&object), raw, err) < 0)
        return -1;
    buf_str(out, head);
    buf_put(out, buf_bytes(&object));
    buf_str(out, SIGNATURE_KEY);
    hex_put(out, bytes_of(raw, sizeof(raw)));
    buf_str(out, "\"}");
    return buf_check(out, file, err) < 0 ? -1 : store_put(s, file, buf_bytes(out), 0644, err);
}

int tdx_collateral_load(struct tdx_certs *c, const struct store *s, struct err *err)
{
    if (document_load(c, s, "collateral/tcb_info.json", "{\"tcbInfo\":", put_tcb_info,
                      &c->collateral[TDX_TCB_INFO], err)
        < 0)
        return -1;
    return document_load(c, s, "collateral/qe_identity.json", "{\"enclaveIdentity\":", put_qe_identity,
                         &c->collateral[TDX_QE_IDENTITY], err);
}
