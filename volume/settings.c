#include "volume/settings.h"

#include "base/auto.h"
#include "base/json.h"

#define PCR(n) (1u << (n))

#define STANDARD (PCR(4) | PCR(7) | PCR(9) | PCR(11) | PCR(12) | PCR(13) | PCR(VOLUME_HISTORY_PCR))

static const struct {
    const char *name;
    uint32_t mask;
} profiles[] = {
    { "standard", STANDARD },
    { "strong", STANDARD | PCR(0) | PCR(1) | PCR(2) | PCR(3) | PCR(5) },
};

static int set_profile(const json_t *value, struct volume_settings *s, struct err *err)
{
    const char *name = json_string_value(value);
    for (size_t i = 0; i < ARRAY_SIZE(profiles); i++)
        if (name && !strcmp(name, profiles[i].name)) {
            s->profile = profiles[i].name;
            s->mask = profiles[i].mask;
            return 0;
        }
    return err_set(err, ERR_INPUT, 0, "seal: \"standard\" or \"strong\"");
}

int volume_settings_parse(struct bytes text, struct volume_settings *out, struct err *err)
{
    AUTO(json_drop) json_t *top = NULL;
    struct volume_settings s = { profiles[0].name, profiles[0].mask, false, false };
    const char *key;
    json_t *value;
    if (json_parse(text, VOLUME_SETTINGS_MAX, &top, err) < 0)
        return -1;
    if (!json_is_object(top))
        return err_set(err, ERR_INPUT, 0, "the volume's settings are no object");
    json_object_foreach(top, key, value)
    {
        if (!strcmp(key, "seal")) {
            if (set_profile(value, &s, err) < 0)
                return -1;
        } else if (!strcmp(key, "accept_host_vtpm") && json_is_boolean(value)) {
            s.accept_host_vtpm = json_is_true(value);
        } else if (!strcmp(key, "workload") && json_is_boolean(value)) {
            s.workload = json_is_true(value);
        } else {
            return err_set(err, ERR_INPUT, 0, "%.40s: unknown, or not of its type", key);
        }
    }
    *out = s;
    return 0;
}
