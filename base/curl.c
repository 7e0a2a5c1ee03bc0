#include "base/curl.h"

#include "base/auto.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#define LIBRARY "libcurl.so.4"

static const struct {
    const char *name;
    size_t at;
} wanted[] = {
    { "curl_global_init", offsetof(struct curl_functions, global_init) },
    { "curl_easy_init", offsetof(struct curl_functions, easy_init) },
    { "curl_easy_setopt", offsetof(struct curl_functions, easy_setopt) },
    { "curl_easy_perform", offsetof(struct curl_functions, easy_perform) },
    { "curl_easy_getinfo", offsetof(struct curl_functions, easy_getinfo) },
    { "curl_easy_header", offsetof(struct curl_functions, easy_header) },
    { "curl_easy_strerror", offsetof(struct curl_functions, easy_strerror) },
    { "curl_easy_cleanup", offsetof(struct curl_functions, easy_cleanup) },
    { "curl_slist_append", offsetof(struct curl_functions, slist_append) },
    { "curl_slist_free_all", offsetof(struct curl_functions, slist_free_all) },
    /* of the library behind libcurl; a libcurl with another TLS library has none */
    { "SSL_CTX_set_verify", offsetof(struct curl_functions, ssl_ctx_set_verify) },
    { "SSL_CTX_set_cert_verify_callback", offsetof(struct curl_functions, ssl_ctx_set_cert_verify_callback) },
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct curl_functions functions;
static struct err failure;

static void load(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        err_set(&failure, ERR_UNAVAILABLE, 0, "no HTTP without " LIBRARY ": %.200s", dlerror());
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        void *found = dlsym(library, wanted[i].name);
        if (!found) {
            err_set(&failure, ERR_UNAVAILABLE, 0,
                    LIBRARY " lacks %s: want libcurl 7.84 or later over OpenSSL", wanted[i].name);
            return;
        }
        /* POSIX has functions and data of one size; ISO C has no cast between them. */
        memcpy((char *)&functions + wanted[i].at, &found, sizeof(found));
    }
    functions.global_init(CURL_GLOBAL_DEFAULT);
}

const struct curl_functions *curl_load(struct err *err)
{
    pthread_once(&once, load);
    if (failure.kind == ERR_NONE)
        return &functions;
    if (err)
        *err = failure;
    return NULL;
}
