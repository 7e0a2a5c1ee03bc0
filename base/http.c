#include "base/http.h"

#include "base/auto.h"
#include "base/curl.h"
#include "base/digest.h"
#include "base/enc.h"

#include <errno.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct transfer {
    const struct curl_functions *f;
    struct http_response *out;
    const struct http_request *request;
    CURL *curl;
    bool too_large, pin_failed, saw_peer, stopped;
};

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t n = size * count;
    long status = 0;
    if (t->request->sink)
        t->f->easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status / 100 == 2) {
        t->stopped = !t->request->sink(t->request->arg, bytes_of(data, n));
        return t->stopped ? 0 : n;
    }
    buf_put(&t->out->body, bytes_of(data, n));
    t->too_large = t->out->body.failed;
    return t->too_large ? 0 : n;
}

/* Called for every certificate of the peer's chain; the leaf is at depth 0. */
static int on_certificate(X509_STORE_CTX *store, void *arg)
{
    struct transfer *t = arg;
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    unsigned char *der = NULL;
    int n = leaf ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &der) : 0;
    char seen[65];
    if (n <= 0)
        return 0;
    sha256(bytes_of(der, (size_t)n), t->out->peer_spki_sha256);
    sha384(bytes_of(der, (size_t)n), t->out->peer_spki_sha384);
    OPENSSL_free(der);
    t->saw_peer = true;
    if (t->request->pin_sha256) {
        hex_to(seen, bytes_of(t->out->peer_spki_sha256, 32));
        t->pin_failed = strcasecmp(seen, t->request->pin_sha256) != 0;
        return !t->pin_failed;
    }
    return t->request->insecure ? 1 : X509_verify_cert(store);
}

static CURLcode on_tls(CURL *curl, void *ssl, void *arg)
{
    const struct transfer *t = arg;
    (void)curl;
    /* on_certificate is the judge, whatever curl was told */
    t->f->ssl_ctx_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    t->f->ssl_ctx_set_cert_verify_callback(ssl, on_certificate, arg);
    return CURLE_OK;
}

/* Of a long URL the beginning is enough: the reason must not be cut off. */
static int fail(const struct transfer *t, CURLcode rc, const char *detail, struct err *err)
{
    const char *url = t->request->url;
    if (t->too_large)
        return err_set(err, ERR_TOO_LARGE, 0, "%.100s: the answer is over %zu bytes", url,
                       t->request->max_body);
    if (t->pin_failed)
        return err_set(err, ERR_DENIED, 0, "%.100s: the peer's TLS key is not the pinned one", url);
    if (rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL)
        return err_set(err, ERR_INPUT, (uint32_t)rc, "%.100s: not an http or https URL", url);
    return err_set(err, ERR_UNAVAILABLE, (uint32_t)rc, "%.100s: %s", url,
                   detail[0] ? detail : t->f->easy_strerror(rc));
}

static int on_progress(void *arg, curl_off_t to_come, curl_off_t come, curl_off_t to_send, curl_off_t sent)
{
    const struct http_request *request = arg;
    (void)to_come, (void)come;
    if (request->progress && to_send > 0 && sent >= 0)
        request->progress(request->arg, (uint64_t)sent, (uint64_t)to_send);
    return request->cancel && atomic_load(request->cancel); /* anything but 0 ends the transfer */
}

