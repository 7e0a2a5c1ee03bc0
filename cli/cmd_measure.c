#include "cli/commands.h"

#include "base/auto.h"
#include "base/enc.h"
#include "cli/measuring.h"
#include "workload/atakit.h"

#include <errno.h>
#include <string.h>

#define IMAGES_MAX (1u << 20)

struct measuring {
    const char *dir, *images;
    bool json, atakit;
    struct workload_tree *tree;
    struct buf yaml;
    struct compose *compose;
    struct workload_policy policy;
    struct measure_service *services;
    size_t n;
    struct measure_plan *plan;
    struct atakit_plan *package;
};

static void measuring_done(struct measuring *m)
{
    measure_plan_free(m->plan);
    atakit_plan_free(m->package);
    buf_done(&m->yaml);
    free(m->services);
    workload_policy_done(&m->policy);
    compose_free(m->compose);
    workload_tree_free(m->tree);
}

/* ---- what is there ---- */

static int load_policy(struct measuring *m, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(POLICY_FILE_MAX);
    if (!workload_tree_find(m->tree, POLICY_PATH)) {
        workload_policy_defaults(&m->policy);
        return 0;
    }
    return workload_tree_load(m->tree, POLICY_PATH, POLICY_FILE_MAX, &text, err) < 0
                   || workload_policy_parse(buf_bytes(&text), &m->policy, err) < 0
               ? err_while(err, POLICY_PATH)
               : 0;
}

static int load_compose(struct measuring *m, struct err *err)
{
    AUTO(buf_done) struct buf env = buf_new(COMPOSE_ENV_MAX);
    if (!m->atakit && !workload_tree_find(m->tree, COMPOSE_FILE) && workload_tree_has_settings(m->tree)) {
        fail(0, m->dir, "warning", "no " COMPOSE_FILE ": settings without services");
        return 0;
    }
    m->yaml = buf_new(COMPOSE_FILE_MAX);
    if (workload_tree_load(m->tree, COMPOSE_FILE, COMPOSE_FILE_MAX, &m->yaml, err) < 0
        || (workload_tree_find(m->tree, COMPOSE_ENV_FILE)
            && workload_tree_load(m->tree, COMPOSE_ENV_FILE, COMPOSE_ENV_MAX, &env, err) < 0)
        || compose_parse(buf_bytes(&m->yaml), buf_bytes(&env), &m->compose, err) < 0)
        return err_while(err, COMPOSE_FILE);
    return measure_services(m->compose, &m->policy, &m->services, &m->n, err);
}

static int load(struct measuring *m, struct err *err)
{
    const struct tree_limits limits = { .skip_images = true, .any_name = m->atakit };
    return workload_tree_read(m->dir, &limits, &m->tree, err) < 0 || load_policy(m, err) < 0
                   || load_compose(m, err) < 0
               ? -1
               : 0;
}

/* ---- image ids ---- */

static struct measure_service *service(const struct measuring *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->services[i].name, name) == 0)
            return &m->services[i];
    return NULL;
}

static int given_image(const struct measuring *m, const char *name, const json_t *value)
{
    const char *id = json_string_value(value);
    struct measure_service *s = service(m, name);
    struct err err = { 0 };
    if (!s) {
        fail(0, m->images, "warning: there is no such service in " COMPOSE_FILE, name);
        return 0;
    }
    if (id && strncmp(id, "sha256:", 7) == 0)
        id += 7;
    if (!id || strlen(id) != 64 || hex_decode_fixed(bytes_str(id), s->id, sizeof(s->id), &err) < 0)
        return fail(STATUS_INPUT, m->images, name,
                    "want \"sha256:\" and the 64 hex digits of the image's id");
    s->has_id = true;
    return 0;
}

