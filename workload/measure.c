#include "workload/measure.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"
#include "tpm/measured.h"
#include "workload/image_tar.h"

#include <errno.h>

int measure_services(const struct compose *compose, const struct workload_policy *policy,
                     struct measure_service **out, size_t *n, struct err *err)
{
    struct measure_service *list = calloc(compose->service_count ? compose->service_count : 1, sizeof(*list));
    if (!list)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the services");
    for (size_t i = 0; i < compose->service_count; i++) {
        const struct compose_service *s = &compose->services[i];
        list[i] = (struct measure_service){ .name = s->name,
                                            .reference = s->image.text ? s->image.text : "",
                                            .skip = policy_skips(policy, s->name) };
    }
    *out = list;
    *n = compose->service_count;
    return 0;
}

/* ---- which image is whose ---- */

static int use_image(const struct tree_file *f, const struct tar_image *image, struct measure_service *s,
                     struct err *err)
{
    char has[65], found[65];
    if (s->has_id && memcmp(s->id, image->id, sizeof(s->id)) != 0)
        return err_set(err, ERR_DENIED, 0,
                       "service %.60s: its image is %.16s..., but %.80s has %.16s... as %.60s", s->name,
                       hex_to(has, bytes_of(s->id, 32)), f->path, hex_to(found, bytes_of(image->id, 32)),
                       s->reference);
    memcpy(s->id, image->id, sizeof(s->id));
    s->has_id = true;
    return 0;
}

static int search_archive(const struct workload_tree *tree, const struct tree_file *f,
                          struct measure_service *services, size_t n, struct err *err)
{
    AUTO(image_tar_done) struct image_tar tar = { 0 };
    AUTO(close_fd) int fd = workload_tree_open(tree, f->path, err);
    struct err why = { 0 };
    if (fd < 0)
        return -1;
    if (image_tar_read(fd, &tar, &why) < 0)
        return err_set(err, why.kind, why.code, "%.80s: %.200s", f->path, why.cause);
    for (size_t i = 0; i < n; i++) {
        const struct tar_image *image = image_tar_find(&tar, services[i].reference);
        if (image && use_image(f, image, &services[i], err) < 0)
            return -1;
    }
    return 0;
}

int measure_find_images(const struct workload_tree *tree, struct measure_service *services, size_t n,
                        struct err *err)
{
    for (size_t i = 0; i < tree->n; i++)
        if (tree->files[i].kind == TREE_IMAGE && search_archive(tree, &tree->files[i], services, n, err) < 0)
            return err_while(err, "read image archives");
    return 0;
}

/* ---- the plan ---- */

void measure_plan_free(struct measure_plan *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        free(p->events[i].name);
    free(p->events);
    free(p);
}

/* There is room for it: measure_plan_make() counted. */
static int add(struct measure_plan *p, const char *type, const char *name, const uint8_t *content_sha384,
               struct err *err)
{
    if (strlen(name) > MEASURED_NAME_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "the name of an event is over %d bytes", MEASURED_NAME_MAX);
    struct measure_event *e = &p->events[p->n];
    *e = (struct measure_event){ .type = type, .name = strdup(name) };
    if (!e->name)
        return err_set(err, ERR_IO, ENOMEM, "no memory for an event");
    memcpy(e->content_sha384, content_sha384, sizeof(e->content_sha384));
    p->n++;
    return 0;
}

static int add_bytes(struct measure_plan *p, const char *type, const char *name, struct bytes content,
                     struct err *err)
{
    uint8_t sum[48];
    sha384(content, sum);
    return add(p, type, name, sum, err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct measure_service *)a)->name, ((const struct measure_service *)b)->name);
}

static int add_services(struct measure_plan *p, const struct measure_service *sorted, size_t n, bool skip,
                        struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct measure_service *s = &sorted[i];
        if (i && !strcmp(s->name, sorted[i - 1].name))
            return err_set(err, ERR_INPUT, 0, "two services with the name %.100s", s->name);
        if (s->skip != skip)
            continue;
        if (!skip && !s->has_id)
            return err_set(err, ERR_NOT_FOUND, 0,
                           "service %.60s: nothing says which image %.100s is: neither an image .tar of the "
                           "workload nor a list of images",
                           s->name, s->reference);
        struct bytes content = skip ? bytes_str(s->reference) : bytes_of(s->id, sizeof(s->id));
        if (add_bytes(p, skip ? "skip" : "image", s->name, content, err) < 0)
            return -1;
    }
    return 0;
}

