/* The signature policy of a workload that was listed: its file, its keys, and the archives beside it. */
#include "workload/signature_policy.h"

#include "base/auto.h"
#include "base/file.h"
#include "workload/compose.h"
#include "workload/image_tar.h"
#include "workload/path.h"
#include "workload/policy.h"
#include "workload/tree.h"

static int read_key(void *ctx, const char *path, struct buf *out, struct err *err)
{
    char inside[TREE_PATH_MAX + 1];
    if (workload_path(path, inside, sizeof(inside), err) < 0)
        return -1;
    return workload_tree_load(ctx, inside, SIGNATURE_POLICY_MAX, out, err);
}

static int read_file(const struct workload_tree *tree, const struct workload_policy *policy,
                     struct signature_policy *out, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(SIGNATURE_POLICY_MAX);
    const char *path = policy->signature_policy_path;
    if (path && workload_tree_load(tree, path, SIGNATURE_POLICY_MAX, &text, err) < 0)
        return err_while(err, "signature_verification_policy_path");
    if (signature_policy_read(buf_bytes(&text), read_key, (void *)(uintptr_t)tree, out, err) < 0)
        return err_while(err, "signature policy");
    return 0;
}

/* Which services of skip_measurement have their image in an archive. */
static int find_spared(const struct workload_tree *tree, const char *path, const struct compose *c,
                       const struct workload_policy *policy, bool *from_archive, bool *any, struct err *err)
{
    AUTO(image_tar_done) struct image_tar index = { 0 };
    struct err why = { 0 };
    AUTO(close_fd) int fd = workload_tree_open(tree, path, err);
    if (fd < 0)
        return -1;
    if (image_tar_read(fd, &index, &why) < 0)
        return err_set(err, why.kind, why.code, "%.80s: %.200s", path, why.cause);
    for (size_t i = 0; i < c->service_count; i++) {
        const struct compose_service *s = &c->services[i];
        if (!policy_skips(policy, s->name) || !image_tar_find(&index, s->image.text))
            continue;
        from_archive[i] = *any = true;
    }
    return 0;
}

/* Archives of the wrong kind are found when they are loaded; where none may pass, it is said before. */
static int judge_archives(const struct workload_tree *tree, const struct compose *c,
                          const struct workload_policy *policy, const struct signature_policy *p,
                          bool *from_archive, struct err *err)
{
    bool accepts = p->accepts_docker_archive || p->accepts_oci_archive;
    for (size_t i = 0; i < tree->n; i++) {
        const char *path = tree->files[i].path;
        bool spared = false;
        if (tree->files[i].kind != TREE_IMAGE)
            continue;
        if (policy->skip_measurement.n && find_spared(tree, path, c, policy, from_archive, &spared, err) < 0)
            return err_while(err, "read image archives");
        if (!accepts && !spared)
            return err_set(err, ERR_DENIED, 0,
                           "%.100s carries no signature: the signature policy would have to have a scope "
                           "docker-archive that accepts it",
                           path);
    }
    return 0;
}

int signature_policy_load(const struct workload_tree *tree, const struct compose *c,
                          const struct workload_policy *policy, struct signature_policy *out, struct err *err)
{
    AUTO(signature_policy_done) struct signature_policy p = { 0 };
    bool from_archive[COMPOSE_SERVICES_MAX] = { false };
    if (!policy->verify_signatures)
        return signature_policy_off(out, err);
    if (read_file(tree, policy, &p, err) < 0 || judge_archives(tree, c, policy, &p, from_archive, err) < 0)
        return -1;
    for (size_t i = 0; i < c->service_count; i++) {
        if (policy_skips(policy, c->services[i].name)
            && signature_policy_spare(&p, c->services[i].image.text, from_archive[i], err) < 0)
            return err_while(err, "signature policy");
    }
    *out = p;
    p = (struct signature_policy){ 0 };
    return 0;
}
