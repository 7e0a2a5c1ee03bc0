#include "agent/maintenance.h"

#include "agent/firewall.h"
#include "base/auto.h"
#include "base/json.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

struct maintenance {
    struct workload *workload;
    pthread_mutex_t acting; /* one at a time */
    pthread_mutex_t lock;   /* what follows */
    pthread_cond_t wake;
    pthread_t thread;
    bool started, stop, waits;
    struct maintenance_order order;
    struct timespec due;
};

/* ---- doing it ---- */

static int signal_all(const struct maintenance *m, json_t *results, struct err *err)
{
    const struct workload *w = m->workload;
    struct engine_state *all = NULL;
    size_t n = 0;
    if (engine_list(&w->runner.engine, w->runner.project, &all, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        char text[ERR_TEXT_MAX + 1];
        struct err why = { 0 };
        if (!all[i].running)
            continue;
        if (priv_maintenance(w->priv, all[i].id, atomic_load(&w->policy)->maintenance_signal, &why) < 0)
            err_text(&why, text, sizeof(text));
        else
            snprintf(text, sizeof(text), "%s\n", all[i].name); /* as the engine's own tool prints it */
        json_object_set_new(results, all[i].name, json_string(text));
    }
    free(all);
    return 0;
}

int maintenance_act(struct maintenance *m, bool enable, json_t *results, struct err *err)
{
    const struct workload *w = m->workload;
    pthread_mutex_lock(&m->acting);
    int rc =
        w->firewall ? firewall_apply(w->priv, atomic_load(&w->policy), w->external_port, enable, err) : 0;
    if (rc == 0 && w->has_engine)
        rc = signal_all(m, results, err);
    pthread_mutex_unlock(&m->acting);
    return rc < 0 ? err_while(err, "maintenance mode") : 0;
}

/* ---- later ---- */

static bool is_due(const struct timespec *due)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > due->tv_sec || (now.tv_sec == due->tv_sec && now.tv_nsec >= due->tv_nsec);
}

static void carry_out(struct maintenance *m, const struct maintenance_order *order)
{
    AUTO(json_drop) json_t *results = json_object();
    struct err why = { 0 };
    int rc = maintenance_act(m, order->enable, results, &why);
    if (rc < 0)
        log_err(LOG_LEVEL_ERROR, "maintenance", &why);
    order->done(order->arg, order->enable, rc < 0 ? &why : NULL);
}

static void *run(void *arg)
{
    struct maintenance *m = arg;
    pthread_mutex_lock(&m->lock);
    while (!m->stop) {
        if (!m->waits) {
            pthread_cond_wait(&m->wake, &m->lock);
        } else if (!is_due(&m->due)) {
            pthread_cond_timedwait(&m->wake, &m->lock, &m->due);
        } else {
            const struct maintenance_order order = m->order;
            m->waits = false;
            pthread_mutex_unlock(&m->lock);
            carry_out(m, &order);
            pthread_mutex_lock(&m->lock);
        }
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

static void drop(const struct maintenance_order *order, const char *why)
{
    struct err err = { 0 };
    err_set(&err, ERR_BUSY, 0, "%s", why);
    order->done(order->arg, order->enable, &err);
}

int maintenance_schedule(struct maintenance *m, const struct maintenance_order *order, struct err *err)
{
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    due.tv_sec += (time_t)order->delay_s;
    pthread_mutex_lock(&m->lock);
    if (!m->started && !m->stop)
        m->started = pthread_create(&m->thread, NULL, run, m) == 0;
    bool ok = m->started && !m->stop, replaced = ok && m->waits;
    const struct maintenance_order old = m->order;
    if (ok) {
        m->order = *order;
        m->due = due;
        m->waits = true;
        pthread_cond_signal(&m->wake);
    }
    pthread_mutex_unlock(&m->lock);
    if (replaced)
        drop(&old, "another order came before it was due");
    return ok ? 0 : err_set(err, ERR_UNAVAILABLE, 0, "nothing can be scheduled: try again without a delay");
}

int maintenance_new(struct workload *w, struct maintenance **out, struct err *err)
{
    pthread_condattr_t monotonic;
    struct maintenance *m = calloc(1, sizeof(*m));
    if (!m)
        return err_set(err, ERR_IO, ENOMEM, "no memory for maintenance mode");
    m->workload = w;
    pthread_mutex_init(&m->acting, NULL);
    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&m->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *out = m;
    return 0;
}

void maintenance_free(struct maintenance *m)
{
    if (!m)
        return;
    pthread_mutex_lock(&m->lock);
    bool waits = m->waits, started = m->started;
    const struct maintenance_order order = m->order;
    m->stop = true;
    m->waits = false;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
    if (started)
        pthread_join(m->thread, NULL);
    if (waits)
        drop(&order, "the agent stopped before it was due");
    pthread_cond_destroy(&m->wake);
    pthread_mutex_destroy(&m->lock);
    pthread_mutex_destroy(&m->acting);
    free(m);
}
