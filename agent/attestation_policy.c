#include "agent/attestation_policy.h"

#include "agent/acts.h"
#include "agent/operate.h"
#include "agent/server.h"
#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/json_wide.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>

#define FOLDER      "attestation-policy"
#define VALUES_MAX  200000u
#define VERSION_MAX 999999999u

static void close_dir(DIR **d)
{
    if (*d)
        closedir(*d);
}

/* "17.json"; 0: another file. */
static unsigned version_of(const char *name)
{
    size_t n = strspn(name, "0123456789");
    return n && n <= 9 && *name != '0' && !strcmp(name + n, ".json") ? (unsigned)strtoul(name, NULL, 10) : 0;
}

static int folder_of(const struct request *r, char out[static PATH_MAX], struct err *err)
{
    return path_set(out, PATH_MAX, err, "%s/" FOLDER, operate_state(server_operate(r->server)));
}

/* The newest version, 0 if there is none; drops those that are too old. */
static unsigned latest(const char *folder, unsigned drop_below)
{
    AUTO(close_dir) DIR *d = opendir(folder);
    unsigned newest = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        unsigned v = version_of(e->d_name);
        newest = v > newest ? v : newest;
        if (v && v < drop_below)
            (void)!unlinkat(dirfd(d), e->d_name, 0);
    }
    return newest;
}

static int path_of(const char *folder, unsigned version, char out[static PATH_MAX], struct err *err)
{
    return path_set(out, PATH_MAX, err, "%s/%u.json", folder, version);
}

/* ---- POST ---- */

static int check_text(struct bytes text, struct err *err)
{
    AUTO(json_drop) json_t *any = NULL;
    if (json_count_check(text, VALUES_MAX, err) < 0
        || json_wide_parse(text, ATTESTATION_POLICY_MAX, &any, err) < 0)
        return err_while(err, "attestation policy");
    return 0;
}

static int work_put(struct request *r, struct buf *out, struct err *err)
{
    char folder[PATH_MAX], path[PATH_MAX], hex[65];
    uint8_t hash[32];
    struct bytes text = buf_bytes(&r->body);
    if (check_text(text, err) < 0 || acts_ready(operate_acts(server_operate(r->server)), err) < 0
        || folder_of(r, folder, err) < 0 || dir_make(folder, 0700, err) < 0)
        return -1;
    unsigned version = latest(folder, 0) + 1;
    if (version > VERSION_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "version %u is the last that can be kept", VERSION_MAX);
    if (path_of(folder, version, path, err) < 0 || file_write_atomic(path, text, 0600, err) < 0)
        return err_while(err, "keep the attestation policy");
    if (version > ATTESTATION_POLICY_KEPT)
        (void)!latest(folder, version - ATTESTATION_POLICY_KEPT + 1);
    sha256(text, hash);
    hex_to(hex, bytes_of(hash, sizeof(hash)));
    buf_printf(out, "{\"version\":%u,\"sha256\":\"%s\"}\n", version, hex);
    AUTO(json_drop) json_t *what = json_pack("{s:i,s:s}", "version", (int)version, "sha256", hex);
    return operate_record(r, "attestation-policy-put", what, NULL, err);
}

int attestation_policy_put_begin(struct request *r, struct err *err)
{
    if (!r->body.n)
        return err_set(err, ERR_INPUT, 0, "no body: send the policy, any JSON");
    return operate_begin(r, work_put, err);
}

/* ---- GET ---- */

int attestation_policy_get_prepare(struct request *r, struct err *err)
{
    const char *text = query_get(&r->query, "version");
    char file[32];
    if (!text)
        return 0;
    snprintf(file, sizeof(file), "%.12s.json", text);
    r->version = version_of(file);
    return r->version ? 0 : err_set(err, ERR_INPUT, 0, "version: want a number from 1");
}

static int work_get(struct request *r, struct buf *out, struct err *err)
{
    AUTO(free_u8) uint8_t *text = NULL;
    char folder[PATH_MAX], path[PATH_MAX];
    struct err why = { 0 };
    size_t n = 0;
    if (folder_of(r, folder, err) < 0)
        return -1;
    unsigned version = r->version ? r->version : latest(folder, 0);
    if (!version)
        return err_set(err, ERR_NOT_FOUND, 0, "no attestation policy yet: POST one");
    if (path_of(folder, version, path, err) < 0)
        return -1;
    if (file_read(path, ATTESTATION_POLICY_MAX, &text, &n, &why) < 0)
        return err_set(err, why.kind, 0, "version %u of the attestation policy is not here", version);
    buf_put(out, bytes_of(text, n));
    return 0;
}

int attestation_policy_get_begin(struct request *r, struct err *err)
{
    return operate_begin(r, work_get, err);
}
