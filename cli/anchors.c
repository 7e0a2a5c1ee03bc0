#include "cli/anchors.h"

#include "base/auto.h"
#include "cli/commands.h"

int anchors_add(struct anchors *out, enum trust_vendor vendor, struct err *err)
{
    AUTO(buf_done) struct buf storage = buf_new((size_t)TRUST_ROWS * CERT_MAX);
    struct bytes der[TRUST_ROWS];
    if (trust_der(&storage, der, err) < 0)
        return err_while(err, "load built-in certificates");
    for (size_t i = 0; i < TRUST_ROWS; i++) {
        const struct trust_row *row = &trust_rows()[i];
        X509 **list = row->anchor ? out->list : out->pool;
        size_t *n = row->anchor ? &out->n : &out->pool_n;
        if (row->vendor != vendor)
            continue;
        if (*n == TRUST_ROWS)
            return err_set(err, ERR_TOO_LARGE, 0, "a vendor's certificates were added twice");
        if (x509_parse(der[i], &list[*n], err) < 0)
            return err_while(err, "load built-in certificates");
        ++*n;
    }
    return 0;
}

void anchors_done(struct anchors *a)
{
    while (a->n > 0)
        X509_free(a->list[--a->n]);
    while (a->pool_n > 0)
        X509_free(a->pool[--a->pool_n]);
}

int cert_files_read(struct cert_files *out, const char *path)
{
    AUTO(free_u8) uint8_t *data = NULL;
    size_t n = 0;
    struct err err = { 0 };
    int rc = read_input(path, (size_t)CERT_FILES_MAX * CERT_MAX, &data, &n);
    if (rc)
        return rc;
    int got = x509_parse_chain(bytes_of(data, n), out->list + out->n, CERT_FILES_MAX - out->n, &err);
    if (got < 0)
        return fail_err(STATUS_INPUT, path, "no certificates", &err);
    out->n += (size_t)got;
    return 0;
}

void cert_files_add(struct cert_files *out, X509 *const *certs, size_t n)
{
    for (size_t i = 0; i < n && out->n < CERT_FILES_MAX; i++)
        if (X509_up_ref(certs[i]) == 1)
            out->list[out->n++] = certs[i];
}

void cert_files_done(struct cert_files *c)
{
    while (c->n > 0)
        X509_free(c->list[--c->n]);
}
