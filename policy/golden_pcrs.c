/* PCRs of a golden measurement in its three spellings: "tpm" of our form, a list of objects (automata), an
 * object of hex strings. */
#include "policy/golden_parse.h"

#include "base/auto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "0" to "23" as printed. */
static int pcr_number(const char *key, const char *path, unsigned *out, struct err *err)
{
    char text[4];
    for (unsigned i = 0; i < REGISTER_PCRS; i++) {
        snprintf(text, sizeof(text), "%u", i);
        if (strcmp(text, key) == 0) {
            *out = i;
            return 0;
        }
    }
    return err_set(err, ERR_INPUT, 0, "%s: PCR numbers are 0 to %d", path, REGISTER_PCRS - 1);
}

static int parse_digest(const json_t *v, const char *path, uint16_t bank, struct digest *out, struct err *err)
{
    *out = (struct digest){ .alg = bank, .n = (uint8_t)digest_size(bank) };
    return golden_hex(v, path, out->b, out->n, err);
}

static int parse_values(const json_t *v, const char *path, struct golden *g, struct err *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(v))
        return err_set(err, ERR_INPUT, 0, "%s is not an object", path);
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        char where[GOLDEN_PATH_MAX];
        unsigned i;
        golden_path(where, path, key);
        if (pcr_number(key, where, &i, err) < 0
            || parse_digest(value, where, g->want.bank, &g->want.pcr[i], err) < 0)
            return -1;
        g->want.pcr_mask |= 1u << i;
    }
    return 0;
}

/* A list of digests for one PCR; an empty list is known too. */
static int parse_digests(const json_t *v, const char *path, unsigned pcr, struct golden *g, struct err *err)
{
    if (!json_is_array(v))
        return err_set(err, ERR_INPUT, 0, "%s is not an array", path);
    for (size_t i = 0; i < json_array_size(v); i++) {
        char where[GOLDEN_PATH_MAX + 24];
        struct digest d;
        snprintf(where, sizeof(where), "%s[%zu]", path, i);
        if (parse_digest(json_array_get(v, i), where, g->want.bank, &d, err) < 0
            || registers_add_event(&g->want, pcr, &d, err) < 0)
            return -1;
    }
    g->want.events[pcr].known = true;
    return 0;
}

static int parse_match(const json_t *v, const char *path, enum event_match *out, struct err *err)
{
    static const char *const words[] = {
        [MATCH_EXACT] = "exact", [MATCH_SUBSET] = "subset", [MATCH_SEQUENCE] = "sequence"
    };
    const char *text = json_string_value(v);
    for (unsigned i = MATCH_EXACT; text && i < ARRAY_SIZE(words); i++)
        if (strcmp(text, words[i]) == 0) {
            *out = (enum event_match)i;
            return 0;
        }
    return err_set(err, ERR_INPUT, 0, "%s is none of exact, subset, sequence", path);
}

/* {"match":...,"digests":[...]} and nothing else. */
static int parse_event_rule(const json_t *v, const char *path, unsigned pcr, struct golden *g,
                            struct err *err)
{
    char match_path[GOLDEN_PATH_MAX], digests_path[GOLDEN_PATH_MAX];
    const json_t *match = json_object_get(v, "match"), *digests = json_object_get(v, "digests");
    if (!match || !digests || json_object_size(v) != 2)
        return err_set(err, ERR_INPUT, 0, "%s is not {\"match\":...,\"digests\":[...]}", path);
    golden_path(match_path, path, "match");
    golden_path(digests_path, path, "digests");
    if (parse_match(match, match_path, &g->match[pcr], err) < 0)
        return -1;
    return parse_digests(digests, digests_path, pcr, g, err);
}

static int parse_event_rules(const json_t *v, const char *path, struct golden *g, struct err *err)
{
    const char *key;
    json_t *rule;
    if (!json_is_object(v))
        return err_set(err, ERR_INPUT, 0, "%s is not an object", path);
    json_object_foreach((json_t *)(uintptr_t)v, key, rule)
    {
        char where[GOLDEN_PATH_MAX];
        unsigned pcr;
        golden_path(where, path, key);
        if (pcr_number(key, where, &pcr, err) < 0 || parse_event_rule(rule, where, pcr, g, err) < 0)
            return -1;
    }
    return 0;
}

static int set_bank(uint16_t bank, const char *path, struct golden *g, struct err *err)
{
    if (g->want.bank)
        return err_set(err, ERR_INPUT, 0, "%s: PCRs are given twice, in two forms", path);
    g->want.bank = bank;
    return 0;
}

/* golden_parse_tpm() has read it before the rest, since the digests' length follows from it. */
static int bank_was_read(const json_t *v, const char *path, struct golden *g, struct err *err)
{
    (void)v;
    (void)path;
    (void)g;
    (void)err;
    return 0;
}

int golden_parse_tpm(const json_t *v, const char *path, struct golden *g, struct err *err)
{
    static const struct golden_member members[] = { { "bank", bank_was_read },
                                                    { "pcrs", parse_values },
                                                    { "events", parse_event_rules } };
    const json_t *bank = json_object_get(v, "bank");
    uint16_t alg = ALG_SHA256;
    if (bank)
        alg = json_is_string(bank) ? digest_by_name(json_string_value(bank)) : 0;
    if (!alg)
        return err_set(err, ERR_INPUT, 0, "%s.bank is none of sha256, sha384, sha512, sha1", path);
    if (set_bank(alg, path, g, err) < 0)
        return -1;
    return golden_walk(v, path, members, ARRAY_SIZE(members), g, err);
}

