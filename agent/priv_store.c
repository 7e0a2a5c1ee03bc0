/* Orders to store a workload on the data partition: given, and waited for. */
#include "agent/priv_client.h"

#include "base/auto.h"
#include "base/buf.h"

#include <sys/random.h>
#include <time.h>

#define STORE_CALL_MS 10000
#define STORE_MS      1600000 /* above its own limit */
#define STORE_POLL_MS 20

static int store_call(struct priv_client *c, enum priv_engine act, struct bytes payload, int fd,
                      struct err *err)
{
    struct priv_message reply;
    const struct priv_request q = {
        .verb = PRIV_ENGINE, .flags = act, .payload = payload, .fd = fd, .deadline_ms = STORE_CALL_MS
    };
    return priv_do(c, &q, &reply, NULL, err);
}

/* How an order went; 0: whatever was done last. */
static int store_await(struct priv_client *c, uint64_t id, struct err *err)
{
    AUTO(buf_done) struct buf payload = buf_new(PRIV_ORDER_SIZE);
    buf_u64le(&payload, id);
    if (buf_check(&payload, "order", err) < 0)
        return -1;
    for (unsigned waited = 0;; waited += STORE_POLL_MS) {
        const struct timespec pause = { 0, STORE_POLL_MS * 1000000 };
        struct err why = { 0 };
        if (store_call(c, PRIV_ENGINE_STORED, buf_bytes(&payload), -1, &why) == 0)
            return 0;
        if (why.kind != ERR_BUSY || waited >= STORE_MS) {
            *err = why;
            return -1;
        }
        nanosleep(&pause, NULL);
    }
}

/* No two orders have the same, whoever gives them: a helper that comes after this one must not take another's
 * end, or its own start, for that of ours. */
static uint64_t new_order(void)
{
    uint64_t id = 0;
    while (!id)
        if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
            id = 0;
    return id;
}

int priv_store(struct priv_client *c, enum priv_engine act, int from, const struct stat *now, struct err *err)
{
    AUTO(buf_done) struct buf payload = buf_new(PRIV_STORE_SIZE);
    const uint64_t id = new_order();
    buf_u64le(&payload, id);
    if (now) {
        buf_u64le(&payload, now->st_dev);
        buf_u64le(&payload, now->st_ino);
    }
    if (buf_check(&payload, "order", err) < 0 || priv_store_idle(c, err) < 0)
        return -1;
    if (store_call(c, act, buf_bytes(&payload), from, err) == 0 && store_await(c, id, err) == 0)
        return 0;
    (void)!priv_store_idle(c,
                           NULL); /* who took the order may be at it still, if only who told us has ended */
    return -1;
}

int priv_store_idle(struct priv_client *c, struct err *err)
{
    struct err why = { 0 };
    if ((c->fd < 0 && !c->path) || store_await(c, 0, &why) == 0 || why.kind != ERR_BUSY)
        return 0; /* how an order of somebody else went is not ours */
    return err_set(err, ERR_UNAVAILABLE, 0, "cvm-agent-priv is storing an update, and does not end");
}
