#include "agent/workload_copy.h"

#include "agent/workload.h"
#include "base/auto.h"
#include "base/file.h"
#include "base/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define BOOT_ID_MAX 64

static void close_dir(DIR **d)
{
    if (*d)
        closedir(*d);
}

static int remove_copies(const char *folder, struct err *err)
{
    char path[PATH_MAX + 256];
    AUTO(close_dir) DIR *d = opendir(folder);
    for (const struct dirent *e; d && (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || !strcmp(e->d_name, WORKLOAD_ENGINE))
            continue;
        if (path_set(path, sizeof(path), err, "%s/%s", folder, e->d_name) < 0
            || (unlink(path) < 0 && folder_remove(AT_FDCWD, path, err) < 0))
            return err_while(err, "remove an older copy of the workload");
    }
    return 0;
}

int workload_copy_is_whole(const char *folder, const char *boot_id, bool *out, struct err *err)
{
    char marker[PATH_MAX], of[BOOT_ID_MAX] = "";
    struct err ignored;
    if (path_set(marker, sizeof(marker), err, "%s/" WORKLOAD_MARKER, folder) < 0)
        return -1;
    *out = file_read_line(marker, of, sizeof(of), &ignored) == 0 && !strcmp(of, boot_id);
    return 0;
}

int workload_copy_make(const char *directory, const char *folder, const char *boot_id,
                       struct workload_tree **out, struct err *err)
{
    char marker[PATH_MAX], current[PATH_MAX];
    if (path_set(marker, sizeof(marker), err, "%s/" WORKLOAD_MARKER, folder) < 0
        || path_set(current, sizeof(current), err, "%s/" WORKLOAD_CURRENT, folder) < 0
        || remove_copies(folder, err) < 0 || workload_tree_take(directory, current, NULL, out, err) < 0)
        return -1;
    return file_write_atomic(marker, bytes_str(boot_id), 0600, err);
}

static int load(const struct workload_tree *tree, const char *path, size_t max, struct buf *out,
                struct err *err)
{
    struct err why = { 0 };
    *out = buf_new(max);
    if (workload_tree_load(tree, path, max, out, &why) == 0 || why.kind == ERR_NOT_FOUND)
        return 0;
    *err = why;
    return -1;
}

int workload_copy_policy(const struct workload_tree *tree, struct workload_policy *out, struct buf *owner,
                         struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(0);
    if (load(tree, POLICY_PATH, POLICY_FILE_MAX, &text, err) < 0
        || load(tree, WORKLOAD_OWNER_PATH, POLICY_FILE_MAX, owner, err) < 0)
        return -1;
    return workload_tree_find(tree, POLICY_PATH) ? workload_policy_parse(buf_bytes(&text), out, err) : 0;
}

static bool same_json(const json_t *a, const json_t *b)
{
    return a == b || (a && b && json_equal((json_t *)(uintptr_t)a, (json_t *)(uintptr_t)b));
}

int workload_copy_check(const struct workload_policy *p, const struct workload_policy *before, bool config,
                        const char *emulate, struct err *err)
{
    if (config && !same_json(p->root, before->root))
        return err_set(
            err, ERR_DENIED, 0,
            "--config names another policy than the workload's own, which is measured: leave it out");
    if ((p->emulate && (!emulate || strcmp(emulate, p->emulate) != 0)) || (before->emulate && !p->emulate))
        return err_set(err, ERR_DENIED, 0,
                       "emulation_mode has changed since the agent started: start it again");
    return 0;
}
