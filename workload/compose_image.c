/* Image references, as the distribution project's grammar has them:
 * [registry[:port]/]path[:tag][@algorithm:hex]. */
#include "workload/compose.h"

#include <stdio.h>
#include <string.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789"
#define ANY   LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool all_of(struct bytes s, const char *set)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!s.p[i] || !strchr(set, s.p[i]))
            return false;
    }
    return true;
}

/* Parts of a path begin and end with a letter or digit. */
static bool path_fine(struct bytes path)
{
    const char *p = (const char *)path.p, *end = p + path.n;
    while (p < end) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        const char *stop = slash ? slash : end;
        struct bytes part = bytes_of(p, (size_t)(stop - p));
        if (!part.n || !all_of(part, LOWER "._-") || strchr("._-", part.p[0])
            || strchr("._-", part.p[part.n - 1]))
            return false;
        p = stop + (slash != NULL);
        if (slash && p == end)
            return false;
    }
    return path.n > 0;
}

static bool digest_fine(struct bytes d)
{
    static const char sha256[] = "sha256:";
    size_t n = sizeof(sha256) - 1;
    return d.n == n + 64 && !memcmp(d.p, sha256, n) && all_of(bytes_of(d.p + n, 64), "0123456789abcdef");
}

/* Docker's rule for the first part: a registry has a dot, a port, or is localhost. */
static bool is_registry(struct bytes first)
{
    return memchr(first.p, '.', first.n) || memchr(first.p, ':', first.n)
           || bytes_equal(first, bytes_str("localhost"));
}

int compose_image_reference(const char *text, char *out, size_t size, bool *full, struct err *err)
{
    struct bytes rest = bytes_str(text), registry = bytes_of(NULL, 0), tag = bytes_of(NULL, 0),
                 digest = bytes_of(NULL, 0);
    const char *bad = "want [registry/]name[:tag] or [registry/]name@sha256:…";
    const uint8_t *at = memchr(rest.p, '@', rest.n);
    if (at) {
        digest = bytes_of(at + 1, rest.n - (size_t)(at + 1 - rest.p));
        rest.n = (size_t)(at - rest.p);
        if (!digest_fine(digest))
            return err_set(err, ERR_INPUT, 0, "\"%.120s\": want @sha256: and 64 lower-case hex digits", text);
    }
    const uint8_t *slash = memchr(rest.p, '/', rest.n);
    if (slash && is_registry(bytes_of(rest.p, (size_t)(slash - rest.p)))) {
        registry = bytes_of(rest.p, (size_t)(slash - rest.p));
        rest = bytes_of(slash + 1, rest.n - registry.n - 1);
        if (!all_of(registry, ANY ".-:[]"))
            return err_set(err, ERR_INPUT, 0, "\"%.120s\" is no image reference: %s", text, bad);
    }
    const uint8_t *colon = memchr(rest.p, ':', rest.n);
    if (colon) {
        tag = bytes_of(colon + 1, rest.n - (size_t)(colon + 1 - rest.p));
        rest.n = (size_t)(colon - rest.p);
        if (!tag.n || tag.n > 128 || !all_of(tag, ANY "_.-") || strchr(".-", tag.p[0]))
            return err_set(err, ERR_INPUT, 0, "\"%.120s\": the tag after the colon is malformed", text);
    }
    if (!path_fine(rest))
        return err_set(err, ERR_INPUT, 0, "\"%.120s\" is no image reference: %s", text, bad);
    bool hub = !registry.n || bytes_equal(registry, bytes_str("docker.io"));
    bool official = hub && !memchr(rest.p, '/', rest.n); /* as every engine reads it */
    int n = snprintf(out, size, "%.*s/%s%.*s%s%.*s%s%.*s", registry.n ? (int)registry.n : 9,
                     registry.n ? (const char *)registry.p : "docker.io", official ? "library/" : "",
                     (int)rest.n, (const char *)rest.p, tag.n || !digest.n ? ":" : "",
                     tag.n      ? (int)tag.n
                     : digest.n ? 0
                                : 6,
                     tag.n ? (const char *)tag.p : "latest", digest.n ? "@" : "", (int)digest.n,
                     (const char *)digest.p);
    if (n < 0 || (size_t)n >= size)
        return err_set(err, ERR_INPUT, 0, "an image reference of %d bytes is too long", n);
    *full = registry.n > 0;
    return 0;
}
