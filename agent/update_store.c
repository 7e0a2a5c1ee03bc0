#include "agent/update_store.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>

#define NOTE_MAX 4096
#define RETIRED  "retired-"

int update_places(const struct workload *w, const char *state, struct update_places *out, struct err *err)
{
    size_t n = strlen(w->directory);
    while (n && w->directory[n - 1] == '/')
        n--;
    size_t parent = n;
    while (parent && w->directory[parent - 1] != '/')
        parent--;
    if (path_set(out->current, sizeof(out->current), err, "%s/current", w->private_dir) < 0
        || path_set(out->next, sizeof(out->next), err, "%s/next", w->private_dir) < 0
        || path_set(out->data, sizeof(out->data), err, "%.*s", (int)n, w->directory) < 0
        || path_set(out->parent, sizeof(out->parent), err, "%.*s", parent ? (int)parent : 1,
                    parent ? w->directory : ".")
               < 0
        || path_set(out->staged, sizeof(out->staged), err, "%.*s" PRIV_STORE_NEXT, (int)parent, w->directory)
               < 0
        || path_set(out->note, sizeof(out->note), err, "%s/update.json", state) < 0)
        return -1;
    return 0;
}

void update_fingerprint(const struct workload_tree *t, uint8_t out[static 48])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned n = 48;
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha384(), NULL) == 1;
    for (size_t i = 0; i < t->n && ok; i++)
        ok = EVP_DigestUpdate(ctx, t->files[i].path, strlen(t->files[i].path) + 1) == 1
             && EVP_DigestUpdate(ctx, t->files[i].sha384, sizeof(t->files[i].sha384)) == 1;
    if (!ok || EVP_DigestFinal_ex(ctx, out, &n) != 1)
        abort(); /* libcrypto is unusable */
    EVP_MD_CTX_free(ctx);
}

bool update_is_tree(const char *path, const uint8_t fingerprint[static 48])
{
    AUTO(workload_tree_drop) struct workload_tree *t = NULL;
    struct err ignored = { 0 };
    uint8_t found[48];
    if (workload_tree_read(path, NULL, &t, &ignored) < 0)
        return false;
    update_fingerprint(t, found);
    return memcmp(found, fingerprint, sizeof(found)) == 0;
}

/* ---- copying ---- */

static int make_folders_above(const char *path, int into, struct err *err)
{
    char part[TREE_PATH_MAX + 1];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        if (mkdirat(into, part, 0755) < 0 && errno != EEXIST)
            return medium_failed("make the folder", part, err);
    }
    return 0;
}

static int carry(const struct workload_tree *from, const struct tree_file *f, int into, struct err *err)
{
    struct stat st;
    AUTO(close_fd) int in = workload_tree_open(from, f->path, err);
    if (in < 0)
        return -1;
    if (fstat(in, &st) < 0)
        return medium_failed("read", f->path, err);
    mode_t mode = st.st_mode & 0777;
    AUTO(close_fd)
    int out = openat(into, f->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (out < 0 || fchmod(out, mode) < 0)
        return medium_failed("write", f->path, err);
    return file_copy(in, out, TREE_BYTES_MAX, f->path, NULL, err);
}

int update_carry(const struct workload_tree *from, const char *path, const char *into, struct err *err)
{
    const struct tree_file *f = workload_tree_find(from, path);
    AUTO(close_fd) int dir = f ? open(into, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (!f)
        return 0;
    if (dir < 0)
        return medium_failed("open", into, err);
    if (faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    return make_folders_above(path, dir, err) < 0 ? -1 : carry(from, f, dir, err);
}

/* ---- the note ---- */

static const char *const phases[] = { "none", "staged", "healthy" };

int update_note_write(const struct update_places *p, const struct update_note *note, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(NOTE_MAX);
    buf_str(&text, "{\"boot_id\":");
    json_put_string(&text, bytes_str(note->boot_id));
    buf_printf(&text, ",\"phase\":\"%s\",\"next\":\"", phases[note->phase]);
    hex_put(&text, bytes_of(note->next, sizeof(note->next)));
    buf_printf(&text, "\",\"events\":%zu,\"version\":\"%016" PRIx64 "\"}\n", note->events, note->version);
    if (buf_check(&text, "update.json", err) < 0)
        return -1;
    return file_write_atomic(p->note, buf_bytes(&text), 0600, err);
}

void update_note_read(const struct update_places *p, struct update_note *out)
{
    AUTO(free_u8) uint8_t *text = NULL;
    AUTO(json_drop) json_t *root = NULL;
    struct update_note note = { .phase = UPDATE_NONE };
    struct err ignored = { 0 };
    uint8_t number[8];
    size_t n;
    *out = note;
    if (file_read(p->note, NOTE_MAX, &text, &n, &ignored) < 0
        || json_parse(bytes_of(text, n), NOTE_MAX, &root, &ignored) < 0)
        return;
    const char *boot = json_string_value(json_object_get(root, "boot_id"));
    const char *phase = json_string_value(json_object_get(root, "phase"));
    const char *next = json_string_value(json_object_get(root, "next"));
    const char *version = json_string_value(json_object_get(root, "version"));
    const json_t *events = json_object_get(root, "events");
    if (!boot || !phase || !next || !version || !json_is_integer(events) || json_integer_value(events) < 0
        || hex_decode_fixed(bytes_str(next), note.next, sizeof(note.next), &ignored) < 0
        || hex_decode_fixed(bytes_str(version), number, sizeof(number), &ignored) < 0)
        return;
    snprintf(note.boot_id, sizeof(note.boot_id), "%s", boot);
    note.version = be_uint(number, sizeof(number));
    note.events = (size_t)json_integer_value(events);
    for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
        if (!strcmp(phases[i], phase))
            note.phase = (enum update_phase)i;
    }
    *out = note;
}

void update_note_remove(const struct update_places *p)
{
    unlink(p->note);
}

/* ---- copies that ran before ---- */

static void close_dir(DIR **d)
{
    if (*d)
        closedir(*d);
}

static void remove_archives(const char *path)
{
    AUTO(close_dir) DIR *dir = opendir(path);
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        size_t n = strlen(e->d_name);
        if (n > 4 && !strcmp(e->d_name + n - 4, ".tar"))
            unlinkat(dirfd(dir), e->d_name, 0);
    }
}

/* @return the highest number that is taken; with all, removes them */
static unsigned retired(const struct workload *w, bool all)
{
    AUTO(close_dir) DIR *dir = opendir(w->private_dir);
    unsigned highest = 0;
    char path[PATH_MAX];
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        if (strncmp(e->d_name, RETIRED, strlen(RETIRED)) != 0)
            continue;
        unsigned long number = strtoul(e->d_name + strlen(RETIRED), NULL, 10);
        highest = number > highest ? (unsigned)number : highest;
        if (all && path_set(path, sizeof(path), NULL, "%s/%s", w->private_dir, e->d_name) == 0)
            (void)!folder_remove(AT_FDCWD, path, NULL);
    }
    return highest;
}

void update_retire(const struct workload *w, const struct update_places *p, bool all)
{
    char path[PATH_MAX];
    unsigned highest = retired(w, all);
    if (all) {
        (void)!folder_remove(AT_FDCWD, p->next, NULL);
        return;
    }
    if (path_set(path, sizeof(path), NULL, "%s/" RETIRED "%u", w->private_dir, highest + 1) < 0
        || rename(p->next, path) < 0)
        return;
    remove_archives(path);
}
