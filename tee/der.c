#include "tee/der.h"

bool der_take(struct reader *r, uint8_t tag, struct bytes *content)
{
    struct reader at = *r;
    struct bytes length;
    uint8_t have, first;
    uint64_t n;
    if (!rd_u8(&at, &have) || have != tag || !rd_u8(&at, &first))
        return false;
    n = first;
    if (first >= 0x80) {
        if (first == 0x80 || first > 0x84 || !rd_take(&at, first & 0x7F, &length) || length.p[0] == 0)
            return false;
        n = be_uint(length.p, length.n);
        if (n < 0x80) /* DER: the short form is the only one for these */
            return false;
    }
    if (n > at.rest.n || !rd_take(&at, (size_t)n, content))
        return false;
    *r = at;
    return true;
}

bool der_uint(struct reader *r, uint8_t tag, uint64_t max, uint64_t *out)
{
    struct reader at = *r;
    struct bytes v;
    if (!der_take(&at, tag, &v) || v.n == 0 || (v.p[0] & 0x80))
        return false;
    if (v.n > 1 && v.p[0] == 0) {
        if (!(v.p[1] & 0x80)) /* DER: no needless leading zero */
            return false;
        v = bytes_of(v.p + 1, v.n - 1);
    }
    if (v.n > sizeof(uint64_t) || be_uint(v.p, v.n) > max)
        return false;
    *out = be_uint(v.p, v.n);
    *r = at;
    return true;
}

bool der_bool(struct reader *r, bool *out)
{
    struct reader at = *r;
    struct bytes v;
    if (!der_take(&at, DER_BOOLEAN, &v) || v.n != 1 || (v.p[0] != 0 && v.p[0] != 0xFF))
        return false;
    *out = v.p[0] != 0;
    *r = at;
    return true;
}

bool der_text(struct reader *r, uint8_t tag, char *out, size_t size)
{
    struct reader at = *r;
    struct bytes v;
    if (!der_take(&at, tag, &v) || v.n >= size)
        return false;
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] < 0x20 || v.p[i] > 0x7E)
            return false;
    memcpy(out, v.p, v.n);
    out[v.n] = '\0';
    *r = at;
    return true;
}
