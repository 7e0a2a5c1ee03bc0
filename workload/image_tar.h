/** workload/image_tar.h: which images an image archive holds: the .tar that `docker save` or `podman save`
 * writes (docker-archive) or an OCI image layout in a tar (oci-archive). An image's id is the SHA-256 of its
 * config blob, computed here, whatever the archive calls it.
 * Sources: POSIX pax interchange format; OCI image-spec v1.1 image-layout.md; the manifest.json of docker
 * save. */
#ifndef CVM_WORKLOAD_IMAGE_TAR_H
#define CVM_WORKLOAD_IMAGE_TAR_H

#include "base/bytes.h"

#define IMAGE_TAR_IMAGES_MAX    64
#define IMAGE_TAR_TAGS_MAX      64         /* of one image */
#define IMAGE_TAR_ENTRIES_MAX   100000     /* files of the archive */
#define IMAGE_TAR_JSON_MAX      (4u << 20) /* manifests and configs: as much as podman reads */
#define IMAGE_TAR_REFERENCE_MAX 512

struct tar_image {
    uint8_t id[32]; /* SHA-256 of the config blob */
    char **tags;    /* as written: "docker.io/library/nginx:1.25", "nginx:1.25" */
    size_t tag_count;
    bool has_manifest;
    uint8_t manifest[32]; /* oci-archive: SHA-256 of the manifest, what NAME@sha256:... names */
};

struct image_tar {
    struct tar_image *images;
    size_t n;
    bool docker, oci; /* which descriptions it has: `docker save` writes both */
};

/** Reads the index of an archive. The layers are passed over.
 *  @param fd    a regular file, read from offset 0 with pread()
 *  @param out   image_tar_done() frees it; written only on success
 *  @return 0, or -1: ERR_INPUT (no tar, damaged, compressed, no image in it, a name that occurs twice, two
 * descriptions that disagree), ERR_TOO_LARGE, ERR_IO */
MUST_USE int image_tar_read(int fd, struct image_tar *out, struct err *err);

/** For AUTO(image_tar_done). */
void image_tar_done(struct image_tar *t);

/** The image of an archive that a compose file's reference names, by tag or by manifest digest; NULL if none
 * does. */
const struct tar_image *image_tar_find(const struct image_tar *t, const char *reference);

#endif
