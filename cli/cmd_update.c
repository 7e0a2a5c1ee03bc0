/* update-workload: a directory, zipped into a form. */
#include "cli/manage.h"
#include "cli/zip_write.h"

#include "base/auto.h"
#include "base/digest.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BOUNDARY "cvm-cli-7f3a9d21c4b8"
#define FORM_HEAD                                                                                            \
    "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"%s\"\r\n"                   \
    "Content-Type: application/octet-stream\r\n\r\n"
#define FORM_TAIL "\r\n--" BOUNDARY "--\r\n"

struct body {
    int fd;
    void *p;
    size_t n, zip_at, zip_n;
};

static void body_done(struct body *b)
{
    if (b->p)
        munmap(b->p, b->n);
    close_fd(&b->fd);
}

static int open_unnamed(struct err *err)
{
    const char *folder = getenv("TMPDIR");
    folder = folder && *folder == '/' ? folder : "/tmp";
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "no temporary file in %.100s: %s", folder,
                       strerror(errno));
    return fd;
}

static int write_text(int fd, const char *text, struct err *err)
{
    size_t n = strlen(text);
    if (lseek(fd, 0, SEEK_END) < 0 || write(fd, text, n) != (ssize_t)n)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot write a temporary file: %s", strerror(errno));
    return 0;
}

/* The form with the directory's zip in it, in a file without a name. */
static int make_body(const char *dir, struct body *b, struct err *err)
{
    AUTO(workload_tree_drop) struct workload_tree *tree = NULL;
    char head[256];
    uint64_t n = 0;
    snprintf(head, sizeof(head), FORM_HEAD, "workload.zip");
    if (workload_tree_read(dir, NULL, &tree, err) < 0 || (b->fd = open_unnamed(err)) < 0
        || write_text(b->fd, head, err) < 0 || zip_write(tree, b->fd, &n, err) < 0
        || write_text(b->fd, FORM_TAIL, err) < 0)
        return -1;
    b->zip_at = strlen(head);
    b->zip_n = (size_t)n;
    b->n = b->zip_at + b->zip_n + strlen(FORM_TAIL);
    b->p = mmap(NULL, b->n, PROT_READ, MAP_PRIVATE, b->fd, 0);
    if (b->p == MAP_FAILED) {
        b->p = NULL;
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot map the zip: %s", strerror(errno));
    }
    return 0;
}

static int sign_update(const char *key, const char *version, const struct body *b, char *header, size_t size,
                       char *number, size_t number_size)
{
    static const char tag[] = "cvm-agent/update"; /* its NUL is part of it */
    AUTO(buf_done) struct buf message = buf_new(128);
    uint8_t zip[48];
    char *end = NULL;
    errno = 0;
    uint64_t n = version && isdigit((unsigned char)*version) ? strtoull(version, &end, 10) : 0;
    if (!end || *end || errno)
        return fail(STATUS_USAGE, "update-workload", "--owner-key needs --owner-version N",
                    "a number above that of the last update");
    sha384(bytes_of((const uint8_t *)b->p + b->zip_at, b->zip_n), zip);
    buf_put(&message, bytes_of(tag, sizeof(tag)));
    buf_u64be(&message, n);
    buf_put(&message, bytes_of(zip, sizeof(zip)));
    snprintf(number, number_size, "X-Owner-Version: %" PRIu64, n);
    return manage_sign(key, buf_bytes(&message), header, size);
}

static int update(struct manage *m, const char *token, const char *dir, const char *key, const char *version,
                  bool dry_run)
{
    AUTO(body_done) struct body b = { -1, NULL, 0, 0, 0 };
    char signature[512], number[64];
    struct err err = { 0 };
    int rc = manage_token(m, token);
    if (rc)
        return rc;
    if (make_body(dir, &b, &err) < 0)
        return fail_err(status_of(&err), dir, "no workload that could be sent", &err);
    if (key && (rc = sign_update(key, version, &b, signature, sizeof(signature), number, sizeof(number))))
        return rc;
    if ((rc = manage_begin(m)))
        return rc;
    manage_authorize(m);
    manage_header(m, "Content-Type: multipart/form-data; boundary=" BOUNDARY);
    if (key) {
        manage_header(m, number);
        manage_header(m, signature);
    }
    return manage_send_and_print(m, "POST", dry_run ? "/update-workload?dry_run=1" : "/update-workload",
                                 bytes_of(b.p, b.n));
}

static int run_update(int argc, char **argv)
{
    struct manage m = { .call = { .command = &command_update_workload } };
    const char *args[3] = { NULL, NULL, NULL }, *key = NULL, *version = NULL, *set = getenv("CVM_API_TOKEN");
    bool dry_run = false;
    const struct option_row rows[] = {
        { "dry-run", OPTION_FLAG, &dry_run },
        { "owner-key", OPTION_TEXT, &key },
        { "owner-version", OPTION_TEXT, &version },
        JUDGE_OPTIONS(m.call),
    };
    int rc = options_parse(m.call.command, argc, argv, rows, ARRAY_SIZE(rows), args, 1, 3);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    m.call.url = args[0];
    bool only_dir = args[1] && !args[2] && set && *set && strcmp(args[1], "-") != 0;
    const char *dir = only_dir ? args[1] : args[2] ? args[2] : "workload";
    rc = update(&m, only_dir ? NULL : args[1], dir, key, version, dry_run);
    manage_forget(&m);
    return rc;
}

const struct command command_update_workload = {
    "update-workload",
    "URL [TOKEN] [DIR] [--dry-run] [--owner-key KEY.pem --owner-version N] [--pin SHA256] [--insecure]",
    "Replaces the workload of a machine by a directory",
    MANAGE_ADDRESS_HELP
    "DIR is workload unless it is given; with CVM_API_TOKEN set a single argument is DIR.\n"
    "  --dry-run        changes nothing: the PCR 23 to come, the differences, the policy's verdict\n"
    "  --owner-key F    signs for a machine with an owner.pub, as --owner-version N, above the "
    "last\n" TOKEN_HELP,
    run_update,
};
