#include "policy/golden_parse.h"

#include "base/auto.h"
#include "base/enc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN_VERSION 1
#define INNER          "golden_measurement"

char *golden_path(char out[static GOLDEN_PATH_MAX], const char *path, const char *key)
{
    snprintf(out, GOLDEN_PATH_MAX, "%.80s.%.40s", path, key);
    return out;
}

int golden_hex(const json_t *v, const char *path, uint8_t *out, size_t n, struct err *err)
{
    struct err inner = { 0 };
    if (!json_is_string(v))
        return err_set(err, ERR_INPUT, 0, "%s is not a string of %zu hex digits", path, 2 * n);
    if (hex_decode_fixed(bytes_of(json_string_value(v), json_string_length(v)), out, n, &inner) < 0)
        return err_set(err, ERR_INPUT, 0, "%s: %s", path, inner.cause);
    return 0;
}

static int hex_number(struct bytes text, uint64_t *out)
{
    uint8_t bytes[8] = { 0 };
    char digits[17];
    if (text.n < 3 || text.n > 18 || memcmp(text.p, "0x", 2) != 0)
        return -1;
    memset(digits, '0', sizeof(digits));
    memcpy(digits + 16 - (text.n - 2), text.p + 2, text.n - 2);
    if (memchr(digits, 'x', 16) || hex_decode_fixed(bytes_of(digits, 16), bytes, 8, NULL) < 0)
        return -1;
    *out = be_uint(bytes, sizeof(bytes));
    return 0;
}

int golden_number(const json_t *v, const char *path, uint64_t max, uint64_t *out, struct err *err)
{
    uint64_t n = 0;
    bool ok = false;
    if (json_is_integer(v)) {
        ok = json_integer_value(v) >= 0;
        n = (uint64_t)json_integer_value(v);
    } else if (json_is_string(v)) {
        ok = hex_number(bytes_of(json_string_value(v), json_string_length(v)), &n) == 0;
    }
    if (!ok || n > max)
        return err_set(err, ERR_INPUT, 0, "%s is not a number from 0 to %" PRIu64 ", or 0x and hex digits",
                       path, max);
    *out = n;
    return 0;
}

int golden_walk(const json_t *object, const char *path, const struct golden_member *table, size_t n,
                struct golden *g, struct err *err)
{
    const char *key;
    json_t *v;
    if (!json_is_object(object))
        return err_set(err, ERR_INPUT, 0, "%s is not an object", path);
    json_object_foreach((json_t *)(uintptr_t)object, key, v)
    {
        char where[GOLDEN_PATH_MAX];
        size_t i = 0;
        golden_path(where, path, key);
        while (i < n && strcmp(table[i].name, key) != 0)
            i++;
        if (i == n)
            return err_set(err, ERR_INPUT, 0, "%s is not a member of a golden measurement", where);
        if (table[i].parse(v, where, g, err) < 0)
            return -1;
    }
    return 0;
}

static int parse_version(const json_t *v, const char *path, struct golden *g, struct err *err)
{
    (void)g;
    if (!json_is_integer(v) || json_integer_value(v) != GOLDEN_VERSION)
        return err_set(err, ERR_INPUT, 0, "%s: this program reads version %d", path, GOLDEN_VERSION);
    return 0;
}

static int parse_word(const json_t *v, const char *path, const char *const *words, size_t n, char out[16],
                      struct err *err)
{
    const char *text = json_string_value(v);
    for (size_t i = 0; text && i < n; i++)
        if (strcmp(text, words[i]) == 0) {
            snprintf(out, 16, "%s", text);
            return 0;
        }
    return err_set(err, ERR_INPUT, 0, "%s is none of %s, %s, %s%s%s", path, words[0], words[1], words[2],
                   n > 3 ? ", " : "", n > 3 ? words[3] : "");
}

static int parse_tee_name(const json_t *v, const char *path, struct golden *g, struct err *err)
{
    static const char *const tees[] = { "none", "tdx", "sev_snp" };
    return parse_word(v, path, tees, ARRAY_SIZE(tees), g->want.tee, err);
}

static int parse_cloud_name(const json_t *v, const char *path, struct golden *g, struct err *err)
{
    static const char *const clouds[] = { "none", "gcp", "azure", "aws" };
    return parse_word(v, path, clouds, ARRAY_SIZE(clouds), g->want.cloud, err);
}

static int parse_platform(const json_t *v, const char *path, struct golden *g, struct err *err)
{
    static const struct golden_member members[] = { { "tee", parse_tee_name },
                                                    { "cloud", parse_cloud_name } };
    return golden_walk(v, path, members, ARRAY_SIZE(members), g, err);
}

