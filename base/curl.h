/** base/curl.h: libcurl, loaded when the first request is made: it brings thirty libraries along, and most
 * runs of a program make no request. Internal to base/. */
#ifndef CVM_BASE_CURL_H
#define CVM_BASE_CURL_H

#include "base/err.h"

#include <curl/curl.h>
#include <openssl/ssl.h>

/** The functions that are used, under libcurl's names; the last two of the libssl that libcurl has with it.
 */
struct curl_functions {
    CURLcode (*global_init)(long flags);
    CURL *(*easy_init)(void);
    CURLcode (*easy_setopt)(CURL *curl, CURLoption option, ...);
    CURLcode (*easy_perform)(CURL *curl);
    CURLcode (*easy_getinfo)(CURL *curl, CURLINFO info, ...);
    CURLHcode (*easy_header)(CURL *curl, const char *name, size_t index, unsigned origin, int request,
                             struct curl_header **out);
    const char *(*easy_strerror)(CURLcode code);
    void (*easy_cleanup)(CURL *curl);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
    void (*slist_free_all)(struct curl_slist *list);
    void (*ssl_ctx_set_verify)(SSL_CTX *ctx, int mode, SSL_verify_cb callback);
    void (*ssl_ctx_set_cert_verify_callback)(SSL_CTX *ctx, int (*callback)(X509_STORE_CTX *, void *),
                                             void *arg);
};

/** Loads libcurl once for the process and starts it; callable from any thread. It is never unloaded.
 *  @return the functions, or NULL with ERR_UNAVAILABLE: what is not installed */
const struct curl_functions *curl_load(struct err *err);

#endif
