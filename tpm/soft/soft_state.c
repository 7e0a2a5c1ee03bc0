#include "tpm/soft/soft_state.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

#define STATE_TAG      "cvm-agent soft TPM 1\n"
#define FILE_MAX_STATE (2 * SOFT_BLOB_MAX + 256)

static const char host_boot_path[] = "/proc/sys/kernel/random/boot_id";
static const char new_uuid_path[] = "/proc/sys/kernel/random/uuid";

static int lock_folder(struct soft_state *s, const char *folder, struct err *err)
{
    char path[PATH_MAX];
    if (path_set(path, sizeof(path), err, "%s/tpm2-lock", folder) < 0)
        return -1;
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock < 0)
        return err_set(err, errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO, (uint32_t)errno,
                       "%s: cannot open: %s", path, strerror(errno));
    if (flock(s->lock, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, errno == EWOULDBLOCK ? ERR_BUSY : ERR_IO, (uint32_t)errno,
                       "%s: in use by another agent: stop that one, or give this one its own --state folder",
                       folder);
    return 0;
}

static int damaged(const struct soft_state *s, const char *how, struct err *err)
{
    return err_set(err, ERR_INPUT, 0,
                   "%s: damaged (%s): restore it, or remove both tpm2 files for a new TPM with new keys",
                   s->state_path, how);
}

static bool rd_blob(struct reader *r, struct bytes *out)
{
    uint32_t n;
    return rd_u32be(r, &n) && n <= SOFT_BLOB_MAX && rd_take(r, n, out);
}

/* tag, SHA-256 of the rest, permanent state, volatile state: each of the two with its size, u32 big-endian */
static int parse_state(struct soft_state *s, struct bytes raw, struct err *err)
{
    struct reader r = reader_of(raw);
    struct bytes tag, sum, permanent, volatile_;
    uint8_t real[32];
    if (!rd_take(&r, sizeof(STATE_TAG) - 1, &tag) || !bytes_equal(tag, bytes_str(STATE_TAG))
        || !rd_take(&r, sizeof(real), &sum))
        return damaged(s, "no header", err);
    sha256(r.rest, real);
    if (!bytes_equal(sum, bytes_of(real, sizeof(real))))
        return damaged(s, "checksum", err);
    if (!rd_blob(&r, &permanent) || !rd_blob(&r, &volatile_) || r.rest.n || permanent.n == 0)
        return damaged(s, "sizes", err);
    buf_put(&s->permanent, permanent);
    buf_put(&s->volatile_, volatile_);
    return buf_check(&s->permanent, "soft TPM state", err) < 0
                   || buf_check(&s->volatile_, "soft TPM state", err) < 0
               ? -1
               : 0;
}

static int read_state(struct soft_state *s, bool boot_known, struct err *err)
{
    uint8_t *raw = NULL;
    size_t n = 0;
    struct err missing = { 0 };
    if (file_read(s->state_path, FILE_MAX_STATE, &raw, &n, &missing) < 0) {
        if (missing.kind == ERR_TOO_LARGE)
            return damaged(s, "too large", err);
        if (missing.kind != ERR_NOT_FOUND)
            return err_set(err, missing.kind, missing.code, "%s", missing.cause);
        return boot_known ? damaged(s, "missing", err) : 0;
    }
    int rc = parse_state(s, bytes_of(raw, n), err);
    explicit_bzero(raw, n);
    free(raw);
    return rc;
}

/* Two lines: the kernel's boot id and the emulated one. known: there is such a file. */
static int read_boot(struct soft_state *s, bool *known, bool *same, struct err *err)
{
    AUTO(free_u8) uint8_t *raw = NULL;
    size_t n = 0;
    char host[SOFT_UUID + 1], emulated[SOFT_UUID + 1];
    struct err missing = { 0 };
    *known = *same = false;
    if (file_read_line(host_boot_path, s->host_boot, sizeof(s->host_boot), err) < 0)
        return -1;
    if (file_read(s->boot_path, 256, &raw, &n, &missing) < 0)
        return missing.kind == ERR_NOT_FOUND ? 0
                                             : err_set(err, missing.kind, missing.code, "%s", missing.cause);
    if (sscanf((const char *)raw, "%40s %40s", host, emulated) != 2 || strlen(emulated) != 36)
        return err_set(err, ERR_INPUT, 0, "%s: damaged: remove it to begin a new emulated boot",
                       s->boot_path);
    *known = true;
    *same = strcmp(host, s->host_boot) == 0;
    memcpy(s->boot_id, emulated, sizeof(emulated));
    return 0;
}

