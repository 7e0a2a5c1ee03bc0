/* The firewall: the table `inet cvm_agent`, handed to nft as one transaction and read back. Source:
 * libnftables-json(5). Rules are written in the form in which nft lists them, so that equality is equality.
 */
#include "agent/priv/child.h"
#include "agent/priv/verbs.h"

#include "base/auto.h"
#include "base/json.h"

#include <unistd.h>

#define NFT         "/usr/sbin/nft"
#define NFT_MS      8000
#define LISTING_MAX (4u << 20)
#define FAMILY      "inet"
#define TABLE       "cvm_agent"
/* The interfaces of the engines' networks. */
static const char *const bridges[] = { "podman*", "docker*" };

/* {"chain": …} or {"rule": …} without handles, in the order of a listing. */
static void add_object(json_t *list, const char *what, json_t *object)
{
    json_object_set_new(object, "family", json_string(FAMILY));
    json_object_set_new(object, "table", json_string(TABLE));
    json_array_append_new(list, json_pack("{s:o}", what, object));
}

static void add_chain(json_t *list, const char *name)
{
    add_object(list, "chain",
               json_pack("{s:s, s:s, s:s, s:i, s:s}", "name", name, "type", "filter", "hook", name, "prio", 0,
                         "policy", "drop"));
}

/* Takes matches, an array; what they match is accepted. */
static void add_rule(json_t *list, const char *chain, json_t *matches)
{
    json_array_append_new(matches, json_pack("{s:n}", "accept"));
    add_object(list, "rule", json_pack("{s:s, s:o}", "chain", chain, "expr", matches));
}

static json_t *match(const char *op, json_t *left, json_t *right)
{
    return json_pack("{s:{s:s, s:o, s:o}}", "match", "op", op, "left", left, "right", right);
}

static json_t *meta(const char *key)
{
    return json_pack("{s:{s:s}}", "meta", "key", key);
}

static json_t *field(const char *protocol, const char *name)
{
    return json_pack("{s:{s:s, s:s}}", "payload", "protocol", protocol, "field", name);
}

static json_t *conntrack(const char *key)
{
    return json_pack("{s:{s:s}}", "ct", "key", key);
}

static json_t *interface_is(const char *op, const char *key, const char *name)
{
    return match(op, meta(key), json_string(name));
}

static json_t *translated(void)
{
    return match("in", conntrack("status"), json_string("dnat"));
}

static json_t *ports(uint16_t first, uint16_t last)
{
    return first == last ? json_integer(first) : json_pack("{s:[i, i]}", "range", first, last);
}

static void add_established(json_t *list, const char *chain)
{
    add_rule(list, chain,
             json_pack("[o]",
                       match("in", conntrack("state"), json_pack("[s, s]", "established", "related"))));
}

/* What a machine cannot do without: IPv6 has no addresses without these, containers no names. */
static void add_basics(json_t *list)
{
    add_established(list, "input");
    add_rule(list, "input", json_pack("[o]", interface_is("==", "iifname", "lo")));
    add_rule(list, "input",
             json_pack("[o]", match("==", field("icmpv6", "type"),
                                    json_pack("{s:[s, s, s]}", "set", "nd-router-advert",
                                              "nd-neighbor-solicit", "nd-neighbor-advert"))));
    add_rule(list, "input",
             json_pack("[o, o]",
                       match("==", field("ip6", "saddr"),
                             json_pack("{s:{s:s, s:i}}", "prefix", "addr", "fe80::", "len", 10)),
                       match("==", field("udp", "dport"), json_integer(546))));
    for (size_t i = 0; i < ARRAY_SIZE(bridges); i++) {
        add_rule(list, "input",
                 json_pack("[o, o]", interface_is("==", "iifname", bridges[i]),
                           match("==", field("udp", "dport"), json_integer(53))));
        add_rule(list, "input",
                 json_pack("[o, o]", interface_is("==", "iifname", bridges[i]),
                           match("==", field("tcp", "dport"), json_integer(53))));
    }
}

/* Containers go out, and reach what is published, but not each other's networks. */
static void add_containers(json_t *list)
{
    add_established(list, "forward");
    for (size_t i = 0; i < ARRAY_SIZE(bridges); i++) {
        const char *name = bridges[i];
        add_rule(list, "forward",
                 json_pack("[o, o]", interface_is("==", "iifname", name),
                           interface_is("!=", "oifname", name)));
        add_rule(list, "forward", json_pack("[o, o]", interface_is("==", "iifname", name), translated()));
    }
}

struct port {
    const char *protocol;
    uint16_t first, last;
};

