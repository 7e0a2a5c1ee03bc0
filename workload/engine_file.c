/* Files that are put into a container's own layer before it starts, because they have an owner: a mount shows
 * the ids that the private copy has, and those are nobody's in the container. Sources: POSIX.1-2017, pax,
 * "ustar Interchange Format"; "Extract an archive of files or folders" of both engines' API references. */
#include "workload/engine_call.h"

#include "base/auto.h"
#include "base/file.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define BLOCK       512
#define NAME_SIZE   100
#define PREFIX_AT   345
#define PREFIX_SIZE 155
#define CHECKSUM_AT 148
#define FILE_MAX    (1u << 20)

/* A long name is divided at a slash. */
static int put_name(uint8_t head[static BLOCK], const char *name)
{
    size_t n = strlen(name), skip = n > NAME_SIZE ? n - NAME_SIZE - 1 : 0;
    const char *slash = skip ? strchr(name + skip, '/') : NULL;
    if (n <= NAME_SIZE) {
        memcpy(head, name, n);
        return 0;
    }
    if (!slash || (size_t)(slash - name) > PREFIX_SIZE)
        return -1;
    memcpy(head + PREFIX_AT, name, (size_t)(slash - name));
    memcpy(head, slash + 1, strlen(slash + 1));
    return 0;
}

static void put_octal(uint8_t *field, size_t size, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%0*" PRIo64, (int)size - 1, value);
    memcpy(field, text, size);
}

static uint64_t number(const json_t *file, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(file, key));
}

/* One file, and the two empty blocks that end an archive. */
static int put_archive(const json_t *file, struct bytes content, struct buf *out, struct err *err)
{
    uint8_t head[BLOCK] = { 0 };
    unsigned sum = 0;
    if (put_name(head, engine_text(file, "target") + 1) < 0)
        return err_set(err, ERR_INPUT, 0, "the name %.100s is too long for a file with an owner",
                       engine_text(file, "target"));
    put_octal(head + 100, 8, number(file, "mode"));
    put_octal(head + 108, 8, number(file, "uid"));
    put_octal(head + 116, 8, number(file, "gid"));
    put_octal(head + 124, 12, content.n);
    put_octal(head + 136, 12, 0);
    head[156] = '0';
    memcpy(head + 257,
           "ustar\0"
           "00",
           8);
    memset(head + CHECKSUM_AT, ' ', 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += head[i];
    put_octal(head + CHECKSUM_AT, 7, sum);
    buf_put(out, bytes_of(head, BLOCK));
    buf_put(out, content);
    static const uint8_t zero[3 * BLOCK];
    buf_put(out, bytes_of(zero, 2 * BLOCK + (BLOCK - content.n % BLOCK) % BLOCK));
    return buf_check(out, "archive of a file", err);
}

static ssize_t give(void *arg, void *out, size_t n)
{
    struct bytes *rest = arg;
    n = n < rest->n ? n : rest->n;
    memcpy(out, rest->p, n);
    *rest = bytes_of(rest->p + n, rest->n - n);
    return (ssize_t)n;
}

int engine_put_file(const struct engine *e, const char *id, const json_t *file, struct err *err)
{
    AUTO(free_u8) uint8_t *content = NULL;
    AUTO(buf_wipe) struct buf archive = buf_new(FILE_MAX + 8 * BLOCK);
    size_t n;
    struct engine_path path = engine_path_of(e, "/containers/", id);
    engine_path_add(&path, "/archive?path=/&copyUIDGID=false", NULL); /* what the archive says */
    if (file_read(engine_text(file, "source"), FILE_MAX, &content, &n, err) < 0)
        return -1;
    int rc = put_archive(file, bytes_of(content, n), &archive, err);
    OPENSSL_cleanse(content, n);
    struct bytes rest = buf_bytes(&archive);
    const struct engine_call call = {
        .method = "PUT", .path = &path, .source = give, .source_size = rest.n, .arg = &rest
    };
    return rc < 0 || engine_do(e, &call, NULL, err) < 0 ? -1 : 0;
}
