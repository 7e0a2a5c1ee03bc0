#include "agent/request.h"

#include "agent/appraisal_route.h"
#include "agent/logs_route.h"
#include "agent/operate.h"
#include "agent/refusal.h"
#include "agent/routes.h"
#include "agent/server.h"
#include "agent/verify_route.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/json.h"

#include <strings.h>
#include <time.h>

static const unsigned statuses[ERR_KINDS] = {
    [ERR_NONE] = 200,        [ERR_INPUT] = 400, [ERR_UNAUTHENTICATED] = 401, [ERR_DENIED] = 403,
    [ERR_NOT_FOUND] = 404,   [ERR_BUSY] = 409,  [ERR_LIMITED] = 429,         [ERR_TOO_LARGE] = 413,
    [ERR_UNAVAILABLE] = 503, [ERR_IO] = 500,
};

unsigned status_of(enum err_kind kind)
{
    return kind < ERR_KINDS ? statuses[kind] : 500;
}

struct request *request_new(struct server *s, struct MHD_Connection *connection, const char *raw_target)
{
    struct request *r = calloc(1, sizeof(*r));
    if (!r || !(r->raw = strdup(raw_target))) {
        free(r);
        return NULL;
    }
    r->end = raw_target + strlen(raw_target);
    r->server = s;
    r->connection = connection;
    r->began_us = clock_us();
    r->body = buf_new(0);
    r->nonce = buf_new(NONCE_MAX);
    r->target = (struct target){ bytes_of(NULL, 0), bytes_of(NULL, 0), bytes_of(NULL, 0) };
    return r;
}

void request_free(struct request *r)
{
    if (!r)
        return;
    evidence_free(r->evidence);
    verify_job_free(r->verification);
    appraisal_job_free(r->appraisal);
    op_free(r->op);
    logs_free(r->logs);
    upload_free(r->upload);
    buf_done(&r->body);
    buf_done(&r->report);
    buf_done(&r->nonce);
    free(r->raw);
    free(r);
}

/* Between two pieces of a file, and for all of it: 512 MiB then want 37 KiB/s. */
#define UPLOAD_SECONDS     120
#define UPLOAD_ALL_SECONDS (4 * 3600)

/* Contract section 2: inside, the Host header is a loopback literal or absent. A page that a browser in the
 * guest shows could else reach us through a name that it resolves to 127.0.0.1. */
struct host_check {
    bool ok;
};

static enum MHD_Result check_header(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct host_check *check = cls;
    (void)kind;
    if (!strcasecmp(key, MHD_HTTP_HEADER_HOST))
        check->ok = check->ok && host_is_loopback(bytes_str(value));
    return MHD_YES;
}

static int check_host(struct request *r, struct err *err)
{
    struct host_check check = { r->target.authority.n == 0 || host_is_loopback(r->target.authority) };
    if (r->port == PORT_EXTERNAL)
        return 0;
    MHD_get_connection_values(r->connection, MHD_HEADER_KIND, check_header, &check);
    if (!check.ok)
        return err_set(err, ERR_DENIED, 0,
                       "the Host header is not a loopback address: ask 127.0.0.1, [::1] or localhost");
    return 0;
}

static int check_query(struct request *r, struct err *err)
{
    if (query_parse(r->target.query, r->route->repeat, &r->query, err) < 0)
        return -1;
    for (size_t i = 0; i < r->query.n; i++) {
        bool known = false;
        for (const char *const *p = r->route->parameters; *p; p++)
            known = known || !strcmp(*p, r->query.pair[i].name);
        if (!known)
            return err_set(err, ERR_INPUT, 0,
                           "unknown query parameter \"%s\": see /openapi.json for those of %s",
                           r->query.pair[i].name, r->route->path);
    }
    return 0;
}