static int parse_tcb(const json_t *v, const char *path, struct golden *g, struct err *err)
{
    const char *key;
    json_t *part;
    if (!json_is_object(v))
        return err_set(err, ERR_INPUT, 0, "%s is not an object", path);
    json_object_foreach((json_t *)(uintptr_t)v, key, part)
    {
        char where[GOLDEN_PATH_MAX];
        uint64_t svn = 0;
        unsigned i = 0;
        while (i < TCB_PARTS && strcmp(tcb_part_name(i), key) != 0)
            i++;
        if (i == TCB_PARTS)
            return err_set(err, ERR_INPUT, 0, "%s is not a component of a TCB",
                           golden_path(where, path, key));
        if (golden_number(part, golden_path(where, path, key), UINT8_MAX, &svn, err) < 0)
            return -1;
        g->want.tcb.svn[i] = (uint8_t)svn;
        g->want.tcb.mask |= (uint8_t)(1u << i);
    }
    return 0;
}

static int parse_register(enum register_id id, const json_t *v, const char *path, struct golden *g,
                          struct err *err)
{
    const struct register_info *info = register_info(id);
    uint8_t value[REGISTER_SIZE_MAX];
    uint64_t number = 0;
    if (g->want.value[id].n)
        return err_set(err, ERR_INPUT, 0, "%s: %s.%s is given twice", path, info->tee, info->name);
    if (info->number) {
        if (golden_number(v, path, info->size == 8 ? UINT64_MAX : UINT32_MAX, &number, err) < 0)
            return -1;
        return registers_set_number(&g->want, id, number, err);
    }
    if (golden_hex(v, path, value, info->size, err) < 0)
        return -1;
    return registers_set(&g->want, id, bytes_of(value, info->size), err);
}

static bool is_name_of(const struct register_info *info, const char *tee, const char *key)
{
    return strcmp(info->tee, tee) == 0
           && (strcmp(info->name, key) == 0 || (info->alias && strcmp(info->alias, key) == 0));
}

/* One TEE's registers; the document is then for that TEE. */
static int parse_registers(const char *tee, const json_t *v, const char *path, struct golden *g,
                           struct err *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(v))
        return err_set(err, ERR_INPUT, 0, "%s is not an object", path);
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        char where[GOLDEN_PATH_MAX];
        unsigned id = 0;
        golden_path(where, path, key);
        while (id < REGISTERS && !is_name_of(register_info(id), tee, key))
            id++;
        bool tcb = strcmp(tee, "sev_snp") == 0 && strcmp(key, "minimum_tcb") == 0;
        if (id == REGISTERS && !tcb)
            return err_set(err, ERR_INPUT, 0, "%s is not a register of %s", where, tee);
        if ((tcb ? parse_tcb(value, where, g, err) : parse_register(id, value, where, g, err)) < 0)
            return -1;
    }
    return 0;
}

static int parse_snp(const json_t *v, const char *path, struct golden *g, struct err *err)
{
    return parse_registers("sev_snp", v, path, g, err);
}

static int parse_tdx(const json_t *v, const char *path, struct golden *g, struct err *err)
{
    return parse_registers("tdx", v, path, g, err);
}

static int parse_snp_measurement(const json_t *v, const char *path, struct golden *g, struct err *err)
{
    return parse_register(REG_SNP_MEASUREMENT, v, path, g, err);
}

static int check_record(const json_t *record, const char *path, size_t i, struct err *err)
{
    static const char *const known[] = { "seq",     "boot_id",   "type", "name", "content_sha384",
                                         "digests", "registers", "time" };
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)record, key, v)
    {
        size_t k = 0;
        while (k < ARRAY_SIZE(known) && strcmp(known[k], key) != 0)
            k++;
        if (k == ARRAY_SIZE(known))
            return err_set(err, ERR_INPUT, 0, "%s[%zu].%.40s is not a member of a workload event", path, i,
                           key);
    }
    return 0;
}

static int parse_scheme(const json_t *v, const char *path, struct golden *g, struct err *err)
{
    (void)g;
    if (!json_is_string(v) || strcmp(json_string_value(v), "cvm-agent-v1") != 0)
        return err_set(err, ERR_INPUT, 0, "%s: this program knows the scheme cvm-agent-v1", path);
    return 0;
}

static int parse_events(const json_t *v, const char *path, struct golden *g, struct err *err)
{
    for (size_t i = 0; i < json_array_size(v); i++)
        if (check_record(json_array_get(v, i), path, i, err) < 0)
            return -1;
    return registers_set_workload(&g->want, v, err);
}

