#include "workload/image_tar.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/json.h"
#include "workload/compose.h"
#include "workload/tar.h"

#include <errno.h>

#define DEPTH_MAX 3 /* index.json, an index of platforms, a manifest */
#define BLOB_NAME (sizeof("blobs/sha256/") + 64)

/* The platform of every machine that this runs on: SEV-SNP and TDX are x86-64. */
#define PLATFORM_OS   "linux"
#define PLATFORM_ARCH "amd64"

void image_tar_done(struct image_tar *t)
{
    for (size_t i = 0; i < t->n; i++) {
        for (size_t k = 0; k < t->images[i].tag_count; k++)
            free(t->images[i].tags[k]);
        free(t->images[i].tags);
    }
    free(t->images);
    *t = (struct image_tar){ 0 };
}

/* ---- collecting images ---- */

static int add_image(struct image_tar *t, const struct tar_image *image, struct tar_image **out,
                     struct err *err)
{
    if (t->n == IMAGE_TAR_IMAGES_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "more than %d images in one archive", IMAGE_TAR_IMAGES_MAX);
    struct tar_image *bigger = realloc(t->images, (t->n + 1) * sizeof(*bigger));
    if (!bigger)
        return err_set(err, ERR_IO, ENOMEM, "no memory for an image");
    t->images = bigger;
    t->images[t->n] = *image;
    *out = &t->images[t->n++];
    return 0;
}

static int add_tag(struct tar_image *image, const json_t *tag, struct err *err)
{
    const char *text = json_string_value(tag);
    if (!text)
        return err_set(err, ERR_INPUT, 0, "a tag of an image is not a text");
    if (image->tag_count == IMAGE_TAR_TAGS_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "more than %d tags of one image", IMAGE_TAR_TAGS_MAX);
    char **bigger = realloc(image->tags, (image->tag_count + 1) * sizeof(*bigger));
    if (bigger)
        image->tags = bigger;
    char *copy = bigger ? strdup(text) : NULL;
    if (!copy)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a tag");
    image->tags[image->tag_count++] = copy;
    return 0;
}

static int load(const struct tar_index *tar, const char *name, struct buf *out, struct err *err)
{
    const struct tar_entry *e;
    if (tar_find(tar, name, &e, err) == 0)
        return tar_load(tar, e, IMAGE_TAR_JSON_MAX, out, err);
    if (err) /* the archive names what it lacks: it is damaged */
        err->kind = ERR_INPUT;
    return -1;
}

/* ---- docker-archive ---- */

/* A name that says a digest must say the right one. */
static int check_name(const char *name, const uint8_t id[static 32], struct err *err)
{
    char hex[65];
    const char *base = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
    size_t n = strspn(base, "0123456789abcdef");
    hex_to(hex, bytes_of(id, 32));
    if (n == 64 && (!base[64] || !strcmp(base + 64, ".json")) && memcmp(base, hex, 64) != 0)
        return err_set(err, ERR_INPUT, 0, "%.120s has the SHA-256 %s: the archive is damaged", name, hex);
    return 0;
}

static int docker_image(const struct tar_index *tar, const json_t *item, struct image_tar *t, struct err *err)
{
    const char *config = json_string_value(json_object_get(item, "Config"));
    const json_t *tags = json_object_get(item, "RepoTags"), *tag;
    AUTO(buf_done) struct buf blob = buf_new(IMAGE_TAR_JSON_MAX);
    struct tar_image found = { .has_manifest = false }, *image;
    char name[TAR_NAME_MAX];
    size_t i;
    if (!config || strlen(config) >= sizeof(name) || (tags && !json_is_array(tags) && !json_is_null(tags)))
        return err_set(err, ERR_INPUT, 0, "manifest.json: an image without Config, or RepoTags is no list");
    snprintf(name, sizeof(name), "%s", strncmp(config, "./", 2) ? config : config + 2);
    if (load(tar, name, &blob, err) < 0)
        return -1;
    sha256(buf_bytes(&blob), found.id);
    if (check_name(name, found.id, err) < 0 || add_image(t, &found, &image, err) < 0)
        return -1;
    json_array_foreach(tags, i, tag) if (add_tag(image, tag, err) < 0) return -1;
    return 0;
}

