#include "agent/policy_store.h"

#include "appraisal/ita_token.h"
#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define KEPT_MAX (2 * STORED_TEXT_MAX + 4096) /* a kept file: the text as a JSON string, and its names */

/* One text of a policy. Never changes; freed when neither the store nor an appraisal holds it. */
struct version {
    atomic_uint held;
    struct stored_policy info;
    bool fixed; /* of the verified root */
    char *text;
    size_t text_n;
    struct rego *rego;
};

struct policy_store {
    pthread_mutex_t lock;
    char folder[PATH_MAX];
    size_t n;
    struct version *item[POLICY_STORE_MAX];
};

static void version_put(struct version *v)
{
    if (!v || atomic_fetch_sub(&v->held, 1) != 1)
        return;
    rego_free(v->rego);
    free(v->text);
    free(v);
}

static void version_drop(struct version **v)
{
    version_put(*v);
}

/* ---- one policy ---- */

static int check_name(const char *name, struct err *err)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_:./- ";
    size_t n = strlen(name);
    if (n < 1 || n > STORED_NAME_MAX || strspn(name, letters) != n)
        return err_set(err, ERR_INPUT, 0, "name: want 1 to %d letters, digits and _ : . / - space",
                       STORED_NAME_MAX);
    return 0;
}

static int hash_text(struct bytes text, char out[static STORED_HASH_SIZE], struct err *err)
{
    AUTO(buf_done) struct buf b64 = buf_new(STORED_HASH_SIZE);
    uint8_t hash[48];
    sha384(text, hash);
    b64_put(&b64, bytes_of(hash, sizeof(hash)));
    if (buf_check(&b64, "hash", err) < 0)
        return -1;
    memcpy(out, b64.p, b64.n);
    out[b64.n] = '\0';
    return 0;
}

/* Compiles as the ITA-shaped routes want it: strictly. */
static int version_new(const char *name, struct bytes text, struct version **out, struct err *err)
{
    AUTO(version_drop) struct version *v = calloc(1, sizeof(*v));
    const struct rego_options options = { .mode = REGO_POLICY, .strict = true };
    const struct rego_source source = { name, text };
    if (!v)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a policy");
    atomic_init(&v->held, 1);
    if (check_name(name, err) < 0)
        return -1;
    if (text.n > STORED_TEXT_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "a policy of %zu bytes: want at most %zu", text.n,
                       STORED_TEXT_MAX);
    if (rego_compile(&source, 1, &options, &v->rego, NULL, err) < 0 || hash_text(text, v->info.hash, err) < 0)
        return -1;
    memcpy(v->info.name, name, strlen(name) + 1);
    v->info.version = 1;
    v->text = malloc(text.n + 1);
    if (!v->text)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a policy");
    memcpy(v->text, text.p, text.n);
    v->text[text.n] = '\0';
    v->text_n = text.n;
    *out = MOVE(v);
    return 0;
}

/* ---- on disk ---- */

static int keep(const struct policy_store *s, const struct version *v, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(KEPT_MAX);
    char path[PATH_MAX];
    AUTO(json_drop)
    json_t *o = json_pack("{s:s,s:s,s:i,s:s%}", "id", v->info.id, "name", v->info.name, "version",
                          (int)v->info.version, "text", v->text, v->text_n);
    if (!o)
        return err_set(err, ERR_INPUT, 0, "the policy is not UTF-8 without NUL");
    json_put(&text, o, false);
    if (buf_check(&text, "policy", err) < 0
        || path_set(path, sizeof(path), err, "%s/%s.json", s->folder, v->info.id) < 0)
        return -1;
    return file_write_atomic(path, buf_bytes(&text), 0600, err);
}

