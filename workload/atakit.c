#include "workload/atakit.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"
#include "workload/atakit_yaml.h"
#include "workload/image_tar.h"
#include "workload/keccak.h"

#include <errno.h>

#define MANIFEST     "manifest.json"
#define MANIFEST_MAX (1u << 20)
#define SERVICE_MAX  (4u << 20)
#define READ_BLOCK   (128u << 10)
#define NEVER_A      "config/cvm_agent/cvm_agent_policy.json"
#define NEVER_B      "config/cvm_agent/sample_image_verify_policy.json"

struct making {
    const struct workload_tree *tree;
    const struct compose *compose;
    struct bytes yaml;
    json_t *manifest;
    struct buf manifest_text;
    bool *used; /* one for each file of the tree */
    struct atakit_plan *plan;
};

static void making_done(struct making *m)
{
    json_decref(m->manifest);
    buf_done(&m->manifest_text);
    free(m->used);
    atakit_plan_free(m->plan);
}

void atakit_plan_free(struct atakit_plan *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        free(p->events[i].name);
    free(p->events);
    free(p);
}

/* There is room for it. */
static int add_event(struct atakit_plan *p, const char *name, struct bytes content, struct err *err)
{
    struct atakit_event *e = &p->events[p->n];
    e->name = strdup(name);
    if (!e->name)
        return err_set(err, ERR_IO, ENOMEM, "no memory for an event");
    sha256(content, e->sha256);
    p->n++;
    return digest_extend(&p->pcr23, bytes_of(e->sha256, sizeof(e->sha256)), err);
}

/* ---- the manifest ---- */

static int load_manifest(const struct workload_tree *tree, struct buf *text, json_t **out, struct err *err)
{
    if (workload_tree_load(tree, MANIFEST, MANIFEST_MAX, text, err) < 0)
        return err_while(err, "read manifest.json");
    if (json_parse(buf_bytes(text), MANIFEST_MAX, out, err) < 0)
        return err_while(err, "read manifest.json");
    return json_is_object(*out) ? 0 : err_set(err, ERR_INPUT, 0, "manifest.json is no object");
}

static void use(struct making *m, const char *path)
{
    const struct tree_file *f = path ? workload_tree_find(m->tree, path) : NULL;
    if (f)
        m->used[f - m->tree->files] = true;
}

/* What is never measured, and needs no reference. */
static void use_exceptions(struct making *m)
{
    const json_t *v;
    size_t i;
    use(m, MANIFEST);
    use(m, COMPOSE_FILE);
    use(m, NEVER_A);
    use(m, NEVER_B);
    json_array_foreach(json_object_get(m->manifest, "docker_images"), i, v)
        use(m, json_string_value(json_object_get(v, "image_tar")));
    json_array_foreach(json_object_get(m->manifest, "additional_data_files"), i, v)
        use(m, json_string_value(v));
}

/* ---- one line of JSON ---- */

/* As serde_json escapes: the short forms, \u with small digits for other control characters, nothing else. */
static void put_string(struct buf *out, struct bytes text)
{
    static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    buf_u8(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        const char *found = NULL;
        for (size_t k = 0; k + 1 < sizeof(short_forms) && !found; k += 2)
            found = (uint8_t)short_forms[k] == text.p[i] ? &short_forms[k + 1] : NULL;
        if (found)
            buf_printf(out, "\\%c", *found);
        else if (text.p[i] < 0x20)
            buf_printf(out, "\\u%04x", text.p[i]);
        else
            buf_u8(out, text.p[i]);
    }
    buf_u8(out, '"');
}