static int docker_archive(const struct tar_index *tar, struct image_tar *t, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(IMAGE_TAR_JSON_MAX);
    AUTO(json_drop) json_t *list = NULL;
    const json_t *item;
    size_t i;
    if (load(tar, "manifest.json", &text, err) < 0
        || json_parse(buf_bytes(&text), IMAGE_TAR_JSON_MAX, &list, err) < 0)
        return err_while(err, "read manifest.json");
    if (!json_array_size(list))
        return err_set(err, ERR_INPUT, 0, "manifest.json lists no image");
    json_array_foreach(list, i, item) if (docker_image(tar, item, t, err) < 0) return -1;
    return 0;
}

/* ---- oci-archive ---- */

/* "sha256:HEX" → the blob's bytes, which must have that digest. */
static int load_blob(const struct tar_index *tar, const char *digest, struct buf *out, uint8_t sum[static 32],
                     struct err *err)
{
    uint8_t want[32];
    char name[BLOB_NAME + 1];
    if (!digest || strncmp(digest, "sha256:", 7) != 0 || strspn(digest + 7, "0123456789abcdef") != 64
        || digest[7 + 64] || hex_decode_fixed(bytes_str(digest + 7), want, sizeof(want), err) < 0)
        return err_set(err, ERR_INPUT, 0, "a descriptor whose digest is not sha256: and 64 hex digits");
    snprintf(name, sizeof(name), "blobs/sha256/%s", digest + 7);
    if (load(tar, name, out, err) < 0)
        return -1;
    sha256(buf_bytes(out), sum);
    return memcmp(sum, want, sizeof(want)) ? err_set(err, ERR_INPUT, 0, "%s has another digest", name) : 0;
}

/* Images of other platforms, and attestations ("unknown"), are not meant. */
static bool of_this_platform(const json_t *descriptor)
{
    const json_t *platform = json_object_get(descriptor, "platform");
    const char *os = json_string_value(json_object_get(platform, "os"));
    const char *arch = json_string_value(json_object_get(platform, "architecture"));
    return (!os || !strcmp(os, PLATFORM_OS)) && (!arch || !strcmp(arch, PLATFORM_ARCH));
}

static const json_t *name_of(const json_t *descriptor)
{
    const json_t *notes = json_object_get(descriptor, "annotations");
    const json_t *full = json_object_get(notes, "io.containerd.image.name");
    return full ? full : json_object_get(notes, "org.opencontainers.image.ref.name");
}

static struct tar_image *find_id(const struct image_tar *t, const uint8_t id[static 32])
{
    for (size_t i = 0; i < t->n; i++)
        if (!memcmp(t->images[i].id, id, 32))
            return &t->images[i];
    return NULL;
}

static int oci_image(const struct tar_index *tar, const json_t *manifest, const uint8_t sum[static 32],
                     const json_t *tag, struct image_tar *t, struct err *err)
{
    AUTO(buf_done) struct buf blob = buf_new(IMAGE_TAR_JSON_MAX);
    struct tar_image found = { .has_manifest = true }, *image;
    const char *digest = json_string_value(json_object_get(json_object_get(manifest, "config"), "digest"));
    memcpy(found.manifest, sum, sizeof(found.manifest));
    if (load_blob(tar, digest, &blob, found.id, err) < 0)
        return -1;
    image = find_id(t, found.id);
    if (!image && add_image(t, &found, &image, err) < 0)
        return -1;
    return tag ? add_tag(image, tag, err) : 0;
}

