#include "agent/services_seen.h"

#include "base/auto.h"
#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>

struct seen {
    char name[COMPOSE_NAME_ROOM];
    bool running;
    int exit_code;
    enum engine_health health;
    uint64_t exits, restarts;
};

struct services_seen {
    pthread_mutex_t lock;
    struct seen one[COMPOSE_SERVICES_MAX];
    size_t n;
};

struct services_seen *services_seen_new(void)
{
    struct services_seen *s = calloc(1, sizeof(*s));
    if (s)
        pthread_mutex_init(&s->lock, NULL);
    return s;
}

void services_seen_free(struct services_seen *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static struct seen *find(struct services_seen *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++) {
        if (!strcmp(s->one[i].name, name))
            return &s->one[i];
    }
    return NULL;
}

void services_seen_set(struct services_seen *s, const struct compose *c)
{
    size_t kept = 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n; i++) {
        if (compose_service(c, s->one[i].name))
            s->one[kept++] = s->one[i];
    }
    s->n = kept;
    for (size_t i = 0; i < c->service_count && s->n < ARRAY_SIZE(s->one); i++) {
        if (find(s, c->services[i].name))
            continue;
        struct seen *one = &s->one[s->n++];
        *one = (struct seen){ .running = true };
        snprintf(one->name, sizeof(one->name), "%s", c->services[i].name);
    }
    pthread_mutex_unlock(&s->lock);
}

static void log_change(const struct runner_status *status)
{
    static const char *const health[] = { "none", "starting", "healthy", "unhealthy" };
    char code[16];
    const char *event = status->exited ? "exited" : status->restarted ? "restarted" : "health";
    bool bad = status->exited || status->restarted || status->state.health == ENGINE_UNHEALTHY;
    snprintf(code, sizeof(code), "%d", status->state.exit_code);
    log_event(bad ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "service", "service", status->service, "change",
              event, "health",
              status->state.health == ENGINE_HEALTH_NONE ? NULL : health[status->state.health], "exit_code",
              status->exited || status->restarted ? code : NULL, "reason",
              status->state.oom_killed ? "out of memory" : NULL, NULL);
}

void services_seen_changed(void *arg, const struct runner_status *status)
{
    struct services_seen *s = arg;
    pthread_mutex_lock(&s->lock);
    struct seen *one = find(s, status->service);
    if (one) {
        one->running = status->state.running;
        one->exit_code = status->state.exit_code;
        one->health = status->state.health;
        one->exits += status->exited;
        one->restarts += status->restarted;
    }
    pthread_mutex_unlock(&s->lock);
    log_change(status);
}

static void family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP cvm_agent_service_%s %s\n# TYPE cvm_agent_service_%s %s\n", name, help, name,
               type);
}

void services_seen_metrics(struct services_seen *s, struct buf *out)
{
    pthread_mutex_lock(&s->lock);
    family(out, "running", "gauge", "Whether the container runs.");
    for (size_t i = 0; i < s->n; i++)
        buf_printf(out, "cvm_agent_service_running{service=\"%s\"} %d\n", s->one[i].name, s->one[i].running);
    family(out, "healthy", "gauge", "What the last health check said; absent without one.");
    for (size_t i = 0; i < s->n; i++) {
        if (s->one[i].health == ENGINE_HEALTHY || s->one[i].health == ENGINE_UNHEALTHY)
            buf_printf(out, "cvm_agent_service_healthy{service=\"%s\"} %d\n", s->one[i].name,
                       s->one[i].health == ENGINE_HEALTHY);
    }
    family(out, "exits_total", "counter", "Times that the container was seen to have ended.");
    for (size_t i = 0; i < s->n; i++)
        buf_printf(out, "cvm_agent_service_exits_total{service=\"%s\"} %" PRIu64 "\n", s->one[i].name,
                   s->one[i].exits);
    family(out, "restarts_total", "counter", "Times that the container was seen to have been restarted.");
    for (size_t i = 0; i < s->n; i++)
        buf_printf(out, "cvm_agent_service_restarts_total{service=\"%s\"} %" PRIu64 "\n", s->one[i].name,
                   s->one[i].restarts);
    pthread_mutex_unlock(&s->lock);
}