static int hash_file(const struct workload_tree *tree, const char *path, uint8_t out[static 32],
                     struct err *err)
{
    struct keccak256 k;
    AUTO(free_u8) uint8_t *block = malloc(READ_BLOCK);
    AUTO(close_fd) int fd = workload_tree_open(tree, path, err);
    if (fd < 0)
        return -1;
    if (!block)
        return err_set(err, ERR_IO, ENOMEM, "no memory to hash a file");
    keccak256_init(&k);
    for (;;) {
        ssize_t got = read(fd, block, READ_BLOCK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(err, ERR_IO, (uint32_t)errno, "%.200s: cannot read: %s", path, strerror(errno));
        if (got == 0)
            break;
        keccak256_add(&k, bytes_of(block, (size_t)got));
    }
    keccak256_end(&k, out);
    return 0;
}

static int put_file(struct making *m, const char *path, struct buf *out, struct err *err)
{
    uint8_t sum[32];
    if (hash_file(m->tree, path, sum, err) < 0)
        return -1;
    use(m, path);
    if (out->p[out->n - 1] != '[')
        buf_u8(out, ',');
    buf_str(out, "{\"path\":");
    put_string(out, bytes_str(path));
    buf_str(out, ",\"hash\":\"0x");
    hex_put(out, bytes_of(sum, sizeof(sum)));
    buf_str(out, "\"}");
    return 0;
}

/* A file, or every file below a folder in the order of their paths. What is not there is made at run time. */
static int put_mount(struct making *m, const char *path, struct buf *out, struct err *err)
{
    size_t n = strlen(path);
    if (workload_tree_find(m->tree, path))
        return put_file(m, path, out, err);
    for (size_t i = 0; i < m->tree->n; i++) {
        const char *file = m->tree->files[i].path;
        bool below = n == 0 || (!strncmp(file, path, n) && file[n] == '/');
        if (below && put_file(m, file, out, err) < 0)
            return -1;
    }
    return 0;
}

static int put_files(struct making *m, const struct compose_service *s, struct buf *out, struct err *err)
{
    for (size_t i = 0; i < s->mount_count; i++) {
        const struct compose_mount *mount = &s->mounts[i];
        if (mount->type != COMPOSE_BIND)
            continue;
        if (!mount->path || strchr(mount->source, '$'))
            return err_set(err, ERR_INPUT, 0, "service %.60s: %.120s is no path inside the package", s->name,
                           mount->source);
        if (put_mount(m, mount->path, out, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < s->env_files.n; i++)
        if (workload_tree_find(m->tree, s->env_files.item[i].text)
            && put_file(m, s->env_files.item[i].text, out, err) < 0)
            return -1;
    return 0;
}

/* The named volumes in order: list has each use of them, once (returned) each of them. */
static size_t name_volumes(const struct compose_service *s, struct buf *list, const char **once)
{
    size_t n = 0;
    for (size_t i = 0; i < s->mount_count; i++) {
        const char *name = s->mounts[i].type == COMPOSE_VOLUME ? s->mounts[i].source : NULL;
        bool known = false;
        if (!name)
            continue;
        for (size_t k = 0; k < n; k++)
            known = known || !strcmp(once[k], name);
        if (!known)
            once[n++] = name;
        if (list->n)
            buf_u8(list, ',');
        put_string(list, bytes_str(name));
    }
    return n;
}

static void free_names(const char ***p)
{
    free((void *)*p);
}

static int add_service(struct making *m, const struct compose_service *s, const struct measure_service *image,
                       struct err *err)
{
    AUTO(buf_done)
    struct buf line = buf_new(SERVICE_MAX), yaml = buf_new(COMPOSE_FILE_MAX + 4096),
               volumes = buf_new(COMPOSE_FILE_MAX);
    AUTO(free_names) const char **once = calloc(s->mount_count ? s->mount_count : 1, sizeof(*once));
    char full[IMAGE_TAR_REFERENCE_MAX];
    bool complete = false;
    if (!once)
        return err_set(err, ERR_IO, ENOMEM, "no memory for volumes");
    if (!image || !image->has_id)
        return err_set(err, ERR_NOT_FOUND, 0, "service %.60s: nothing says the digest of its image", s->name);
    if (compose_image_reference(s->image.text ? s->image.text : "", full, sizeof(full), &complete, err) < 0
        || !complete)
        return err_set(err, ERR_INPUT, 0,
                       "service %.60s: not in the normal form of this scheme: want the full "
                       "image name",
                       s->name);
    size_t n = name_volumes(s, &volumes, once);
    if (atakit_yaml_service(m->yaml, s->at.line, once, n, &yaml, err) < 0)
        return -1;
    buf_str(&line, "{\"serviceName\":");
    put_string(&line, bytes_str(s->name));
    buf_str(&line, ",\"dockerCompose\":");
    put_string(&line, buf_bytes(&yaml));
    buf_str(&line, ",\"imageDigest\":\"");
    hex_put(&line, bytes_of(image->id, sizeof(image->id)));
    buf_str(&line, "\",\"mountFiles\":[");
    if (put_files(m, s, &line, err) < 0)
        return -1;
    buf_str(&line, "],\"volumes\":[");
    buf_put(&line, buf_bytes(&volumes));
    buf_str(&line, "]}");
    return buf_check(&line, "measurement of a service", err) < 0
               ? -1
               : add_event(m->plan, s->name, buf_bytes(&line), err);
}

/* ---- all ---- */

static const struct measure_service *image_of(const struct measure_service *services, size_t n,
                                              const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(services[i].name, name))
            return &services[i];
    return NULL;
}

/* Services in the order of the file; the compose reader has them by name. */
static const struct compose_service *after(const struct compose *c, unsigned line)
{
    const struct compose_service *next = NULL;
    for (size_t i = 0; i < c->service_count; i++)
        if (c->services[i].at.line > line && (!next || c->services[i].at.line < next->at.line))
            next = &c->services[i];
    return next;
}

static int check_used(const struct making *m, struct err *err)
{
    for (size_t i = 0; i < m->tree->n; i++)
        if (!m->used[i])
            return err_set(err, ERR_INPUT, 0, "%.200s: nothing of the package refers to it",
                           m->tree->files[i].path);
    return 0;
}

int atakit_plan_make(const struct workload_tree *tree, const struct compose *compose, struct bytes yaml,
                     const struct measure_service *services, size_t n, struct atakit_plan **out,
                     struct err *err)
{
    AUTO(making_done) struct making m = { .tree = tree, .compose = compose, .yaml = yaml };
    m.manifest_text = buf_new(MANIFEST_MAX);
    m.used = calloc(tree->n ? tree->n : 1, sizeof(*m.used));
    m.plan = calloc(1, sizeof(*m.plan));
    if (!m.used || !m.plan || !(m.plan->events = calloc(compose->service_count + 1, sizeof(*m.plan->events))))
        return err_set(err, ERR_IO, ENOMEM, "no memory for the measurement");
    m.plan->pcr23 = (struct digest){ .alg = ALG_SHA256, .n = 32 };
    if (load_manifest(tree, &m.manifest_text, &m.manifest, err) < 0 || atakit_yaml_check(yaml, err) < 0)
        return -1;
    use_exceptions(&m);
    if (add_event(m.plan, MANIFEST, buf_bytes(&m.manifest_text), err) < 0)
        return -1;
    for (const struct compose_service *s = after(compose, 0); s; s = after(compose, s->at.line))
        if (add_service(&m, s, image_of(services, n, s->name), err) < 0)
            return -1;
    if (check_used(&m, err) < 0)
        return -1;
    *out = MOVE(m.plan);
    return 0;
}

/* ---- digests of images ---- */

static int digest_of_archive(const struct workload_tree *tree, const char *path, struct measure_service *s,
                             struct err *err)
{
    AUTO(image_tar_done) struct image_tar tar = { 0 };
    AUTO(close_fd) int fd = workload_tree_open(tree, path, err);
    struct err why = { 0 };
    if (fd < 0)
        return -1;
    if (image_tar_read(fd, &tar, &why) < 0)
        return err_set(err, why.kind, why.code, "%.80s: %.200s", path, why.cause);
    if (tar.n != 1 || !tar.images[0].has_manifest)
        return err_set(err, ERR_INPUT, 0, "%.80s: want one image with an index.json", path);
    memcpy(s->id, tar.images[0].manifest, sizeof(s->id));
    s->has_id = true;
    return 0;
}

int atakit_find_images(const struct workload_tree *tree, struct measure_service *services, size_t n,
                       struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(MANIFEST_MAX);
    AUTO(json_drop) json_t *manifest = NULL;
    const json_t *image;
    size_t i;
    if (load_manifest(tree, &text, &manifest, err) < 0)
        return -1;
    json_array_foreach(json_object_get(manifest, "docker_images"), i, image)
    {
        const char *name = json_string_value(json_object_get(image, "service"));
        const char *path = json_string_value(json_object_get(image, "image_tar"));
        for (size_t k = 0; name && path && k < n; k++)
            if (!strcmp(services[k].name, name) && !services[k].has_id
                && digest_of_archive(tree, path, &services[k], err) < 0)
                return -1;
    }
    return 0;
}

json_t *atakit_json(const struct atakit_plan *p)
{
    json_t *events = json_array();
    for (size_t i = 0; i < p->n; i++)
        json_array_append_new(events,
                              json_pack("{s:I,s:s,s:s,s:{s:o},s:[i]}", "seq", (json_int_t)i, "type",
                                        i ? "service" : "manifest", "name", p->events[i].name, "digests",
                                        "sha256", json_hex(bytes_of(p->events[i].sha256, 32)), "registers",
                                        WORKLOAD_PCR_NOW));
    return json_pack("{s:s,s:o,s:{s:{s:o}}}", "scheme", "atakit", "events", events, "banks", "sha256", "23",
                     json_hex(digest_bytes(&p->pcr23)));
}
