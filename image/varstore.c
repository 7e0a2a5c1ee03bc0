#include "image/varstore.h"

#define STORE_HEADER    28u
#define STORE_FORMATTED 0x5Au
#define STORE_HEALTHY   0xFEu
#define VARIABLE_HEADER 60u
#define VARIABLE_MARK   0x55AAu
/* A variable that is being replaced counts until the new one is whole. */
#define STATE_ADDED      0x3Fu
#define STATE_TRANSITION 0x3Eu

const uint8_t varstore_global[16] = { 0x61, 0xDF, 0xE4, 0x8B, 0xCA, 0x93, 0xD2, 0x11,
                                      0xAA, 0x0D, 0x00, 0xE0, 0x98, 0x03, 0x2B, 0x8C };
const uint8_t varstore_image_security[16] = { 0xCB, 0xB2, 0x19, 0xD7, 0x3A, 0x3D, 0x96, 0x45,
                                              0xA3, 0xBC, 0xDA, 0xD0, 0x0E, 0x67, 0x65, 0x6F };
const uint8_t varstore_secure_boot_enable[16] = { 0xAC, 0x0B, 0xA3, 0xF0, 0x08, 0xAF, 0x56, 0x45,
                                                  0x99, 0xC4, 0x00, 0x10, 0x09, 0xC9, 0x3A, 0x44 };
static const uint8_t authenticated[16] = { 0x78, 0x2C, 0xF3, 0xAA, 0x7B, 0x94, 0x9A, 0x43,
                                           0xA1, 0x80, 0x2E, 0x14, 0x4E, 0xC3, 0x77, 0x92 };

struct variable {
    uint8_t state;
    const uint8_t *guid;
    struct bytes name, data;
};

/* @return 1, 0 at the end (free space is all ones), -1 damaged */
static int next(struct reader *r, struct variable *out)
{
    struct bytes head;
    if (r->rest.n < VARIABLE_HEADER || le_uint(r->rest.p, 2) != VARIABLE_MARK)
        return 0;
    if (!rd_take(r, VARIABLE_HEADER, &head))
        return -1;
    size_t name = (size_t)le_uint(head.p + 36, 4), data = (size_t)le_uint(head.p + 40, 4);
    out->state = head.p[2];
    out->guid = head.p + 44;
    if (name % 2 != 0 || !rd_take(r, name, &out->name) || !rd_take(r, data, &out->data))
        return -1;
    size_t pad = (4 - (VARIABLE_HEADER + name + data) % 4) % 4;
    return rd_skip(r, pad) ? 1 : -1;
}

static int check(struct bytes variables, struct err *err)
{
    struct reader r = reader_of(variables);
    struct variable v;
    size_t n = 0;
    int rc;
    do
        rc = next(&r, &v);
    while (rc > 0 && ++n <= VARSTORE_VARIABLES);
    if (rc < 0)
        return err_set(err, ERR_INPUT, 0, "variable %zu of the store is damaged", n + 1);
    return rc == 0 ? 0 : err_set(err, ERR_INPUT, 0, "more than %u variables", VARSTORE_VARIABLES);
}

int varstore_parse(struct bytes file, struct varstore *out, struct err *err)
{
    const uint8_t *at = memmem(file.p, file.n, authenticated, sizeof(authenticated));
    if (!at)
        return err_set(err, ERR_INPUT, 0, "no store of authenticated variables in it");
    struct bytes rest = bytes_of(at, file.n - (size_t)(at - file.p));
    uint64_t size = rest.n < STORE_HEADER ? 0 : le_uint(rest.p + 16, 4);
    if (size < STORE_HEADER || size > rest.n || rest.p[20] != STORE_FORMATTED || rest.p[21] != STORE_HEALTHY)
        return err_set(err, ERR_INPUT, 0, "the store of variables is not whole");
    struct bytes variables = bytes_of(rest.p + STORE_HEADER, (size_t)size - STORE_HEADER);
    if (check(variables, err) < 0)
        return -1;
    out->variables = variables;
    return 0;
}

static bool is_name(struct bytes wide, const char *name)
{
    size_t n = strlen(name);
    if (wide.n != 2 * (n + 1))
        return false;
    for (size_t i = 0; i <= n; i++)
        if (wide.p[2 * i] != (uint8_t)name[i] || wide.p[2 * i + 1] != 0)
            return false;
    return true;
}

bool varstore_find(const struct varstore *store, const uint8_t guid[static 16], const char *name,
                   struct bytes *out)
{
    struct reader r = reader_of(store->variables);
    struct variable v;
    bool found = false;
    while (next(&r, &v) > 0) {
        if ((v.state != STATE_ADDED && v.state != STATE_TRANSITION) || memcmp(v.guid, guid, 16) != 0
            || !is_name(v.name, name))
            continue;
        *out = v.data;
        found = true;
        if (v.state == STATE_ADDED)
            break;
    }
    return found;
}
