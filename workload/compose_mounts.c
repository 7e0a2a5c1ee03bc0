/* volumes, tmpfs, secrets and configs of services, and volumes:, secrets:, configs: of the file. */
#include "base/auto.h"
#include "workload/compose_reader.h"
#include "workload/path.h"

#include <limits.h>

/* Bind mounts come from the workload's private copy. Everything else there is belongs to the machine. */
static void set_bind(struct compose_reader *r, struct compose_service *s, struct compose_mount *m,
                     const char *source)
{
    static const struct {
        const char *path, *gives;
    } rows[] = { { "/dev/tpm", "TPM" },
                 { "/dev/sev", "TEE" },
                 { "/dev/tdx", "TEE" },
                 { "/sys/kernel/config", "TEE" },
                 { "/run/cvm-agent", "agent" },
                 { "/var/run/cvm-agent", "agent" },
                 { "/var/lib/cvm-agent", "agent" },
                 { "/etc/cvm-agent", "agent" } };
    char path[PATH_MAX], setting[160];
    m->type = COMPOSE_BIND;
    m->source = source;
    if (workload_path(source, path, sizeof(path), NULL) == 0) {
        m->path = compose_copy(r, bytes_str(path));
        return;
    }
    const char *gives = "host";
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (!strncmp(source, rows[i].path, strlen(rows[i].path)))
            gives = rows[i].gives;
    }
    snprintf(setting, sizeof(setting), "volumes %.100s (outside the workload directory)", source);
    compose_refuse(r, s, m->at, gives, setting);
}

/* A path that leaves the container's own tree by ".." would be read differently by different engines. */
static const char *container_path(struct compose_reader *r, const char *text, struct compose_at at,
                                  const char *what)
{
    size_t n = strlen(text);
    if (*text != '/' || n > 1024 || strstr(text, "/../") || (n >= 3 && !strcmp(text + n - 3, "/..")))
        compose_fail(r, at, "%s: \"%.60s\": want an absolute path in the container, without ..", what, text);
    return text;
}

static void short_options(struct compose_reader *r, const struct yaml_node *v, const char *options,
                          struct compose_mount *m)
{
    for (const char *p = options; *p;) {
        size_t n = strcspn(p, ",");
        struct bytes word = bytes_of(p, n);
        if (bytes_equal(word, bytes_str("ro")))
            m->read_only = true;
        else if (bytes_equal(word, bytes_str("z")) || bytes_equal(word, bytes_str("Z")))
            compose_warn(r, v->at, "volumes: option %.*s is ignored: the machine has no SELinux", (int)n, p);
        else if (!bytes_equal(word, bytes_str("rw")))
            compose_fail(r, v->at, "volumes: option \"%.*s\" is not supported", (int)(n > 40 ? 40 : n), p);
        p += n + (p[n] == ',');
    }
}

/* TARGET, SOURCE:TARGET or SOURCE:TARGET:OPTIONS */
static void short_mount(struct compose_reader *r, const struct yaml_node *v, struct compose_service *s,
                        struct compose_mount *m)
{
    const char *text = yaml_text(r, v, "volumes"), *colon = strchr(text, ':');
    m->type = COMPOSE_VOLUME;
    if (!colon) {
        m->target = container_path(r, text, v->at, "volumes");
        return;
    }
    const char *source = compose_copy(r, bytes_of(text, (size_t)(colon - text)));
    const char *second = strchr(colon + 1, ':');
    size_t n = second ? (size_t)(second - colon - 1) : strlen(colon + 1);
    m->target = container_path(r, compose_copy(r, bytes_of(colon + 1, n)), v->at, "volumes");
    if (second)
        short_options(r, v, second + 1, m);
    if (strchr("./~", *source) && *source)
        set_bind(r, s, m, source);
    else if (strchr(source, '/') || !*source)
        compose_fail(r, v->at, "volumes: \"%.60s\": write ./%.60s for a path, or the name of a volume",
                     source, source);
    else
        m->source = source;
}

static void bind_options(struct compose_reader *r, const struct yaml_node *v)
{
    yaml_want_map(r, v, "volumes.bind", false);
    for (size_t i = 0; i < v->n; i++) { /* what is not there is a lint error in any case */
        if (strcmp(v->pair[i].key, "create_host_path") != 0
            || yaml_bool(r, v->pair[i].value, "create_host_path"))
            compose_fail(r, v->pair[i].at, "volumes.bind.%.40s: not supported", v->pair[i].key);
    }
}

