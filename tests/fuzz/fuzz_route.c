/* Request targets: a route that matches holds the path; a nonce that is accepted has 1 to 30 bytes without
 * NUL, and is what a byte-by-byte decoding gives. */
#include "fuzz.h"

#include "agent/routes.h"
#include "base/auto.h"

static int hex(uint8_t c)
{
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

static void check_nonce(struct bytes segment, struct bytes nonce)
{
    size_t at = 0;
    CHECK(nonce.n >= 1 && nonce.n <= NONCE_MAX);
    for (size_t i = 0; i < nonce.n; i++) {
        uint8_t want = segment.p[at];
        if (want == '%') {
            want = (uint8_t)(hex(segment.p[at + 1]) << 4 | hex(segment.p[at + 2]));
            at += 2;
        }
        at++;
        CHECK(nonce.p[i] == want && want != 0);
    }
    CHECK(at == segment.n);
}

static void check_target(struct bytes raw)
{
    static const enum port ports[] = { PORT_INTERNAL, PORT_SOCKET, PORT_EXTERNAL };
    struct target t;
    struct query q;
    struct err err = { 0 };
    if (target_parse(raw, &t, &err) < 0) {
        CHECK(err.kind == ERR_INPUT);
        return;
    }
    CHECK(t.path.p[0] == '/');
    if (query_parse(t.query, NULL, &q, &err) == 0)
        CHECK(q.n <= QUERY_MAX);
    else
        CHECK(err.kind == ERR_INPUT);
    host_is_loopback(t.authority);
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        struct bytes segment;
        const char *allow = NULL;
        const struct route *route = route_find("GET", t.path, ports[i], i % 2, &segment, &allow, &err);
        CHECK(!route || (route->ports & ports[i]));
        if (!route || !strchr(route->path, '{'))
            continue;
        AUTO(buf_done) struct buf nonce = buf_new(NONCE_MAX);
        CHECK(!segment.n || !memchr(segment.p, '/', segment.n));
        if (nonce_decode(segment, NONCE_MAX, &nonce, &err) == 0)
            check_nonce(segment, buf_bytes(&nonce));
        else
            CHECK(err.kind == ERR_INPUT && nonce.n == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char prefix[] = "/collaterals/";
    AUTO(buf_done) struct buf with_prefix = buf_new(1 << 20);
    check_target(bytes_of(data, size));
    buf_str(&with_prefix, prefix);
    buf_put(&with_prefix, bytes_of(data, size));
    if (!with_prefix.failed)
        check_target(buf_bytes(&with_prefix));
    host_is_loopback(bytes_of(data, size));
    return 0;
}
