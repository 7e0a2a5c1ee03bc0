/* agent/: token buckets, connection table, request targets, the route table and its document. */
#include "evidence.h"

#include "agent/conns.h"
#include "agent/openapi.h"
#include "agent/routes.h"
#include "base/auto.h"
#include "base/json.h"

#include <arpa/inet.h>
#include <sys/socket.h>

static struct address ipv4(uint32_t host)
{
    struct sockaddr_storage peer = { 0 };
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(host) };
    memcpy(&peer, &v4, sizeof(v4));
    return address_of(&peer);
}

static struct address ipv6(const char *text)
{
    struct sockaddr_storage peer = { 0 };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    memcpy(&peer, &v6, sizeof(v6));
    return address_of(&peer);
}

static void an_address_is_what_one_caller_has(void **state)
{
    (void)state;
    struct address a = ipv6("2001:db8:1:2::1"), b = ipv6("2001:db8:1:2:ffff::9"), c = ipv6("2001:db8:1:3::1");
    struct address v4 = ipv4(0x7F000001), mapped = ipv6("::ffff:127.0.0.1"), other = ipv6("::ffff:127.0.0.2");
    assert_true(address_equal(&a, &b));
    assert_false(address_equal(&a, &c));
    assert_true(address_equal(&v4, &mapped));
    assert_false(address_equal(&v4, &other));
}

static unsigned take_all(struct rates *r, const struct address *who, uint64_t now_ms)
{
    const struct limits limits = LIMITS_DEFAULT;
    unsigned n = 0, wait;
    while (n < 1000 && rates_take(r, who, &limits, now_ms, &wait))
        n++;
    return n;
}

static void a_bucket_holds_the_burst_and_fills_at_the_rate(void **state)
{
    (void)state;
    const struct limits limits = LIMITS_DEFAULT;
    struct rates *r = rates_new();
    struct address a = ipv4(1), b = ipv4(2);
    unsigned wait = 0;
    assert_int_equal(take_all(r, &a, 1000), 20);
    assert_false(rates_take(r, &a, &limits, 1000, &wait));
    assert_int_equal(wait, 1);
    assert_int_equal(take_all(r, &b, 1000), 20);
    assert_int_equal(take_all(r, &a, 1199), 0);
    assert_int_equal(take_all(r, &a, 1200), 1);
    assert_int_equal(take_all(r, &a, 2200), 5);
    assert_int_equal(take_all(r, &a, 2100), 0); /* a clock that goes back gives nothing */
    assert_int_equal(take_all(r, &a, UINT64_MAX - 1), 20);
    const struct limits slow = { .evidence_per_second = 1, .evidence_burst = 1 };
    struct address c = ipv4(3);
    assert_true(rates_take(r, &c, &slow, 0, &wait));
    assert_false(rates_take(r, &c, &slow, 100, &wait));
    assert_int_equal(wait, 1);
    rates_free(r);
}

static void the_table_of_addresses_is_bounded(void **state)
{
    (void)state;
    struct rates *r = rates_new();
    struct address first = ipv4(1), second = ipv4(2), again;
    for (uint32_t i = 1; i <= RATES_MAX; i++) {
        again = ipv4(i);
        assert_int_equal(take_all(r, &again, 1000 + i), 20);
    }
    assert_int_equal(take_all(r, &first, 1002), 0);
    again = ipv4(RATES_MAX + 1); /* one past the maximum: takes the place of the oldest */
    assert_int_equal(take_all(r, &again, 3000), 20);
    assert_int_equal(take_all(r, &second, 1003), 0);
    rates_free(r);
}

/* Connections are socket pairs: [0] is the table's, the test closes both. */
#define PAIRS 16

struct pairs {
    int fd[PAIRS][2];
};

static void open_pairs(struct pairs *p)
{
    for (int i = 0; i < PAIRS; i++)
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p->fd[i]), 0);
}

static void close_pairs(struct pairs *p)
{
    for (int i = 0; i < PAIRS; i++) {
        close(p->fd[i][0]);
        close(p->fd[i][1]);
    }
}

