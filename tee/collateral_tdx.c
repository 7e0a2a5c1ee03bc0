/* Sets for TDX quotes: looked up, fetched in the background, and in the forms of their users. */
#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"
#include "tee/collateral_internal.h"

#include <errno.h>

/* What an item holds, and its chain. */
static const enum tdx_part parts[TDX_SET][2] = {
    [TDX_SET_TCB_INFO] = { TDX_PART_TCB_INFO, TDX_PART_TCB_INFO_CHAIN },
    [TDX_SET_QE_IDENTITY] = { TDX_PART_QE_IDENTITY, TDX_PART_QE_IDENTITY_CHAIN },
    [TDX_SET_PCK_CRL] = { TDX_PART_PCK_CRL, TDX_PART_PCK_CRL_CHAIN },
    [TDX_SET_ROOT_CRL] = { TDX_PART_ROOT_CA_CRL, TDX_PARTS },
};

void collateral_tdx_done(struct collateral_tdx *t)
{
    for (size_t i = 0; i < TDX_SET; i++)
        collateral_item_done(&t->item[i]);
    t->complete = t->expired = false;
}

static int find_set(struct collateral_service *c, struct bytes fmspc, enum collateral_ca ca,
                    enum collateral_mode mode, struct collateral_tdx *out, struct err *err)
{
    static const enum collateral_kind kinds[TDX_SET] = {
        [TDX_SET_TCB_INFO] = COLLATERAL_TCB_INFO,
        [TDX_SET_QE_IDENTITY] = COLLATERAL_QE_IDENTITY,
        [TDX_SET_PCK_CRL] = COLLATERAL_PCK_CRL,
        [TDX_SET_ROOT_CRL] = COLLATERAL_ROOT_CRL,
    };
    size_t found = 0;
    struct collateral_id id = { .ca = ca };
    if (fmspc.n != sizeof(id.fmspc))
        return err_set(err, ERR_INPUT, 0, "an FMSPC of %zu bytes, want 6", fmspc.n);
    memcpy(id.fmspc, fmspc.p, fmspc.n);
    struct collateral_tdx t = { 0 };
    for (size_t i = 0; i < TDX_SET; i++) {
        id.kind = kinds[i];
        if (collateral_find(c, &id, mode, &t.item[i], &t.why[i]) < 0)
            continue;
        t.expired = t.expired || t.item[i].expired;
        found++;
    }
    if (!found) {
        *err = t.why[0];
        return -1;
    }
    t.complete = found == TDX_SET;
    *out = t;
    return 0;
}

int collateral_tdx(struct collateral_service *c, struct bytes fmspc, enum collateral_ca ca,
                   struct collateral_tdx *out, struct err *err)
{
    return find_set(c, fmspc, ca, COLLATERAL_GET, out, err);
}

int collateral_tdx_kept(struct collateral_service *c, struct bytes fmspc, enum collateral_ca ca,
                        struct collateral_tdx *out, struct err *err)
{
    return find_set(c, fmspc, ca, COLLATERAL_KEPT, out, err);
}

/* ---- in the background ---- */

struct set_task {
    struct collateral_service *c;
    uint8_t fmspc[6];
    enum collateral_ca ca;
};

static void set_drop(struct collateral_tdx **t)
{
    if (*t)
        collateral_tdx_done(*t);
    free(*t);
}

static int attempt_set(void *arg, unsigned *retry_after_s, struct err *err)
{
    const struct set_task *task = arg;
    AUTO(set_drop) struct collateral_tdx *t = calloc(1, sizeof(*t));
    (void)retry_after_s; /* each item's own pause keeps it */
    if (!t)
        return err_set(err, ERR_IO, ENOMEM, "no memory for collateral");
    if (collateral_tdx(task->c, bytes_of(task->fmspc, sizeof(task->fmspc)), task->ca, t, err) < 0)
        return -1;
    for (size_t i = 0; i < TDX_SET; i++) {
        if (t->why[i].kind == ERR_NONE)
            continue;
        *err = t->why[i];
        return -1;
    }
    return t->expired ? err_set(err, ERR_DENIED, 0, "it has expired, and no newer one could be had") : 0;
}

