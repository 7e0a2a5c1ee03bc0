#include "http_server.h"

#include "evidence.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct http_server {
    struct MHD_Daemon *daemon;
    struct http_rule *rules;
    size_t n;
    pthread_mutex_t lock;
    char url[64], path[1024];
    uint8_t posted[HTTP_SERVER_BODY_MAX];
    size_t posted_n;
    bool plain; /* a request came without the metadata header */
};

/* One request while it arrives: the server keeps the raw URI from before it is split. */
struct incoming {
    char uri[1024];
    uint8_t body[HTTP_SERVER_BODY_MAX];
    size_t n;
    bool begun;
};

static void *on_uri(void *arg, const char *uri, struct MHD_Connection *connection)
{
    struct incoming *in = calloc(1, sizeof(*in));
    (void)arg, (void)connection;
    if (in)
        snprintf(in->uri, sizeof(in->uri), "%s", uri);
    return in;
}

static void on_end(void *arg, struct MHD_Connection *connection, void **state,
                   enum MHD_RequestTerminationCode why)
{
    (void)arg, (void)connection, (void)why;
    free(*state);
    *state = NULL;
}

static struct http_rule *take_rule(struct http_server *s, const char *uri)
{
    for (size_t i = 0; i < s->n; i++) {
        struct http_rule *r = &s->rules[i];
        if (strncmp(uri, r->path, strlen(r->path)) || (r->times && atomic_load(&r->hits) >= r->times))
            continue;
        atomic_fetch_add(&r->hits, 1);
        return r;
    }
    return NULL;
}

static enum MHD_Result answer(struct MHD_Connection *connection, const struct http_rule *r)
{
    struct bytes body = r ? r->body : bytes_str("nothing here");
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(body.n, heap_copy(body.p, body.n), free);
    if (r && r->retry_after)
        MHD_add_response_header(response, "Retry-After", r->retry_after);
    if (r && r->header)
        MHD_add_response_header(response, r->header, r->header_value);
    enum MHD_Result rc = MHD_queue_response(connection, r ? r->status : 404, response);
    MHD_destroy_response(response);
    return rc;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data, size_t *size,
                                  void **state)
{
    struct http_server *s = arg;
    struct incoming *in = *state;
    (void)url, (void)method, (void)version;
    if (!in)
        return MHD_NO;
    if (!in->begun) {
        in->begun = true;
        return MHD_YES;
    }
    if (*size) {
        if (*size > sizeof(in->body) - in->n)
            return MHD_NO;
        memcpy(in->body + in->n, data, *size);
        in->n += *size;
        *size = 0;
        return MHD_YES;
    }
    const char *metadata = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Metadata");
    pthread_mutex_lock(&s->lock);
    struct http_rule *r = take_rule(s, in->uri);
    snprintf(s->path, sizeof(s->path), "%s", in->uri);
    memcpy(s->posted, in->body, in->n);
    s->posted_n = in->n;
    s->plain = s->plain || !metadata || strcmp(metadata, "true");
    pthread_mutex_unlock(&s->lock);
    if (r && r->delay_ms)
        usleep(r->delay_ms * 1000);
    return answer(connection, r);
}

struct http_server *http_server_start(struct http_rule *rules, size_t n)
{
    struct http_server *s = calloc(1, sizeof(*s));
    struct sockaddr_in where = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    assert_non_null(s);
    s->rules = rules;
    s->n = n;
    pthread_mutex_init(&s->lock, NULL);
    s->daemon =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, 0, NULL, NULL,
                         on_request, s, MHD_OPTION_SOCK_ADDR, &where, MHD_OPTION_URI_LOG_CALLBACK, on_uri, s,
                         MHD_OPTION_NOTIFY_COMPLETED, on_end, s, MHD_OPTION_END);
    assert_non_null(s->daemon);
    snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u",
             MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    return s;
}

const char *http_server_url(const struct http_server *s)
{
    return s->url;
}

struct bytes http_server_posted(const struct http_server *s)
{
    return bytes_of(s->posted, s->posted_n);
}

const char *http_server_path(const struct http_server *s)
{
    return s->path;
}

bool http_server_saw_metadata_header(const struct http_server *s)
{
    return !s->plain;
}

void http_server_stop(struct http_server *s)
{
    MHD_stop_daemon(s->daemon);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int http_server_perform(void *ctx, const struct http_request *request, struct http_response *out,
                        struct err *err)
{
    struct http_request here = *request;
    const char *path = strchr(request->url + strlen("http://"), '/');
    char url[512];
    snprintf(url, sizeof(url), "%s%s", http_server_url(ctx), path ? path : "/");
    here.url = url;
    struct http curl = http_curl();
    return http_perform(&curl, &here, out, err);
}
