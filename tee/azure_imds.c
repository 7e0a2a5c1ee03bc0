/* Azure's metadata services: TD quotes and VCEK certificates. */
#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/http.h"
#include "base/json.h"
#include "base/x509.h"
#include "tee/azure.h"
#include "tee/tdreport.h"
#include "tee/tdx_quote.h"

#include <string.h>

#define QUOTE_MAX (32u << 10)
#define URL_MAX   512

/* One request to the metadata address; only status 200 is an answer. */
static int ask(const struct lower *l, const char *path, const char *post, unsigned deadline_ms,
               struct buf *answer, unsigned *retry_after_s, struct err *err)
{
    char url[URL_MAX];
    AUTO(http_response_done) struct http_response r = { 0 };
    if (path_set(url, sizeof(url), err, "%s%s", l->imds_url, path) < 0)
        return -1;
    struct http_request q = { .method = post ? "POST" : "GET",
                              .url = url,
                              .headers = { "Metadata: true", post ? "Content-Type: application/json" : NULL },
                              .body = bytes_str(post),
                              .deadline_ms = deadline_ms,
                              .max_body = AZURE_JSON_MAX };
    if (http_perform(&l->http, &q, &r, err) < 0)
        return -1;
    *retry_after_s = r.retry_after_s;
    if (r.status != 200)
        return err_set(err, r.status == 404 ? ERR_NOT_FOUND : ERR_UNAVAILABLE, r.status,
                       "%s answered with status %u", path, r.status);
    buf_put(answer, buf_bytes(&r.body));
    return buf_check(answer, "answer of the metadata service", err);
}

int azure_td_quote_parse(struct bytes json, struct bytes tdreport, struct buf *quote, struct err *err)
{
    AUTO(json_drop) json_t *answer = NULL;
    AUTO(buf_done) struct buf raw = buf_new(QUOTE_MAX);
    struct tdreport td;
    struct tdx_quote q;
    if (json_parse(json, AZURE_JSON_MAX, &answer, err) < 0 || json_get_b64(answer, "quote", &raw, err) < 0
        || tdx_quote_parse(buf_bytes(&raw), &q, err) < 0)
        return err_while(err, "read the answer of /acc/tdquote");
    if (tdreport_parse(tdreport, &td, err) < 0)
        return err_while(err, "read the TDREPORT");
    if (!bytes_equal(q.body.report_data, td.body.report_data))
        return err_set(err, ERR_IO, 0, "/acc/tdquote answered for another TDREPORT: report_data differs");
    if (!bytes_equal(q.body.mr_td, td.body.mr_td))
        return err_set(err, ERR_IO, 0, "/acc/tdquote answered for another TD: MRTD differs");
    buf_put(quote, buf_bytes(&raw));
    return buf_check(quote, "TD quote", err);
}

int azure_td_quote(const struct lower *l, struct bytes tdreport, unsigned deadline_ms, struct buf *quote,
                   struct err *err)
{
    AUTO(buf_done) struct buf coded = buf_new(AZURE_JSON_MAX), answer = buf_new(AZURE_JSON_MAX);
    unsigned retry_after_s = 0;
    buf_str(&coded, "{\"report\":\"");
    b64url_put(&coded, tdreport);
    buf_str(&coded, "\"}");
    AUTO(free_str) char *body = buf_take_str(&coded);
    if (!body)
        return err_set(err, ERR_TOO_LARGE, 0, "a TDREPORT of %zu bytes", tdreport.n);
    if (ask(l, "/acc/tdquote", body, deadline_ms, &answer, &retry_after_s, err) < 0)
        return err_while(err, "have Azure make a TD quote");
    return azure_td_quote_parse(buf_bytes(&answer), tdreport, quote, err);
}

/* A JSON string of PEM certificates into DER buffers: exactly count of them. */
static int take_pem(const json_t *answer, const char *key, struct buf *out, size_t count, struct err *err)
{
    X509 *certs[4] = { 0 };
    const char *text = json_string_value(json_object_get(answer, key));
    if (!text)
        return err_set(err, ERR_INPUT, 0, "no text \"%s\"", key);
    int n = x509_parse_chain(bytes_str(text), certs, ARRAY_SIZE(certs), err), rc = 0;
    if (n < 0)
        return -1;
    if ((size_t)n != count)
        rc = err_set(err, ERR_INPUT, 0, "%d certificates in \"%s\": want %zu", n, key, count);
    for (int i = 0; i < n; i++) {
        if (rc == 0)
            rc = x509_put_der(certs[i], &out[i], err);
        X509_free(certs[i]);
    }
    return rc;
}

int azure_thim_parse(struct bytes json, struct azure_thim *out, struct err *err)
{
    AUTO(json_drop) json_t *answer = NULL;
    AUTO(azure_thim_done)
    struct azure_thim t = { buf_new(CERT_MAX), { buf_new(CERT_MAX), buf_new(CERT_MAX) } };
    if (json_parse(json, AZURE_JSON_MAX, &answer, err) < 0
        || take_pem(answer, "vcekCert", &t.vcek, 1, err) < 0
        || take_pem(answer, "certificateChain", t.chain, 2, err) < 0)
        return err_while(err, "read the answer of THIM");
    *out = t;
    t = (struct azure_thim){ 0 };
    return 0;
}

int azure_thim(const struct lower *l, unsigned deadline_ms, struct azure_thim *out, unsigned *retry_after_s,
               struct err *err)
{
    AUTO(buf_done) struct buf answer = buf_new(AZURE_JSON_MAX);
    if (ask(l, "/metadata/THIM/amd/certification", NULL, deadline_ms, &answer, retry_after_s, err) < 0)
        return err_while(err, "ask Azure for the VCEK certificate");
    return azure_thim_parse(buf_bytes(&answer), out, err);
}

void azure_thim_done(struct azure_thim *t)
{
    buf_done(&t->vcek);
    buf_done(&t->chain[0]);
    buf_done(&t->chain[1]);
}
