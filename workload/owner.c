#include "workload/owner.h"

#include "base/auto.h"
#include "base/file.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FILE_SIZE_MAX (1u << 20)
#define HOST_IDS      1000u /* below are the host's own users */

/* NAME:FIRST:COUNT, a line each; NAME may be the user's number. The first range that is large enough counts.
 */
static int find_range(const char *etc, const char *file, const char *name, uint32_t *first, struct err *err)
{
    AUTO(free_u8) uint8_t *data = NULL;
    char path[PATH_MAX];
    size_t n;
    if (path_set(path, sizeof(path), err, "%s/%s", etc, file) < 0
        || file_read(path, FILE_SIZE_MAX, &data, &n, err) < 0)
        return err_while(err, "subordinate ids of container_owner");
    char *rest = (char *)data;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        char *end, *at = line;
        const char *who = strsep(&at, ":");
        if (strcmp(who, name) != 0 || !at)
            continue;
        unsigned long start = strtoul(at, &end, 10);
        unsigned long count = *end == ':' && end != at ? strtoul(end + 1, &end, 10) : 0;
        if (count == 0 || *end || start < HOST_IDS || start > UINT32_MAX - OWNER_IDS)
            return err_set(err, ERR_INPUT, 0,
                           "%.100s: a range of %.60s that is none, or has the host's users", path, name);
        if (count >= OWNER_IDS) {
            *first = (uint32_t)start;
            return 0;
        }
    }
    return err_set(err, ERR_NOT_FOUND, 0,
                   "container_owner %.60s has no %u ids in %.100s: add a line \"%.60s:524288:%u\"", name,
                   OWNER_IDS, path, name, OWNER_IDS);
}

int owner_find(const char *etc, const char *name, struct owner *out, struct err *err)
{
    struct owner o;
    if (!*name || strpbrk(name, ":\n"))
        return err_set(err, ERR_INPUT, 0, "container_owner %.60s is no user name", name);
    if (find_range(etc, "subuid", name, &o.uid, err) < 0 || find_range(etc, "subgid", name, &o.gid, err) < 0)
        return -1;
    *out = o;
    return 0;
}