/* A list of descriptors, breadth limited by IMAGE_TAR_IMAGES_MAX, depth by DEPTH_MAX. */
static int oci_list(const struct tar_index *tar, const json_t *list, const json_t *tag, unsigned depth,
                    struct image_tar *t, struct err *err)
{
    const json_t *descriptor;
    size_t i;
    if (!json_is_array(list) || json_array_size(list) > IMAGE_TAR_IMAGES_MAX || depth > DEPTH_MAX)
        return err_set(err, ERR_INPUT, 0, "an index without a list of manifests, or with too many");
    json_array_foreach(list, i, descriptor)
    {
        AUTO(buf_done) struct buf blob = buf_new(IMAGE_TAR_JSON_MAX);
        AUTO(json_drop) json_t *v = NULL;
        uint8_t sum[32];
        const json_t *own = name_of(descriptor);
        if (!of_this_platform(descriptor))
            continue;
        if (load_blob(tar, json_string_value(json_object_get(descriptor, "digest")), &blob, sum, err) < 0
            || json_parse(buf_bytes(&blob), IMAGE_TAR_JSON_MAX, &v, err) < 0)
            return -1;
        const json_t *inner = json_object_get(v, "manifests");
        int rc = inner ? oci_list(tar, inner, own ? own : tag, depth + 1, t, err)
                       : oci_image(tar, v, sum, own ? own : tag, t, err);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static int oci_archive(const struct tar_index *tar, struct image_tar *t, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(IMAGE_TAR_JSON_MAX);
    AUTO(json_drop) json_t *index = NULL;
    if (load(tar, "index.json", &text, err) < 0
        || json_parse(buf_bytes(&text), IMAGE_TAR_JSON_MAX, &index, err) < 0
        || oci_list(tar, json_object_get(index, "manifests"), NULL, 1, t, err) < 0)
        return err_while(err, "read index.json");
    return t->n ? 0
                : err_set(err, ERR_INPUT, 0, "index.json lists no image for " PLATFORM_OS "/" PLATFORM_ARCH);
}

/* ---- both ---- */

static bool has_file(const struct tar_index *tar, const char *name)
{
    const struct tar_entry *e;
    struct err err = { 0 };
    return tar_find(tar, name, &e, &err) == 0 || err.kind != ERR_NOT_FOUND;
}

/* `docker save` writes both descriptions. Which of them an engine believes must not matter. */
static int check_agree(const struct tar_index *tar, struct image_tar *docker, struct err *err)
{
    AUTO(image_tar_done) struct image_tar oci = { 0 };
    if (oci_archive(tar, &oci, err) < 0)
        return -1;
    for (size_t i = 0; i < oci.n; i++) {
        struct tar_image *same = find_id(docker, oci.images[i].id);
        if (!same)
            return err_set(err, ERR_INPUT, 0, "manifest.json and index.json describe different images");
        same->has_manifest = true;
        memcpy(same->manifest, oci.images[i].manifest, sizeof(same->manifest));
    }
    for (size_t i = 0; i < docker->n; i++)
        if (!find_id(&oci, docker->images[i].id))
            return err_set(err, ERR_INPUT, 0, "manifest.json and index.json describe different images");
    return 0;
}

int image_tar_read(int fd, struct image_tar *out, struct err *err)
{
    AUTO(tar_index_done) struct tar_index tar = { .fd = -1 };
    AUTO(image_tar_done) struct image_tar t = { 0 };
    if (tar_index_read(fd, IMAGE_TAR_ENTRIES_MAX, &tar, err) < 0)
        return -1;
    bool docker = has_file(&tar, "manifest.json"), oci = has_file(&tar, "index.json");
    if (!docker && !oci)
        return err_set(err, ERR_INPUT, 0,
                       "no image archive: neither manifest.json (docker save) nor index.json (OCI) is in it");
    if (docker ? docker_archive(&tar, &t, err) < 0 : oci_archive(&tar, &t, err) < 0)
        return -1;
    if (docker && oci && check_agree(&tar, &t, err) < 0)
        return -1;
    t.docker = docker;
    t.oci = oci;
    *out = t;
    t = (struct image_tar){ 0 };
    return 0;
}

/* ---- by reference ---- */

static bool tag_matches(const char *tag, const char *wanted)
{
    char full[IMAGE_TAR_REFERENCE_MAX];
    bool complete;
    struct err ignored = { 0 };
    return compose_image_reference(tag, full, sizeof(full), &complete, &ignored) == 0
           && !strcmp(full, wanted);
}

const struct tar_image *image_tar_find(const struct image_tar *t, const char *reference)
{
    char wanted[IMAGE_TAR_REFERENCE_MAX];
    bool complete;
    struct err ignored = { 0 };
    if (compose_image_reference(reference, wanted, sizeof(wanted), &complete, &ignored) < 0)
        return NULL;
    const char *digest = strstr(wanted, "@sha256:");
    uint8_t manifest[32];
    if (digest && hex_decode_fixed(bytes_str(digest + 8), manifest, sizeof(manifest), &ignored) < 0)
        return NULL;
    for (size_t i = 0; i < t->n; i++) {
        const struct tar_image *image = &t->images[i];
        if (digest && image->has_manifest && !memcmp(image->manifest, manifest, sizeof(manifest)))
            return image;
        for (size_t k = 0; !digest && k < image->tag_count; k++)
            if (tag_matches(image->tags[k], wanted))
                return image;
    }
    return NULL;
}
