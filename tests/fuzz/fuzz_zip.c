/* Zips: what is accepted lies below workload/, fills the file, and unpacks to exactly its size or not at all.
 */
#include "fuzz.h"

#include "workload/zip.h"

struct count {
    uint64_t n;
};

static int add(void *arg, struct bytes data, struct err *err)
{
    (void)err;
    ((struct count *)arg)->n += data.n;
    return 0;
}

static void check_path(struct bytes path)
{
    CHECK(path.n <= ZIP_PATH_MAX && (!path.n || (path.p[0] != '/' && path.p[path.n - 1] != '/')));
    for (size_t i = 0; i + 1 < path.n; i++)
        CHECK(!(path.p[i] == '.' && path.p[i + 1] == '.' && (i == 0 || path.p[i - 1] == '/')
                && (i + 2 == path.n || path.p[i + 2] == '/')));
    CHECK(!memchr(path.p, 0, path.n) && !memchr(path.p, '\\', path.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct zip_limits limits = { .bytes = 1 << 20 };
    struct err err = { 0 };
    struct zip z;
    if (zip_parse(bytes_of(data, size), &limits, &z, &err) < 0) {
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
        return 0;
    }
    CHECK(z.bytes <= limits.bytes);
    for (size_t i = 0; i < z.n; i++) {
        struct count count = { 0 };
        check_path(z.entry[i].path);
        if (zip_unpack(&z.entry[i], add, &count, &err) == 0)
            CHECK(count.n == z.entry[i].size);
        else
            CHECK(count.n <= z.entry[i].size);
    }
    zip_done(&z);
    return 0;
}
