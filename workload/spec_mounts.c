/* What a container sees of the private copy, and the hash over it. */
#include "workload/spec.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/file.h"
#include "workload/path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOCKET_FOLDER "/run/cvm-agent" /* in the container */
#define FILE_MODE     0444             /* of what has none, says the Compose Specification */
#define CONTENT_MAX   (1u << 20)       /* of a secret or config written into the compose file */

static int add_bind(const struct runner *r, json_t *mounts, const char *source, const char *target,
                    bool secret, struct err *err)
{
    json_t *options = json_pack("[s, s, s]", "ro", "rbind", "rprivate");
    if (!r->views) {
        json_array_append_new(options, json_string("nosuid"));
        json_array_append_new(options, json_string("nodev"));
    }
    if (!r->views && secret)
        json_array_append_new(options, json_string("noexec"));
    json_t *mount = json_pack("{s:s, s:s, s:s, s:o}", "type", "bind", "source", source, "destination", target,
                              "options", options);
    if (!mount)
        return err_set(err, ERR_INPUT, 0, "a mount at %.100s that is no text", target);
    json_array_append_new(mounts, mount);
    return 0;
}

/* A bind of something in the folder of the private copy: from the view of it, where there is one. */
static int add_copied(const struct runner *r, const char *path, const char *target, bool secret,
                      json_t *mounts, struct err *err)
{
    char source[PATH_MAX];
    size_t folder = (size_t)(strrchr(r->tree, '/') - r->tree);
    if (!r->views)
        return add_bind(r, mounts, path, target, secret, err);
    return path_set(source, sizeof(source), err, "%s/%s%s", r->views, secret ? "secrets" : "files",
                    path + folder)
                   < 0
               ? -1
               : add_bind(r, mounts, source, target, secret, err);
}

/* The copy is what was measured: it is read-only in the container, whatever the compose file says. */
static int add_path(const struct runner *r, const char *path, const char *target, bool secret, json_t *mounts,
                    struct err *err)
{
    char source[PATH_MAX];
    secret = secret || workload_path_below(path, "secrets");
    if (path_set(source, sizeof(source), err, *path ? "%s/%s" : "%s%s", r->tree, path) < 0)
        return -1;
    return add_copied(r, source, target, secret, mounts, err);
}

static int add_tmpfs(const struct compose_mount *m, json_t *mounts, struct err *err)
{
    char text[64];
    json_t *options = json_pack("[s, s]", "nosuid", "nodev");
    if (m->tmpfs_size != COMPOSE_UNSET) {
        snprintf(text, sizeof(text), "size=%" PRId64, m->tmpfs_size);
        json_array_append_new(options, json_string(text));
    }
    if (m->tmpfs_mode != COMPOSE_UNSET) {
        snprintf(text, sizeof(text), "mode=%o", (unsigned)m->tmpfs_mode);
        json_array_append_new(options, json_string(text));
    }
    if (m->tmpfs_noexec)
        json_array_append_new(options, json_string("noexec"));
    if (m->read_only)
        json_array_append_new(options, json_string("ro"));
    json_t *mount = json_pack("{s:s, s:s, s:s, s:o}", "type", "tmpfs", "source", "tmpfs", "destination",
                              m->target, "options", options);
    if (!mount)
        return err_set(err, ERR_INPUT, 0, "a tmpfs at %.100s that is no text", m->target);
    json_array_append_new(mounts, mount);
    return 0;
}

static int add_volume(const char *project, const struct compose *c, const struct compose_mount *m,
                      json_t *volumes, struct err *err)
{
    char name[SPEC_NAME_SIZE] = "";
    for (size_t i = 0; m->source && i < c->volume_count; i++) {
        if (!strcmp(c->volumes[i].name, m->source))
            spec_scoped_name(project, c->volumes[i].given, m->source, name);
    }
    if (m->source && !*name)
        return err_set(err, ERR_INPUT, 0, "no volume %.100s below volumes:", m->source);
    json_t *volume = json_pack("{s:s, s:s, s:[s, s, s]}", "Name", name, "Dest", m->target, "Options",
                               m->read_only ? "ro" : "rw", "nosuid", "nodev");
    if (!volume)
        return err_set(err, ERR_INPUT, 0, "a volume at %.100s that is no text", m->target);
    json_array_append_new(volumes, volume);
    return 0;
}

static const struct compose_file *find_file(const struct compose_file *files, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(files[i].name, name))
            return &files[i];
    }
    return NULL;
}

/* A secret or config with its text in the compose file is written beside the copy, under a name of its hash.
 */
static int inline_path(const struct runner *r, const char *content, char *out, size_t size, struct err *err)
{
    uint8_t digest[32];
    char hex[65], folder[PATH_MAX];
    struct bytes data = bytes_str(content);
    sha256(data, digest);
    hex_to(hex, bytes_of(digest, sizeof(digest)));
    if (data.n > CONTENT_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "a secret or config of %zu bytes in the compose file", data.n);
    if (path_set(folder, sizeof(folder), err, "%s.inline", r->tree) < 0
        || path_set(out, size, err, "%s/%s", folder, hex) < 0 || dir_make(folder, 0711, err) < 0)
        return -1;
    return access(out, F_OK) == 0 ? 0 : file_write_atomic(out, data, 0444, err);
}

static json_int_t number_or(const char *text, json_int_t otherwise)
{
    return text ? strtoll(text, NULL, 10) : otherwise;
}

