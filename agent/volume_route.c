#include "agent/volume_route.h"

#include "agent/operate.h"
#include "agent/server.h"
#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"

#include <limits.h>

static int work(struct request *r, struct buf *out, struct err *err)
{
    AUTO(free_u8) uint8_t *text = NULL;
    AUTO(json_drop) json_t *status = NULL;
    const char *run = operate_run(server_operate(r->server));
    char path[PATH_MAX];
    struct err why = { 0 };
    size_t n;
    if (path_set(path, sizeof(path), err, "%s/" VOLUME_STATUS, run) < 0)
        return -1;
    if (file_read(path, VOLUME_STATUS_MAX, &text, &n, &why) < 0)
        return why.kind == ERR_NOT_FOUND ? err_set(
                   err, ERR_NOT_FOUND, 0,
                   "this machine has no sealed volume: build-image --volume makes an image with one")
                                         : err_set(err, why.kind, why.code, "%s", why.cause);
    if (json_parse(bytes_of(text, n), VOLUME_STATUS_MAX, &status, &why) < 0)
        return err_set(err, ERR_IO, 0, "what is known of the volume is damaged");
    json_put(out, status, false);
    buf_u8(out, '\n');
    return buf_check(out, "volume", err);
}

int volume_begin(struct request *r, struct err *err)
{
    return operate_begin(r, work, err);
}
