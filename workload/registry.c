#include "workload/registry.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"
#include "workload/compose.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DEADLINE_MS   30000
#define REDIRECTS_MAX 3
#define TOKEN_MAX     65536u
#define URL_SIZE      8192
#define ACCEPT                                                                                               \
    "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "          \
    "application/vnd.docker.distribution.manifest.v2+json, "                                                 \
    "application/vnd.docker.distribution.manifest.list.v2+json"

static int copy_part(char *out, size_t size, const char *from, size_t n)
{
    if (n >= size)
        return -1;
    memcpy(out, from, n);
    out[n] = '\0';
    return 0;
}

int image_name_parse(const char *text, struct image_name *out, struct err *err)
{
    char full[1024];
    bool whole;
    struct image_name name = { .tag = "" };
    if (compose_image_reference(text, full, sizeof(full), &whole, err) < 0)
        return -1;
    size_t host = strcspn(full, "/");
    const char *rest = full[host] ? full + host + 1 : "";
    const char *at = strchr(rest, '@'), *end = at ? at : rest + strlen(rest);
    const char *colon = memchr(rest, ':', (size_t)(end - rest));
    const char *stop = colon ? colon : end;
    if (copy_part(name.host, sizeof(name.host), full, host) < 0
        || copy_part(name.repository, sizeof(name.repository), rest, (size_t)(stop - rest)) < 0
        || (colon && copy_part(name.tag, sizeof(name.tag), colon + 1, (size_t)(end - colon - 1)) < 0)
        || (at && copy_part(name.digest, sizeof(name.digest), at + 1, strlen(at + 1)) < 0)
        || !*name.repository)
        return err_set(err, ERR_INPUT, 0, "\"%.120s\" is no full image name", text);
    *out = name;
    return 0;
}

bool registry_on_loopback(const char *host)
{
    static const char *const hosts[] = { "localhost", "127.0.0.1", "[::1]" };
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        size_t n = strlen(hosts[i]);
        if (!strncmp(host, hosts[i], n) && (!host[n] || host[n] == ':' || host[n] == '/'))
            return true;
    }
    return false;
}

void registry_done(struct registry *r)
{
    OPENSSL_cleanse(r->authorization, sizeof(r->authorization));
}

/* Credentials and tokens are sent over TLS, or not out of the machine. */
static bool may_ask(const char *url)
{
    return !strncasecmp(url, "https://", 8)
           || (!strncasecmp(url, "http://", 7) && registry_on_loopback(url + 7));
}

static int get(const struct registry *r, const char *url, const char *authorization, size_t max,
               struct http_response *out, struct err *err)
{
    const struct http_request q = { .method = "GET",
                                    .url = url,
                                    .headers = { ACCEPT,
                                                 authorization && *authorization ? authorization : NULL },
                                    .deadline_ms = DEADLINE_MS,
                                    .max_body = max,
                                    .cancel = r->cancel,
                                    .wanted = { "WWW-Authenticate", "Location" } };
    if (!may_ask(url))
        return err_set(err, ERR_DENIED, 0, "the registry points to %.100s, which is not https", url);
    return http_perform(&r->http, &q, out, err);
}

static int basic(const struct engine_auth *auth, char *out, size_t size, struct err *err)
{
    AUTO(buf_wipe) struct buf pair = buf_new(4096), line = buf_new(size);
    buf_printf(&pair, "%s:%s", auth->username, auth->password);
    buf_str(&line, "Authorization: Basic ");
    b64_put(&line, buf_bytes(&pair));
    buf_u8(&line, 0);
    if (buf_check(&pair, "registry credentials", err) < 0
        || buf_check(&line, "registry credentials", err) < 0)
        return -1;
    memcpy(out, line.p, line.n);
    return 0;
}

/* name="value" of a challenge; "" if it is not there. Values with quotes in them are none that we use. */
static void parameter(const char *challenge, const char *name, char *out, size_t size)
{
    size_t n = strlen(name);
    *out = '\0';
    for (const char *at = challenge; (at = strcasestr(at, name)); at += n) {
        bool begins = at == challenge || strchr(" ,", at[-1]);
        if (!begins || strncmp(at + n, "=\"", 2) != 0)
            continue;
        const char *value = at + n + 2;
        if (copy_part(out, size, value, strcspn(value, "\"")) < 0)
            *out = '\0';
        return;
    }
}

