/* Where the images come from: the .tar files of the private copy, else a registry. */
#include "workload/runner.h"

#include "base/auto.h"
#include "base/enc.h"
#include "workload/compose.h"
#include "workload/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REFERENCE_SIZE 512

static const struct tar_image *find_tar(const struct runner_sources *from, const char *reference,
                                        const struct runner_tar **tar)
{
    for (size_t i = 0; i < from->n_tars; i++) {
        const struct tar_image *image = image_tar_find(from->tars[i].index, reference);
        *tar = &from->tars[i];
        if (image)
            return image;
    }
    return NULL;
}

/* The archive's own id was read from the private copy; the engine must have come to the same. */
static int load(const struct runner *r, const struct runner_tar *tar, const struct tar_image *image,
                char id[static ENGINE_ID_SIZE], struct err *err)
{
    char want[ENGINE_ID_SIZE];
    hex_to(want, bytes_of(image->id, sizeof(image->id)));
    if (engine_image_id(&r->engine, want, id, &(struct err){ 0 }) == 0)
        return 0;
    AUTO(close_fd) int fd = open(tar->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot read %.200s: %s", tar->path, strerror(errno));
    if (engine_image_load(&r->engine, fd, (uint64_t)st.st_size, err) < 0)
        return -1;
    if (engine_image_id(&r->engine, want, id, err) < 0)
        return err_while(err, "the image that the archive says it has");
    return 0;
}

static bool credentials(const struct runner_sources *from, const char *reference, struct engine_auth *out)
{
    char host[256];
    size_t n = strcspn(reference, "/");
    if (!from->auth || n >= sizeof(host))
        return false;
    memcpy(host, reference, n);
    host[n] = '\0';
    return from->auth(from->auth_ctx, host, out);
}

static bool accepts(const struct signature_policy *signatures, const struct image_tar *tar)
{
    return (tar->docker && signatures->accepts_docker_archive)
           || (tar->oci && signatures->accepts_oci_archive);
}

/* Judged, unless the signature is not asked for, and pulled: what was judged is what comes. */
static int pull(const struct runner *r, const struct runner_sources *from, const char *reference, bool judged,
                char id[static ENGINE_ID_SIZE], struct err *err)
{
    char pinned[REFERENCE_SIZE + 128];
    struct engine_auth login;
    const struct http http = http_curl();
    bool known = credentials(from, reference, &login);
    const struct engine_auth *as = known ? &login : NULL;
    if (!judged)
        return engine_image_pull(&r->engine, reference, as, id, err);
    if (signature_policy_judge(from->signatures, &http, reference, as, r->engine.cancel, pinned,
                               sizeof(pinned), err)
        < 0)
        return -1;
    return engine_image_pull(&r->engine, pinned, as, id, err);
}

static int get(const struct runner *r, const struct compose_service *s, const struct runner_sources *from,
               char id[static ENGINE_ID_SIZE], struct err *err)
{
    char reference[REFERENCE_SIZE];
    bool full, judged = !from->policy || !policy_skips(from->policy, s->name);
    if (!s->image.text)
        return err_set(err, ERR_INPUT, 0, "no image: is written");
    if (compose_image_reference(s->image.text, reference, sizeof(reference), &full, err) < 0)
        return -1;
    const struct runner_tar *tar = NULL;
    const struct tar_image *image = find_tar(from, s->image.text, &tar);
    if (image && judged && !accepts(from->signatures, tar->index))
        return err_set(err, ERR_DENIED, 0,
                       "an archive carries no signature, and the signature policy wants one: it has no scope "
                       "%s that accepts it",
                       tar->index->docker ? "docker-archive" : "oci-archive");
    if (image)
        return load(r, tar, image, id, err);
    if (s->pull_never)
        return err_set(err, ERR_NOT_FOUND, 0, "pull_policy is never, and no .tar has %.200s", reference);
    return pull(r, from, reference, judged, id, err);
}

int runner_images(const struct runner *r, const struct compose *c, const struct runner_sources *from,
                  struct runner_image *out, struct err *err)
{
    for (size_t i = 0; i < c->service_count; i++) {
        struct err why = { 0 };
        out[i].service = c->services[i].name;
        if (get(r, &c->services[i], from, out[i].id, &why) == 0)
            continue;
        return err_set(err, why.kind, why.code, "image of service %.60s: %.220s", out[i].service, why.cause);
    }
    return 0;
}

static bool kept(const struct runner_image *keep, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(keep[i].id, id))
            return true;
    }
    return false;
}

int runner_tidy_images(const struct runner *r, const struct runner_image *keep, size_t n, struct err *err)
{
    char(*idle)[ENGINE_ID_SIZE];
    size_t found;
    int rc = 0;
    if (engine_images_idle(&r->engine, &idle, &found, err) < 0)
        return -1;
    for (size_t i = 0; i < found; i++) {
        if (!kept(keep, n, idle[i]) && engine_image_remove(&r->engine, idle[i], rc ? NULL : err) < 0)
            rc = -1;
    }
    free(idle);
    return rc < 0 ? err_while(err, "remove images that nobody uses") : 0;
}