static int given_images(const struct measuring *m)
{
    AUTO(free_u8) uint8_t *data = NULL;
    AUTO(json_drop) json_t *v = NULL;
    struct err err = { 0 };
    const char *name;
    json_t *value;
    size_t n = 0;
    int rc = read_input(m->images, IMAGES_MAX, &data, &n);
    if (rc)
        return rc;
    if (json_parse(bytes_of(data, n), IMAGES_MAX, &v, &err) < 0)
        return fail_err(STATUS_INPUT, m->images, "not a list of images", &err);
    if (!json_is_object(v))
        return fail(STATUS_INPUT, m->images, "not a list of images", "want {\"service\":\"sha256:...\"}");
    json_object_foreach(v, name, value)
    {
        rc = given_image(m, name, value);
        if (rc)
            return rc;
    }
    return 0;
}

/* Archives that nobody needs may be unreadable; one that says another image than the list may not. */
static int find_images(const struct measuring *m)
{
    struct err err = { 0 };
    bool needed = false;
    if (m->atakit ? atakit_find_images(m->tree, m->services, m->n, &err) == 0
                  : measure_find_images(m->tree, m->services, m->n, &err) == 0)
        return 0;
    for (size_t i = 0; i < m->n; i++)
        needed = needed || (!m->services[i].skip && !m->services[i].has_id);
    if (needed || m->atakit || err.kind == ERR_DENIED)
        return fail_err(err.kind == ERR_IO ? STATUS_ENVIRONMENT : STATUS_INPUT, m->dir, "images", &err);
    fail_err(0, m->dir, "warning: an image archive cannot be read", &err);
    return 0;
}

static int name_missing(const struct measuring *m)
{
    char why[256];
    for (size_t i = 0; i < m->n; i++) {
        const struct measure_service *s = &m->services[i];
        if (s->skip || s->has_id)
            continue;
        snprintf(why, sizeof(why),
                 "no image .tar has %.100s: give --images FILE with {\"%.40s\":\"sha256:...\"}", s->reference,
                 s->name);
        return fail(STATUS_INPUT, m->dir, s->name, why);
    }
    return 0;
}

/* ---- output ---- */

static void put_hex(struct buf *out, const char *label, struct bytes data)
{
    buf_printf(out, "%s", label);
    hex_put(out, data);
    buf_u8(out, '\n');
}

static int print_text(const struct measuring *m)
{
    static const uint16_t algs[] = { ALG_SHA256, ALG_SHA384 };
    AUTO(buf_done) struct buf out = buf_new(SIZE_MAX / 2);
    struct err err = { 0 };
    for (size_t i = 0; i < m->plan->n; i++) {
        const struct measure_event *e = &m->plan->events[i];
        char hex[97];
        buf_printf(&out, "%3zu  %-8s %s  %s\n", i, e->type, hex_to(hex, bytes_of(e->content_sha384, 48)),
                   e->name);
    }
    for (size_t i = 0; i < ARRAY_SIZE(algs); i++) {
        struct digest now, zero = { .alg = algs[i], .n = (uint8_t)digest_size(algs[i]) };
        if (measure_predict(m->plan, algs[i], &now, &err) < 0)
            return fail_err(STATUS_ENVIRONMENT, m->dir, "predict", &err);
        buf_printf(&out, "\n%s\n", digest_name(algs[i]));
        put_hex(&out, "  PCR 23 ", digest_bytes(&now));
        put_hex(&out, "  PCR 16 ", digest_bytes(&zero));
        put_hex(&out, "  PCR 15 ", digest_bytes(&now));
    }
    return write_out(&out, NULL);
}

static int print(const struct measuring *m)
{
    if (!m->json)
        return print_text(m);
    AUTO(json_drop) json_t *v = measure_json(m->plan);
    return v ? write_json(v) : fail(STATUS_ENVIRONMENT, m->dir, "measure", "no memory");
}

