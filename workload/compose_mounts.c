/* volumes and tmpfs of services. */
#include "base/auto.h"
#include "workload/compose_reader.h"
#include "workload/path.h"

#include <limits.h>

#define CONTAINER_PATH_MAX 1024

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

/* Into one form: single slashes, no "." and none at the end, so that targets can be compared. */
const char *compose_container_path(struct compose_reader *r, const char *text, struct compose_at at,
                                   const char *what)
{
    char *out = compose_take(r, strlen(text) + 2, 1);
    size_t n = 0;
    bool fine = *text == '/' && strlen(text) <= CONTAINER_PATH_MAX;
    for (const char *p = text; fine && *p;) {
        p += strspn(p, "/");
        size_t length = strcspn(p, "/");
        fine = length != 2 || strncmp(p, "..", 2) != 0;
        if (length && !(length == 1 && *p == '.')) {
            out[n++] = '/';
            memcpy(out + n, p, length);
            n += length;
        }
        p += length;
    }
    if (!fine || !n)
        compose_fail(r, at, "%s: \"%.60s\": want an absolute path in the container below /, without ..", what,
                     text);
    return out;
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
        m->target = compose_container_path(r, text, v->at, "volumes");
        return;
    }
    const char *source = compose_copy(r, bytes_of(text, (size_t)(colon - text)));
    const char *second = strchr(colon + 1, ':');
    size_t n = second ? (size_t)(second - colon - 1) : strlen(colon + 1);
    m->target = compose_container_path(r, compose_copy(r, bytes_of(colon + 1, n)), v->at, "volumes");
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

/* Whether the path is made if it is missing: it is there, or lint says so. */
static void bind_options(struct compose_reader *r, const struct yaml_node *v)
{
    if (!yaml_want_map(r, v, "volumes.bind", true))
        return;
    for (size_t i = 0; i < v->n; i++) {
        if (!strcmp(v->pair[i].key, "create_host_path"))
            yaml_bool(r, v->pair[i].value, "create_host_path");
        else if (!yaml_is_extension(v->pair[i].key))
            compose_fail(r, v->pair[i].at, "volumes.bind.%.40s: not supported", v->pair[i].key);
    }
}

static void volume_options(struct compose_reader *r, const struct yaml_node *v)
{
    if (!yaml_want_map(r, v, "volumes.volume", true))
        return;
    for (size_t i = 0; i < v->n; i++) {
        if (!yaml_is_extension(v->pair[i].key))
            compose_fail(r, v->pair[i].at, "volumes.volume.%.40s: not supported", v->pair[i].key);
    }
}

static void tmpfs_options(struct compose_reader *r, const struct yaml_node *v, struct compose_mount *m)
{
    if (!yaml_want_map(r, v, "volumes.tmpfs", true))
        return;
    for (size_t i = 0; i < v->n; i++) {
        if (!strcmp(v->pair[i].key, "size"))
            m->tmpfs_size = yaml_size(r, v->pair[i].value, "volumes.tmpfs.size");
        else if (!strcmp(v->pair[i].key, "mode"))
            m->tmpfs_mode = yaml_octal(r, v->pair[i].value, "volumes.tmpfs.mode");
        else if (!yaml_is_extension(v->pair[i].key))
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
            m->target =
                compose_container_path(r, yaml_text(r, value, "volumes.target"), value->at, "volumes.target");
        else if (!strcmp(key, "read_only"))
            m->read_only = yaml_bool(r, value, "volumes.read_only");
        else if (!strcmp(key, "bind"))
            bind_options(r, value);
        else if (!strcmp(key, "tmpfs"))
            tmpfs_options(r, value, m);
        else if (!strcmp(key, "volume"))
            volume_options(r, value);
        else if (!yaml_is_extension(key))
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
    if ((yaml_member(v, "tmpfs") && !tmpfs) || (yaml_member(v, "bind") && !bind)
        || (yaml_member(v, "volume") && !volume))
        compose_fail(r, v->at, "volumes: tmpfs, bind and volume are for mounts of their type");
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

static bool is_word(struct bytes option, const char *name)
{
    return bytes_equal(option, bytes_str(name));
}

/* What the mount is to be; NULL is neither. A second word that says the same changes nothing. */
static void either(struct compose_reader *r, struct compose_at at, const char **now, const char *word)
{
    if (*now && strcmp(*now, word) != 0)
        compose_fail(r, at, "tmpfs: %s and %s contradict each other", *now, word);
    *now = word;
}

static void tmpfs_number(struct compose_reader *r, struct compose_at at, const char *what, int64_t *now,
                         int64_t value)
{
    if (*now != COMPOSE_UNSET && *now != value)
        compose_fail(r, at, "tmpfs: %s= twice", what);
    *now = value;
}

/* One of "rw,noexec,size=64m,mode=1777". nosuid and nodev hold anyway. */
static void tmpfs_option(struct compose_reader *r, struct compose_mount *m, struct bytes option,
                         const char **access, const char **exec)
{
    static const char *const words[] = { "ro", "rw", "exec", "noexec" };
    struct yaml_node value = { .kind = YAML_TEXT, .at = m->at };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (is_word(option, words[i])) {
            either(r, m->at, i < 2 ? access : exec, words[i]);
            return;
        }
    }
    if (!option.n || is_word(option, "nosuid") || is_word(option, "nodev"))
        return;
    const char *text = compose_copy(r, option);
    if (!strncmp(text, "size=", 5)) {
        value.text = text + 5;
        tmpfs_number(r, m->at, "size", &m->tmpfs_size, yaml_size(r, &value, "tmpfs: size"));
    } else if (!strncmp(text, "mode=", 5)) {
        value.text = compose_printf(r, "0%s", text + 5 + strspn(text + 5, "0"));
        tmpfs_number(r, m->at, "mode", &m->tmpfs_mode, yaml_octal(r, &value, "tmpfs: mode"));
    } else {
        compose_fail(r, m->at,
                     "tmpfs: option \"%.40s\" is not supported: want ro, rw, exec, noexec, nosuid, nodev, "
                     "size=, mode=",
                     text);
    }
}

static void tmpfs_words(struct compose_reader *r, struct compose_mount *m, const char *options)
{
    const char *access = NULL, *exec = NULL;
    for (const char *p = options; *p;) {
        size_t n = strcspn(p, ",");
        tmpfs_option(r, m, bytes_of(p, n), &access, &exec);
        p += n + (p[n] == ',');
    }
    m->read_only = access && !strcmp(access, "ro");
    m->tmpfs_noexec = exec && !strcmp(exec, "noexec");
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
        m->target =
            compose_container_path(r, colon ? compose_copy(r, bytes_of(text, (size_t)(colon - text))) : text,
                                   m->at, "tmpfs");
        if (colon)
            tmpfs_words(r, m, colon + 1);
    }
}
