#include "image/authenticode.h"

#include "base/auto.h"

#include <openssl/err.h>

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 4096 /* what EDK II's libraries are built for */

/* SpcIndirectDataContent over a program, up to its SHA-256: SpcPeImageData without a file name, DigestInfo.
 */
static const uint8_t content_head[] = {
    0x30, 0x68, 0x30, 0x33, 0x06, 0x0A, 0x2B, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01,
    0x0F, 0x30, 0x25, 0x03, 0x01, 0x00, 0xA0, 0x20, 0xA2, 0x1E, 0x80, 0x1C, 0x00, '<',  0x00,
    '<',  0x00, '<',  0x00, 'O',  0x00, 'b',  0x00, 's',  0x00, 'o',  0x00, 'l',  0x00, 'e',
    0x00, 't',  0x00, 'e',  0x00, '>',  0x00, '>',  0x00, '>',  0x30, 0x31, 0x30, 0x0D, 0x06,
    0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
};

static void p7_drop(PKCS7 **p)
{
    PKCS7_free(*p);
}

static void free_der(unsigned char **p)
{
    OPENSSL_free(*p);
}

static int check_key(EVP_PKEY *key, X509 *cert, struct err *err)
{
    int bits = EVP_PKEY_get_bits(key);
    if (!EVP_PKEY_is_a(key, "RSA"))
        return err_set(err, ERR_INPUT, 0, "the key is %s: firmware verifies RSA alone",
                       EVP_PKEY_get0_type_name(key) ?: "of an unknown kind");
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return err_set(err, ERR_INPUT, 0, "RSA key of %d bits: %d to %d are used", bits, RSA_BITS_MIN,
                       RSA_BITS_MAX);
    int same = X509_check_private_key(cert, key);
    ERR_clear_error();
    return same == 1 ? 0 : err_set(err, ERR_INPUT, 0, "the key is not the certificate's");
}

/* The content is a SEQUENCE as it is, no OCTET STRING: libcrypto has no call for that. */
static bool set_content(PKCS7 *p7, struct bytes content)
{
    PKCS7 *inner = PKCS7_new();
    ASN1_TYPE *value = ASN1_TYPE_new();
    ASN1_STRING *sequence = ASN1_STRING_new();
    if (!inner || !value || !sequence || ASN1_STRING_set(sequence, content.p, (int)content.n) != 1) {
        PKCS7_free(inner);
        ASN1_TYPE_free(value);
        ASN1_STRING_free(sequence);
        return false;
    }
    inner->type = OBJ_txt2obj("1.3.6.1.4.1.311.2.1.4", 1);
    ASN1_TYPE_set(value, V_ASN1_SEQUENCE, sequence);
    inner->d.other = value;
    if (PKCS7_set_content(p7, inner) == 1)
        return true;
    PKCS7_free(inner);
    return false;
}

static bool sign_content(PKCS7 *p7, EVP_PKEY *key, X509 *const *chain, size_t chain_n, struct bytes content)
{
    uint8_t inner[32];
    if (PKCS7_set_type(p7, NID_pkcs7_signed) != 1 || !set_content(p7, content))
        return false;
    PKCS7_SIGNER_INFO *signer = PKCS7_add_signature(p7, chain[0], key, EVP_sha256());
    for (size_t i = 0; i < chain_n; i++)
        if (PKCS7_add_certificate(p7, chain[i]) != 1)
            return false;
    /* Signed is what is in the sequence, without its own tag and length. */
    sha256(bytes_of(content.p + 2, content.n - 2), inner);
    return signer && PKCS7_add_attrib_content_type(signer, OBJ_dup(p7->d.sign->contents->type)) == 1
           && PKCS7_add1_attrib_digest(signer, inner, sizeof(inner)) == 1
           && PKCS7_SIGNER_INFO_sign(signer) == 1;
}

static int signature_der(const struct digest *hash, EVP_PKEY *key, X509 *const *chain, size_t chain_n,
                         struct buf *out, struct err *err)
{
    AUTO(p7_drop) PKCS7 *p7 = PKCS7_new();
    AUTO(free_der) unsigned char *der = NULL;
    uint8_t content[sizeof(content_head) + 32];
    memcpy(content, content_head, sizeof(content_head));
    memcpy(content + sizeof(content_head), hash->b, 32);
    bool ok = p7 && sign_content(p7, key, chain, chain_n, bytes_of(content, sizeof(content)));
    int n = ok ? i2d_PKCS7(p7, &der) : -1;
    ERR_clear_error();
    if (n <= 0)
        return err_set(err, ERR_IO, 0, "libcrypto did not sign");
    buf_put(out, bytes_of(der, (size_t)n));
    return 0;
}

static void pad(struct buf *b)
{
    buf_fill(b, 0, (8 - b->n % 8) % 8);
}

int authenticode_sign(struct bytes program, EVP_PKEY *key, X509 *const *chain, size_t chain_n,
                      struct buf *out, struct err *err)
{
    AUTO(buf_done) struct buf file = buf_new(PE_FILE_MAX), der = buf_new(AUTHENTICODE_SIZE_MAX);
    AUTO(authenticode_done) struct authenticode_list has = { .n = 0 };
    struct digest hash;
    struct pe pe;
    if (pe_parse(program, &pe, err) < 0 || authenticode_read(&pe, &has, err) < 0
        || check_key(key, chain[0], err) < 0)
        return -1;
    if (has.n == AUTHENTICODE_MAX)
        return err_set(err, ERR_INPUT, 0, "the program has %zu signatures already", has.n);
    /* Signatures begin at a multiple of eight: what fills up to it is part of what is signed. */
    buf_put(&file, program);
    pad(&file);
    if (buf_check(&file, "the program", err) < 0 || pe_parse(buf_bytes(&file), &pe, err) < 0) {
        err->kind = ERR_INPUT;
        return -1;
    }
    if (pe_authenticode(&pe, ALG_SHA256, &hash, err) < 0
        || signature_der(&hash, key, chain, chain_n, &der, err) < 0
        || buf_check(&der, "the signature", err) < 0)
        return -1;
    size_t table = file.n - pe.certificates.n, padded = (der.n + 7) & ~(size_t)7;
    buf_u32le(&file, (uint32_t)(8 + padded));
    buf_u16le(&file, 0x0200);
    buf_u16le(&file, 0x0002);
    buf_put(&file, buf_bytes(&der));
    pad(&file);
    if (buf_check(&file, "the program", err) < 0)
        return -1;
    le_put(file.p + pe.certificates_at, (uint32_t)table, 4);
    le_put(file.p + pe.certificates_at + 4, (uint32_t)(file.n - table), 4);
    buf_put(out, buf_bytes(&file));
    return buf_check(out, "the signed program", err);
}