/* One element of the automata list. */
struct entry {
    const json_t *index, *pcr, *events, *places, *measure;
};

static int split_entry(const json_t *v, const char *path, struct entry *out, struct err *err)
{
    struct entry e = { 0 };
    const struct {
        const char *name;
        const json_t **to;
    } members[] = { { "index", &e.index },
                    { "pcr", &e.pcr },
                    { "measure_events", &e.events },
                    { "measure_events_idx", &e.places },
                    { "measure_pcr", &e.measure } };
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)v, key, member)
    {
        size_t i = 0;
        if (strcmp(key, "all_events") == 0 && json_is_array(member))
            continue; /* the guest's whole record: it pins nothing */
        while (i < ARRAY_SIZE(members) && strcmp(members[i].name, key) != 0)
            i++;
        if (i == ARRAY_SIZE(members))
            return err_set(err, ERR_INPUT, 0, "%s.%.40s is not a member of a PCR", path, key);
        *members[i].to = member;
    }
    if (!e.index || !e.pcr)
        return err_set(err, ERR_INPUT, 0, "%s has no index, or no pcr", path);
    if (json_array_size(e.events) != json_array_size(e.places))
        return err_set(err, ERR_INPUT, 0, "%s: measure_events and measure_events_idx differ in length", path);
    *out = e;
    return 0;
}

static int parse_places(const struct entry *e, const char *path, unsigned pcr, struct golden *g,
                        struct err *err)
{
    char where[GOLDEN_PATH_MAX];
    size_t n = json_array_size(e->events);
    if (e->events && parse_digests(e->events, golden_path(where, path, "measure_events"), pcr, g, err) < 0)
        return -1;
    if (e->places && !json_is_array(e->places))
        return err_set(err, ERR_INPUT, 0, "%s.measure_events_idx is not an array", path);
    if (!n)
        return 0;
    g->match[pcr] = MATCH_AT;
    g->at[pcr] = calloc(n, sizeof(*g->at[pcr]));
    if (!g->at[pcr])
        return err_set(err, ERR_IO, 0, "no memory for %zu events", n);
    for (size_t i = 0; i < n; i++) {
        uint64_t place = 0;
        golden_path(where, path, "measure_events_idx");
        if (golden_number(json_array_get(e->places, i), where, REGISTER_EVENTS_MAX, &place, err) < 0)
            return -1;
        g->at[pcr][i] = (uint32_t)place;
    }
    return 0;
}

/* Zero with events: the value is free. Zero without events may mean "not measured" or "nothing was
 * extended"; which of the two only measure_pcr says. */
static int decide_pin(const struct entry *e, const char *path, unsigned pcr, struct golden *g,
                      struct err *err)
{
    bool zero = bytes_zero(digest_bytes(&g->want.pcr[pcr])), events = g->want.events[pcr].n > 0;
    if (e->measure && !json_is_boolean(e->measure))
        return err_set(err, ERR_INPUT, 0, "%s.measure_pcr is neither true nor false", path);
    if (!e->measure && zero && !events)
        return err_set(err, ERR_INPUT, 0,
                       "%s: PCR %u is zero without events, which may mean zero or not measured: add "
                       "\"measure_pcr\":true or false",
                       path, pcr);
    if (json_is_false(e->measure) && !zero)
        return err_set(err, ERR_INPUT, 0, "%s: PCR %u has a value, and measure_pcr false", path, pcr);
    if (json_is_true(e->measure) || (!e->measure && !zero))
        g->want.pcr_mask |= 1u << pcr;
    return 0;
}

static int parse_entry(const json_t *v, const char *path, uint32_t *seen, struct golden *g, struct err *err)
{
    char where[GOLDEN_PATH_MAX];
    struct entry e = { 0 };
    uint64_t pcr = 0;
    if (split_entry(v, path, &e, err) < 0
        || golden_number(e.index, golden_path(where, path, "index"), REGISTER_PCRS - 1, &pcr, err) < 0)
        return -1;
    if (*seen >> pcr & 1)
        return err_set(err, ERR_INPUT, 0, "%s: PCR %" PRIu64 " is given twice", path, pcr);
    *seen |= 1u << pcr;
    if (parse_digest(e.pcr, golden_path(where, path, "pcr"), ALG_SHA256, &g->want.pcr[pcr], err) < 0
        || parse_places(&e, path, (unsigned)pcr, g, err) < 0)
        return -1;
    return decide_pin(&e, path, (unsigned)pcr, g, err);
}

int golden_parse_pcrs(const json_t *v, const char *path, struct golden *g, struct err *err)
{
    uint32_t seen = 0;
    if (set_bank(ALG_SHA256, path, g, err) < 0)
        return -1;
    if (json_is_object(v))
        return parse_values(v, path, g, err);
    if (!json_is_array(v))
        return err_set(err, ERR_INPUT, 0, "%s is neither a list nor an object", path);
    for (size_t i = 0; i < json_array_size(v); i++) {
        char where[GOLDEN_PATH_MAX + 24];
        snprintf(where, sizeof(where), "%s[%zu]", path, i);
        if (parse_entry(json_array_get(v, i), where, &seen, g, err) < 0)
            return -1;
    }
    return 0;
}
