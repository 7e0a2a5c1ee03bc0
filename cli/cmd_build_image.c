/* build-image and update-disk are scripts: they drive the tools that make file systems. This finds and runs
 * them. */
#include "cli/commands.h"

#include "base/auto.h"
#include "base/file.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Where they are, from the folder of this program: in the source tree it was built in, or installed. */
static const char *const places[] = { "../../../scripts", "../share/cvm-agent/scripts" };

static int own_folder(char *out, size_t size, struct err *err)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    if (n <= 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot find this program's folder");
    out[n] = '\0';
    *strrchr(out, '/') = '\0';
    return 0;
}

/* What the script signs with is this program. */
static int run_script(const char *name, char **argv)
{
    char folder[PATH_MAX], path[PATH_MAX], self[PATH_MAX];
    struct err err = { 0 };
    if (own_folder(folder, sizeof(folder), &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, name, "cannot start", &err);
    if (path_set(self, sizeof(self), &err, "%s/cvm-cli", folder) < 0 || setenv("CVM_CLI", self, 1) < 0)
        return fail(STATUS_ENVIRONMENT, name, "cannot start", "its environment cannot be set");
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        if (path_set(path, sizeof(path), &err, "%s/%s/%s", folder, places[i], name) < 0)
            return fail_err(STATUS_ENVIRONMENT, name, "cannot start", &err);
        if (access(path, X_OK) < 0)
            continue;
        argv[0] = path;
        setenv("CVM_CALLER", "cvm-cli: ", 1); /* the script's errors are this command's */
        execv(path, argv);
        return fail(STATUS_ENVIRONMENT, path, "cannot start", strerror(errno));
    }
    return fail(STATUS_ENVIRONMENT, name, "cannot start",
                "the script is neither in the source tree nor in share/cvm-agent/scripts");
}

static int run_build(int argc, char **argv)
{
    (void)argc;
    return run_script("build-image", argv);
}

static int run_update(int argc, char **argv)
{
    (void)argc;
    return run_script("update-disk", argv);
}

const struct command command_build_image = {
    "build-image",
    "[-o BASE] [--workload DIR] [--format F] [--secure-boot-key KEY.pem --secure-boot-cert CERT.pem] "
    "[--sign-key KEY.pem] [--volume MIB]",
    "Builds a disk image with measured boot, verified root and the agent",
    "Runs scripts/build-image; see its --help, and docs/image.md.\n",
    run_build,
};

const struct command command_update_disk = {
    "update-disk",
    "DISK [WORKLOAD_DIR]",
    "Puts another workload onto a disk image",
    "Rewrites the data partition of a raw disk that build-image made, and nothing else: what is measured at "
    "boot\n"
    "stays as it is. Without WORKLOAD_DIR the partition becomes empty. Needs no root. The disk is replaced "
    "by\n"
    "one rename: an error leaves it as it was.\n",
    run_update,
};
