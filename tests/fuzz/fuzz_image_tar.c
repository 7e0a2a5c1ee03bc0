/* An image archive, whatever is in it: images whose ids are those of blobs in it, or an error that says why.
 */
#include "fuzz.h"

#include "base/auto.h"
#include "base/digest.h"
#include "workload/image_tar.h"

#include <string.h>
#include <sys/mman.h>

/* What is called an id must be the SHA-256 of bytes that are there: those that a config starts and ends with.
 */
static bool is_of_something(const struct tar_image *image, const uint8_t *data, size_t size)
{
    uint8_t sum[32];
    for (size_t at = 512; at <= size; at += 512) {
        size_t most = size - at < 2048 ? size - at : 2048;
        for (size_t n = 0; n <= most; n++) {
            sha256(bytes_of(data + at, n), sum);
            if (!memcmp(sum, image->id, sizeof(sum)))
                return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(image_tar_done) struct image_tar t = { 0 };
    AUTO(close_fd) int fd = memfd_create("archive", MFD_CLOEXEC);
    struct err err = { 0 };
    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    if (image_tar_read(fd, &t, &err) < 0) {
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
        CHECK(err.cause[0]);
        return 0;
    }
    CHECK(t.n > 0 && t.n <= IMAGE_TAR_IMAGES_MAX);
    for (size_t i = 0; i < t.n; i++) {
        CHECK(size > 16384 || is_of_something(&t.images[i], data, size));
        for (size_t k = 0; k < t.images[i].tag_count; k++)
            (void)image_tar_find(&t, t.images[i].tags[k]);
    }
    return 0;
}
