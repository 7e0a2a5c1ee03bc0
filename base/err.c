#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

#undef err_set
#undef err_while

int err_set(struct err *err, enum err_kind kind, uint32_t code, const char *fmt, ...)
{
    if (!err)
        return -1;
    va_list ap;
    err->kind = kind;
    err->code = code;
    err->doing[0] = NULL;
    va_start(ap, fmt);
    vsnprintf(err->cause, sizeof(err->cause), fmt, ap);
    va_end(ap);
    return -1;
}

int err_while(struct err *err, const char *doing)
{
    if (!err)
        return -1;
    for (size_t i = 0; i < ERR_DOING_MAX; i++) {
        if (!err->doing[i]) {
            err->doing[i] = doing;
            if (i + 1 < ERR_DOING_MAX)
                err->doing[i + 1] = NULL;
            break;
        }
    }
    return -1;
}

char *err_text(const struct err *err, char *out, size_t size)
{
    size_t depth = 0, used = 0;
    if (size == 0)
        return out;
    out[0] = '\0';
    while (depth < ERR_DOING_MAX && err->doing[depth])
        depth++;
    while (depth-- > 0 && used < size) {
        int n = snprintf(out + used, size - used, "%s: ", err->doing[depth]);
        used += n > 0 ? (size_t)n : 0;
    }
    if (used < size)
        snprintf(out + used, size - used, "%s", err->cause);
    return out;
}
