/* docker-compose.yml: bounded in time and memory; what is accepted keeps the reader's promises, what is
 * refused says where. The bytes up to a first NUL are .env, if there is a NUL. */
#include "fuzz.h"

#include "base/auto.h"
#include "workload/compose.h"
#include "workload/path.h"

static void check_mounts(const struct compose_service *s)
{
    for (size_t i = 0; i < s->mount_count; i++) {
        const struct compose_mount *m = &s->mounts[i];
        size_t n = m->target ? strlen(m->target) : 0; /* in its final form */
        CHECK(n > 1 && *m->target == '/' && m->target[n - 1] != '/' && !strstr(m->target, "//"));
        if (m->type != COMPOSE_BIND)
            continue;
        char again[4096];
        CHECK(m->path || s->refused_count);
        if (!m->path)
            continue;
        char beside[4096]; /* "./~x" is a file of that name: in its final form it lies below the directory */
        CHECK(snprintf(beside, sizeof(beside), "./%s", m->path) < (int)sizeof(beside));
        CHECK(*m->path != '/' && workload_path(beside, again, sizeof(again), NULL) == 0
              && !strcmp(again, m->path));
    }
}

static void check_service(const struct compose *c, const struct compose_service *s)
{
    char full[512];
    bool complete;
    CHECK(s->name && s->at.line && s->image.text);
    CHECK(compose_image_reference(s->image.text, full, sizeof(full), &complete, NULL) == 0);
    CHECK(compose_service(c, s->name) == s);
    for (size_t i = 0; i < s->port_count; i++)
        CHECK(s->ports[i].container && s->ports[i].count);
    for (size_t i = 0; i < s->depends_count; i++)
        CHECK(compose_service(c, s->depends[i].service));
    CHECK(s->network_mode.text || s->network_count);
    check_mounts(s);
}

static int no_file(void *arg, const char *path, struct buf *out, struct err *err)
{
    (void)arg, (void)path, (void)out;
    return err_set(err, ERR_NOT_FOUND, 0, "no file");
}

static void check_order(const struct compose *c)
{
    size_t place[COMPOSE_SERVICES_MAX];
    for (size_t i = 0; i < c->service_count; i++)
        place[c->order[i]] = i;
    for (size_t i = 0; i < c->service_count; i++) {
        const struct compose_service *s = &c->services[i];
        for (size_t k = 0; k < s->depends_count; k++)
            CHECK(place[compose_service(c, s->depends[k].service) - c->services] < place[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    struct bytes dotenv = bytes_of(data, nul ? (size_t)(nul - data) : 0);
    struct bytes yaml = nul ? bytes_of(nul + 1, size - dotenv.n - 1) : bytes_of(data, size);
    AUTO(compose_drop) struct compose *c = NULL;
    struct err err = { 0 };
    if (compose_parse(yaml, dotenv, &c, &err) < 0) {
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
        CHECK(!c && (err.kind == ERR_TOO_LARGE || strstr(err.cause, "line ")));
        return 0;
    }
    CHECK(c->service_count >= 1 && c->service_count <= COMPOSE_SERVICES_MAX);
    for (size_t i = 0; i < c->service_count; i++) {
        AUTO(compose_memory_drop) struct compose_memory *memory = NULL;
        struct compose_pairs environment = { 0 };
        check_service(c, &c->services[i]);
        if (compose_environment(c, &c->services[i], no_file, NULL, &environment, &memory, &err) == 0) {
            for (size_t k = 1; k < environment.n; k++)
                CHECK(strcmp(environment.item[k - 1].key, environment.item[k].key) < 0);
        }
    }
    check_order(c);
    return 0;
}
