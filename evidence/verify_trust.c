#include "evidence/verify_trust.h"

#include "base/auto.h"
#include "base/digest.h"

#include <openssl/x509v3.h>

/* The id hashes itself, the vendor, the part and the certificate. */
static int rename_set(struct verify_trust *t, uint8_t vendor, bool anchor, const X509 *cert, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(CERT_MAX + 64);
    buf_put(&text, bytes_of(t->id, sizeof(t->id)));
    buf_u8(&text, vendor);
    buf_u8(&text, anchor);
    if (x509_put_der(cert, &text, err) < 0)
        return -1;
    sha256(buf_bytes(&text), t->id);
    return 0;
}

int verify_trust_add(struct verify_trust *t, enum verify_vendor vendor, bool anchor, struct bytes cert,
                     struct err *err)
{
    AUTO(x509_drop) X509 *x = NULL;
    struct verify_vendor_trust *v = &t->vendor[vendor];
    if (t->has_extra || v->builtin + VERIFY_EXTRA_MAX >= VERIFY_ANCHORS_MAX || v->pooled == VERIFY_POOL_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "too many built-in certificates of one vendor");
    if (x509_parse(cert, &x, err) < 0 || rename_set(t, (uint8_t)vendor, anchor, x, err) < 0)
        return err_while(err, "read a trusted certificate");
    if (!anchor) {
        v->pool[v->pooled++] = MOVE(x);
        return 0;
    }
    v->anchor[v->anchors++] = MOVE(x);
    v->builtin = v->anchors;
    return 0;
}

static void drop_list(X509 **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        X509_free(list[i]);
}

/* An intermediate given as a root would make everything below it a root's word. */
static int check_root(X509 *cert, struct err *err)
{
    if (X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) != 0
        || X509_check_ca(cert) != 1)
        return err_set(err, ERR_INPUT, 0, "the given roots hold a certificate that is no root");
    return 0;
}

int verify_trust_add_extra(struct verify_trust *t, struct bytes pem, struct err *err)
{
    X509 *list[VERIFY_EXTRA_MAX];
    int n = x509_parse_chain(pem, list, VERIFY_EXTRA_MAX, err);
    int rc = n < 0 ? -1 : n == 0 ? err_set(err, ERR_INPUT, 0, "no certificate in the given roots") : 0;
    if (rc < 0)
        return err_while(err, "read the given roots");
    for (int i = 0; i < n && rc == 0; i++) {
        rc = check_root(list[i], err);
        if (rc == 0 && t->vendor[0].anchors - t->vendor[0].builtin == VERIFY_EXTRA_MAX)
            rc = err_set(err, ERR_TOO_LARGE, 0, "more than %d given roots", VERIFY_EXTRA_MAX);
        if (rc == 0)
            rc = rename_set(t, VERIFY_VENDORS, true, list[i], err);
        for (size_t v = 0; v < VERIFY_VENDORS && rc == 0; v++) {
            struct verify_vendor_trust *vendor = &t->vendor[v];
            X509_up_ref(list[i]);
            vendor->anchor[vendor->anchors++] = list[i];
        }
    }
    drop_list(list, (size_t)n);
    t->has_extra = true;
    return rc;
}

void verify_trust_done(struct verify_trust *t)
{
    for (size_t v = 0; v < VERIFY_VENDORS; v++) {
        drop_list(t->vendor[v].anchor, t->vendor[v].anchors);
        drop_list(t->vendor[v].pool, t->vendor[v].pooled);
    }
    *t = (struct verify_trust){ 0 };
}
