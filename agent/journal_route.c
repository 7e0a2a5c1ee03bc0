#include "agent/journal_route.h"

#include "agent/operate.h"
#include "agent/server.h"
#include "base/auto.h"
#include "base/json.h"

/* The log's own report, and the texts of the acts by the content_sha384 of their events. */
static int work(struct request *r, struct buf *out, struct err *err)
{
    struct operate *o = server_operate(r->server);
    AUTO(json_drop) json_t *acts = NULL;
    if (!operate_journal(o))
        return err_set(err, ERR_UNAVAILABLE, 0, "there is no journal: see the agent's log");
    if (journal_report(operate_journal(o), out, err) < 0 || acts_read(operate_acts(o), &acts, err) < 0)
        return -1;
    json_put_key(out, "acts");
    json_put(out, acts, false);
    buf_str(out, "}\n");
    return 0;
}

int journal_begin(struct request *r, struct err *err)
{
    return operate_begin(r, work, err);
}
