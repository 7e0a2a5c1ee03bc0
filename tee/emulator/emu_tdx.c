#include "tee/emulator/emu_tdx.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "tee/emulator/emu_tdx_certs.h"
#include "tee/tdx_quote.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <string.h>

#define AUTH_DATA_SIZE 32
#define MAC_KEY_SIZE   32
#define BODY_MAX       TDX_BODY_15_SIZE
#define QUOTE_MAX      32768

/* TDREPORT, Intel TDX module 1.5: REPORTMACSTRUCT, TEE_TCB_INFO, TDINFO. */
enum {
    TDR_TYPE = 0x000,
    TDR_CPU_SVN = 0x010,
    TDR_TCB_HASH = 0x020,
    TDR_INFO_HASH = 0x050,
    TDR_REPORT_DATA = 0x080,
    TDR_MAC = 0x0E0,
    TDR_TCB = 0x100,
    TDR_TCB_SIZE = 239,
    TDR_TCB_SVN = 0x108,
    TDR_MR_SEAM = 0x118,
    TDR_TCB_SVN_2 = 0x180,
    TDR_INFO = 0x200,
    TDR_INFO_SIZE = 512,
    TDR_XFAM = 0x208,
    TDR_MR_TD = 0x210,
    TDR_RTMR = 0x2D0
};

struct tdx_machine {
    const struct tdx_facts *facts;
    struct tdx_certs certs;
    EVP_PKEY *attestation_key;
    uint8_t mac_key[MAC_KEY_SIZE];
    uint8_t header[TDX_QUOTE_HEADER];
    pthread_mutex_t lock;   /* guards RTMR3 in body */
    uint8_t body[BODY_MAX]; /* everything but report data */
    struct buf tail;        /* signature data behind the quote signature: made once, the same in all quotes */
};

static size_t body_size(const struct tdx_machine *m)
{
    return m->facts->quote_version == 5 ? TDX_BODY_15_SIZE : TDX_BODY_10_SIZE;
}

static void blank_fill(struct tdx_machine *m, const char *shape, const uint8_t *rtmrs,
                       const uint8_t qe_id[static 16])
{
    static const uint8_t intel_qe[16] = { 0x93, 0x9A, 0x72, 0x33, 0xF7, 0x9C, 0x4C, 0xA9,
                                          0x94, 0x0A, 0x0D, 0xB3, 0x95, 0x7F, 0x06, 0x07 };
    le_put(m->header, m->facts->quote_version, 2);
    le_put(m->header + 2, TDX_KEY_ECDSA_P256, 2);
    le_put(m->header + 4, TDX_TEE_TYPE, 4);
    memcpy(m->header + 12, intel_qe, sizeof(intel_qe));
    memcpy(m->header + 28, qe_id, 16);
    uint8_t *b = m->body;
    memcpy(b + TDX_OFF_TEE_TCB_SVN, tdx_tee_tcb_svn, sizeof(tdx_tee_tcb_svn));
    emu_measurement("TDX module", "1.5", b + TDX_OFF_MR_SEAM);
    le_put(b + TDX_OFF_TD_ATTRIBUTES, m->facts->td_attributes, 8);
    le_put(b + TDX_OFF_XFAM, m->facts->xfam, 8);
    emu_measurement("firmware", shape, b + TDX_OFF_MR_TD);
    if (m->facts->measured)
        memcpy(b + TDX_OFF_RTMR, rtmrs, (size_t)TDX_RTMRS * TDX_RTMR_SIZE);
    memcpy(b + TDX_OFF_TEE_TCB_SVN_2, tdx_tee_tcb_svn, sizeof(tdx_tee_tcb_svn));
}

/* The public key as x and y of 32 bytes. */
static int key_xy(EVP_PKEY *key, uint8_t out[static TDX_KEY_SIZE], struct err *err)
{
    uint8_t point[1 + TDX_KEY_SIZE];
    size_t n = 0;
    if (EVP_PKEY_get_octet_string_param(key, "pub", point, sizeof(point), &n) != 1 || n != sizeof(point))
        return err_set(err, ERR_IO, 0, "libcrypto has no point for a P-256 key");
    memcpy(out, point + 1, TDX_KEY_SIZE);
    return 0;
}