static void set_options(CURL *curl, const struct http_request *request, struct curl_slist *headers,
                        struct transfer *t, char *detail)
{
    CURLcode (*set)(CURL *, CURLoption, ...) = t->f->easy_setopt;
    set(curl, CURLOPT_URL, request->url);
    set(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    set(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    set(curl, CURLOPT_NOSIGNAL, 1L);
    set(curl, CURLOPT_PROXY, "");
    set(curl, CURLOPT_TIMEOUT_MS, (long)request->deadline_ms);
    set(curl, CURLOPT_HTTPHEADER, headers);
    set(curl, CURLOPT_USERAGENT, "cvm-agent/" CVM_VERSION);
    set(curl, CURLOPT_WRITEFUNCTION, on_body);
    set(curl, CURLOPT_WRITEDATA, t);
    set(curl, CURLOPT_ERRORBUFFER, detail);
    set(curl, CURLOPT_SSL_CTX_FUNCTION, on_tls);
    set(curl, CURLOPT_SSL_CTX_DATA, t);
    if (request->cancel || request->progress) {
        set(curl, CURLOPT_NOPROGRESS, 0L);
        set(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        set(curl, CURLOPT_XFERINFODATA, request);
    }
    if (request->unix_socket)
        set(curl, CURLOPT_UNIX_SOCKET_PATH, request->unix_socket);
    if (request->insecure || request->pin_sha256) {
        set(curl, CURLOPT_SSL_VERIFYHOST, 0L);
        set(curl, CURLOPT_SSL_VERIFYPEER, 0L); /* no authorities to load; see on_tls() */
    }
    if (!strcmp(request->method, "POST")) {
        set(curl, CURLOPT_POST, 1L);
        set(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.n);
        set(curl, CURLOPT_POSTFIELDS, request->body.p);
    } else {
        set(curl, CURLOPT_CUSTOMREQUEST, request->method);
    }
}

/* The last of several headers of one name counts. */
static int keep_headers(CURL *curl, const struct transfer *t, struct http_response *out, struct err *err)
{
    const struct http_request *request = t->request;
    for (size_t i = 0; i < HTTP_WANTED_MAX && request->wanted[i]; i++) {
        struct curl_header *h = NULL;
        if (t->f->easy_header(curl, request->wanted[i], 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
            continue;
        if (h->amount > 1 && t->f->easy_header(curl, request->wanted[i], h->amount - 1, CURLH_HEADER, -1, &h))
            continue;
        if (strlen(h->value) > HTTP_HEADER_VALUE_MAX)
            return err_set(err, ERR_TOO_LARGE, 0, "%.100s: the header %.60s is over %d bytes", request->url,
                           request->wanted[i], HTTP_HEADER_VALUE_MAX);
        out->header[i] = strdup(h->value);
        if (!out->header[i])
            return err_set(err, ERR_IO, ENOMEM, "no memory for the header %.60s", request->wanted[i]);
    }
    return 0;
}

static int perform(void *ctx, const struct http_request *request, struct http_response *out, struct err *err)
{
    (void)ctx;
    if (request->deadline_ms == 0)
        return err_set(err, ERR_INPUT, 0, "%s: a request without a deadline", request->url);
    const struct curl_functions *f = curl_load(err);
    if (!f)
        return -1;
    struct http_response r = { .body = buf_new(request->max_body) };
    struct transfer t = { .f = f, .out = &r, .request = request };
    char detail[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    CURL *curl = f->easy_init();
    CURLcode rc = curl ? CURLE_OK : CURLE_OUT_OF_MEMORY;
    for (size_t i = 0; i < HTTP_HEADERS_MAX && request->headers[i] && rc == CURLE_OK; i++) {
        struct curl_slist *more = f->slist_append(headers, request->headers[i]);
        if (!more)
            rc = CURLE_OUT_OF_MEMORY;
        else
            headers = more;
    }
    if (rc == CURLE_OK) {
        t.curl = curl;
        set_options(curl, request, headers, &t, detail);
        rc = f->easy_perform(curl);
        if (rc == CURLE_WRITE_ERROR && t.stopped)
            rc = CURLE_OK;
    }
    if (rc == CURLE_OK) {
        long status = 0;
        curl_off_t retry = 0;
        f->easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        f->easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry);
        r.status = (unsigned)status;
        r.retry_after_s = retry > 0 && retry < 86400 ? (unsigned)retry : 0;
    }
    int kept = rc == CURLE_OK ? keep_headers(curl, &t, &r, err) : 0;
    f->slist_free_all(headers);
    f->easy_cleanup(curl);
    if (rc != CURLE_OK || kept < 0) {
        http_response_done(&r);
        return kept < 0 ? -1 : fail(&t, rc, detail, err);
    }
    *out = r;
    return 0;
}

struct http http_curl(void)
{
    return (struct http){ perform, NULL };
}

int http_perform(const struct http *http, const struct http_request *request, struct http_response *out,
                 struct err *err)
{
    return http->perform(http->ctx, request, out, err);
}

void http_response_done(struct http_response *r)
{
    buf_done(&r->body);
    for (size_t i = 0; i < HTTP_WANTED_MAX; i++) {
        free(r->header[i]);
        r->header[i] = NULL;
    }
}
