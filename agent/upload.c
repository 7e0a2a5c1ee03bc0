#include "agent/upload.h"

#include "base/auto.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#define BOUNDARY_MAX 70 /* RFC 2046, section 5.1.1 */
#define TAIL_MORE    64 /* line ends after the form */

struct upload {
    struct MHD_PostProcessor *multipart; /* NULL: the body is the file */
    int fd;
    uint64_t max, size, written;
    struct buf pieces;
    bool begun;                   /* the field has been seen */
    char close[BOUNDARY_MAX + 8]; /* what ends the form; the library does not insist on it */
    char tail[BOUNDARY_MAX + TAIL_MORE];
    size_t tail_n;
    EVP_MD_CTX *sha384;
    struct err err; /* of the library's callback */
};

/* An unnamed file; some file systems know named ones only. */
static int open_file(const char *folder, struct err *err)
{
    char path[PATH_MAX];
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)
        && path_set(path, sizeof(path), err, "%s/upload.XXXXXX", folder) == 0) {
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            unlink(path);
    }
    if (fd < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot keep an upload below %.120s: %s", folder,
                       strerror(errno));
    return fd;
}

static int add(struct upload *u, const char *data, size_t n, struct err *err)
{
    if (n > u->max - u->size)
        return err_set(err, ERR_TOO_LARGE, 0, "the file is longer than %" PRIu64 " bytes", u->max);
    u->begun = true;
    u->size += n;
    buf_put(&u->pieces, bytes_of(data, n));
    return buf_check(&u->pieces, "upload", err);
}

/* The library calls it with the pieces of each field's value. */
static enum MHD_Result on_field(void *cls, enum MHD_ValueKind kind, const char *key, const char *filename,
                                const char *type, const char *coding, const char *data, uint64_t offset,
                                size_t size)
{
    struct upload *u = cls;
    (void)kind, (void)filename, (void)type, (void)coding;
    if (u->err.kind)
        return MHD_NO;
    if (!key || strcmp(key, UPLOAD_FIELD) != 0)
        err_set(&u->err, ERR_INPUT, 0, "the form has a field \"%.40s\": want one named \"" UPLOAD_FIELD "\"",
                key ? key : "");
    else if (offset == 0 && u->size)
        err_set(&u->err, ERR_INPUT, 0, "the form has the field \"" UPLOAD_FIELD "\" twice");
    else
        (void)!add(u, data, size, &u->err);
    return u->err.kind ? MHD_NO : MHD_YES;
}

static bool is_multipart(const char *type)
{
    static const char multipart[] = "multipart/form-data";
    return type && strncasecmp(type, multipart, sizeof(multipart) - 1) == 0;
}

/* @return false: there is none, or one that is too long */
static bool read_boundary(const char *type, struct upload *u)
{
    const char *at = strcasestr(type, "boundary=");
    if (!at)
        return false;
    at += strlen("boundary=");
    bool quoted = *at == '"';
    at += quoted;
    size_t n = strcspn(at, quoted ? "\"" : " ;\t");
    if (!n || n > BOUNDARY_MAX)
        return false;
    snprintf(u->close, sizeof(u->close), "--%.*s--", (int)n, at);
    return true;
}

/* Keeps the last bytes of the body. */
static void keep_tail(struct upload *u, const char *data, size_t n)
{
    if (n >= sizeof(u->tail)) {
        memcpy(u->tail, data + n - sizeof(u->tail), sizeof(u->tail));
        u->tail_n = sizeof(u->tail);
        return;
    }
    size_t keep = u->tail_n < sizeof(u->tail) - n ? u->tail_n : sizeof(u->tail) - n;
    memmove(u->tail, u->tail + u->tail_n - keep, keep);
    memcpy(u->tail + keep, data, n);
    u->tail_n = keep + n;
}