/* A published port of a container is judged by the port that was asked for, before translation. */
static void add_port(json_t *list, const struct port *p, bool forward)
{
    if (!forward) {
        add_rule(list, "input",
                 json_pack("[o]", match("==", field(p->protocol, "dport"), ports(p->first, p->last))));
        return;
    }
    json_t *original = json_pack("{s:{s:s, s:s}}", "ct", "key", "proto-dst", "dir", "original");
    add_rule(list, "forward",
             json_pack("[o, o, o]", translated(), match("==", meta("l4proto"), json_string(p->protocol)),
                       match("==", original, ports(p->first, p->last))));
}

static int read_port(struct reader *r, struct port *out)
{
    uint8_t protocol, zero;
    uint16_t padding;
    if (!rd_u8(r, &protocol) || !rd_u8(r, &zero) || !rd_u16le(r, &out->first) || !rd_u16le(r, &out->last)
        || !rd_u16le(r, &padding) || zero || padding || (protocol != 6 && protocol != 17) || out->first == 0
        || out->last < out->first)
        return -1;
    out->protocol = protocol == 6 ? "tcp" : "udp";
    return 0;
}

/* The table as a listing would have it: chains, then the rules of each. NULL: a record is none. */
static json_t *wanted_objects(struct bytes records)
{
    json_t *list = json_array();
    add_chain(list, "input");
    add_chain(list, "forward");
    for (int forward = 0; forward < 2; forward++) {
        struct reader r = reader_of(records);
        struct port p;
        if (forward)
            add_containers(list);
        else
            add_basics(list);
        while (r.rest.n > 0) {
            if (read_port(&r, &p) < 0) {
                json_decref(list);
                return NULL;
            }
            add_port(list, &p, forward != 0);
        }
    }
    return list;
}

/* add, delete, add: the table is new, and was never missing. */
static int transaction(const json_t *objects, struct buf *out, struct err *err)
{
    AUTO(json_drop) json_t *commands = json_array();
    static const char *const steps[] = { "add", "delete", "add" };
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        json_array_append_new(commands, json_pack("{s:{s:{s:s, s:s}}}", steps[i], "table", "family", FAMILY,
                                                  "name", TABLE));
    for (size_t i = 0; i < json_array_size(objects); i++)
        json_array_append_new(commands, json_pack("{s:O}", "add", json_array_get(objects, i)));
    AUTO(json_drop) json_t *all = json_pack("{s:O}", "nftables", commands);
    json_put(out, all, false);
    return buf_check(out, "firewall rules", err);
}

static bool is_wanted(json_t *listed, const json_t *wanted)
{
    json_t *inner = json_object_iter_value(json_object_iter(listed));
    json_object_del(inner, "handle");
    return json_equal(listed, wanted) == 1;
}

/* The kernel's table must be the one that was asked for, no more and no less. */
static int compare(const struct buf *listing, const json_t *wanted, struct err *err)
{
    AUTO(json_drop) json_t *all = NULL;
    if (json_parse(buf_bytes(listing), LISTING_MAX, &all, err) < 0)
        return err_while(err, "read back the firewall");
    const json_t *list = json_object_get(all, "nftables");
    size_t at = 0, n = json_array_size(wanted);
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *one = json_array_get(list, i);
        if (json_object_get(one, "metainfo") || json_object_get(one, "table"))
            continue;
        if (at >= n || !is_wanted(one, json_array_get(wanted, at)))
            return err_set(err, ERR_IO, 0, "the firewall read back differs at object %zu of %zu", at, n);
        at++;
    }
    return at == n ? 0 : err_set(err, ERR_IO, 0, "the firewall read back has %zu objects, want %zu", at, n);
}

static int apply(const json_t *wanted, struct err *err)
{
    static const char *const set[] = { NFT, "-j", "-f", "-", NULL };
    static const char *const list[] = { NFT, "-j", "list", "table", FAMILY, TABLE, NULL };
    AUTO(buf_done) struct buf commands = buf_new(LISTING_MAX), said = buf_new(LISTING_MAX);
    AUTO(buf_done) struct buf listing = buf_new(LISTING_MAX);
    char complaint[200];
    if (transaction(wanted, &commands, err) < 0
        || child_run(set, buf_bytes(&commands), &said, complaint, sizeof(complaint), NFT_MS, err) < 0
        || child_run(list, bytes_of(NULL, 0), &listing, complaint, sizeof(complaint), NFT_MS, err) < 0)
        return -1;
    return compare(&listing, wanted, err);
}

enum priv_status verb_firewall(struct priv_exchange *x)
{
    struct bytes records = bytes_of(x->request->payload, x->request->payload_size);
    struct err err = { 0 };
    if (records.n % PRIV_PORT_SIZE || records.n > PRIV_PORTS_MAX * PRIV_PORT_SIZE)
        return PRIV_MALFORMED;
    AUTO(json_drop) json_t *wanted = wanted_objects(records);
    if (!wanted)
        return PRIV_MALFORMED;
    return apply(wanted, &err) < 0 ? priv_say_err(x, &err) : PRIV_OK;
}
