#include "image/authenticode.h"

#include "base/auto.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#define ENTRY_HEADER 8u /* WIN_CERTIFICATE: length, revision, type */
#define REVISION     0x0200u
#define TYPE_PKCS    0x0002u
#define INDIRECT     "1.3.6.1.4.1.311.2.1.4" /* SPC_INDIRECT_DATA_OBJID */

static void store_drop(X509_STORE **s)
{
    X509_STORE_free(*s);
}

static void store_ctx_drop(X509_STORE_CTX **c)
{
    X509_STORE_CTX_free(*c);
}

static void md_drop(EVP_MD_CTX **c)
{
    EVP_MD_CTX_free(*c);
}

static void der_drop(unsigned char **p)
{
    OPENSSL_free(*p);
}

static void sig_drop(X509_SIG **s)
{
    X509_SIG_free(*s);
}

static int bad(struct err *err, size_t i, const char *what)
{
    return err_set(err, ERR_INPUT, 0, "signature %zu of the program: %s", i + 1, what);
}

static uint16_t alg_of(int nid)
{
    switch (nid) {
    case NID_sha256:
        return ALG_SHA256;
    case NID_sha384:
        return ALG_SHA384;
    case NID_sha512:
        return ALG_SHA512;
    default:
        return 0;
    }
}

/* One DER element at the start of *rest: its whole, and what is in it. */
static bool element(struct bytes *rest, uint8_t tag, struct bytes *whole, struct bytes *inner)
{
    size_t n = der_length(*rest), head = 2;
    if (n < 2 || rest->p[0] != tag)
        return false;
    if (rest->p[1] & 0x80)
        head += rest->p[1] & 0x7F;
    *whole = bytes_of(rest->p, n);
    *inner = bytes_of(rest->p + head, n - head);
    *rest = bytes_of(rest->p + n, rest->n - n);
    return true;
}

/* SpcIndirectDataContent: what kind of program (not judged), and DigestInfo. */
static int take_content(struct authenticode *a, size_t i, struct err *err)
{
    const ASN1_TYPE *other = a->p7->d.sign->contents->d.other;
    struct bytes rest, whole, inner, ignored;
    if (!other || other->type != V_ASN1_SEQUENCE)
        return bad(err, i, "its content is no sequence");
    rest = bytes_of(other->value.sequence->data, (size_t)other->value.sequence->length);
    if (!element(&rest, 0x30, &whole, &a->content) || rest.n != 0)
        return bad(err, i, "its content is malformed");
    rest = a->content;
    if (!element(&rest, 0x30, &whole, &ignored) || !element(&rest, 0x30, &whole, &inner) || rest.n != 0)
        return bad(err, i, "its content has no digest");
    const unsigned char *p = whole.p;
    AUTO(sig_drop) X509_SIG *info = d2i_X509_SIG(NULL, &p, (long)whole.n);
    ERR_clear_error();
    if (!info || p != whole.p + whole.n)
        return bad(err, i, "its digest is malformed");
    const X509_ALGOR *algorithm;
    const ASN1_OCTET_STRING *digest;
    X509_SIG_get0(info, &algorithm, &digest);
    a->hash.alg = alg_of(OBJ_obj2nid(algorithm->algorithm));
    a->hash.n = (uint8_t)digest_size(a->hash.alg);
    if (!a->hash.alg || ASN1_STRING_length(digest) != a->hash.n)
        return bad(err, i, "made with a hash that is not used: SHA-256, SHA-384 or SHA-512");
    memcpy(a->hash.b, ASN1_STRING_get0_data(digest), a->hash.n);
    return 0;
}

/* One signer, who hashed with nothing weaker than SHA-256. */
static int check_signer(const struct authenticode *a, size_t i, struct err *err)
{
    STACK_OF(PKCS7_SIGNER_INFO) *signers = PKCS7_get_signer_info(a->p7);
    X509_ALGOR *hash = NULL;
    if (sk_PKCS7_SIGNER_INFO_num(signers) != 1)
        return bad(err, i, "it has not exactly one signer");
    PKCS7_SIGNER_INFO_get0_algs(sk_PKCS7_SIGNER_INFO_value(signers, 0), NULL, &hash, NULL);
    if (!hash || !alg_of(OBJ_obj2nid(hash->algorithm)))
        return bad(err, i, "signed with a hash that is not used: SHA-256, SHA-384 or SHA-512");
    return 0;
}

/* An entry holds one DER element, and zeros up to a multiple of eight. */
static int take_pkcs7(struct authenticode *a, struct bytes body, size_t i, struct err *err)
{
    size_t n = der_length(body);
    const unsigned char *p = body.p;
    char oid[64];
    if (n == 0 || n > AUTHENTICODE_SIZE_MAX || body.n - n > 7
        || !bytes_zero(bytes_of(body.p + n, body.n - n)))
        return bad(err, i, "not one element of DER");
    a->p7 = d2i_PKCS7(NULL, &p, (long)n);
    ERR_clear_error();
    if (!a->p7 || p != body.p + n)
        return bad(err, i, "damaged DER");
    if (!PKCS7_type_is_signed(a->p7) || !a->p7->d.sign || !a->p7->d.sign->contents
        || OBJ_obj2txt(oid, sizeof(oid), a->p7->d.sign->contents->type, 1) <= 0 || strcmp(oid, INDIRECT) != 0)
        return bad(err, i, "not over a program");
    return check_signer(a, i, err) < 0 ? -1 : take_content(a, i, err);
}

