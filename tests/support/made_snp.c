#include "made_snp.h"

#include "evidence.h"

#include <openssl/ecdsa.h>
#include <string.h>

#define OID "1.3.6.1.4.1.3704.1."

static const struct made_ext ca[] = { { .oid = "basicConstraints", .text = "critical,CA:TRUE" },
                                      { .oid = "keyUsage", .text = "critical,keyCertSign,cRLSign" } };

static const char * or (const char *a, const char *b)
{
    return a ? a : b;
}

/* INTEGERs below 2^15, as the extensions have them. */
static struct bytes integer(uint8_t room[4], uint8_t v)
{
    uint8_t n = v > 127 ? 2 : 1;
    room[0] = 2;
    room[1] = n;
    room[2] = n == 2 ? 0 : v;
    room[3] = v;
    return bytes_of(room, 2u + n);
}

static X509 *make_vek(const struct made_snp *m, const struct made_snp_spec *spec)
{
    static const uint8_t usual[] = { 3, 0, 22, 209 };
    const uint8_t *tcb = spec->tcb ? spec->tcb : usual;
    uint8_t room[9][4], product[34] = { 0x16 }, csp[] = { 0x16, 7, 'C', 'N', '=', 't', 'e', 's', 't' };
    uint8_t hwid[64];
    const char *name = or (spec->product, "Milan-B0");
    product[1] = (uint8_t)strlen(name);
    memcpy(product + 2, name, strlen(name));
    memset(hwid, 0xC7, sizeof(hwid));
    const struct made_ext ext[] = {
        { OID "1", NULL, integer(room[0], 0), false },
        { OID "2", NULL, bytes_of(product, 2 + strlen(name)), false },
        { OID "3.1", NULL, integer(room[1], tcb[0]), false },
        { OID "3.2", NULL, integer(room[2], tcb[1]), false },
        { OID "3.4", NULL, integer(room[3], 0), false },
        { OID "3.5", NULL, integer(room[4], 0), false },
        { OID "3.6", NULL, integer(room[5], 0), false },
        { OID "3.7", NULL, integer(room[6], 0), false },
        { OID "3.3", NULL, integer(room[7], tcb[2]), false },
        { OID "3.8", NULL, integer(room[8], tcb[3]), false },
        { spec->vlek ? OID "5" : OID "4", NULL,
          spec->vlek ? bytes_of(csp, sizeof(csp)) : bytes_of(hwid, sizeof(hwid)), false },
    };
    return made_cert(&(struct made_spec){ .cn = or (spec->vek_cn, spec->vlek ? "SEV-VLEK" : "SEV-VCEK"),
                                          .key = m->vek_key,
                                          .issuer = m->ask,
                                          .issuer_key = m->ask_key,
                                          .from = spec->vek_from,
                                          .until = spec->vek_until,
                                          .md = EVP_sha384(),
                                          .pss = !spec->no_pss,
                                          .ext = ext,
                                          .ext_n = sizeof(ext) / sizeof(ext[0]) });
}

static EVP_PKEY *again(EVP_PKEY *key)
{
    assert_int_equal(EVP_PKEY_up_ref(key), 1);
    return key;
}

struct made_snp made_snp(const struct made_snp_spec *spec)
{
    struct made_snp m = { .ark_key = spec->keys ? again(spec->keys->ark_key) : made_rsa_key(),
                          .ask_key = spec->keys ? again(spec->keys->ask_key) : made_rsa_key(),
                          .vek_key = spec->keys ? again(spec->keys->vek_key) : made_ec_key("P-384") };
    m.ark = made_cert(&(struct made_spec){ .cn = or (spec->ark_cn, "ARK-Milan"),
                                           .key = m.ark_key,
                                           .serial = 1,
                                           .md = EVP_sha384(),
                                           .pss = true,
                                           .ext = ca,
                                           .ext_n = 2 });
    m.ask =
        made_cert(&(struct made_spec){ .cn = or (spec->ask_cn, spec->vlek ? "SEV-VLEK-Milan" : "SEV-Milan"),
                                       .key = m.ask_key,
                                       .issuer = m.ark,
                                       .issuer_key = m.ark_key,
                                       .serial = 2,
                                       .md = EVP_sha384(),
                                       .pss = true,
                                       .ext = ca,
                                       .ext_n = 2 });
    m.vek = make_vek(&m, spec);
    return m;
}

void made_snp_done(struct made_snp *m)
{
    X509_free(m->ark);
    X509_free(m->ask);
    X509_free(m->vek);
    EVP_PKEY_free(m->ark_key);
    EVP_PKEY_free(m->ask_key);
    EVP_PKEY_free(m->vek_key);
}

void made_snp_report(uint8_t out[static MADE_SNP_SIZE])
{
    static const uint8_t tcb[] = { 3, 0, 0, 0, 0, 0, 22, 209 };
    memset(out, 0, MADE_SNP_SIZE);
    out[0x00] = 3;     /* version */
    out[0x0A] = 3;     /* policy: SMT, reserved one */
    out[0x34] = 1;     /* ECDSA P-384 over SHA-384 */
    out[0x188] = 0x19; /* family, model, stepping */
    out[0x189] = 1;
    out[0x18A] = 1;
    memset(out + 0x160, 0xFF, 32); /* no migration agent */
    memcpy(out + 0x180, tcb, 8);
    memset(out + 0x1A0, 0xC7, 64); /* chip id */
}

static void put_scalar(uint8_t *out, const BIGNUM *v)
{
    memset(out, 0, 72);
    assert_int_equal(BN_bn2lebinpad(v, out, 48), 48);
}

void made_snp_sign(const struct made_snp *m, uint8_t report[static MADE_SNP_SIZE])
{
    uint8_t der[256];
    size_t n = sizeof(der);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha384(), NULL, m->vek_key), 1);
    assert_int_equal(EVP_DigestSign(ctx, der, &n, report, 0x2A0), 1);
    EVP_MD_CTX_free(ctx);
    const unsigned char *p = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
    put_scalar(report + 0x2A0, ECDSA_SIG_get0_r(sig));
    put_scalar(report + 0x2E8, ECDSA_SIG_get0_s(sig));
    ECDSA_SIG_free(sig);
}