static void tmpfs_options(struct compose_reader *r, const struct yaml_node *v, struct compose_mount *m)
{
    yaml_want_map(r, v, "volumes.tmpfs", false);
    for (size_t i = 0; i < v->n; i++) {
        if (!strcmp(v->pair[i].key, "size"))
            m->tmpfs_size = yaml_size(r, v->pair[i].value, "volumes.tmpfs.size");
        else if (!strcmp(v->pair[i].key, "mode"))
            m->tmpfs_mode = yaml_octal(r, v->pair[i].value, "volumes.tmpfs.mode");
        else
            compose_fail(r, v->pair[i].at, "volumes.tmpfs.%.40s: not supported", v->pair[i].key);
    }
}

static void long_mount(struct compose_reader *r, const struct yaml_node *v, struct compose_service *s,
                       struct compose_mount *m)
{
    const char *type = NULL, *source = NULL;
    for (size_t i = 0; i < v->n; i++) {
        const char *key = v->pair[i].key;
        const struct yaml_node *value = v->pair[i].value;
        if (!strcmp(key, "type"))
            type = yaml_text(r, value, "volumes.type");
        else if (!strcmp(key, "source"))
            source = yaml_text(r, value, "volumes.source");
        else if (!strcmp(key, "target"))
            m->target = container_path(r, yaml_text(r, value, "volumes.target"), value->at, "volumes.target");
        else if (!strcmp(key, "read_only"))
            m->read_only = yaml_bool(r, value, "volumes.read_only");
        else if (!strcmp(key, "bind"))
            bind_options(r, value);
        else if (!strcmp(key, "tmpfs"))
            tmpfs_options(r, value, m);
        else
            compose_fail(r, v->pair[i].at, "volumes.%.40s: not supported: remove it", key);
    }
    bool bind = type && !strcmp(type, "bind"), volume = type && !strcmp(type, "volume");
    bool tmpfs = type && !strcmp(type, "tmpfs");
    if (!bind && !volume && !tmpfs)
        compose_fail(r, v->at, "volumes.type: want bind, volume or tmpfs");
    if (!m->target || (bind && !source) || (tmpfs && source))
        compose_fail(r, v->at, "volumes: want target%s",
                     bind    ? " and source"
                     : tmpfs ? " and no source"
                             : "");
    if ((yaml_member(v, "tmpfs") && !tmpfs) || (yaml_member(v, "bind") && !bind))
        compose_fail(r, v->at, "volumes: tmpfs and bind are for mounts of their type");
    m->type = tmpfs ? COMPOSE_TMPFS : COMPOSE_VOLUME;
    m->source = source;
    if (bind)
        set_bind(r, s, m, source);
    else if (source)
        yaml_name(r, source, v->at, "volumes.source");
}

/* Room for n more mounts: volumes and tmpfs share the array. */
static void more_mounts(struct compose_reader *r, struct compose_service *s, size_t n)
{
    struct compose_mount *old = s->mounts;
    s->mounts = compose_take(r, s->mount_count + n + 1, sizeof(*s->mounts));
    if (s->mount_count)
        memcpy(s->mounts, old, s->mount_count * sizeof(*old));
}

static struct compose_mount *new_mount(struct compose_service *s, struct compose_at at)
{
    struct compose_mount *m = &s->mounts[s->mount_count++];
    *m = (struct compose_mount){ .at = at, .tmpfs_size = COMPOSE_UNSET, .tmpfs_mode = COMPOSE_UNSET };
    return m;
}

void compose_read_volumes(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_service *s = target;
    if (v->kind != YAML_LIST)
        compose_fail(r, v->at, "volumes: want a list");
    more_mounts(r, s, v->n);
    for (size_t i = 0; i < v->n; i++) {
        struct compose_mount *m = new_mount(s, v->item[i]->at);
        if (v->item[i]->kind == YAML_MAP)
            long_mount(r, v->item[i], s, m);
        else
            short_mount(r, v->item[i], s, m);
    }
}

void compose_read_tmpfs(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_service *s = target;
    struct compose_list list;
    yaml_list_or_text(r, v, "tmpfs", &list);
    more_mounts(r, s, list.n);
    for (size_t i = 0; i < list.n; i++) {
        struct compose_mount *m = new_mount(s, list.item[i].at);
        const char *text = list.item[i].text, *colon = strchr(text, ':');
        m->type = COMPOSE_TMPFS;
        m->target = container_path(r, colon ? compose_copy(r, bytes_of(text, (size_t)(colon - text))) : text,
                                   m->at, "tmpfs");
        m->tmpfs_options = colon ? colon + 1 : NULL;
    }
}

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
    container_path(r, use->target, use->at, "target");
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
        else
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
