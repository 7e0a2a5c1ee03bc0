#include "workload/path.h"

#include <stdbool.h>

/* Appends one segment, or takes the last one away for "..". @return false: it leads out, or does not fit */
static bool add_segment(char *out, size_t size, size_t *n, const char *p, size_t length)
{
    if (length == 0 || (length == 1 && *p == '.'))
        return true;
    if (length == 2 && p[0] == '.' && p[1] == '.') {
        if (*n == 0)
            return false;
        while (*n && out[*n - 1] != '/')
            (*n)--;
        if (*n)
            (*n)--;
        return true;
    }
    if (length + 2 > size - *n)
        return false;
    if (*n)
        out[(*n)++] = '/';
    memcpy(out + *n, p, length);
    *n += length;
    return true;
}

int workload_path(const char *text, char *out, size_t size, struct err *err)
{
    static const char root[] = WORKLOAD_PUBLISHED_ROOT;
    const char *p = text;
    size_t n = 0;
    if (*p == '/') {
        size_t r = sizeof(root) - 1;
        if (strncmp(p, root, r) != 0 || (p[r] && p[r] != '/'))
            return err_set(err, ERR_DENIED, 0, "%.120s lies outside the workload directory", text);
        p += r;
    }
    if (*p == '~' || strlen(text) >= size)
        return err_set(err, ERR_DENIED, 0, "%.120s lies outside the workload directory", text);
    while (*p) {
        size_t length = strcspn(p, "/");
        if (!add_segment(out, size, &n, p, length))
            return err_set(err, ERR_DENIED, 0, "%.120s leads out of the workload directory", text);
        p += length + (p[length] == '/');
    }
    out[n] = '\0';
    return 0;
}

bool workload_path_below(const char *path, const char *base)
{
    size_t n = strlen(base);
    return n == 0 || (!strncmp(path, base, n) && (!path[n] || path[n] == '/'));
}