static int parse_workload(const json_t *v, const char *path, struct golden *g, struct err *err)
{
    static const struct golden_member members[] = { { "scheme", parse_scheme }, { "events", parse_events } };
    g->want.workload.known = true;
    if (json_is_null(v))
        return 0;
    if (golden_walk(v, path, members, ARRAY_SIZE(members), g, err) < 0)
        return -1;
    if (!json_object_get(v, "scheme") || !json_object_get(v, "events"))
        return err_set(err, ERR_INPUT, 0,
                       "%s is neither null nor {\"scheme\":\"cvm-agent-v1\",\"events\":[]}", path);
    return 0;
}

/* The TEE that the document's registers are of, "" without any. */
static int tee_of(const json_t *inner, const char **out, struct err *err)
{
    bool snp = json_object_get(inner, "sev_snp") || json_object_get(inner, "snp")
               || json_object_get(inner, "snp_measurement");
    bool tdx = json_object_get(inner, "tdx") != NULL;
    if (snp && tdx)
        return err_set(err, ERR_INPUT, 0, INNER " has registers of both sev_snp and tdx");
    *out = snp ? "sev_snp" : tdx ? "tdx" : "";
    return 0;
}

static bool pins_anything(const struct golden *g)
{
    bool any = g->want.tcb.mask || g->want.pcr_mask || g->want.workload.n;
    for (unsigned i = 0; i < REGISTERS; i++)
        any = any || g->want.value[i].n;
    for (unsigned i = 0; i < REGISTER_PCRS; i++)
        any = any || g->want.events[i].n || g->match[i] == MATCH_EXACT;
    return any;
}

static int parse_inner(const json_t *inner, struct golden *g, struct err *err)
{
    static const struct golden_member members[] = {
        { "version", parse_version },   { "platform", parse_platform },
        { "sev_snp", parse_snp },       { "snp", parse_snp },
        { "tdx", parse_tdx },           { "snp_measurement", parse_snp_measurement },
        { "tpm", golden_parse_tpm },    { "pcrs", golden_parse_pcrs },
        { "workload", parse_workload },
    };
    const char *tee = "";
    if (json_is_string(inner))
        return err_set(err, ERR_INPUT, 0,
                       INNER " is the hash that goes on a chain: it names no register; ask for the "
                             "off-chain document");
    if (golden_walk(inner, INNER, members, ARRAY_SIZE(members), g, err) < 0 || tee_of(inner, &tee, err) < 0)
        return -1;
    if (*tee && g->want.tee[0] && strcmp(tee, g->want.tee) != 0)
        return err_set(err, ERR_INPUT, 0, INNER ".platform.tee is %s, but the registers are of %s",
                       g->want.tee, tee);
    if (*tee)
        snprintf(g->want.tee, sizeof(g->want.tee), "%s", tee);
    if (!pins_anything(g))
        return err_set(err, ERR_INPUT, 0, INNER " pins nothing: any machine would match");
    return 0;
}

/* The answer's other members: a signature, which golden_sign.h judges, and an error, which must be none. */
static int unwrap(const json_t *document, const json_t **inner, struct err *err)
{
    const char *key;
    json_t *v;
    *inner = json_object_get(document, INNER);
    if (!*inner) {
        *inner = document;
        return 0;
    }
    json_object_foreach((json_t *)(uintptr_t)document, key, v)
    {
        bool fine = strcmp(key, INNER) == 0 || (strcmp(key, "signature") == 0 && json_is_string(v))
                    || (strcmp(key, "error") == 0
                        && (json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0)));
        if (!fine)
            return err_set(err, ERR_INPUT, 0, "\"%.40s\" beside \"" INNER "\" is not understood", key);
    }
    return 0;
}

int golden_parse_json(const json_t *document, struct golden *out, struct err *err)
{
    AUTO(golden_done) struct golden g = { 0 };
    const json_t *inner;
    if (!json_is_object(document))
        return err_set(err, ERR_INPUT, 0, "a golden measurement is a JSON object");
    if (unwrap(document, &inner, err) < 0 || parse_inner(inner, &g, err) < 0)
        return -1;
    *out = g;
    g = (struct golden){ 0 };
    return 0;
}

int golden_parse(struct bytes text, struct golden *out, struct err *err)
{
    AUTO(json_drop) json_t *document = NULL;
    if (json_parse(text, GOLDEN_SIZE_MAX, &document, err) < 0)
        return -1;
    return golden_parse_json(document, out, err);
}

void golden_done(struct golden *g)
{
    registers_done(&g->want);
    for (unsigned i = 0; i < REGISTER_PCRS; i++)
        free(g->at[i]);
    *g = (struct golden){ 0 };
}

bool golden_uses_pcrs(const struct golden *g)
{
    bool any = g->want.pcr_mask || g->want.workload.known;
    for (unsigned i = 0; i < REGISTER_PCRS; i++)
        any = any || g->match[i] != MATCH_NONE;
    return any;
}