static void add_escaped(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (isalnum((unsigned char)*text) || strchr("-._~", *text))
            buf_u8(out, (uint8_t)*text);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

static int token_url(const struct registry *r, const char *challenge, struct buf *out, struct err *err)
{
    char realm[1024], service[512];
    parameter(challenge, "realm", realm, sizeof(realm));
    parameter(challenge, "service", service, sizeof(service));
    if (!*realm)
        return err_set(err, ERR_DENIED, 0, "registry %.100s wants a login of an unknown kind", r->name->host);
    buf_printf(out, "%s%sscope=repository%%3A", realm, strchr(realm, '?') ? "&" : "?");
    add_escaped(out, r->name->repository);
    buf_str(out, "%3Apull");
    if (*service) {
        buf_str(out, "&service=");
        add_escaped(out, service);
    }
    buf_u8(out, 0);
    return buf_check(out, "token URL", err);
}

static int fetch_token(struct registry *r, const char *challenge, struct err *err)
{
    AUTO(buf_done) struct buf url = buf_new(URL_SIZE);
    AUTO(http_response_done) struct http_response answer = { 0 };
    AUTO(json_drop) json_t *body = NULL;
    char login[8192] = "";
    if (token_url(r, challenge, &url, err) < 0 || (r->auth && basic(r->auth, login, sizeof(login), err) < 0))
        return -1;
    int rc = get(r, (const char *)url.p, login, TOKEN_MAX, &answer, err);
    OPENSSL_cleanse(login, sizeof(login));
    if (rc < 0)
        return -1;
    if (answer.status != 200 || json_parse(buf_bytes(&answer.body), TOKEN_MAX, &body, NULL) < 0)
        return err_set(err, ERR_DENIED, answer.status, "registry %.100s gives no token (HTTP status %u)",
                       r->name->host, answer.status);
    const char *token = json_string_value(json_object_get(body, "token"));
    token = token ? token : json_string_value(json_object_get(body, "access_token"));
    if (!token || strpbrk(token, "\r\n")
        || snprintf(r->authorization, sizeof(r->authorization), "Authorization: Bearer %s", token)
               >= (int)sizeof(r->authorization)) {
        r->authorization[0] = '\0';
        return err_set(err, ERR_DENIED, 0, "registry %.100s gave a token that is none", r->name->host);
    }
    return 0;
}

static int log_in(struct registry *r, const char *challenge, struct err *err)
{
    if (challenge && !strncasecmp(challenge, "Bearer ", 7))
        return fetch_token(r, challenge, err);
    if (challenge && !strncasecmp(challenge, "Basic ", 6) && r->auth)
        return basic(r->auth, r->authorization, sizeof(r->authorization), err);
    return err_set(err, ERR_DENIED, 401, "registry %.100s: unauthorized: a login is needed", r->name->host);
}

static int judge(const struct registry *r, unsigned status, const char *what, struct err *err)
{
    if (status == 200)
        return 0;
    return err_set(err,
                   status == 404                    ? ERR_NOT_FOUND
                   : status == 401 || status == 403 ? ERR_DENIED
                                                    : ERR_UNAVAILABLE,
                   status, "registry %.80s answers %u for %.60s/%.80s", r->name->host, status,
                   r->name->repository, what);
}

/* Storage behind a registry: another host, that gets no credentials. */
static int follow(const struct registry *r, struct http_response *answer, size_t max, struct err *err)
{
    for (unsigned i = 0; i < REDIRECTS_MAX && answer->status / 100 == 3 && answer->header[1]; i++) {
        struct http_response next = { 0 };
        if (get(r, answer->header[1], NULL, max, &next, err) < 0)
            return -1;
        http_response_done(answer);
        *answer = next;
    }
    return 0;
}

int registry_get(struct registry *r, const char *kind, const char *what, struct buf *out, struct err *err)
{
    char url[URL_SIZE];
    const char *host = strcmp(r->name->host, "docker.io") ? r->name->host : "registry-1.docker.io";
    AUTO(http_response_done) struct http_response answer = { 0 };
    snprintf(url, sizeof(url), "%s://%s/v2/%s/%s/%s", registry_on_loopback(host) ? "http" : "https", host,
             r->name->repository, kind, what);
    if (get(r, url, r->authorization, out->max, &answer, err) < 0)
        return -1;
    if (answer.status == 401 && !*r->authorization) {
        if (log_in(r, answer.header[0], err) < 0)
            return -1;
        http_response_done(&answer);
        answer = (struct http_response){ 0 };
        if (get(r, url, r->authorization, out->max, &answer, err) < 0)
            return -1;
    }
    if (follow(r, &answer, out->max, err) < 0 || judge(r, answer.status, what, err) < 0)
        return -1;
    buf_put(out, buf_bytes(&answer.body));
    return buf_check(out, "answer of the registry", err);
}
