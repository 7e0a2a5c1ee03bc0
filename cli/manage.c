#include "cli/manage.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/x509.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#define MANAGE_MS 1800000 /* an update waits for images and for health */
#define FOLLOW_MS 86400000
#define KEY_MAX   16384

void manage_forget(struct manage *m)
{
    OPENSSL_cleanse(m->token, sizeof(m->token));
    OPENSSL_cleanse(m->authorization, sizeof(m->authorization));
}

/* ---- the token ---- */

static int from_stdin(struct manage *m)
{
    if (!fgets(m->token, sizeof(m->token), stdin))
        return fail(STATUS_INPUT, "standard input", "no token in it", NULL);
    m->token[strcspn(m->token, "\r\n")] = '\0';
    return 0;
}

/* CVM_API_TOKEN, "-", or with a warning the argument: others on the machine see arguments. */
int manage_token(struct manage *m, const char *argument)
{
    const char *set = getenv("CVM_API_TOKEN");
    if (argument && !strcmp(argument, "-"))
        return from_stdin(m);
    if (argument)
        call_note(&m->call, "the token is an argument, which every user of this machine can read",
                  "set CVM_API_TOKEN, or give - and write it to standard input");
    else if (!set || !*set)
        return fail(STATUS_USAGE, m->call.command->name, "no token",
                    "set CVM_API_TOKEN, or give - and write it to standard input");
    snprintf(m->token, sizeof(m->token), "%s", argument ? argument : set);
    return 0;
}

/* A token never goes over plain HTTP, and only to the machine that the evidence speaks of. */
int manage_begin(struct manage *m)
{
    AUTO(http_response_done) struct http_response collaterals = { 0 };
    m->call.https = true;
    int rc = call_prepare(&m->call);
    if (rc)
        return rc;
    if (!m->call.target.tls)
        return fail(STATUS_USAGE, m->call.target.base, "management is on https only",
                    "name the external port, as in 127.0.0.1:8000");
    if (m->call.pin || m->call.insecure)
        return 0;
    if ((rc = call_collaterals(&m->call, &collaterals)))
        return rc;
    m->call.pin = m->call.peer_pin;
    return 0;
}

void manage_header(struct manage *m, const char *line)
{
    if (m->header_count + 1 < HTTP_HEADERS_MAX)
        m->headers[m->header_count++] = line;
}

void manage_authorize(struct manage *m)
{
    snprintf(m->authorization, sizeof(m->authorization), "Authorization: Bearer %s", m->token);
    manage_header(m, m->authorization);
}

int manage_begin_as(struct manage *m, const char *token)
{
    int rc = manage_token(m, token);
    if (rc == 0)
        rc = manage_begin(m);
    if (rc == 0)
        manage_authorize(m);
    return rc;
}

/* ---- requests ---- */

struct bar {
    bool shown;
    unsigned percent;
};

static void show(void *arg, uint64_t sent, uint64_t total)
{
    struct bar *b = arg;
    unsigned percent = total ? (unsigned)(sent * 100 / total) : 100;
    if (!isatty(STDERR_FILENO) || (b->shown && percent == b->percent))
        return;
    fprintf(stderr, "\r[%-50.*s] %3u %%%s", (int)(percent / 2),
            "##################################################", percent,
            percent == 100 ? ", waiting for the machine" : "");
    b->shown = true;
    b->percent = percent;
}

/* What the agent says no to, what of ours it cannot read, and what fails there. */
static int status_of_answer(unsigned answer)
{
    switch (answer) {
    case 401:
    case 403:
        return STATUS_NO;
    case 400:
    case 413:
        return STATUS_INPUT;
    default:
        return STATUS_ENVIRONMENT;
    }
}

/* @param sink  NULL: the body is collected */
int manage_send(struct manage *m, const char *method, const char *path, struct bytes body,
                bool (*sink)(void *arg, struct bytes data), struct http_response *out)
{
    struct http client = http_curl();
    struct err err = { 0 };
    struct bar bar = { 0 };
    char url[MANAGE_PATH_MAX + TARGET_MAX];
    snprintf(url, sizeof(url), "%s%s", m->call.target.base, path);
    struct http_request request = {
        .method = method,
        .url = url,
        .body = body,
        .deadline_ms = sink ? FOLLOW_MS : MANAGE_MS,
        .max_body = CALL_ANSWER_MAX,
        .pin_sha256 = m->call.insecure ? NULL : m->call.pin,
        .insecure = m->call.insecure,
        .sink = sink,
        .progress = body.n > (1u << 20) ? show : NULL,
        .arg = &bar,
    };
    memcpy(request.headers, m->headers, sizeof(request.headers));
    int rc = http_perform(&client, &request, out, &err);
    if (bar.shown)
        fputc('\n', stderr);
    if (rc < 0) {
        int status = status_of(&err);
        return fail_err(status == STATUS_INPUT ? STATUS_ENVIRONMENT : status, m->call.target.base,
                        "no answer", &err);
    }
    if (out->status / 100 == 2)
        return 0;
    call_refused(&m->call, url, out);
    return status_of_answer(out->status);
}

int manage_send_and_print(struct manage *m, const char *method, const char *path, struct bytes body)
{
    AUTO(http_response_done) struct http_response r = { 0 };
    int rc = manage_send(m, method, path, body, NULL, &r);
    return rc ? rc : write_out(&r.body, NULL);
}

/* ---- the owner's signature ---- */

static int read_key(const char *path, EVP_PKEY **out)
{
    AUTO(free_u8) uint8_t *text = NULL;
    size_t n;
    int rc = read_input(path, KEY_MAX, &text, &n);
    if (rc)
        return rc;
    BIO *bio = BIO_new_mem_buf(text, (int)n);
    *out = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    OPENSSL_cleanse(text, n);
    return *out ? 0 : fail(STATUS_INPUT, path, "not a private key in PEM", NULL);
}

int manage_sign(const char *key_path, struct bytes message, char *header, size_t size)
{
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    uint8_t digest[32], sig[256];
    size_t n = sizeof(sig);
    int rc = read_key(key_path, &key);
    if (rc)
        return rc;
    sha256(message, digest);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *md = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, md, NULL, key) == 1
              && EVP_DigestSign(ctx, sig, &n, digest, sizeof(digest)) == 1;
    EVP_MD_CTX_free(ctx);
    AUTO(free_str) char *text = ok ? b64_str(bytes_of(sig, n)) : NULL;
    if (!text)
        return fail(STATUS_INPUT, key_path, "cannot sign with this key", "want P-256 or Ed25519");
    snprintf(header, size, "X-Owner-Signature: %s", text);
    return 0;
}
