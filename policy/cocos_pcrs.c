/* pcr_values of Cocos policies. */
#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "policy/cocos_internal.h"

static const struct {
    const char *name, *claim;
    size_t size;
} banks[COCOS_BANKS] = {
    { "sha1", "SHA-1", 20 },
    { "sha256", "SHA-256", 32 },
    { "sha384", "SHA-384", 48 },
};

/* "0" to "23", without leading zeros. */
static int pcr_number(const char *key)
{
    char canonical[4];
    for (int i = 0; i < COCOS_PCRS; i++) {
        snprintf(canonical, sizeof(canonical), "%d", i);
        if (!strcmp(key, canonical))
            return i;
    }
    return -1;
}

static int read_bank(const struct cocos_object *o, size_t b, const json_t *values, struct cocos_bank *out,
                     struct err *err)
{
    const char *key;
    json_t *v;
    if (!json_is_object(values))
        return cocos_bad(err, o, banks[b].name, "want an object of PCR number and hex");
    out->named = true;
    json_object_foreach((json_t *)(uintptr_t)values, key, v)
    {
        uint8_t raw[COCOS_VALUE_MAX];
        struct err why = { 0 };
        int i = pcr_number(key);
        if (i < 0)
            return cocos_bad(err, o, banks[b].name, "\"%.20s\" is no PCR: they go from 0 to 23", key);
        if (!json_is_string(v))
            return cocos_bad(err, o, banks[b].name, "PCR %d: want hex text", i);
        if (hex_decode_fixed(bytes_of(json_string_value(v), json_string_length(v)), raw, banks[b].size, &why)
            < 0)
            return cocos_bad(err, o, banks[b].name, "PCR %d: %.120s", i, why.cause);
        hex_to(out->pcr[i].text, bytes_of(raw, banks[b].size));
        out->n++;
    }
    return 0;
}

int cocos_pcrs_parse(const json_t *root, struct cocos_bank bank[static COCOS_BANKS], struct err *err)
{
    const struct cocos_object whole = { root, "" };
    struct cocos_object o;
    const char *key;
    json_t *v;
    if (cocos_inner(&whole, "pcr_values", "pcr_values", &o, err) < 0)
        return -1;
    json_object_foreach((json_t *)(uintptr_t)o.json, key, v)
    {
        size_t b = 0;
        while (b < COCOS_BANKS && strcmp(banks[b].name, key) != 0)
            b++;
        if (b == COCOS_BANKS)
            return err_set(err, ERR_INPUT, 0, "pcr_values.%.40s: no such bank: want sha1, sha256 or sha384",
                           key);
        if (!json_is_null(v) && read_bank(&o, b, v, &bank[b], err) < 0)
            return -1;
    }
    return 0;
}

/* The value that the evidence quotes, or NULL. */
static const char *quoted(const json_t *pcrs, size_t b, int pcr, bool *bank_quoted)
{
    const char *found = NULL;
    const json_t *p;
    size_t i;
    json_array_foreach(pcrs, i, p)
    {
        const char *alg = json_string_value(json_object_get(p, "alg"));
        if (!alg || strcmp(alg, banks[b].claim) != 0)
            continue;
        *bank_quoted = true;
        if (json_integer_value(json_object_get(p, "index")) == pcr)
            found = json_string_value(json_object_get(p, "digest"));
    }
    return found;
}

static void compare_bank(struct cocos_run *r, size_t b, const json_t *pcrs)
{
    const struct cocos_bank *want = &r->policy->bank[b];
    for (int i = 0; i < COCOS_PCRS; i++) {
        char field[40];
        bool bank_quoted = false;
        if (!want->pcr[i].text[0])
            continue;
        const char *found = quoted(pcrs, b, i, &bank_quoted);
        snprintf(field, sizeof(field), "pcr_values.%s.%d", banks[b].name, i);
        r->compared++;
        if (!found)
            cocos_fail(r, field,
                       !pcrs         ? "no PCR values that count"
                       : bank_quoted ? "not in the quote"
                                     : "a bank that is not quoted",
                       "%s", want->pcr[i].text);
        else if (strcmp(found, want->pcr[i].text) != 0)
            cocos_fail(r, field, found, "%s", want->pcr[i].text);
    }
}

/* A bank that nobody could have listed says nothing about the machine (go-tpm-tools refuses it). */
static void check_banks(struct cocos_run *r, const json_t *pcrs)
{
    const json_t *p;
    size_t i;
    json_array_foreach(pcrs, i, p)
    {
        const char *alg = json_string_value(json_object_get(p, "alg"));
        size_t b = 0;
        while (alg && b < COCOS_BANKS && strcmp(banks[b].claim, alg) != 0)
            b++;
        if (b < COCOS_BANKS && alg)
            continue;
        cocos_fail(r, "pcr_values", alg ? alg : "no algorithm", "PCRs of SHA-1, SHA-256 or SHA-384");
        return;
    }
}

void cocos_pcrs_apply(struct cocos_run *r, const json_t *tpm)
{
    const json_t *pcrs = json_object_get(tpm, "pcrs");
    if (!cocos_uses_pcrs(r->policy))
        return;
    check_banks(r, pcrs);
    for (size_t b = 0; b < COCOS_BANKS; b++)
        if (r->policy->bank[b].n)
            compare_bank(r, b, pcrs);
}
