#include "agent/config.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"

#include <limits.h>

struct number {
    const char *name;
    size_t offset;
    unsigned min, max;
};

static const struct number numbers[] = {
    { "evidence_per_second", offsetof(struct limits, evidence_per_second), 1, 100000 },
    { "evidence_burst", offsetof(struct limits, evidence_burst), 1, 100000 },
    { "connections", offsetof(struct limits, connections), 8, 1024 },
    { "connections_per_address", offsetof(struct limits, connections_per_address), 1, 1024 },
    { "upload_mib", offsetof(struct limits, upload_mib), 1, 4095 }, /* beyond, zips are ZIP64 */
    { "head_seconds", offsetof(struct limits, head_seconds), 1, 300 },
};

static int read_number(const char *name, const json_t *value, struct limits *out, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        const struct number *n = &numbers[i];
        if (strcmp(n->name, name) != 0)
            continue;
        json_int_t v = json_integer_value(value);
        if (!json_is_integer(value) || v < (json_int_t)n->min || v > (json_int_t)n->max)
            return err_set(err, ERR_INPUT, 0, "limits.%s: want a whole number from %u to %u", name, n->min,
                           n->max);
        *(unsigned *)(void *)((char *)out + n->offset) = (unsigned)v;
        return 0;
    }
    return err_set(err, ERR_INPUT, 0, "limits.%.60s: no such setting", name);
}

static int read_url(const char *name, const json_t *value, char *out, struct err *err)
{
    const char *url = json_string_value(value);
    if (!url || (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0))
        return err_set(err, ERR_INPUT, 0, "collateral.%s: want an http or https URL", name);
    if (strlen(url) >= COLLATERAL_SETTING_URL)
        return err_set(err, ERR_INPUT, 0, "collateral.%s: want at most %d bytes", name,
                       COLLATERAL_SETTING_URL - 1);
    memcpy(out, url, strlen(url) + 1);
    return 0;
}

static int read_collateral(json_t *value, struct collateral_settings *out, struct err *err)
{
    const struct {
        const char *name;
        bool *flag;
        char *url;
    } rows[] = { { "offline", &out->offline, NULL },   { "revocation", &out->revocation, NULL },
                 { "insecure", &out->insecure, NULL }, { "kds_url", NULL, out->kds_url },
                 { "pcs_url", NULL, out->pcs_url },    { "root_crl_url", NULL, out->root_crl_url } };
    const char *name;
    json_t *member;
    if (!json_is_object(value))
        return err_set(err, ERR_INPUT, 0, "collateral: want an object");
    json_object_foreach(value, name, member)
    {
        size_t i = 0;
        while (i < ARRAY_SIZE(rows) && strcmp(rows[i].name, name) != 0)
            i++;
        if (i == ARRAY_SIZE(rows))
            return err_set(err, ERR_INPUT, 0, "collateral.%.60s: no such setting", name);
        if (rows[i].url && read_url(name, member, rows[i].url, err) < 0)
            return -1;
        if (rows[i].flag && !json_is_boolean(member))
            return err_set(err, ERR_INPUT, 0, "collateral.%s: want true or false", name);
        if (rows[i].flag)
            *rows[i].flag = json_is_true(member);
    }
    return 0;
}

static int read_path(const char *name, json_t *value, char out[static PATH_MAX], struct err *err)
{
    const char *path = json_string_value(value);
    if (!path || *path != '/')
        return err_set(err, ERR_INPUT, 0, "%s: want an absolute path", name);
    return path_set(out, PATH_MAX, err, "%s", path);
}

static int read_setting(const char *name, json_t *value, struct settings *s, struct err *err)
{
    const char *inner;
    json_t *member;
    if (!strcmp(name, "log_level")) {
        if (!json_is_string(value) || log_level_parse(json_string_value(value), &s->level) < 0)
            return err_set(err, ERR_INPUT, 0,
                           "log_level: want \"error\", \"warning\", \"info\" or \"debug\"");
        return 0;
    }
    if (!strcmp(name, "verify_directory"))
        return read_path(name, value, s->verify_directory, err);
    if (!strcmp(name, "policy_directory"))
        return read_path(name, value, s->policy_directory, err);
    if (!strcmp(name, "nvgpu_jwks"))
        return read_path(name, value, s->gpu_jwks, err);
    if (!strcmp(name, "token_key"))
        return read_path(name, value, s->token_key, err);
    if (!strcmp(name, "firewall")) {
        if (!json_is_boolean(value))
            return err_set(err, ERR_INPUT, 0, "firewall: want true or false");
        s->firewall = json_is_true(value) ? FIREWALL_ON : FIREWALL_OFF;
        return 0;
    }
    if (!strcmp(name, "collateral"))
        return read_collateral(value, &s->collateral, err);
    if (strcmp(name, "limits") != 0)
        return err_set(err, ERR_INPUT, 0, "%.60s: no such setting", name);
    if (!json_is_object(value))
        return err_set(err, ERR_INPUT, 0, "limits: want an object");
    json_object_foreach(value, inner, member)
    {
        if (read_number(inner, member, &s->limits, err) < 0)
            return -1;
    }
    return 0;
}

int settings_parse(struct bytes text, struct settings *out, struct err *err)
{
    AUTO(json_drop) json_t *root = NULL;
    struct settings s = { .limits = LIMITS_DEFAULT, .level = LOG_LEVEL_INFO };
    const char *name;
    json_t *value;
    if (json_parse(text, CONFIG_FILE_MAX, &root, err) < 0)
        return -1;
    if (!json_is_object(root))
        return err_set(err, ERR_INPUT, 0, "not a JSON object");
    json_object_foreach(root, name, value)
    {
        if (read_setting(name, value, &s, err) < 0)
            return -1;
    }
    *out = s;
    return 0;
}

int settings_load(const char *etc, struct settings *out, struct err *err)
{
    AUTO(free_u8) uint8_t *text = NULL;
    char path[PATH_MAX];
    struct err why = { 0 };
    size_t n;
    if (path_set(path, sizeof(path), err, "%s/agent.json", etc) < 0)
        return -1;
    if (file_read(path, CONFIG_FILE_MAX, &text, &n, &why) < 0) {
        if (why.kind != ERR_NOT_FOUND) {
            *err = why;
            return -1;
        }
        *out = (struct settings){ .limits = LIMITS_DEFAULT, .level = LOG_LEVEL_INFO };
        return 0;
    }
    return settings_parse(bytes_of(text, n), out, err);
}