/* Under the lock throughout: collateral_stop() takes the flights away. */
static int join(struct collateral_service *c, const char *key, struct flight_task task, unsigned deadline_ms,
                vek_done_fn *done, void *arg, struct err *err)
{
    pthread_mutex_lock(&c->lock);
    int rc = atomic_load(&c->stopping) ? err_set(err, ERR_UNAVAILABLE, 0, "shutting down")
             : c->flights              ? 0
                                       : flights_new(&c->flights, err);
    if (rc == 0)
        rc = flights_join(c->flights, key, task, deadline_ms, done, arg, err);
    else
        task.drop(task.arg);
    pthread_mutex_unlock(&c->lock);
    return rc;
}

int collateral_tdx_fetch(struct collateral_service *c, struct bytes fmspc, enum collateral_ca ca,
                         unsigned deadline_ms, vek_done_fn *done, void *arg, struct err *err)
{
    char key[32], hex[13];
    if (c->source.offline)
        return err_set(err, ERR_NOT_FOUND, 0, "offline: Intel's services are not asked");
    if (fmspc.n != 6 || ca >= COLLATERAL_CAS)
        return err_set(err, ERR_INPUT, 0, "no such platform");
    struct set_task *task = malloc(sizeof(*task));
    if (!task)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a fetch");
    *task = (struct set_task){ .c = c, .ca = ca };
    memcpy(task->fmspc, fmspc.p, fmspc.n);
    snprintf(key, sizeof(key), "tdx-%s-%d", hex_to(hex, fmspc), (int)ca);
    return join(c, key, (struct flight_task){ attempt_set, free, task }, deadline_ms, done, arg, err);
}

/* ---- forms ---- */

/* Documents and chains as text, CRLs in hex: as the JSON of DCAP tools has them. */
static void put_part(struct buf *out, const char *name, const struct buf *data, bool crl, bool *first)
{
    if (!data->n)
        return;
    buf_u8(out, *first ? '{' : ',');
    *first = false;
    json_put_string(out, bytes_str(name));
    buf_u8(out, ':');
    if (!crl) {
        json_put_string(out, buf_bytes(data));
        return;
    }
    buf_u8(out, '"');
    hex_put(out, buf_bytes(data));
    buf_u8(out, '"');
}

void collateral_tdx_json(const struct collateral_tdx *t, struct buf *out)
{
    bool first = true;
    for (size_t i = 0; i < TDX_SET; i++) {
        bool crl = i == TDX_SET_PCK_CRL || i == TDX_SET_ROOT_CRL;
        put_part(out, tdx_part_name(parts[i][0]), &t->item[i].data, crl, &first);
        if (parts[i][1] != TDX_PARTS)
            put_part(out, tdx_part_name(parts[i][1]), &t->item[i].chain, false, &first);
    }
    buf_str(out, first ? "{}" : "}");
}

int collateral_tdx_open(const struct collateral_tdx *t, struct tdx_collateral **out, struct err *err)
{
    AUTO(tdx_collateral_drop) struct tdx_collateral *c = tdx_collateral_new();
    if (!c)
        return err_set(err, ERR_IO, ENOMEM, "out of memory");
    for (size_t i = 0; i < TDX_SET; i++) {
        const struct collateral_item *item = &t->item[i];
        if (item->data.n && tdx_collateral_set(c, parts[i][0], buf_bytes(&item->data), err) < 0)
            return -1;
        if (item->chain.n && tdx_collateral_set(c, parts[i][1], buf_bytes(&item->chain), err) < 0)
            return -1;
    }
    *out = MOVE(c);
    return 0;
}
