/* secrets and configs of services, and volumes:, secrets:, configs: of the file. */
#include "base/auto.h"
#include "workload/compose_reader.h"

/* ---- secrets and configs of a service ---- */

bool compose_file_is_owned(const struct compose_file_use *use)
{
    return use->uid || use->gid || (use->mode != COMPOSE_UNSET && use->mode != 0444);
}

static void file_target(struct compose_reader *r, struct compose_file_use *use, const char *folder)
{
    if (!use->target)
        use->target = use->name;
    if (*use->target != '/')
        use->target = compose_printf(r, "%s%s", folder, use->target);
    use->target = compose_container_path(r, use->target, use->at, "target");
}

static void file_use(struct compose_reader *r, const struct yaml_node *v, const char *what,
                     const char *folder, struct compose_file_use *use)
{
    *use = (struct compose_file_use){ .at = v->at, .mode = COMPOSE_UNSET };
    if (v->kind == YAML_TEXT) {
        use->name = yaml_text(r, v, what);
        file_target(r, use, folder);
        return;
    }
    yaml_want_map(r, v, what, false);
    for (size_t i = 0; i < v->n; i++) {
        const char *key = v->pair[i].key;
        const struct yaml_node *value = v->pair[i].value;
        if (!strcmp(key, "mode"))
            use->mode = yaml_octal(r, value, "mode");
        else if (!strcmp(key, "source"))
            use->name = yaml_text(r, value, "source");
        else if (!strcmp(key, "target"))
            use->target = yaml_text(r, value, "target");
        else if (!strcmp(key, "uid") || !strcmp(key, "gid"))
            *(*key == 'u' ? &use->uid : &use->gid) =
                compose_printf(r, "%" PRId64, yaml_number(r, value, key, 0, UINT32_MAX - 1));
        else if (!yaml_is_extension(key))
            compose_fail(r, v->pair[i].at, "%s.%.40s: not supported: want source, target, uid, gid, mode",
                         what, key);
    }
    if (!use->name)
        compose_fail(r, v->at, "%s: source is missing", what);
    file_target(r, use, folder);
}

static struct compose_file_use *file_uses(struct compose_reader *r, const struct yaml_node *v,
                                          const char *what, const char *folder, size_t *n)
{
    if (v->kind != YAML_LIST)
        compose_fail(r, v->at, "%s: want a list", what);
    struct compose_file_use *uses = compose_take(r, v->n + 1, sizeof(*uses));
    for (size_t i = 0; i < v->n; i++)
        file_use(r, v->item[i], what, folder, &uses[i]);
    *n = v->n;
    return uses;
}

void compose_read_secrets(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_service *s = target;
    s->secrets = file_uses(r, v, "secrets", "/run/secrets/", &s->secret_count);
}

void compose_read_configs(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_service *s = target;
    s->configs = file_uses(r, v, "configs", "/", &s->config_count);
}

/* ---- volumes:, secrets:, configs: ---- */

static void read_volume_driver(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    (void)target;
    if (strcmp(yaml_text(r, v, "driver"), "local") != 0)
        compose_fail(r, v->at, "volumes: driver: want local");
}

static void read_volume_name(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    ((struct compose_volume *)target)->given = yaml_name(r, yaml_text(r, v, "name"), v->at, "name");
}

static void read_volume_labels(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    yaml_pairs(r, v, "labels", "=", &((struct compose_volume *)target)->labels);
}

static void read_volume_external(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    (void)target;
    if (yaml_bool(r, v, "external"))
        compose_fail(r, v->at, "external: the machine has no volumes but those of this file: remove it");
}

void compose_read_top_volumes(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    static const struct member members[] = {
        { "driver", read_volume_driver, NULL },
        { "driver_opts", NULL, "refused: gives the container the host: options can mount any device" },
        { "name", read_volume_name, NULL },
        { "labels", read_volume_labels, NULL },
        { "external", read_volume_external, NULL },
    };
    struct compose *c = target;
    if (!yaml_want_map(r, v, "volumes", true))
        return;
    c->volumes = compose_take(r, v->n + 1, sizeof(*c->volumes));
    for (size_t i = 0; i < v->n; i++) {
        const struct yaml_pair *pair = &v->pair[i];
        struct compose_volume *volume = &c->volumes[c->volume_count++];
        char where[96];
        volume->name = yaml_name(r, pair->key, pair->at, "volumes");
        volume->at = pair->at;
        snprintf(where, sizeof(where), "volumes.%s", volume->name);
        if (yaml_want_map(r, pair->value, where, true))
            yaml_members(r, pair->value, where, members, ARRAY_SIZE(members), volume);
    }
}

static void top_file(struct compose_reader *r, const struct yaml_node *v, const char *what, bool content_fine,
                     struct compose_file *file)
{
    size_t sources = 0;
    yaml_want_map(r, v, what, false);
    for (size_t i = 0; i < v->n; i++) {
        const char *key = v->pair[i].key;
        const struct yaml_node *value = v->pair[i].value;
        if (yaml_is_extension(key))
            continue;
        if (!strcmp(key, "file")) {
            file->path = yaml_path(r, value, "file");
        } else if (!strcmp(key, "content") && content_fine && value->kind == YAML_TEXT) {
            file->content = value->text;
        } else if (!strcmp(key, "environment")) {
            const char *name = yaml_text(r, value, "environment");
            file->content = compose_variable(r, name, strlen(name));
            if (!file->content)
                compose_fail(r, value->at, "%s.environment: %.60s is not set in .env", what, name);
        } else {
            compose_fail(r, v->pair[i].at, "%s.%.40s: not supported: want file%s or environment", what, key,
                         content_fine ? ", content" : "");
        }
        sources++;
    }
    if (sources != 1)
        compose_fail(r, v->at, "%s: want one of file%s and environment", what,
                     content_fine ? ", content" : "");
}

static struct compose_file *top_files(struct compose_reader *r, const struct yaml_node *v, const char *what,
                                      bool content_fine, size_t *n)
{
    if (!yaml_want_map(r, v, what, true))
        return NULL;
    struct compose_file *files = compose_take(r, v->n + 1, sizeof(*files));
    for (size_t i = 0; i < v->n; i++) {
        char where[96];
        files[i].name = yaml_name(r, v->pair[i].key, v->pair[i].at, what);
        files[i].at = v->pair[i].at;
        snprintf(where, sizeof(where), "%s.%s", what, files[i].name);
        top_file(r, v->pair[i].value, where, content_fine, &files[i]);
    }
    *n = v->n;
    return files;
}

void compose_read_top_secrets(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose *c = target;
    c->secrets = top_files(r, v, "secrets", false, &c->secret_count);
}

void compose_read_top_configs(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose *c = target;
    c->configs = top_files(r, v, "configs", true, &c->config_count);
}
