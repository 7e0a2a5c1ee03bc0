#include "tpm/pcrs.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"

#include <stdio.h>

/* "0" to "23" as printed; -1 for any other spelling. */
static int pcr_number(const char *key)
{
    char text[4];
    for (int i = 0; i < TPM_PCRS; i++) {
        snprintf(text, sizeof(text), "%d", i);
        if (strcmp(text, key) == 0)
            return i;
    }
    return -1;
}

static int parse_value(const char *key, const json_t *value, struct tpm_pcrs *out, struct err *err)
{
    struct err inner = { 0 };
    int i = pcr_number(key);
    if (i < 0)
        return err_set(err, ERR_INPUT, 0, "\"pcrs\" has a member that is no PCR number from 0 to %d",
                       TPM_PCRS - 1);
    if (!json_is_string(value))
        return err_set(err, ERR_INPUT, 0, "PCR %d is not a string", i);
    struct digest *d = &out->pcr[i];
    d->alg = out->alg;
    d->n = (uint8_t)digest_size(out->alg);
    struct bytes text = bytes_of(json_string_value(value), json_string_length(value));
    if (hex_decode_fixed(text, d->b, d->n, &inner) < 0)
        return err_set(err, ERR_INPUT, 0, "PCR %d: %s", i, inner.cause);
    out->mask |= 1u << i;
    return 0;
}

static int parse_bank(const char *alg, json_t *pcrs, struct tpm_pcrs *out, struct err *err)
{
    struct tpm_pcrs p = { 0 };
    const char *key;
    json_t *value;
    if (!alg || !json_is_object(pcrs))
        return err_set(err, ERR_INPUT, 0, "PCR file is not {\"alg\":\"sha256\",\"pcrs\":{\"0\":hex,...}}");
    p.alg = digest_by_name(alg);
    if (!p.alg)
        return err_set(err, ERR_INPUT, 0, "PCR file: \"alg\" names no hash that we know");
    json_object_foreach(pcrs, key, value) if (parse_value(key, value, &p, err) < 0) return -1;
    *out = p;
    return 0;
}

int tpm_pcrs_parse(struct bytes text, struct tpm_pcrs *out, struct err *err)
{
    AUTO(json_drop) json_t *root = NULL;
    if (json_parse(text, TPM_PCRS_FILE_MAX, &root, err) < 0)
        return err_while(err, "read PCR file");
    return parse_bank(json_string_value(json_object_get(root, "alg")), json_object_get(root, "pcrs"), out,
                      err);
}

int tpm_pcrs_parse_bank(struct bytes text, uint16_t alg, struct tpm_pcrs *out, struct err *err)
{
    AUTO(json_drop) json_t *root = NULL;
    const char *name, *first = NULL;
    json_t *values;
    if (json_parse(text, TPM_PCRS_FILE_MAX, &root, err) < 0)
        return err_while(err, "read PCR file");
    if (json_object_get(root, "alg") || json_object_get(root, "pcrs"))
        return parse_bank(json_string_value(json_object_get(root, "alg")), json_object_get(root, "pcrs"), out,
                          err);
    json_object_foreach(root, name, values)
    {
        if (digest_by_name(name) == (alg ? alg : ALG_SHA256))
            return parse_bank(name, values, out, err);
        first = first ? first : name;
    }
    if (alg && first)
        return err_set(err, ERR_INPUT, 0, "PCR file has no bank %s", digest_name(alg));
    return parse_bank(first, first ? json_object_get(root, first) : NULL, out, err);
}

json_t *tpm_pcrs_values_json(const struct tpm_pcrs *pcrs)
{
    AUTO(json_drop) json_t *values = json_object();
    char key[4];
    for (int i = 0; i < TPM_PCRS; i++) {
        if (!(pcrs->mask >> i & 1))
            continue;
        snprintf(key, sizeof(key), "%d", i);
        if (json_object_set_new(values, key, json_hex(digest_bytes(&pcrs->pcr[i]))) < 0)
            return NULL;
    }
    return MOVE(values);
}

json_t *tpm_pcrs_json(const struct tpm_pcrs *pcrs)
{
    return json_pack("{s:s?, s:o}", "alg", digest_name(pcrs->alg), "pcrs", tpm_pcrs_values_json(pcrs));
}

static const struct tpm_pcrs *find_bank(const struct tpm_pcrs *banks, size_t n, uint16_t alg)
{
    for (size_t i = 0; i < n; i++)
        if (banks[i].alg == alg)
            return &banks[i];
    return NULL;
}

int tpm_pcr_digest(const struct tpm_selection *selections, size_t n, const struct tpm_pcrs *banks,
                   size_t bank_count, uint16_t hash_alg, struct digest *out, struct err *err)
{
    struct bytes parts[TPM_SELECTIONS_MAX * TPM_PCRS];
    size_t used = 0;
    if (n > TPM_SELECTIONS_MAX)
        return err_set(err, ERR_INPUT, 0, "%zu PCR selections, at most %d", n, TPM_SELECTIONS_MAX);
    for (size_t k = 0; k < n; k++) {
        const struct tpm_pcrs *bank = find_bank(banks, bank_count, selections[k].alg);
        uint32_t missing = selections[k].mask & ~(bank ? bank->mask & TPM_PCRS_ALL : 0);
        if (missing)
            return err_set(err, ERR_INPUT, 0, "no value for PCR %d of bank %s, which the quote selects",
                           __builtin_ctz(missing), digest_name(selections[k].alg) ?: "(unknown)");
        for (int i = 0; i < TPM_PCRS; i++)
            if (selections[k].mask >> i & 1)
                parts[used++] = digest_bytes(&bank->pcr[i]);
    }
    return digest_parts(hash_alg, parts, used, out, err);
}