/* Attestation key, then the QE report that vouches for it, signed by the PCK, and the PCK chain. */
static int tail_make(struct tdx_machine *m, struct err *err)
{
    uint8_t qe[TDX_QE_REPORT_SIZE] = { 0 }, key[TDX_KEY_SIZE], auth[AUTH_DATA_SIZE], sig[TDX_SIGNATURE_SIZE];
    struct digest bound;
    for (size_t i = 0; i < sizeof(auth); i++)
        auth[i] = (uint8_t)i;
    if (key_xy(m->attestation_key, key, err) < 0)
        return -1;
    const struct bytes parts[] = { bytes_of(key, sizeof(key)), bytes_of(auth, sizeof(auth)) };
    if (digest_parts(ALG_SHA256, parts, ARRAY_SIZE(parts), &bound, err) < 0)
        return -1;
    memcpy(qe + TDX_QE_OFF_CPU_SVN, tdx_cpu_svn, sizeof(tdx_cpu_svn));
    qe[TDX_QE_OFF_ATTRIBUTES] = TDX_QE_ATTRIBUTES;
    qe[TDX_QE_OFF_ATTRIBUTES + 8] = 0xE7; /* XFRM */
    sha256(bytes_str(EMULATOR_ORGANISATION ": quoting enclave"), qe + TDX_QE_OFF_MR_ENCLAVE);
    memcpy(qe + TDX_QE_OFF_MR_SIGNER, tdx_qe_mr_signer, sizeof(tdx_qe_mr_signer));
    le_put(qe + TDX_QE_OFF_ISV_PROD_ID, TDX_QE_ISV_PRODID, 2);
    le_put(qe + TDX_QE_OFF_ISV_SVN, TDX_QE_ISV_SVN, 2);
    memcpy(qe + TDX_QE_OFF_REPORT_DATA, bound.b, 32);
    if (p256_sign(m->certs.pck.key, bytes_of(qe, sizeof(qe)), sig, err) < 0)
        return -1;
    size_t chain = m->certs.chain.n + 1; /* Intel counts the terminating NUL */
    struct buf *t = &m->tail;
    buf_put(t, bytes_of(key, sizeof(key)));
    buf_u16le(t, TDX_CERT_QE_REPORT);
    buf_u32le(t, (uint32_t)(sizeof(qe) + sizeof(sig) + 2 + sizeof(auth) + 6 + chain));
    buf_put(t, bytes_of(qe, sizeof(qe)));
    buf_put(t, bytes_of(sig, sizeof(sig)));
    buf_u16le(t, sizeof(auth));
    buf_put(t, bytes_of(auth, sizeof(auth)));
    buf_u16le(t, TDX_CERT_PCK_CHAIN);
    buf_u32le(t, (uint32_t)chain);
    buf_put(t, buf_bytes(&m->certs.chain));
    buf_u8(t, 0);
    return buf_check(t, "the quote's certification data", err);
}

int tdx_machine_new(const struct store *s, const char *shape, const struct tdx_facts *facts,
                    const uint8_t *rtmrs, struct tdx_machine **out, struct err *err)
{
    char key[64], mac[64], id[64];
    uint8_t qe_id[16];
    struct tdx_machine *m = calloc(1, sizeof(*m));
    if (!m)
        return err_set(err, ERR_IO, 0, "out of memory");
    pthread_mutex_init(&m->lock, NULL);
    m->facts = facts;
    m->tail = buf_new(QUOTE_MAX);
    snprintf(key, sizeof(key), "%s/attestation.key.pem", shape);
    snprintf(mac, sizeof(mac), "%s/tdreport-mac", shape);
    snprintf(id, sizeof(id), "%s/qe-id", shape);
    if (store_key(s, key, KEY_P256, &m->attestation_key, err) < 0
        || store_random(s, mac, m->mac_key, sizeof(m->mac_key), err) < 0
        || store_random(s, id, qe_id, sizeof(qe_id), err) < 0 || tdx_certs_load(&m->certs, s, shape, err) < 0
        || tail_make(m, err) < 0) {
        tdx_machine_free(m);
        return err_while(err, "make the software TDX platform");
    }
    blank_fill(m, shape, rtmrs, qe_id);
    *out = m;
    return 0;
}

void tdx_machine_free(struct tdx_machine *m)
{
    if (!m)
        return;
    EVP_PKEY_free(m->attestation_key);
    tdx_certs_done(&m->certs);
    buf_done(&m->tail);
    OPENSSL_cleanse(m->mac_key, sizeof(m->mac_key));
    pthread_mutex_destroy(&m->lock);
    free(m);
}

#define OFF_RTMR3 (TDX_OFF_RTMR + 3 * TDX_RTMR_SIZE)

void tdx_machine_rtmr3(struct tdx_machine *m, uint8_t out[static TDX_RTMR_SIZE])
{
    pthread_mutex_lock(&m->lock);
    memcpy(out, m->body + OFF_RTMR3, TDX_RTMR_SIZE);
    pthread_mutex_unlock(&m->lock);
}

void tdx_machine_set_rtmr3(struct tdx_machine *m, const uint8_t value[static TDX_RTMR_SIZE])
{
    pthread_mutex_lock(&m->lock);
    memcpy(m->body + OFF_RTMR3, value, TDX_RTMR_SIZE);
    pthread_mutex_unlock(&m->lock);
}

static void body_now(struct tdx_machine *m, uint8_t out[static BODY_MAX])
{
    pthread_mutex_lock(&m->lock);
    memcpy(out, m->body, BODY_MAX);
    pthread_mutex_unlock(&m->lock);
}

