/* Intel's collateral beside a TD quote: what a verifier would else have to ask the PCS for. Taken from the
 * collateral service; an answer waits for it once, as it does for certificates. */
#include "evidence/collect_internal.h"

#include "base/auto.h"
#include "tee/collateral.h"
#include "tee/tdx_quote.h"

#include <errno.h>

struct wait {
    struct evidence *e;
    struct bytes pck_chain; /* of e->tee.report */
    uint8_t fmspc[6];
    enum collateral_ca ca;
};

static void set_drop(struct collateral_tdx **t)
{
    if (*t)
        collateral_tdx_done(*t);
    free(*t);
}

/* As the last document of this platform had it. */
static bool take_kept(struct evidence *e, struct bytes pck_chain)
{
    struct collector *c = e->c;
    pthread_mutex_lock(&c->lock);
    bool good =
        c->tdx.json.n && time(NULL) < c->tdx.until && bytes_equal(buf_bytes(&c->tdx.pck_chain), pck_chain);
    if (good)
        buf_put(&e->collateral, buf_bytes(&c->tdx.json));
    pthread_mutex_unlock(&c->lock);
    return good && !e->collateral.failed;
}

static void keep(struct collector *c, struct bytes pck_chain, const struct buf *json, time_t until)
{
    pthread_mutex_lock(&c->lock);
    buf_done(&c->tdx.json);
    buf_done(&c->tdx.pck_chain);
    buf_put(&c->tdx.json, buf_bytes(json));
    buf_put(&c->tdx.pck_chain, pck_chain);
    c->tdx.until = until;
    if (c->tdx.json.failed || c->tdx.pck_chain.failed)
        c->tdx.json.n = 0;
    pthread_mutex_unlock(&c->lock);
}

/* What the service has without the network. @return 0 if it is all there and current */
static int take(const struct wait *w, struct err *err)
{
    AUTO(set_drop) struct collateral_tdx *t = calloc(1, sizeof(*t));
    struct evidence *e = w->e;
    time_t until = 0;
    if (!t)
        return err_set(err, ERR_IO, ENOMEM, "no memory for collateral");
    if (collateral_tdx_kept(e->c->collateral, bytes_of(w->fmspc, sizeof(w->fmspc)), w->ca, t, err) < 0)
        return -1;
    for (size_t i = 0; i < TDX_SET; i++) {
        time_t next = t->item[i].next_update;
        if (t->why[i].kind != ERR_NONE || t->item[i].expired) {
            if (t->why[i].kind != ERR_NONE)
                *err = t->why[i];
            return t->item[i].expired ? err_set(err, ERR_NOT_FOUND, 0, "what is kept has expired") : -1;
        }
        until = next && (!until || next < until) ? next : until;
    }
    collateral_tdx_json(t, &e->collateral);
    keep(e->c, w->pck_chain, &e->collateral, until);
    return buf_check(&e->collateral, "collateral", err);
}

static void end(struct wait *w, const struct err *err)
{
    if (err) {
        w->e->collateral.n = 0;
        evidence_missing(w->e, "collateral", err->cause);
    }
    evidence_part_done(w->e, NULL);
    free(w);
}

static void came(void *arg, const struct err *err)
{
    struct err why = { 0 };
    int rc = take(arg, &why);
    end(arg, rc == 0 ? NULL : err ? err : &why);
}

void collect_collateral(struct evidence *e)
{
    struct tdx_quote quote;
    struct err err = { 0 };
    struct collateral_service *service = e->c->collateral;
    if (e->attestation) { /* its messages have no room for it */
        evidence_part_done(e, NULL);
        return;
    }
    if (!service) {
        evidence_missing(e, "collateral", "the verifier has it from Intel's PCS or a PCCS");
        evidence_part_done(e, NULL);
        return;
    }
    struct wait *w = calloc(1, sizeof(*w));
    if (!w || tdx_quote_parse(buf_bytes(&e->tee.report), &quote, &err) < 0
        || collateral_of_pck(quote.pck_chain, w->fmspc, &w->ca, &err) < 0) {
        evidence_missing(e, "collateral", w ? err.cause : "no memory");
        evidence_part_done(e, NULL);
        free(w);
        return;
    }
    w->e = e;
    w->pck_chain = quote.pck_chain;
    if (take_kept(e, quote.pck_chain) || take(w, &err) == 0)
        end(w, NULL);
    else if (collateral_tdx_fetch(service, bytes_of(w->fmspc, sizeof(w->fmspc)), w->ca, VEK_WAIT_MS, came, w,
                                  &err)
             < 0)
        end(w, &err);
}