/* The listing is in the byte order of its paths. */
static int add_files(struct measure_plan *p, const struct workload_tree *tree, enum tree_kind kind,
                     const char *type, struct err *err)
{
    for (size_t i = 0; i < tree->n; i++)
        if (tree->files[i].kind == kind && add(p, type, tree->files[i].path, tree->files[i].sha384, err) < 0)
            return -1;
    return 0;
}

static void free_services(struct measure_service **p)
{
    free(*p);
}

int measure_plan_make(const struct workload_tree *tree, const struct measure_service *services, size_t n,
                      struct measure_plan **out, struct err *err)
{
    AUTO(measure_plan_drop) struct measure_plan *p = calloc(1, sizeof(*p));
    AUTO(free_services) struct measure_service *sorted = calloc(n ? n : 1, sizeof(*sorted));
    size_t max = n + tree->n + 1;
    if (!p || !sorted || !(p->events = calloc(max, sizeof(*p->events))))
        return err_set(err, ERR_IO, ENOMEM, "no memory for the measurement");
    if (!workload_tree_find(tree, "docker-compose.yml") && (n || !workload_tree_has_settings(tree)))
        return err_set(err, ERR_NOT_FOUND, 0, "the workload has no docker-compose.yml");
    for (size_t i = 0; i < n; i++)
        sorted[i] = services[i];
    qsort(sorted, n, sizeof(*sorted), by_name);
    if (add_services(p, sorted, n, false, err) < 0 || add_services(p, sorted, n, true, err) < 0
        || add_files(p, tree, TREE_COMPOSE, "compose", err) < 0
        || add_files(p, tree, TREE_ENV, "env", err) < 0 || add_files(p, tree, TREE_CONFIG, "config", err) < 0
        || add_bytes(p, "ready", "", bytes_of(NULL, 0), err) < 0)
        return err_while(err, "plan the measurement");
    *out = MOVE(p);
    return 0;
}

bool measure_plan_equal(const struct measure_plan *a, const struct measure_plan *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->events[i].type, b->events[i].type) != 0
            || strcmp(a->events[i].name, b->events[i].name) != 0
            || memcmp(a->events[i].content_sha384, b->events[i].content_sha384, 48) != 0)
            return false;
    return true;
}

/* ---- what it gives ---- */

static int event_digest(const struct measure_event *e, uint16_t alg, struct digest *out, struct err *err)
{
    return measured_digest(alg, e->type, e->name, e->content_sha384, out, err);
}

int measure_predict(const struct measure_plan *p, uint16_t alg, struct digest *out, struct err *err)
{
    struct digest value = { .alg = alg, .n = (uint8_t)digest_size(alg) }, d;
    for (size_t i = 0; i < p->n; i++)
        if (event_digest(&p->events[i], alg, &d, err) < 0 || digest_extend(&value, digest_bytes(&d), err) < 0)
            return -1;
    *out = value;
    return 0;
}

static const uint16_t banks[] = { ALG_SHA256, ALG_SHA384 };

static json_t *event_json(const struct measure_event *e, size_t seq)
{
    json_t *digests = json_object();
    struct digest d;
    for (size_t i = 0; i < ARRAY_SIZE(banks); i++)
        if (event_digest(e, banks[i], &d, NULL) == 0)
            json_object_set_new(digests, digest_name(banks[i]), json_hex(digest_bytes(&d)));
    return json_pack("{s:I,s:s,s:s,s:o,s:o,s:[i,i]}", "seq", (json_int_t)seq, "type", e->type, "name",
                     e->name, "content_sha384", json_hex(bytes_of(e->content_sha384, 48)), "digests", digests,
                     "registers", WORKLOAD_PCR_NOW, WORKLOAD_PCR_HISTORY);
}

static json_t *bank_json(const struct measure_plan *p, uint16_t alg)
{
    struct digest now, zero = { .alg = alg, .n = (uint8_t)digest_size(alg) };
    if (measure_predict(p, alg, &now, NULL) < 0)
        return NULL;
    /* at the start of a boot the history is what runs now, and nothing has been patched */
    return json_pack("{s:o,s:o,s:o}", "23", json_hex(digest_bytes(&now)), "16", json_hex(digest_bytes(&zero)),
                     "15", json_hex(digest_bytes(&now)));
}

json_t *measure_json(const struct measure_plan *p)
{
    json_t *events = json_array(), *values = json_object();
    for (size_t i = 0; i < p->n; i++)
        json_array_append_new(events, event_json(&p->events[i], i));
    for (size_t i = 0; i < ARRAY_SIZE(banks); i++)
        json_object_set_new(values, digest_name(banks[i]), bank_json(p, banks[i]));
    return json_pack("{s:s,s:o,s:o}", "scheme", MEASURED_SCHEME, "events", events, "banks", values);
}
