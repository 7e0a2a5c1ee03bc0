#include "agent/places.h"

#include "agent/process.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/file.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A container engine's files must lie below a short path (podman's have 50 bytes), which the state folder's
 * may not be. */
static int of_state(const char *state, char *run, size_t size, struct err *err)
{
    char cwd[PATH_MAX] = "", hex[65];
    uint8_t hash[32];
    if (geteuid() != 0)
        return path_set(run, size, err, "%s/run", state);
    if (*state != '/' && !getcwd(cwd, sizeof(cwd)))
        return err_set(err, ERR_IO, (uint32_t)errno, "no working directory: %s", strerror(errno));
    char *whole = NULL;
    if (asprintf(&whole, "%s/%s", cwd, state) < 0)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a path");
    sha256(bytes_str(whole), hash);
    free(whole);
    hex_to(hex, bytes_of(hash, 4));
    return path_set(run, size, err, "/run/cvm-agent.%s", hex);
}

static int choose(const struct options *o, char *run, size_t size, struct err *err)
{
    const char *slash = strrchr(o->socket, '/');
    if (o->emulate && !o->socket_given)
        return of_state(o->state, run, size, err);
    if (!slash || slash == o->socket)
        return path_set(run, size, err, ".");
    return path_set(run, size, err, "%.*s", (int)(slash - o->socket), o->socket);
}

/* A folder that is there already (systemd's RuntimeDirectory) stays as it is. */
static int make(const char *run, struct err *err)
{
    const struct passwd *user = geteuid() == 0 ? getpwnam(AGENT_USER) : NULL;
    bool there = access(run, F_OK) == 0;
    if (dir_make(run, 0755, err) < 0)
        return err_while(err, "make the folder of this boot");
    if (!there && user && chown(run, user->pw_uid, user->pw_gid) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot give %.160s to " AGENT_USER ": %s", run,
                       strerror(errno));
    return 0;
}

int places_name(const struct options *o, struct places *out, struct err *err)
{
    return choose(o, out->run, sizeof(out->run), err) < 0
                   || path_set(out->sockets, sizeof(out->sockets), err, "%s/services", out->run) < 0
                   || path_set(out->workload, sizeof(out->workload), err, "%s/workload", out->run) < 0
               ? -1
               : 0;
}

int places_make(const struct options *o, struct places *out, struct err *err)
{
    if (places_name(o, out, err) < 0 || make(out->run, err) < 0)
        return -1;
    return make(out->workload, err);
}