int soft_state_open(struct soft_state *s, const char *folder, struct err *err)
{
    bool boot_known, same_boot;
    *s = (struct soft_state){ .lock = -1,
                              .permanent = buf_new(SOFT_BLOB_MAX),
                              .volatile_ = buf_new(SOFT_BLOB_MAX) };
    if (lock_folder(s, folder, err) < 0
        || path_set(s->state_path, sizeof(s->state_path), err, "%s/tpm2-state", folder) < 0
        || path_set(s->boot_path, sizeof(s->boot_path), err, "%s/tpm2-boot", folder) < 0
        || read_boot(s, &boot_known, &same_boot, err) < 0 || read_state(s, boot_known, err) < 0)
        return -1;
    if (!same_boot) {
        buf_wipe(&s->volatile_);
        s->boot_id[0] = '\0';
    }
    return 0;
}

static int write_all(int fd, struct bytes data)
{
    while (data.n) {
        ssize_t n = write(fd, data.p, data.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data = bytes_of(data.p + n, data.n - (size_t)n);
    }
    return 0;
}

/* As file_write_atomic(), without its fsyncs: this runs at every PCR extension. The lock makes the fixed
 * name safe, and a kill leaves at most one such file behind. */
static int replace_file(const char *path, struct bytes data, struct err *err)
{
    char tmp[PATH_MAX];
    if (path_set(tmp, sizeof(tmp), err, "%s.new", path) < 0)
        return -1;
    AUTO(close_fd) int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write_all(fd, data) < 0 || rename(tmp, path) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "%s: cannot write: %s", path, strerror(errno));
    return 0;
}

int soft_state_store(struct soft_state *s, struct bytes permanent, struct bytes volatile_, bool durable,
                     struct err *err)
{
    AUTO(buf_wipe) struct buf body = buf_new(FILE_MAX_STATE), file = buf_new(FILE_MAX_STATE);
    uint8_t sum[32];
    if (permanent.n > SOFT_BLOB_MAX || volatile_.n > SOFT_BLOB_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "soft TPM state of %zu and %zu bytes", permanent.n,
                       volatile_.n);
    buf_u32be(&body, (uint32_t)permanent.n);
    buf_put(&body, permanent);
    buf_u32be(&body, (uint32_t)volatile_.n);
    buf_put(&body, volatile_);
    sha256(buf_bytes(&body), sum);
    buf_str(&file, STATE_TAG);
    buf_put(&file, bytes_of(sum, sizeof(sum)));
    buf_put(&file, buf_bytes(&body));
    if (buf_check(&body, "soft TPM state", err) < 0 || buf_check(&file, "soft TPM state", err) < 0)
        return -1;
    return durable ? file_write_atomic(s->state_path, buf_bytes(&file), 0600, err)
                   : replace_file(s->state_path, buf_bytes(&file), err);
}

int soft_state_new_boot(struct soft_state *s, struct err *err)
{
    char text[2 * SOFT_UUID + 4];
    if (file_read_line(new_uuid_path, s->boot_id, sizeof(s->boot_id), err) < 0)
        return -1;
    snprintf(text, sizeof(text), "%s\n%s\n", s->host_boot, s->boot_id);
    return file_write_atomic(s->boot_path, bytes_str(text), 0600, err);
}

void soft_state_done(struct soft_state *s)
{
    buf_wipe(&s->permanent);
    buf_wipe(&s->volatile_);
    close_fd(&s->lock);
    s->lock = -1;
}
