#include "base/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>

static const struct digest_row {
    uint16_t alg;
    uint8_t size;
    const char *name, *alias, *libcrypto;
} rows[] = {
    { ALG_SHA1, 20, "sha1", "sha-1", "SHA1" },
    { ALG_SHA256, 32, "sha256", "sha-256", "SHA2-256" },
    { ALG_SHA384, 48, "sha384", "sha-384", "SHA2-384" },
    { ALG_SHA512, 64, "sha512", "sha-512", "SHA2-512" },
    { ALG_SM3, 32, "sm3_256", "sm3", "SM3" },
};

static _Atomic(EVP_MD *) fetched[sizeof(rows) / sizeof(rows[0])]; /* in the order of rows; never freed */

static const struct digest_row *row_of(uint16_t alg)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].alg == alg)
            return &rows[i];
    return NULL;
}

size_t digest_size(uint16_t alg)
{
    const struct digest_row *row = row_of(alg);
    return row ? row->size : 0;
}

const char *digest_name(uint16_t alg)
{
    const struct digest_row *row = row_of(alg);
    return row ? row->name : NULL;
}

uint16_t digest_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (!strcasecmp(rows[i].name, name) || !strcasecmp(rows[i].alias, name))
            return rows[i].alg;
    return 0;
}

/* Two threads may both fetch the first time: one of the two objects stays. */
static const EVP_MD *md_of(const struct digest_row *row)
{
    _Atomic(EVP_MD *) *slot = &fetched[row - rows];
    EVP_MD *md = atomic_load_explicit(slot, memory_order_acquire), *none = NULL;
    if (md)
        return md;
    md = EVP_MD_fetch(NULL, row->libcrypto, NULL);
    if (md && !atomic_compare_exchange_strong(slot, &none, md)) {
        EVP_MD_free(md);
        md = none;
    }
    return md;
}

const EVP_MD *digest_md(uint16_t alg)
{
    const struct digest_row *row = row_of(alg);
    return row ? md_of(row) : NULL;
}

struct hasher {
    const struct digest_row *row;
    EVP_MD_CTX *ctx;
};

static int hasher_init(struct hasher *h, uint16_t alg, struct err *err)
{
    const struct digest_row *row = row_of(alg);
    if (!row)
        return err_set(err, ERR_INPUT, 0, "digest algorithm 0x%04x is not known", alg);
    *h = (struct hasher){ row, EVP_MD_CTX_new() };
    if (h->ctx && EVP_DigestInit_ex(h->ctx, md_of(row), NULL) == 1)
        return 0;
    EVP_MD_CTX_free(h->ctx);
    return err_set(err, ERR_IO, 0, "libcrypto cannot compute %s", row->name);
}

/* The context is ready for the first byte. */
static int finish(struct hasher *h, const struct bytes *parts, size_t count, struct digest *out,
                  struct err *err)
{
    struct digest d = { .alg = h->row->alg, .n = h->row->size };
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = EVP_DigestUpdate(h->ctx, parts[i].p, parts[i].n) == 1;
    if (!ok || EVP_DigestFinal_ex(h->ctx, d.b, NULL) != 1)
        return err_set(err, ERR_IO, 0, "libcrypto cannot compute %s", h->row->name);
    *out = d;
    return 0;
}

int digest_parts(uint16_t alg, const struct bytes *parts, size_t count, struct digest *out, struct err *err)
{
    struct hasher h;
    if (hasher_init(&h, alg, err) < 0)
        return -1;
    int rc = finish(&h, parts, count, out, err);
    EVP_MD_CTX_free(h.ctx);
    return rc;
}

int hasher_new(uint16_t alg, struct hasher **out, struct err *err)
{
    struct hasher *h = calloc(1, sizeof(*h));
    if (!h)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a hash");
    if (hasher_init(h, alg, err) < 0) {
        free(h);
        return -1;
    }
    *out = h;
    return 0;
}

void hasher_free(struct hasher *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->ctx);
    free(h);
}

static int cannot(const struct hasher *h, struct err *err)
{
    return err_set(err, ERR_IO, 0, "libcrypto cannot compute %s", h->row->name);
}

int hasher_begin(struct hasher *h, struct err *err)
{
    return EVP_DigestInit_ex(h->ctx, NULL, NULL) == 1 ? 0 : cannot(h, err);
}

int hasher_put(struct hasher *h, struct bytes data, struct err *err)
{
    return EVP_DigestUpdate(h->ctx, data.p, data.n) == 1 ? 0 : cannot(h, err);
}

int hasher_end(struct hasher *h, struct digest *out, struct err *err)
{
    return finish(h, NULL, 0, out, err);
}

int hasher_parts(struct hasher *h, const struct bytes *parts, size_t count, struct digest *out,
                 struct err *err)
{
    if (EVP_DigestInit_ex(h->ctx, NULL, NULL) != 1)
        return err_set(err, ERR_IO, 0, "libcrypto cannot compute %s", h->row->name);
    return finish(h, parts, count, out, err);
}

int digest_of(uint16_t alg, struct bytes data, struct digest *out, struct err *err)
{
    return digest_parts(alg, &data, 1, out, err);
}

void sha256(struct bytes data, uint8_t out[static 32])
{
    if (!SHA256(data.p, data.n, out))
        abort();
}

void sha384(struct bytes data, uint8_t out[static 48])
{
    if (!SHA384(data.p, data.n, out))
        abort();
}

int digest_extend(struct digest *value, struct bytes extend, struct err *err)
{
    struct bytes parts[2] = { digest_bytes(value), extend };
    return digest_parts(value->alg, parts, 2, value, err);
}