static int load_kept(struct policy_store *s, const char *file, struct err *err)
{
    AUTO(free_u8) uint8_t *data = NULL;
    AUTO(json_drop) json_t *o = NULL;
    AUTO(version_drop) struct version *v = NULL;
    char path[PATH_MAX];
    const char *id, *name, *text;
    size_t n, text_n;
    int version;
    if (path_set(path, sizeof(path), err, "%s/%s", s->folder, file) < 0
        || file_read(path, KEPT_MAX, &data, &n, err) < 0
        || json_parse(bytes_of(data, n), KEPT_MAX, &o, err) < 0)
        return -1;
    if (json_unpack(o, "{s:s,s:s,s:i,s:s%!}", "id", &id, "name", &name, "version", &version, "text", &text,
                    &text_n)
            < 0
        || strlen(id) + 1 != STORED_ID_SIZE || version < 1)
        return err_set(err, ERR_INPUT, 0, "not a kept policy");
    if (version_new(name, bytes_of(text, text_n), &v, err) < 0)
        return -1;
    memcpy(v->info.id, id, STORED_ID_SIZE);
    v->info.version = (unsigned)version;
    if (s->n == POLICY_STORE_MAX)
        return err_set(err, ERR_LIMITED, 0, "more than %d policies", POLICY_STORE_MAX);
    s->item[s->n++] = MOVE(v);
    return 0;
}

