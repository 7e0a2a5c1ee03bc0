#include "tee/emulator/emu_snp.h"

#include "base/auto.h"
#include "base/digest.h"
#include "tee/emulator/emu_snp_certs.h"

#include <openssl/ec.h>
#include <stdio.h>
#include <string.h>

#define HWID_MAX      64
#define SIGNATURE_MAX 128 /* DER of two 384-bit numbers: at most 104 */

struct snp_machine {
    const struct snp_facts *facts;
    uint8_t hwid[HWID_MAX];
    struct snp_certs certs;
    uint8_t blank[SNP_REPORT_SIZE]; /* everything but report data, VMPL and signature */
};

static void blank_fill(struct snp_machine *m, const char *shape, const uint8_t report_id[static 32])
{
    const struct snp_facts *f = m->facts;
    uint8_t *b = m->blank;
    le_put(b + SNP_OFF_VERSION, f->version, 4);
    le_put(b + SNP_OFF_GUEST_SVN, f->guest_svn, 4);
    le_put(b + SNP_OFF_POLICY, f->policy, 8);
    memcpy(b + SNP_OFF_FAMILY_ID, f->family_id, sizeof(f->family_id));
    b[SNP_OFF_IMAGE_ID] = f->image_id;
    le_put(b + SNP_OFF_SIGNATURE_ALGO, SNP_ALGO_P384_SHA384, 4);
    le_put(b + SNP_OFF_PLATFORM_INFO, f->platform_info, 8);
    le_put(b + SNP_OFF_FLAGS, (uint64_t)(f->csp_id ? SNP_KEY_VLEK : SNP_KEY_VCEK) << 2, 4);
    emu_measurement("firmware", shape, b + SNP_OFF_MEASUREMENT);
    if (f->id_key)
        emu_measurement("ID key", f->id_key, b + SNP_OFF_ID_KEY_DIGEST);
    memcpy(b + SNP_OFF_REPORT_ID, report_id, 32);
    memset(b + SNP_OFF_REPORT_ID_MA, 0xFF, 32); /* no migration agent */
    static const size_t tcbs[] = { SNP_OFF_CURRENT_TCB, SNP_OFF_REPORTED_TCB, SNP_OFF_COMMITTED_TCB,
                                   SNP_OFF_LAUNCH_TCB };
    for (size_t i = 0; i < ARRAY_SIZE(tcbs); i++)
        memcpy(b + tcbs[i], f->tcb, sizeof(f->tcb));
    memcpy(b + SNP_OFF_CPUID_FAM_ID, f->cpuid, sizeof(f->cpuid));
    if (!f->csp_id) /* a VLEK host hides its chip */
        memcpy(b + SNP_OFF_CHIP_ID, m->hwid, f->chip_id_size);
    memcpy(b + SNP_OFF_CURRENT_VERSION, f->firmware, sizeof(f->firmware));
    memcpy(b + SNP_OFF_COMMITTED_VERSION, f->firmware, sizeof(f->firmware));
}

int snp_machine_new(const struct store *s, const char *shape, const struct snp_facts *facts,
                    struct snp_machine **out, struct err *err)
{
    char hwid[64], report_id[64];
    uint8_t id[32];
    struct snp_machine *m = calloc(1, sizeof(*m));
    if (!m)
        return err_set(err, ERR_IO, 0, "out of memory");
    m->facts = facts;
    snprintf(hwid, sizeof(hwid), "%s/hwid", shape);
    snprintf(report_id, sizeof(report_id), "%s/report-id", shape);
    if (store_random(s, hwid, m->hwid, facts->chip_id_size, err) < 0
        || store_random(s, report_id, id, sizeof(id), err) < 0
        || snp_certs_load(&m->certs, s, shape, facts, bytes_of(m->hwid, facts->chip_id_size), err) < 0) {
        snp_machine_free(m);
        return err_while(err, "make the software secure processor");
    }
    blank_fill(m, shape, id);
    *out = m;
    return 0;
}

void snp_machine_free(struct snp_machine *m)
{
    if (!m)
        return;
    snp_certs_done(&m->certs);
    free(m);
}

/* r and s lie in the report as little-endian numbers of 72 bytes. */
static bool put_scalar(const BIGNUM *v, uint8_t *field)
{
    return BN_bn2lebinpad(v, field, SNP_SCALAR_FIELD) == SNP_SCALAR_FIELD;
}

static bool sign(EVP_PKEY *key, uint8_t report[static SNP_REPORT_SIZE])
{
    uint8_t hash[48], der[SIGNATURE_MAX];
    size_t n = sizeof(der);
    sha384(bytes_of(report, SNP_SIGNED_SIZE), hash);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool ok = ctx && EVP_PKEY_sign_init(ctx) == 1 && EVP_PKEY_sign(ctx, der, &n, hash, sizeof(hash)) == 1;
    EVP_PKEY_CTX_free(ctx);
    const unsigned char *p = der;
    ECDSA_SIG *sig = ok ? d2i_ECDSA_SIG(NULL, &p, (long)n) : NULL;
    ok = sig && put_scalar(ECDSA_SIG_get0_r(sig), report + SNP_OFF_SIGNATURE_R)
         && put_scalar(ECDSA_SIG_get0_s(sig), report + SNP_OFF_SIGNATURE_S);
    ECDSA_SIG_free(sig);
    return ok;
}

int snp_machine_report(const struct snp_machine *m, const uint8_t report_data[static 64], uint32_t vmpl,
                       uint8_t out[static SNP_REPORT_SIZE], struct err *err)
{
    uint8_t report[SNP_REPORT_SIZE];
    memcpy(report, m->blank, sizeof(report));
    memcpy(report + SNP_OFF_REPORT_DATA, report_data, 64);
    le_put(report + SNP_OFF_VMPL, vmpl, 4);
    if (!sign(m->certs.vek.key, report))
        return err_set(err, ERR_IO, 0, "libcrypto cannot sign an SNP report");
    memcpy(out, report, sizeof(report));
    return 0;
}

struct snp_public snp_machine_public(const struct snp_machine *m)
{
    return (struct snp_public){
        m->facts,          m->certs.ark.cert,        m->certs.signer.cert,
        m->certs.vek.cert, buf_bytes(&m->certs.crl), bytes_of(m->hwid, m->facts->chip_id_size)
    };
}

void snp_machine_table(const struct snp_machine *m, bool whole, struct buf *out)
{
    static const uint8_t vcek[16] = { 0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64,
                                      0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd };
    static const uint8_t vlek[16] = { 0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e,
                                      0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8, 0xa1 };
    static const uint8_t ask[16] = { 0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4,
                                     0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82 };
    static const uint8_t ark[16] = { 0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52,
                                     0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae };
    const struct {
        const uint8_t *guid;
        struct bytes der;
    } entries[] = { { m->facts->csp_id ? vlek : vcek, buf_bytes(&m->certs.vek.der) },
                    { ask, buf_bytes(&m->certs.signer.der) },
                    { ark, buf_bytes(&m->certs.ark.der) } };
    size_t n = whole ? ARRAY_SIZE(entries) : 1, offset = 24 * (n + 1);
    for (size_t i = 0; i < n; i++) {
        buf_put(out, bytes_of(entries[i].guid, 16));
        buf_u32le(out, (uint32_t)offset);
        buf_u32le(out, (uint32_t)entries[i].der.n);
        offset += entries[i].der.n;
    }
    buf_fill(out, 0, 24);
    for (size_t i = 0; i < n; i++)
        buf_put(out, entries[i].der);
}
