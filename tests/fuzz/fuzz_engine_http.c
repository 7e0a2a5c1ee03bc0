/* Answers of the container engine: whatever comes, the exchange ends; a body is never longer than what was
 * sent, and a streamed body is the one that is kept otherwise. */
#include "fuzz.h"

#include "base/auto.h"
#include "workload/engine_http.h"

#include <sys/socket.h>
#include <unistd.h>

static bool keep(void *arg, struct bytes data)
{
    buf_put(arg, data);
    return true;
}

static int once(const uint8_t *data, size_t size, bool streamed, unsigned *status, struct buf *out)
{
    int pair[2];
    struct buf body = buf_new(1 << 20);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(write(pair[1], data, size) == (ssize_t)size);
    shutdown(pair[1], SHUT_WR);
    const struct engine_request q = { .method = "GET",
                                      .target = "/",
                                      .type = "x",
                                      .deadline_ms = 5000,
                                      .max_body = 1 << 20,
                                      .sink = streamed ? keep : NULL,
                                      .arg = out };
    struct err err = { 0 };
    int rc = engine_exchange(pair[0], &q, status, &body, &err);
    CHECK(rc == 0 || err.kind != ERR_NONE);
    if (rc == 0)
        buf_put(out, buf_bytes(&body));
    buf_done(&body);
    close(pair[0]);
    close(pair[1]);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(buf_done) struct buf kept = buf_new(1 << 20), streamed = buf_new(1 << 20);
    unsigned a = 0, b = 0;
    if (size > (100 << 10)) /* of a socket's queue */
        return 0;
    int rc = once(data, size, false, &a, &kept);
    CHECK(once(data, size, true, &b, &streamed) == rc);
    CHECK(kept.n <= size);
    if (rc == 0)
        CHECK(a == b && a >= 200 && a < 600 && bytes_equal(buf_bytes(&kept), buf_bytes(&streamed)));
    return 0;
}