/* The id of a policy of the verified root: its name's, the same on every machine (RFC 9562, version 8). */
static void fixed_id(const char *name, char out[static STORED_ID_SIZE])
{
    uint8_t h[32];
    char hex[33];
    sha256(bytes_str(name), h);
    h[6] = (uint8_t)((h[6] & 0x0F) | 0x80);
    h[8] = (uint8_t)((h[8] & 0x3F) | 0x80);
    hex_to(hex, bytes_of(h, 16));
    snprintf(out, STORED_ID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static int load_fixed(struct policy_store *s, const char *directory, const char *file, struct err *err)
{
    AUTO(free_u8) uint8_t *data = NULL;
    AUTO(version_drop) struct version *v = NULL;
    char path[PATH_MAX], name[NAME_MAX + 1];
    size_t n;
    snprintf(name, sizeof(name), "%.*s", (int)(strlen(file) - strlen(".rego")), file);
    if (path_set(path, sizeof(path), err, "%s/%s", directory, file) < 0
        || file_read(path, STORED_TEXT_MAX, &data, &n, err) < 0
        || version_new(name, bytes_of(data, n), &v, err) < 0) {
        struct err why = *err;
        return err_set(err, why.kind, why.code, "%.60s: %.90s", file, why.cause);
    }
    if (s->n == POLICY_STORE_MAX)
        return err_set(err, ERR_INPUT, 0, "more than %d policies", POLICY_STORE_MAX);
    fixed_id(name, v->info.id);
    v->fixed = true;
    s->item[s->n++] = MOVE(v);
    return 0;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

/* Calls load for each file of that ending; what it fails with ends the walk, or is logged. */
static int walk(struct policy_store *s, const char *folder, bool fixed, struct err *err)
{
    DIR *d = opendir(folder);
    const struct dirent *e;
    int rc = 0;
    if (!d)
        return err_set(err, ERR_IO, (uint32_t)errno, "%.100s: %s", folder, strerror(errno));
    while (rc == 0 && (e = readdir(d))) {
        struct err why = { 0 };
        if (fixed && ends_with(e->d_name, ".rego"))
            rc = load_fixed(s, folder, e->d_name, err);
        else if (!fixed && ends_with(e->d_name, ".json") && load_kept(s, e->d_name, &why) < 0)
            log_event(LOG_LEVEL_WARNING, "policy", "file", e->d_name, "error", why.cause, NULL);
    }
    closedir(d);
    return rc;
}

/* ---- the store ---- */

int policy_store_new(const char *state, const char *directory, struct policy_store **out, struct err *err)
{
    struct policy_store *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(err, ERR_IO, ENOMEM, "no memory for policies");
    pthread_mutex_init(&s->lock, NULL);
    int rc = path_set(s->folder, sizeof(s->folder), err, "%s/policies", state);
    if (rc == 0 && directory && *directory)
        rc = walk(s, directory, true, err);
    if (rc == 0)
        rc = dir_make(s->folder, 0700, err);
    if (rc == 0)
        rc = walk(s, s->folder, false, err);
    if (rc < 0) {
        policy_store_free(s);
        return err_while(err, "open the policies");
    }
    *out = s;
    return 0;
}

void policy_store_free(struct policy_store *s)
{
    if (!s)
        return;
    while (s->n)
        version_put(s->item[--s->n]);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Under the lock. */
static size_t find(const struct policy_store *s, const char *id, const char *name)
{
    size_t i = 0;
    while (i < s->n && !(id && !strcmp(s->item[i]->info.id, id))
           && !(name && !strcmp(s->item[i]->info.name, name)))
        i++;
    return i;
}

static int replace(struct policy_store *s, struct version **v, bool *created, struct err *err)
{
    size_t i = find(s, NULL, (*v)->info.name);
    *created = i == s->n;
    if (*created && s->n == POLICY_STORE_MAX)
        return err_set(err, ERR_LIMITED, 0, "%d policies are kept already", POLICY_STORE_MAX);
    if (!*created && s->item[i]->fixed)
        return err_set(err, ERR_DENIED, 0, "a policy of the verified root has this name");
    if (!*created) {
        memcpy((*v)->info.id, s->item[i]->info.id, STORED_ID_SIZE);
        (*v)->info.version = s->item[i]->info.version + 1;
    } else if (uuid_new((*v)->info.id, err) < 0) {
        return -1;
    }
    if (keep(s, *v, err) < 0)
        return -1;
    if (*created)
        s->n++;
    else
        version_put(s->item[i]);
    s->item[i] = MOVE(*v);
    return 0;
}

int policy_store_put(struct policy_store *s, const char *name, struct bytes text, struct stored_policy *out,
                     bool *created, struct err *err)
{
    AUTO(version_drop) struct version *v = NULL;
    if (version_new(name, text, &v, err) < 0)
        return -1;
    pthread_mutex_lock(&s->lock);
    int rc = replace(s, &v, created, err);
    if (rc == 0)
        *out = s->item[find(s, NULL, name)]->info;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int policy_store_list(struct policy_store *s, struct buf *out, struct err *err)
{
    AUTO(json_drop) json_t *list = json_array();
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n; i++) {
        const struct stored_policy *p = &s->item[i]->info;
        char version[16];
        snprintf(version, sizeof(version), "v%u", p->version);
        json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s}", "id", p->id, "name", p->name, "version",
                                              version, "hash", p->hash));
    }
    pthread_mutex_unlock(&s->lock);
    json_put(out, list, false);
    buf_u8(out, '\n');
    return buf_check(out, "list", err);
}

static int not_found(const char *id, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, 0, "no policy %.64s: GET /policies lists them", id);
}

int policy_store_text(struct policy_store *s, const char *id, struct buf *out, struct err *err)
{
    struct held_policy h;
    if (policy_store_hold(s, id, &h, err) < 0)
        return -1;
    const struct version *v = h.held;
    buf_put(out, bytes_of(v->text, v->text_n));
    policy_release(&h);
    return buf_check(out, "policy", err);
}

int policy_store_hold(struct policy_store *s, const char *id_or_name, struct held_policy *out,
                      struct err *err)
{
    pthread_mutex_lock(&s->lock);
    size_t i = find(s, id_or_name, NULL);
    if (i == s->n)
        i = find(s, NULL, id_or_name);
    struct version *v = i < s->n ? s->item[i] : NULL;
    if (v)
        atomic_fetch_add(&v->held, 1);
    pthread_mutex_unlock(&s->lock);
    if (!v)
        return not_found(id_or_name, err);
    *out = (struct held_policy){ v->info, v->rego, v };
    return 0;
}

void policy_release(struct held_policy *h)
{
    version_put(h->held);
    *h = (struct held_policy){ .rego = NULL };
}