/* With an owner or bits of its own: not mounted, for a mount shows the copy's. */
static int add_owned(const struct compose_file_use *use, const char *source, json_t *spec, struct err *err)
{
    json_t *file = json_pack("{s:s, s:s, s:I, s:I, s:I}", "source", source, "target", use->target, "uid",
                             number_or(use->uid, 0), "gid", number_or(use->gid, 0), "mode",
                             (json_int_t)(use->mode == COMPOSE_UNSET ? FILE_MODE : use->mode));
    if (!file)
        return err_set(err, ERR_INPUT, 0, "a file at %.100s that is no text", use->target);
    if (!json_object_get(spec, "files"))
        json_object_set_new(spec, "files", json_array());
    return json_array_append_new(json_object_get(spec, "files"), file);
}

static int add_file(const struct runner *r, const struct compose_file *f, const struct compose_file_use *use,
                    bool secret, json_t *spec, struct err *err)
{
    char source[PATH_MAX];
    int rc = f->content ? inline_path(r, f->content, source, sizeof(source), err)
                        : path_set(source, sizeof(source), err, "%s/%s", r->tree, f->path);
    secret = secret || (f->path && workload_path_below(f->path, "secrets"));
    return rc < 0 ? -1
           : compose_file_is_owned(use)
               ? add_owned(use, source, spec, err)
               : add_copied(r, source, use->target, secret, json_object_get(spec, "mounts"), err);
}

static int add_files(const struct runner *r, const struct compose_file *files, size_t n,
                     const struct compose_file_use *uses, size_t use_count, bool secret, json_t *spec,
                     struct err *err)
{
    for (size_t i = 0; i < use_count; i++) {
        const struct compose_file *f = find_file(files, n, uses[i].name);
        if (!f || (!f->path && !f->content))
            return err_set(err, ERR_INPUT, 0, "no %s %.100s", secret ? "secret" : "config", uses[i].name);
        if (add_file(r, f, &uses[i], secret, spec, err) < 0)
            return -1;
    }
    return 0;
}

static int add_mount(const struct runner *r, const struct compose *c, const struct compose_mount *m,
                     json_t *mounts, json_t *volumes, struct err *err)
{
    if (m->type == COMPOSE_TMPFS)
        return add_tmpfs(m, mounts, err);
    if (m->type == COMPOSE_VOLUME)
        return add_volume(r->project, c, m, volumes, err);
    if (!m->path)
        return err_set(err, ERR_DENIED, 0, "refused: gives the container the host: a bind of %.100s",
                       m->source);
    return add_path(r, m->path, m->target, false, mounts, err);
}

static bool has_socket(const struct runner *r, const struct compose_service *s)
{
    return r->socket_dir && (s->agent_socket || (r->wants_socket && r->wants_socket(r->ctx, s)));
}

int spec_mounts(const struct runner *r, const struct compose *c, const struct compose_service *s,
                json_t *spec, struct err *err)
{
    json_t *mounts = json_array(), *volumes = json_array();
    json_object_set_new(spec, "mounts", mounts);
    json_object_set_new(spec, "volumes", volumes);
    for (size_t i = 0; i < s->mount_count; i++) {
        if (add_mount(r, c, &s->mounts[i], mounts, volumes, err) < 0)
            return -1;
    }
    if (add_files(r, c->secrets, c->secret_count, s->secrets, s->secret_count, true, spec, err) < 0
        || add_files(r, c->configs, c->config_count, s->configs, s->config_count, false, spec, err) < 0)
        return -1;
    char source[PATH_MAX];
    if (!has_socket(r, s))
        return 0;
    return path_set(source, sizeof(source), err, "%s/%s", r->socket_dir, s->name) < 0
               ? -1
               : add_bind(r, mounts, source, SOCKET_FOLDER, true, err);
}

/* The files of the listing at or below path, each with its digest. */
static int add_digests(const struct workload_tree *listing, const char *path, json_t *into, struct err *err)
{
    size_t found = 0;
    for (size_t i = 0; i < listing->n; i++) {
        const struct tree_file *f = &listing->files[i];
        char hex[97];
        if (f->kind == TREE_IMAGE || !workload_path_below(f->path, path))
            continue;
        json_object_set_new(into, f->path, json_string(hex_to(hex, bytes_of(f->sha384, sizeof(f->sha384)))));
        found++;
    }
    if (found == 0 && !workload_tree_has_folder(listing, path))
        return err_set(err, ERR_NOT_FOUND, 0, "the workload has no file or folder %.150s", path);
    return 0;
}

static int add_uses(const struct workload_tree *listing, const struct compose_file *files, size_t n,
                    const struct compose_file_use *uses, size_t use_count, json_t *into, struct err *err)
{
    for (size_t i = 0; i < use_count; i++) {
        const struct compose_file *f = find_file(files, n, uses[i].name);
        if (f && f->path && add_digests(listing, f->path, into, err) < 0)
            return -1;
    }
    return 0;
}

int spec_hash_files(const struct runner *r, const struct compose *c, const struct compose_service *s,
                    json_t *into, struct err *err)
{
    for (size_t i = 0; i < s->mount_count; i++) {
        if (s->mounts[i].type == COMPOSE_BIND && s->mounts[i].path
            && add_digests(r->listing, s->mounts[i].path, into, err) < 0)
            return err_while(err, "volumes");
    }
    if (add_uses(r->listing, c->secrets, c->secret_count, s->secrets, s->secret_count, into, err) < 0
        || add_uses(r->listing, c->configs, c->config_count, s->configs, s->config_count, into, err) < 0)
        return err_while(err, "secrets and configs");
    return 0;
}