int authenticode_read(const struct pe *pe, struct authenticode_list *out, struct err *err)
{
    struct reader r = reader_of(pe->certificates);
    out->n = 0;
    while (r.rest.n > 0) {
        struct bytes head, body;
        size_t i = out->n;
        if (i == AUTHENTICODE_MAX)
            return err_set(err, ERR_INPUT, 0, "the program has more than %d signatures", AUTHENTICODE_MAX);
        if (!rd_take(&r, ENTRY_HEADER, &head))
            return bad(err, i, "cut short");
        uint32_t length = (uint32_t)le_uint(head.p, 4);
        if (length < ENTRY_HEADER || !rd_take(&r, length - ENTRY_HEADER, &body))
            return bad(err, i, "longer than the table");
        if (le_uint(head.p + 4, 2) != REVISION || le_uint(head.p + 6, 2) != TYPE_PKCS)
            return bad(err, i, "not PKCS #7");
        size_t pad = (8 - length % 8) % 8;
        if (r.rest.n > 0 && !rd_skip(&r, pad))
            return bad(err, i, "the next one does not begin at a multiple of eight");
        out->item[out->n++] = (struct authenticode){ .content = bytes_of(NULL, 0) };
        if (take_pkcs7(&out->item[i], body, i, err) < 0)
            return -1;
    }
    return 0;
}

void authenticode_done(struct authenticode_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        PKCS7_free(list->item[i].p7);
    list->n = 0;
}

/* As EDK II sets it up: the trusted certificate ends the chain wherever it stands, at any time, for any use.
 */
static X509_STORE *store_of(X509 *trusted)
{
    AUTO(store_drop) X509_STORE *store = X509_STORE_new();
    if (!store || X509_STORE_add_cert(store, trusted) != 1
        || X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME) != 1
        || X509_STORE_set_purpose(store, X509_PURPOSE_ANY) != 1)
        return NULL;
    return MOVE(store);
}

X509 *authenticode_signer(const struct authenticode *a)
{
    STACK_OF(X509) *signers = PKCS7_get0_signers(a->p7, NULL, 0);
    X509 *signer = signers && sk_X509_num(signers) == 1 ? sk_X509_value(signers, 0) : NULL;
    sk_X509_free(signers);
    ERR_clear_error();
    return signer;
}

/* What the key signed: the signed attributes, one of which is the content's hash, or the content itself. The
 * two cannot be taken for each other: attributes begin with the tag of a SET. */
static bool take_signed(const struct authenticode *a, PKCS7_SIGNER_INFO *si, uint16_t alg, struct buf *out)
{
    AUTO(der_drop) unsigned char *der = NULL;
    struct digest hash;
    struct err ignored = { 0 };
    if (sk_X509_ATTRIBUTE_num(si->auth_attr) <= 0) {
        buf_put(out, a->content);
        return !out->failed;
    }
    const ASN1_OCTET_STRING *said = PKCS7_digest_from_attributes(si->auth_attr);
    if (!said || digest_of(alg, a->content, &hash, &ignored) < 0 || ASN1_STRING_length(said) != hash.n
        || memcmp(ASN1_STRING_get0_data(said), hash.b, hash.n) != 0)
        return false;
    int n = ASN1_item_i2d((const ASN1_VALUE *)si->auth_attr, &der, ASN1_ITEM_rptr(PKCS7_ATTR_VERIFY));
    if (n > 0)
        buf_put(out, bytes_of(der, (size_t)n));
    return n > 0 && !out->failed;
}

/* By hand: PKCS7_verify() loses memory over some damaged signatures. */
static bool signed_by(const struct authenticode *a, X509 *signer)
{
    PKCS7_SIGNER_INFO *si = sk_PKCS7_SIGNER_INFO_value(PKCS7_get_signer_info(a->p7), 0);
    EVP_PKEY *key = X509_get0_pubkey(signer);
    AUTO(buf_done) struct buf text = buf_new(AUTHENTICODE_SIZE_MAX);
    AUTO(md_drop) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint16_t alg = alg_of(OBJ_obj2nid(si->digest_alg->algorithm));
    if (!ctx || !key || !EVP_PKEY_is_a(key, "RSA") || !take_signed(a, si, alg, &text))
        return false;
    return EVP_DigestVerifyInit(ctx, NULL, digest_md(alg), NULL, key) == 1
           && EVP_DigestVerify(ctx, ASN1_STRING_get0_data(si->enc_digest),
                               (size_t)ASN1_STRING_length(si->enc_digest), text.p, text.n)
                  == 1;
}

static bool chains_to(const struct authenticode *a, X509 *signer, X509_STORE *store)
{
    AUTO(store_ctx_drop) X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    return ctx && X509_STORE_CTX_init(ctx, store, signer, a->p7->d.sign->cert) == 1
           && X509_verify_cert(ctx) == 1;
}

int authenticode_check(const struct pe *pe, const struct authenticode *a, X509 *trusted, struct err *err)
{
    struct digest hash;
    if (pe_authenticode(pe, a->hash.alg, &hash, err) < 0)
        return -1;
    if (!bytes_equal(digest_bytes(&hash), digest_bytes(&a->hash)))
        return err_set(err, ERR_UNAUTHENTICATED, 0, "the signature is over another program");
    AUTO(store_drop) X509_STORE *store = store_of(trusted);
    if (!store)
        return err_set(err, ERR_IO, 0, "libcrypto: out of memory");
    X509 *signer = authenticode_signer(a);
    bool ok = signer && signed_by(a, signer) && chains_to(a, signer, store);
    ERR_clear_error();
    return ok ? 0
              : err_set(err, ERR_UNAUTHENTICATED, 0,
                        "the signature is not by this certificate, or by one below it");
}
