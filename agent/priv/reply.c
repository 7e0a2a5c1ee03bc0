#include "agent/priv/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SENTENCE_MAX 400

enum priv_status priv_say(struct priv_exchange *x, enum priv_status status, uint32_t code, const char *fmt,
                          ...)
{
    va_list args;
    char text[SENTENCE_MAX];
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    x->reply->flags = code;
    x->reply->payload_size = (uint32_t)strlen(text);
    memcpy(x->reply->payload, text, strlen(text));
    return status;
}

enum priv_status priv_say_err(struct priv_exchange *x, const struct err *err)
{
    return priv_say(x, PRIV_FAILED, err->code, "%s", err->cause);
}

int priv_sealed(int fd, size_t max, size_t *size, struct err *err)
{
    const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    struct stat st;
    int has = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
    if (has < 0 || (has & seals) != seals || fstat(fd, &st) < 0 || st.st_size <= 0
        || (uint64_t)st.st_size > max)
        return err_set(err, ERR_INPUT, 0, "a descriptor that is no sealed file of 1 to %zu bytes", max);
    *size = (size_t)st.st_size;
    return 0;
}