static bool ended(const struct pairs *p, int i)
{
    char byte;
    return recv(p->fd[i][1], &byte, 1, MSG_DONTWAIT) == 0;
}

static void the_longest_idle_connection_makes_room(void **state)
{
    (void)state;
    const struct limits limits = { .connections = 4, .connections_per_address = 2, .head_seconds = 10 };
    struct conns *c = conns_new(false);
    struct address who = ipv4(1), seen;
    struct pairs p;
    int tag = 0;
    open_pairs(&p);
    for (int i = 0; i < 4; i++)
        assert_true(conns_add(c, p.fd[i][0], &who, 7, &limits, (uint64_t)(100 + i)));
    assert_true(conns_busy(c, p.fd[0][0], 110, &seen, &tag));
    assert_int_equal(tag, 7);
    assert_true(conns_add(c, p.fd[4][0], &who, 7, &limits, 120)); /* 0 is busy: 1 goes */
    assert_true(ended(&p, 1) && !ended(&p, 0) && !ended(&p, 2));
    assert_false(conns_busy(c, p.fd[1][0], 121, &seen, &tag));
    conns_remove(c, p.fd[1][0]);
    for (int i = 2; i < 5; i++)
        assert_true(conns_busy(c, p.fd[i][0], 130, &seen, &tag));
    assert_false(conns_add(c, p.fd[5][0], &who, 7, &limits, 140)); /* nobody is idle */
    conns_idle(c, p.fd[3][0], 150);
    assert_true(conns_add(c, p.fd[5][0], &who, 7, &limits, 160));
    assert_true(ended(&p, 3));
    struct conns_stats stats;
    conns_stats_get(c, &stats);
    assert_int_equal(stats.open, 4);
    assert_int_equal(stats.busy, 3);
    assert_int_equal(stats.refused, 1);
    assert_int_equal(stats.evicted, 2);
    conns_free(c);
    close_pairs(&p);
}

static void one_address_cannot_push_out_another(void **state)
{
    (void)state;
    const struct limits limits = { .connections = 4, .connections_per_address = 2, .head_seconds = 10 };
    struct conns *c = conns_new(true);
    struct address one = ipv4(1), two = ipv4(2);
    struct pairs p;
    open_pairs(&p);
    assert_true(conns_add(c, p.fd[0][0], &two, 0, &limits, 1));
    for (int i = 1; i < 8; i++)
        assert_true(conns_add(c, p.fd[i][0], &one, 0, &limits, (uint64_t)(1 + i)));
    assert_false(ended(&p, 0));
    assert_true(ended(&p, 1) && ended(&p, 5) && !ended(&p, 6) && !ended(&p, 7));
    conns_free(c);
    close_pairs(&p);
}

static void deadlines_end_connections(void **state)
{
    (void)state;
    const struct limits limits = { .connections = 4, .connections_per_address = 4, .head_seconds = 10 };
    struct conns *c = conns_new(true);
    struct address who = ipv4(1);
    struct pairs p;
    int tag;
    open_pairs(&p);
    assert_true(conns_add(c, p.fd[0][0], &who, 0, &limits, 0));
    assert_true(conns_add(c, p.fd[1][0], &who, 0, &limits, 5000));
    assert_true(conns_busy(c, p.fd[1][0], 5000, &who, &tag));
    assert_int_equal(conns_expire(c, &limits, 9999), 2);
    assert_int_equal(conns_expire(c, &limits, 10000), 1);
    assert_true(ended(&p, 0) && !ended(&p, 1));
    assert_int_equal(conns_expire(c, &limits, 5000 + CONN_BUSY_SECONDS * 1000), 0);
    assert_true(ended(&p, 1));
    assert_false(conns_add(c, -1, &who, 0, &limits, 0));
    assert_false(conns_add(c, 1 << 20, &who, 0, &limits, 0));
    conns_idle(c, 1 << 20, 0);
    conns_remove(c, -1);
    conns_free(c);
    close_pairs(&p);
}

