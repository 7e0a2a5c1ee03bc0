/* Golden measurements: a document that is accepted pins something; the machine made of its own values matches
 * it; one pinned byte changed in that machine fails; and a canonical text reads back as the same value. */
#include "fuzz.h"

#include "base/auto.h"
#include "policy/golden_compare.h"
#include "policy/golden_sign.h"

#include <string.h>

static void check_canonical(struct bytes text)
{
    AUTO(json_drop) json_t *v = NULL;
    AUTO(json_drop) json_t *again = NULL;
    AUTO(buf_done) struct buf out = buf_new(64 << 20);
    AUTO(buf_done) struct buf twice = buf_new(64 << 20);
    if (json_parse(text, GOLDEN_SIZE_MAX, &v, NULL) < 0 || json_canonical_put(&out, v, NULL) < 0)
        return;
    for (size_t i = 0; i < out.n; i++)
        CHECK(out.p[i] >= 0x20 && out.p[i] < 0x7F);
    CHECK(json_parse(buf_bytes(&out), 64 << 20, &again, NULL) == 0 && json_equal(v, again));
    CHECK(json_canonical_put(&twice, again, NULL) == 0);
    CHECK(bytes_equal(buf_bytes(&out), buf_bytes(&twice)));
}

/* Events of the machine as the document lists them: at their places, other digests between. */
static void place_events(const struct golden *g, unsigned pcr, struct registers *m)
{
    const struct event_digests *want = &g->want.events[pcr];
    const struct digest filler = { .alg = g->want.bank, .n = (uint8_t)digest_size(g->want.bank) };
    for (size_t i = 0; g->match[pcr] == MATCH_AT && i < want->n; i++)
        while (m->events[pcr].n <= g->at[pcr][i])
            if (registers_add_event(m, pcr, &filler, NULL) < 0)
                return;
    for (size_t i = 0; i < want->n; i++) {
        if (g->match[pcr] == MATCH_AT)
            m->events[pcr].item[g->at[pcr][i]] = want->item[i];
        else
            CHECK(registers_add_event(m, pcr, &want->item[i], NULL) == 0);
    }
    m->events[pcr].known = true;
}

static bool compare(const struct golden *g, const struct registers *m)
{
    AUTO(json_drop) json_t *not_checked = json_array();
    struct checks *checks = calloc(1, sizeof(*checks));
    if (!checks)
        exit(2);
    golden_compare(g, m, checks, not_checked);
    CHECK(checks->n == 3 && !checks->overflow);
    bool holds = !checks_first_failed(checks);
    CHECK(holds || checks_first_failed(checks)->detail[0]);
    free(checks);
    return holds;
}

/* Two listed events at one place, or one past the maximum, no machine can have. */
static bool possible(const struct golden *g)
{
    for (unsigned pcr = 0; pcr < REGISTER_PCRS; pcr++)
        for (size_t i = 0; g->match[pcr] == MATCH_AT && i < g->want.events[pcr].n; i++) {
            if (g->at[pcr][i] >= REGISTER_EVENTS_MAX)
                return false;
            for (size_t k = 0; k < i; k++)
                if (g->at[pcr][k] == g->at[pcr][i])
                    return false;
        }
    bool zero =
        (g->want.pcr_mask >> WORKLOAD_PCR & 1) == 0 || bytes_zero(digest_bytes(&g->want.pcr[WORKLOAD_PCR]));
    return zero || !g->want.workload.known || g->want.workload.n;
}

static void check_compare(struct bytes text, const struct golden *g)
{
    AUTO(golden_done) struct golden copy = { 0 };
    CHECK(golden_parse(text, &copy, NULL) == 0);
    struct registers m = copy.want;
    memset(copy.want.events, 0, sizeof(copy.want.events));
    m.workload.rooted = true;
    struct event_digests parsed[REGISTER_PCRS];
    memcpy(parsed, m.events, sizeof(parsed));
    memset(m.events, 0, sizeof(m.events));
    m.pcr_mask |= m.bank ? 1u << WORKLOAD_PCR : 0;
    for (unsigned i = 0; i < REGISTER_PCRS; i++) {
        m.pcr_mask |= g->match[i] != MATCH_NONE ? 1u << i : 0;
        m.pcr[i].alg = m.bank;
        m.pcr[i].n = (uint8_t)digest_size(m.bank);
        place_events(g, i, &m);
    }
    m.workload.known = true;
    bool uses_bank = golden_uses_pcrs(g) && g->want.bank;
    CHECK(compare(g, &m) || !possible(g) || (uses_bank && g->want.bank == ALG_SHA1));
    for (unsigned i = 0; i < REGISTER_PCRS; i++)
        if (g->want.pcr_mask >> i & 1) {
            m.pcr[i].b[0] ^= 1;
            CHECK(!compare(g, &m));
            m.pcr[i].b[0] ^= 1;
        }
    for (unsigned i = 0; i < REGISTERS; i++)
        if (g->want.value[i].n) {
            m.value[i].b[0] ^= 0x80;
            CHECK(!compare(g, &m));
            m.value[i].b[0] ^= 0x80;
        }
    for (unsigned i = 0; i < REGISTER_PCRS; i++) {
        free(parsed[i].item);
        free(m.events[i].item);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(golden_done) struct golden g = { 0 };
    struct bytes text = bytes_of(data, size);
    struct err err = { 0 };
    check_canonical(text);
    if (golden_parse(text, &g, &err) < 0) {
        CHECK((err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE) && err.cause[0]);
        return 0;
    }
    check_compare(text, &g);
    return 0;
}
