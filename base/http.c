#include "base/http.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct transfer {
    struct http_response *out;
    const struct http_request *request;
    bool too_large, pin_failed, saw_peer;
};

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t n = size * count;
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
    (void)curl;
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL); /* on_certificate is the judge, whatever curl was told */
    SSL_CTX_set_cert_verify_callback(ssl, on_certificate, arg);
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
                   detail[0] ? detail : curl_easy_strerror(rc));
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load((const atomic_bool *)arg); /* anything but 0 ends the transfer */
}

static void set_options(CURL *curl, const struct http_request *request, struct curl_slist *headers,
                        struct transfer *t, char *detail)
{
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)request->deadline_ms);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "cvm-agent/" CVM_VERSION);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_tls);
    curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, t);
    if (request->cancel) {
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, request->cancel);
    }
    if (request->unix_socket)
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, request->unix_socket);
    if (request->insecure || request->pin_sha256) {
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L); /* no authorities to load; see on_tls() */
    }
    if (!strcmp(request->method, "POST")) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.n);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body.p);
    } else {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    }
}

/* The last of several headers of one name counts. */
static int keep_headers(CURL *curl, const struct http_request *request, struct http_response *out,
                        struct err *err)
{
    for (size_t i = 0; i < HTTP_WANTED_MAX && request->wanted[i]; i++) {
        struct curl_header *h = NULL;
        if (curl_easy_header(curl, request->wanted[i], 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
            continue;
        if (h->amount > 1 && curl_easy_header(curl, request->wanted[i], h->amount - 1, CURLH_HEADER, -1, &h))
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

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_start(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int perform(void *ctx, const struct http_request *request, struct http_response *out, struct err *err)
{
    (void)ctx;
    pthread_once(&curl_once, curl_start);
    if (request->deadline_ms == 0)
        return err_set(err, ERR_INPUT, 0, "%s: a request without a deadline", request->url);
    struct http_response r = { .body = buf_new(request->max_body) };
    struct transfer t = { .out = &r, .request = request };
    char detail[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    CURL *curl = curl_easy_init();
    CURLcode rc = curl ? CURLE_OK : CURLE_OUT_OF_MEMORY;
    for (size_t i = 0; i < HTTP_HEADERS_MAX && request->headers[i] && rc == CURLE_OK; i++) {
        struct curl_slist *more = curl_slist_append(headers, request->headers[i]);
        if (!more)
            rc = CURLE_OUT_OF_MEMORY;
        else
            headers = more;
    }
    if (rc == CURLE_OK) {
        set_options(curl, request, headers, &t, detail);
        rc = curl_easy_perform(curl);
    }
    if (rc == CURLE_OK) {
        long status = 0;
        curl_off_t retry = 0;
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry);
        r.status = (unsigned)status;
        r.retry_after_s = retry > 0 && retry < 86400 ? (unsigned)retry : 0;
    }
    int kept = rc == CURLE_OK ? keep_headers(curl, request, &r, err) : 0;
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
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