static void targets_are_split_before_they_are_decoded(void **state)
{
    (void)state;
    struct target t;
    struct bytes segment;
    struct err err = { 0 };
    assert_int_equal(target_parse(bytes_str("/collaterals/a%2Fb?x=%3F?"), &t, &err), 0);
    assert_true(bytes_equal(t.query, bytes_str("x=%3F?")));
    assert_true(path_match("/collaterals/{nonce}", t.path, &segment));
    assert_true(bytes_equal(segment, bytes_str("a%2Fb")));
    assert_false(path_match("/collaterals", t.path, &segment));
    assert_int_equal(target_parse(bytes_str("http://[::1]:1/x"), &t, &err), 0);
    assert_true(bytes_equal(t.authority, bytes_str("[::1]:1")) && bytes_equal(t.path, bytes_str("/x")));
    const char *bad[] = { "", "*", "x", "?", "http://", "http:///x", "http://host", "localhost:1" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(target_parse(bytes_str(bad[i]), &t, &err), -1);
}

static void the_longest_nonce_and_one_more(void **state)
{
    (void)state;
    char text[3 * (NONCE_MAX + 1) + 1] = "";
    struct err err = { 0 };
    for (int i = 1; i <= NONCE_MAX + 1; i++) {
        AUTO(buf_done) struct buf out = buf_new(64);
        strcat(text, i % 2 ? "%ff" : "z");
        assert_int_equal(nonce_decode(bytes_str(text), NONCE_MAX, &out, &err), i <= NONCE_MAX ? 0 : -1);
        assert_int_equal(out.n, i <= NONCE_MAX ? i : 0);
    }
    assert_int_equal(err.kind, ERR_INPUT);
}

/* Every route is in the document and the reverse, with its ports, parameters, method and wish for a token. */
static void the_document_and_the_table_agree(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *document = NULL;
    AUTO(buf_done) struct buf text = buf_new(1 << 20);
    struct err err = { 0 };
    size_t n, operations = 0;
    const struct route *routes = routes_all(&n);
    openapi_write(&text);
    assert_int_equal(json_parse(buf_bytes(&text), 1 << 20, &document, &err), 0);
    json_t *paths = json_object_get(document, "paths"), *item;
    const char *name;
    json_object_foreach(paths, name, item) operations += json_object_size(item);
    assert_int_equal(operations, n);
    for (size_t i = 0; i < n; i++) {
        char method[8] = "";
        for (size_t k = 0; routes[i].method[k]; k++)
            method[k] = (char)(routes[i].method[k] | 0x20);
        json_t *operation = json_object_get(json_object_get(paths, routes[i].path), method), *entry;
        assert_non_null(operation);
        json_t *ports = json_object_get(operation, "x-ports");
        assert_int_equal(json_array_size(ports), __builtin_popcount(routes[i].ports));
        assert_string_equal(json_string_value(json_array_get(ports, 0)),
                            routes[i].ports & PORT_INTERNAL ? "internal" : "external");
        assert_int_equal(json_array_size(json_object_get(operation, "security")), routes[i].auth);
        size_t k, queries = 0, known = 0;
        while (routes[i].parameters[known])
            known++;
        json_array_foreach(json_object_get(operation, "parameters"), k, entry)
        {
            if (strcmp(json_string_value(json_object_get(entry, "in")), "query") != 0)
                continue;
            assert_string_equal(json_string_value(json_object_get(entry, "name")),
                                routes[i].parameters[queries]);
            queries++;
        }
        assert_int_equal(queries, known);
        const char *type = routes[i].type ? "text/plain" : "application/json";
        json_t *ok =
            json_object_get(json_object_get(operation, "responses"), routes[i].made == 201 ? "201" : "200");
        assert_non_null(json_object_get(json_object_get(ok, "content"), type));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_what_one_caller_has),
        cmocka_unit_test(a_bucket_holds_the_burst_and_fills_at_the_rate),
        cmocka_unit_test(the_table_of_addresses_is_bounded),
        cmocka_unit_test(the_longest_idle_connection_makes_room),
        cmocka_unit_test(one_address_cannot_push_out_another),
        cmocka_unit_test(deadlines_end_connections),
        cmocka_unit_test(targets_are_split_before_they_are_decoded),
        cmocka_unit_test(the_longest_nonce_and_one_more),
        cmocka_unit_test(the_document_and_the_table_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