int tdx_machine_quote(struct tdx_machine *m, const uint8_t report_data[static 64], struct buf *out,
                      struct err *err)
{
    AUTO(buf_done) struct buf q = buf_new(QUOTE_MAX);
    uint8_t body[BODY_MAX], sig[TDX_SIGNATURE_SIZE];
    body_now(m, body);
    memcpy(body + TDX_OFF_REPORT_DATA, report_data, 64);
    buf_put(&q, bytes_of(m->header, sizeof(m->header)));
    if (m->facts->quote_version == 5) {
        buf_u16le(&q, TDX_BODY_15);
        buf_u32le(&q, TDX_BODY_15_SIZE);
    }
    buf_put(&q, bytes_of(body, body_size(m)));
    if (buf_check(&q, "a TD quote", err) < 0 || p256_sign(m->attestation_key, buf_bytes(&q), sig, err) < 0)
        return -1;
    buf_u32le(&q, (uint32_t)(sizeof(sig) + m->tail.n));
    buf_put(&q, bytes_of(sig, sizeof(sig)));
    buf_put(&q, buf_bytes(&m->tail));
    buf_fill(&q, 0, m->facts->tail);
    if (q.n < m->facts->buffer)
        buf_fill(&q, 0, m->facts->buffer - q.n);
    if (buf_check(&q, "a TD quote", err) < 0)
        return -1;
    buf_put(out, buf_bytes(&q));
    return buf_check(out, "a TD quote", err);
}

static bool mac_of(const struct tdx_machine *m, const uint8_t *report, uint8_t out[static 32])
{
    unsigned n = 32;
    return HMAC(EVP_sha256(), m->mac_key, sizeof(m->mac_key), report, TDR_MAC, out, &n) && n == 32;
}

int tdx_machine_tdreport(struct tdx_machine *m, const uint8_t report_data[static 64],
                         uint8_t out[static TDREPORT_SIZE], struct err *err)
{
    static const uint8_t valid[3] = { 0xFF, 0x01, 0x03 };
    uint8_t b[BODY_MAX], r[TDREPORT_SIZE] = { 0 };
    body_now(m, b);
    r[TDR_TYPE] = TDX_TEE_TYPE;
    memcpy(r + TDR_CPU_SVN, tdx_cpu_svn, sizeof(tdx_cpu_svn));
    memcpy(r + TDR_REPORT_DATA, report_data, 64);
    memcpy(r + TDR_TCB, valid, sizeof(valid));
    memcpy(r + TDR_TCB_SVN, tdx_tee_tcb_svn, sizeof(tdx_tee_tcb_svn));
    memcpy(r + TDR_MR_SEAM, b + TDX_OFF_MR_SEAM, 48);
    memcpy(r + TDR_TCB_SVN_2, tdx_tee_tcb_svn, sizeof(tdx_tee_tcb_svn));
    memcpy(r + TDR_INFO, b + TDX_OFF_TD_ATTRIBUTES, 8);
    memcpy(r + TDR_XFAM, b + TDX_OFF_XFAM, 8);
    memcpy(r + TDR_MR_TD, b + TDX_OFF_MR_TD, 48);
    memcpy(r + TDR_RTMR, b + TDX_OFF_RTMR, (size_t)TDX_RTMRS * TDX_RTMR_SIZE);
    sha384(bytes_of(r + TDR_TCB, TDR_TCB_SIZE), r + TDR_TCB_HASH);
    sha384(bytes_of(r + TDR_INFO, TDR_INFO_SIZE), r + TDR_INFO_HASH);
    if (!mac_of(m, r, r + TDR_MAC))
        return err_set(err, ERR_IO, 0, "libcrypto cannot compute a MAC");
    memcpy(out, r, sizeof(r));
    return 0;
}

int tdx_machine_quote_tdreport(struct tdx_machine *m, struct bytes tdreport, struct buf *out, struct err *err)
{
    uint8_t mac[32], hash[48];
    if (tdreport.n != TDREPORT_SIZE)
        return err_set(err, ERR_INPUT, 0, "a TDREPORT has %d bytes, this has %zu", TDREPORT_SIZE, tdreport.n);
    sha384(bytes_of(tdreport.p + TDR_INFO, TDR_INFO_SIZE), hash);
    if (!mac_of(m, tdreport.p, mac) || CRYPTO_memcmp(mac, tdreport.p + TDR_MAC, sizeof(mac)) != 0
        || memcmp(hash, tdreport.p + TDR_INFO_HASH, sizeof(hash)) != 0)
        return err_set(err, ERR_INPUT, 0, "the TDREPORT was not made by this platform");
    return tdx_machine_quote(m, tdreport.p + TDR_REPORT_DATA, out, err);
}

struct bytes tdx_machine_collateral(const struct tdx_machine *m, enum tdx_collateral which)
{
    return buf_bytes(&m->certs.collateral[which]);
}

X509 *tdx_machine_root(const struct tdx_machine *m)
{
    return m->certs.root.cert;
}

bool tdx_fmspc_is(struct bytes hex)
{
    struct err ignored = { 0 };
    uint8_t fmspc[sizeof(tdx_fmspc)];
    return hex_decode_fixed(hex, fmspc, sizeof(fmspc), &ignored) == 0
           && memcmp(fmspc, tdx_fmspc, sizeof(fmspc)) == 0;
}