/* The published recipe of others: PCR 23 alone. */
static int measure_package(struct measuring *m)
{
    AUTO(buf_done) struct buf out = buf_new(SIZE_MAX / 2);
    struct err err = { 0 };
    if (atakit_plan_make(m->tree, m->compose, buf_bytes(&m->yaml), m->services, m->n, &m->package, &err) < 0)
        return fail_err(err.kind == ERR_IO ? STATUS_ENVIRONMENT : STATUS_INPUT, m->dir, "measure", &err);
    if (m->json) {
        AUTO(json_drop) json_t *v = atakit_json(m->package);
        return v ? write_json(v) : fail(STATUS_ENVIRONMENT, m->dir, "measure", "no memory");
    }
    for (size_t i = 0; i < m->package->n; i++) {
        char hex[65];
        buf_printf(&out, "%3zu  %-8s %s  %s\n", i, i ? "service" : "manifest",
                   hex_to(hex, bytes_of(m->package->events[i].sha256, 32)), m->package->events[i].name);
    }
    put_hex(&out, "\nsha256\n  PCR 23 ", digest_bytes(&m->package->pcr23));
    return write_out(&out, NULL);
}

static int measure(struct measuring *m)
{
    struct err err = { 0 };
    if (load(m, &err) < 0)
        return fail_err(err.kind == ERR_IO ? STATUS_ENVIRONMENT : STATUS_INPUT, m->dir, "workload", &err);
    for (size_t i = 0; m->compose && i < m->compose->warning_count; i++)
        fail(0, m->dir, "warning", m->compose->warnings[i].text);
    int rc = m->images ? given_images(m) : 0;
    if (rc || (rc = find_images(m)) || (rc = name_missing(m)))
        return rc;
    if (m->atakit)
        return measure_package(m);
    if (measure_plan_make(m->tree, m->services, m->n, &m->plan, &err) < 0)
        return fail_err(STATUS_INPUT, m->dir, "measure", &err);
    return 0;
}

int measure_directory(const char *dir, const char *images, struct measure_plan **out)
{
    AUTO(measuring_done) struct measuring m = { .dir = dir, .images = images };
    int rc = measure(&m);
    if (rc == 0)
        *out = MOVE(m.plan);
    return rc;
}

static int run(int argc, char **argv)
{
    AUTO(measuring_done) struct measuring m = { 0 };
    const char *scheme = "cvm-agent-v1", *args[1];
    const struct option_row rows[] = {
        { "images", OPTION_TEXT, &m.images },
        { "scheme", OPTION_TEXT, &scheme },
        { "json", OPTION_FLAG, &m.json },
    };
    int rc = options_parse(&command_measure, argc, argv, rows, ARRAY_SIZE(rows), args, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? STATUS_DONE : rc;
    m.atakit = strcmp(scheme, "atakit") == 0;
    if (!m.atakit && strcmp(scheme, "cvm-agent-v1") != 0)
        return fail(STATUS_USAGE, scheme, "no such scheme", "cvm-agent-v1 and atakit are known");
    m.dir = args[0];
    rc = measure(&m);
    return rc || m.atakit ? rc : print(&m); /* a package is printed where it is measured */
}

const struct command command_measure = {
    .name = "measure",
    .args = "WORKLOAD_DIR [--images FILE] [--scheme S] [--json]",
    .summary = "Says what a workload will put into PCR 23, 16 and 15",
    .help =
        "Reads a workload directory (docker-compose.yml, .env, config/, secrets/, image .tar files) as the\n"
        "agent does and prints the events of its start and the values of the registers after them.\n"
        "\n"
        "The id of a service's image (SHA-256 of its config blob, podman's image id) comes from the image\n"
        ".tar files beside docker-compose.yml, or from --images: a JSON file {\"service\":\"sha256:...\"}.\n"
        "The machine must use these images: one that pulls another measures another.\n"
        "\n"
        "  --images F  ids of images, as said above\n"
        "  --scheme S  cvm-agent-v1, or atakit: the published recipe for a package with manifest.json and a\n"
        "              compose file in its normal form; ids are then digests of manifests, and PCR 23 is "
        "all\n"
        "  --json      "
        "{\"scheme\",\"events\":[...],\"banks\":{\"sha256\":{\"23\",\"16\",\"15\"},\"sha384\":{...}}}\n",
    .run = run,
};