int upload_new(struct MHD_Connection *connection, const char *folder, uint64_t max, bool raw,
               struct upload **out, struct err *err)
{
    const char *type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    bool multipart = is_multipart(type);
    if (!multipart && !raw)
        return err_set(err, ERR_INPUT, 0,
                       "want multipart/form-data with a field \"" UPLOAD_FIELD
                       "\", as curl -F file=@NAME sends");
    struct upload *u = calloc(1, sizeof(*u));
    if (!u)
        return err_set(err, ERR_IO, ENOMEM, "no memory for an upload");
    u->max = max;
    u->pieces = buf_new(UPLOAD_BUFFER + UPLOAD_SLACK);
    u->fd = open_file(folder, err);
    u->sha384 = EVP_MD_CTX_new();
    int rc = u->fd < 0 ? -1 : 0;
    if (rc == 0 && (!u->sha384 || EVP_DigestInit_ex(u->sha384, EVP_sha384(), NULL) != 1))
        rc = err_set(err, ERR_IO, 0, "libcrypto cannot hash an upload");
    if (rc == 0 && multipart
        && (!read_boundary(type, u)
            || !(u->multipart = MHD_create_post_processor(connection, UPLOAD_MULTIPART, on_field, u))))
        rc = err_set(err, ERR_INPUT, 0, "multipart/form-data without a boundary in Content-Type");
    if (rc < 0)
        upload_free(u);
    else
        *out = u;
    return rc;
}

void upload_free(struct upload *u)
{
    if (!u)
        return;
    if (u->multipart)
        MHD_destroy_post_processor(u->multipart);
    EVP_MD_CTX_free(u->sha384);
    buf_done(&u->pieces);
    close_fd(&u->fd);
    free(u);
}

int upload_take(struct upload *u, const char *data, size_t n, struct err *err)
{
    if (!u->multipart)
        return add(u, data, n, err);
    keep_tail(u, data, n);
    if (MHD_post_process(u->multipart, data, n) == MHD_YES && !u->err.kind)
        return 0;
    if (!u->err.kind)
        err_set(&u->err, ERR_INPUT, 0, "the body is not the multipart/form-data that its header says");
    *err = u->err;
    return -1;
}

bool upload_is_full(const struct upload *u)
{
    return u->pieces.n >= UPLOAD_BUFFER;
}

int upload_flush(struct upload *u, struct err *err)
{
    struct bytes rest = buf_bytes(&u->pieces);
    if (EVP_DigestUpdate(u->sha384, rest.p, rest.n) != 1)
        return err_set(err, ERR_IO, 0, "libcrypto cannot hash an upload");
    while (rest.n) {
        ssize_t n = write(u->fd, rest.p, rest.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_IO, (uint32_t)errno,
                           "cannot keep the upload (%" PRIu64 " bytes so far): %s", u->written,
                           strerror(errno));
        rest = bytes_of(rest.p + n, rest.n - (size_t)n);
        u->written += (uint64_t)n;
    }
    u->pieces.n = 0;
    return 0;
}

int upload_end(struct upload *u, struct uploaded *out, struct err *err)
{
    unsigned n = sizeof(out->sha384);
    struct MHD_PostProcessor *multipart = MOVE(u->multipart);
    if (multipart
        && (MHD_destroy_post_processor(multipart) != MHD_YES
            || !memmem(u->tail, u->tail_n, u->close, strlen(u->close))))
        return err_set(err, ERR_INPUT, 0, "the form is cut short: its last boundary is missing");
    if (!u->begun)
        return err_set(err, ERR_INPUT, 0, "no file in the body: want a field \"" UPLOAD_FIELD "\"");
    if (upload_flush(u, err) < 0)
        return -1;
    if (lseek(u->fd, 0, SEEK_SET) != 0 || EVP_DigestFinal_ex(u->sha384, out->sha384, &n) != 1)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot read the upload back");
    out->fd = u->fd;
    out->size = u->size;
    return 0;
}
