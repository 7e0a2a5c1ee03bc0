#include "policy/registers.h"

#include "base/auto.h"
#include "base/enc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SNP(name, size, number) "sev_snp", name, NULL, size, number
#define TDX(name, alias, size)  "tdx", name, alias, size, false
#define EVENTS_FIRST            32

static const struct register_info infos[REGISTERS] = {
    [REG_SNP_MEASUREMENT] = { SNP("measurement", 48, false) },
    [REG_SNP_POLICY] = { SNP("policy", 8, true) },
    [REG_SNP_VMPL] = { SNP("vmpl", 4, true) },
    [REG_SNP_FAMILY_ID] = { SNP("family_id", 16, false) },
    [REG_SNP_IMAGE_ID] = { SNP("image_id", 16, false) },
    [REG_SNP_HOST_DATA] = { SNP("host_data", 32, false) },
    [REG_SNP_ID_KEY_DIGEST] = { SNP("id_key_digest", 48, false) },
    [REG_SNP_AUTHOR_KEY_DIGEST] = { SNP("author_key_digest", 48, false) },
    [REG_TDX_MR_TD] = { TDX("mr_td", "mrtd", 48) },
    [REG_TDX_MR_SEAM] = { TDX("mr_seam", "mrseam", 48) },
    [REG_TDX_MR_SIGNER_SEAM] = { TDX("mr_signer_seam", NULL, 48) },
    [REG_TDX_TD_ATTRIBUTES] = { TDX("td_attributes", NULL, 8) },
    [REG_TDX_XFAM] = { TDX("xfam", NULL, 8) },
    [REG_TDX_MR_CONFIG_ID] = { TDX("mr_config_id", NULL, 48) },
    [REG_TDX_MR_OWNER] = { TDX("mr_owner", NULL, 48) },
    [REG_TDX_MR_OWNER_CONFIG] = { TDX("mr_owner_config", NULL, 48) },
    [REG_TDX_RTMR0] = { TDX("rtmr0", NULL, 48) },
    [REG_TDX_RTMR1] = { TDX("rtmr1", NULL, 48) },
    [REG_TDX_RTMR2] = { TDX("rtmr2", NULL, 48) },
    [REG_TDX_RTMR3] = { TDX("rtmr3", NULL, 48) },
};

static const char *const tcb_names[TCB_PARTS] = {
    [TCB_BOOTLOADER] = "bootloader", [TCB_TEE] = "tee", [TCB_SNP] = "snp",
    [TCB_MICROCODE] = "microcode",   [TCB_FMC] = "fmc",
};

const struct register_info *register_info(enum register_id id)
{
    return &infos[id];
}

const char *tcb_part_name(enum tcb_part part)
{
    return tcb_names[part];
}

static void workload_done(struct workload_events *w)
{
    for (size_t i = 0; i < w->n; i++) {
        free(w->item[i].type);
        free(w->item[i].name);
    }
    free(w->item);
    *w = (struct workload_events){ 0 };
}

void registers_done(struct registers *r)
{
    for (unsigned i = 0; i < REGISTER_PCRS; i++)
        free(r->events[i].item);
    workload_done(&r->workload);
    *r = (struct registers){ 0 };
}

int registers_set(struct registers *r, enum register_id id, struct bytes value, struct err *err)
{
    const struct register_info *info = &infos[id];
    if (value.n != info->size)
        return err_set(err, ERR_INPUT, 0, "%s.%s: %zu bytes, want %u", info->tee, info->name, value.n,
                       info->size);
    r->value[id].n = info->size;
    memcpy(r->value[id].b, value.p, value.n);
    return 0;
}

int registers_set_number(struct registers *r, enum register_id id, uint64_t value, struct err *err)
{
    uint8_t big_endian[8];
    size_t size = infos[id].size;
    for (size_t i = 0; i < sizeof(big_endian); i++)
        big_endian[i] = (uint8_t)(value >> (8 * (sizeof(big_endian) - 1 - i)));
    if (!infos[id].number || !bytes_zero(bytes_of(big_endian, sizeof(big_endian) - size)))
        return err_set(err, ERR_INPUT, 0, "%s.%s: not a number of %zu bytes", infos[id].tee, infos[id].name,
                       size);
    return registers_set(r, id, bytes_of(big_endian + sizeof(big_endian) - size, size), err);
}