const char *request_header(const struct request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

bool request_has_body(const struct request *r)
{
    const char *length = request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return request_header(r, MHD_HTTP_HEADER_TRANSFER_ENCODING) || (length && strtoull(length, NULL, 10) > 0);
}

static int check_body(struct request *r, struct err *err)
{
    const char *length = request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
    const char *coding = request_header(r, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    uint64_t max =
        r->route->body == BODY_TEXT ? r->route->body_max : server_upload_max(r->server) + UPLOAD_SLACK;
    if (length && strtoull(length, NULL, 10) > max)
        return err_set(err, ERR_TOO_LARGE, 0,
                       "the body of %.20s bytes is too long: %s takes %" PRIu64 " at most", length,
                       r->route->path, max);
    if (coding && max == 0)
        return err_set(err, ERR_TOO_LARGE, 0, "%s takes no body: send none", r->route->path);
    r->body_max = max;
    r->body.max = r->route->body_max;
    return 0;
}

static int begin_upload(struct request *r, struct err *err)
{
    if (r->route->body == BODY_TEXT)
        return 0;
    return operate_upload(r, r->route->body == BODY_FORM_OR_FILE, server_upload_max(r->server), err);
}

/* With the event thread's hands off the upload until it is written. */
static int take_file(struct request *r, const char *data, size_t n, struct err *err)
{
    if (upload_take(r->upload, data, n, err) < 0)
        return -1;
    if (!upload_is_full(r->upload))
        return 0;
    uint64_t spent = (clock_us() - r->began_us) / 1000000;
    uint64_t left = spent < UPLOAD_ALL_SECONDS ? UPLOAD_ALL_SECONDS - spent : 0;
    server_allow(r->server, r, left < UPLOAD_SECONDS ? (unsigned)left : UPLOAD_SECONDS);
    MHD_suspend_connection(r->connection);
    if (operate_flush(r, err) == 0)
        return 0;
    request_resume(r);
    return -1;
}

static int take_text(struct request *r, const char *data, size_t n)
{
    buf_put(&r->body, bytes_of(data, n));
    return r->body.failed ? -1 : 0;
}

void request_take(struct request *r, const char *data, size_t n)
{
    if (r->failed)
        return;
    r->body_n += n;
    if (r->body_n > r->body_max || (!r->upload && take_text(r, data, n) < 0)) {
        r->failed = true;
        err_set(&r->err, ERR_TOO_LARGE, 0, "the body is too long: %s takes %" PRIu64 " bytes at most",
                r->route->path, r->body_max);
        buf_done(&r->body);
    } else if (r->upload) {
        struct err err = { 0 };
        if (take_file(r, data, n, &err) < 0) {
            r->err = err;
            r->failed = true;
        }
    }
}

static int check_token(struct request *r, struct err *err)
{
    struct operate *o = server_operate(r->server);
    if (!r->route->auth || r->port != PORT_EXTERNAL)
        return 0;
    if (!o)
        return err_set(err, ERR_UNAVAILABLE, 0, "management could not be started: see the agent's log");
    return auth_check(operate_auth(o), request_header(r, MHD_HTTP_HEADER_AUTHORIZATION), &r->who,
                      r->began_us / 1000, &r->caller, &r->retry_after_s, err);
}

static int check_rate(struct request *r, struct err *err)
{
    if (!r->route->evidence || !(r->port & (PORT_EXTERNAL | PORT_SERVICE)))
        return 0;
    if (!server_rate_take(r->server, &r->who, &r->retry_after_s))
        return err_set(err, ERR_LIMITED, 0, "too many requests from this %s: try again in %u s",
                       r->service ? "service" : "address", r->retry_after_s);
    return 0;
}

/* The library hands the target over as a string. If the version does not follow its terminator, a NUL has cut
 * it (or blanks that do not belong there have been skipped). */
static int check_whole(const struct request *r, const char *version, struct err *err)
{
    if (version != r->end + 1)
        return err_set(err, ERR_INPUT, 0,
                       "the request line is malformed: want METHOD TARGET VERSION, no NUL bytes");
    return 0;
}

/* Two of these, or both, are read differently by different programs on the way. */
static enum MHD_Result count_framing(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
    unsigned *count = cls;
    (void)kind;
    if (!strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH)
        || !strcasecmp(key, MHD_HTTP_HEADER_TRANSFER_ENCODING))
        ++*count;
    if (!strcasecmp(key, MHD_HTTP_HEADER_TRANSFER_ENCODING) && strcasecmp(value, "chunked") != 0)
        *count += 2;
    return MHD_YES;
}

/* RFC 9112, section 6.3. */
static int check_framing(const struct request *r, struct err *err)
{
    unsigned count = 0;
    MHD_get_connection_values(r->connection, MHD_HEADER_KIND, count_framing, &count);
    if (count > 1)
        return err_set(err, ERR_INPUT, 0,
                       "the length of the body is not clear: want one Content-Length, or \"chunked\"");
    return 0;
}

static int route_checked(struct request *r, const char *method, struct err *err)
{
    if (check_framing(r, err) < 0 || target_parse(bytes_str(r->raw), &r->target, err) < 0
        || check_host(r, err) < 0)
        return -1;
    r->route = route_find(method, r->target.path, r->port, appraiser_is_outside(server_appraiser(r->server)),
                          &r->segment, &r->allow, err);
    if (!r->route || check_token(r, err) < 0 || check_body(r, err) < 0 || check_query(r, err) < 0)
        return -1;
    if (r->route->prepare && r->route->prepare(r, err) < 0)
        return -1;
    return check_rate(r, err) < 0 ? -1 : begin_upload(r, err);
}

void request_route(struct request *r, const char *method, const char *version)
{
    r->routed = true;
    r->failed = check_whole(r, version, &r->err) < 0 || route_checked(r, method, &r->err) < 0;
}

void request_resume(struct request *r)
{
    MHD_resume_connection(r->connection);
}

static void put_error(const struct err *err, struct buf *out)
{
    char text[ERR_TEXT_MAX];
    buf_str(out, "{\"error\":");
    json_put_string(out, bytes_str(err_text(err, text, sizeof(text))));
    buf_str(out, "}\n");
}

static void add_headers(struct request *r, struct MHD_Response *response, bool error)
{
    char seconds[16];
    const char *own = r->type ? r->type : r->route ? r->route->type : NULL;
    const char *type = !error && r->stream ? "application/x-ndjson"
                       : !error && own     ? own
                                           : "application/json";
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (r->allow)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, r->allow);
    if (r->status == 429) {
        snprintf(seconds, sizeof(seconds), "%u", r->retry_after_s ? r->retry_after_s : 1);
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    if (r->status == 401)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    if (server_is_draining(r->server))
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
}

enum MHD_Result request_answer(struct request *r)
{
    AUTO(buf_done) struct buf out = buf_new(ANSWER_MAX);
    bool error =
        r->failed || r->route->answer(r, &out, &r->err) < 0 || buf_check(&out, "answer", &r->err) < 0;
    if (error) {
        buf_done(&out);
        out = buf_new(ERR_TEXT_MAX * 8);
        put_error(&r->err, &out);
    }
    r->status = error ? status_of(r->err.kind) : r->route->made ? r->route->made : 200;
    if (error && r->allow)
        r->status = 405;
    struct MHD_Response *response = r->stream;
    if (!response)
        response = MHD_create_response_from_buffer(out.n, out.p, MHD_RESPMEM_MUST_FREE);
    if (!response)
        return MHD_NO;
    if (!r->stream)
        out = buf_new(0); /* the response owns the bytes now */
    add_headers(r, response, error);
    enum MHD_Result queued = refusal_not(r->connection, r->status, response);
    MHD_destroy_response(response);
    if (!r->counted)
        server_count(r->server, r, clock_us() - r->began_us);
    r->counted = true;
    return queued;
}