int registers_add_event(struct registers *r, unsigned pcr, const struct digest *digest, struct err *err)
{
    struct event_digests *list = &r->events[pcr];
    if (list->n == REGISTER_EVENTS_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "PCR %u has more than %d events", pcr, REGISTER_EVENTS_MAX);
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : EVENTS_FIRST;
        struct digest *bigger = realloc(list->item, cap * sizeof(*bigger));
        if (!bigger)
            return err_set(err, ERR_IO, 0, "no memory for %zu events", cap);
        list->item = bigger;
        list->cap = cap;
    }
    list->item[list->n++] = *digest;
    list->known = true;
    return 0;
}

/* A string member of at most max bytes. */
static int text_member(const json_t *record, size_t i, const char *key, size_t max, const char **out,
                       struct err *err)
{
    const json_t *v = json_object_get(record, key);
    if (!json_is_string(v))
        return err_set(err, ERR_INPUT, 0, "events[%zu].%s is not there as a string", i, key);
    if (json_string_length(v) > max)
        return err_set(err, ERR_TOO_LARGE, 0, "events[%zu].%s has more than %zu bytes", i, key, max);
    *out = json_string_value(v);
    return 0;
}

static bool one_of(const char *word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

static int add_record(struct workload_events *w, const json_t *record, size_t i, struct err *err)
{
    /* After these the sequence is measured from zero; none of the three goes into PCR 23. */
    static const char *const restarts[] = { "update", "rollback" }, *const others[] = { "livepatch" };
    struct workload_event e = { 0 };
    const char *type = "", *name = "", *content = "";
    struct err inner = { 0 };
    if (text_member(record, i, "type", WORKLOAD_TYPE_MAX, &type, err) < 0
        || text_member(record, i, "name", WORKLOAD_NAME_MAX, &name, err) < 0
        || text_member(record, i, "content_sha384", 2 * sizeof(e.content_sha384) + 2, &content, err) < 0)
        return -1;
    if (hex_decode_fixed(bytes_str(content), e.content_sha384, sizeof(e.content_sha384), &inner) < 0)
        return err_set(err, ERR_INPUT, 0, "events[%zu].content_sha384: %s", i, inner.cause);
    if (one_of(type, restarts, ARRAY_SIZE(restarts)))
        workload_done(w);
    else if (!one_of(type, others, ARRAY_SIZE(others))) {
        e.type = strdup(type);
        e.name = strdup(name);
        struct workload_event *bigger = realloc(w->item, (w->n + 1) * sizeof(*bigger));
        if (bigger)
            w->item = bigger;
        if (!bigger || !e.type || !e.name) {
            free(e.type);
            free(e.name);
            return err_set(err, ERR_IO, 0, "no memory for %zu workload events", w->n + 1);
        }
        w->item[w->n++] = e;
    }
    return 0;
}

int registers_set_workload(struct registers *r, const json_t *records, struct err *err)
{
    AUTO(workload_done) struct workload_events w = { 0 };
    if (!json_is_array(records))
        return err_set(err, ERR_INPUT, 0, "workload events are not an array");
    if (json_array_size(records) > WORKLOAD_EVENTS_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "more than %d workload events", WORKLOAD_EVENTS_MAX);
    for (size_t i = 0; i < json_array_size(records); i++)
        if (add_record(&w, json_array_get(records, i), i, err) < 0)
            return -1;
    w.known = true;
    w.rooted = r->workload.rooted;
    workload_done(&r->workload);
    r->workload = w;
    w = (struct workload_events){ 0 };
    return 0;
}

char *register_name(enum register_id id, char out[static REGISTER_NAME_MAX])
{
    snprintf(out, REGISTER_NAME_MAX, "%s.%s", infos[id].tee, infos[id].name);
    return out;
}

char *pcr_name(unsigned pcr, uint16_t bank, char out[static REGISTER_NAME_MAX])
{
    snprintf(out, REGISTER_NAME_MAX, "PCR %u (%s)", pcr, digest_name(bank) ?: "no bank");
    return out;
}

char *register_text(enum register_id id, const struct register_value *v, char out[static REGISTER_TEXT_MAX])
{
    if (v->n && infos[id].number)
        snprintf(out, REGISTER_TEXT_MAX, "0x%" PRIx64, be_uint(v->b, v->n));
    else
        hex_to(out, bytes_of(v->b, v->n));
    return out;
}

bool register_equal(const struct register_value *a, const struct register_value *b)
{
    return a->n && bytes_equal(bytes_of(a->b, a->n), bytes_of(b->b, b->n));
}

bool workload_event_equal(const struct workload_event *a, const struct workload_event *b)
{
    return strcmp(a->type, b->type) == 0 && strcmp(a->name, b->name) == 0
           && memcmp(a->content_sha384, b->content_sha384, sizeof(a->content_sha384)) == 0;
}
