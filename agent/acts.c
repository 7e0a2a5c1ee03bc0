#include "agent/acts.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define BOOT_LINE_MAX 256

struct acts {
    pthread_mutex_t lock; /* the file */
    struct journal *journal;
    char path[PATH_MAX];
};

/* ---- RFC 8785 ---- */

#define DOUBLE_EXACT ((json_int_t)1 << 53)

/* Section 3.2.2.2: two-character escapes where they exist, \u with lower-case hex for the other controls. */
static void put_string(struct buf *out, const char *s, size_t n)
{
    static const char two[] = "\b\t\n\f\r\"\\", letter[] = "btnfr\"\\";
    buf_u8(out, '"');
    for (size_t i = 0; i < n; i++) {
        const char *at = s[i] ? strchr(two, s[i]) : NULL;
        if (at)
            buf_printf(out, "\\%c", letter[at - two]);
        else if ((unsigned char)s[i] < 0x20)
            buf_printf(out, "\\u%04x", (unsigned char)s[i]);
        else
            buf_u8(out, (uint8_t)s[i]);
    }
    buf_u8(out, '"');
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int put_object(struct buf *out, const json_t *object, struct err *err)
{
    size_t n = json_object_size(object), i = 0;
    const char **keys = calloc(n ? n : 1, sizeof(*keys));
    const char *key;
    json_t *value;
    int rc = keys ? 0 : err_set(err, ERR_IO, ENOMEM, "no memory for an act");
    json_object_foreach((json_t *)(uintptr_t)object, key, value) if (keys && i < n) keys[i++] = key;
    if (keys)
        qsort(keys, n, sizeof(*keys), compare_keys);
    buf_u8(out, '{');
    for (i = 0; rc == 0 && i < n; i++) {
        if (i)
            buf_u8(out, ',');
        put_string(out, keys[i], strlen(keys[i]));
        buf_u8(out, ':');
        rc = jcs_put(out, json_object_get(object, keys[i]), err);
    }
    buf_u8(out, '}');
    free(keys);
    return rc;
}

static int put_array(struct buf *out, const json_t *array, struct err *err)
{
    size_t i;
    json_t *value;
    buf_u8(out, '[');
    json_array_foreach((json_t *)(uintptr_t)array, i, value)
    {
        if (i)
            buf_u8(out, ',');
        if (jcs_put(out, value, err) < 0)
            return -1;
    }
    buf_u8(out, ']');
    return 0;
}

int jcs_put(struct buf *out, const json_t *value, struct err *err)
{
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        return put_object(out, value, err);
    case JSON_ARRAY:
        return put_array(out, value, err);
    case JSON_STRING:
        put_string(out, json_string_value(value), json_string_length(value));
        return 0;
    case JSON_INTEGER:
        if (json_integer_value(value) > DOUBLE_EXACT || json_integer_value(value) < -DOUBLE_EXACT)
            return err_set(err, ERR_INPUT, 0, "a number that a double does not hold exactly");
        buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return 0;
    case JSON_TRUE:
    case JSON_FALSE:
        buf_str(out, json_is_true(value) ? "true" : "false");
        return 0;
    case JSON_NULL:
        buf_str(out, "null");
        return 0;
    default:
        return err_set(err, ERR_INPUT, 0, "a fraction: want whole numbers");
    }
}

/* ---- the texts of this boot ---- */

static int begin(struct acts *a, const char *boot_id, struct err *err)
{
    AUTO(free_u8) uint8_t *old = NULL;
    AUTO(buf_done) struct buf head = buf_new(BOOT_LINE_MAX);
    struct err why = { 0 };
    size_t n = 0;
    buf_str(&head, "{\"boot_id\":");
    json_put_string(&head, bytes_str(boot_id));
    buf_str(&head, "}\n");
    if (buf_check(&head, "acts", err) < 0)
        return -1;
    if (file_read(a->path, ACTS_FILE_MAX, &old, &n, &why) == 0 && n >= head.n
        && memcmp(old, head.p, head.n) == 0) {
        while (n && old[n - 1] != '\n') /* a line that a crash cut was no act yet */
            n--;
        if (truncate(a->path, (off_t)n) == 0)
            return 0;
    }
    return file_write_atomic(a->path, buf_bytes(&head), 0600, err);
}

int acts_new(struct journal *journal, const char *state, const char *boot_id, struct acts **out,
             struct err *err)
{
    struct acts *a = calloc(1, sizeof(*a));
    if (!a)
        return err_set(err, ERR_IO, ENOMEM, "no memory for acts");
    a->journal = journal;
    pthread_mutex_init(&a->lock, NULL);
    if (path_set(a->path, sizeof(a->path), err, "%s/acts.jsonl", state) < 0 || begin(a, boot_id, err) < 0) {
        acts_free(a);
        return err_while(err, "keep the acts");
    }
    *out = a;
    return 0;
}

void acts_free(struct acts *a)
{
    if (!a)
        return;
    pthread_mutex_destroy(&a->lock);
    free(a);
}

static int append(struct acts *a, struct bytes line, struct err *err)
{
    AUTO(close_fd) int fd = open(a->path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (fd < 0 || end < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "%.200s: cannot open: %s", a->path, strerror(errno));
    if ((size_t)end + line.n > ACTS_FILE_MAX)
        return err_set(err, ERR_IO, 0, "%.200s is full", a->path);
    if (write(fd, line.p, line.n) != (ssize_t)line.n || fdatasync(fd) < 0) {
        int e = errno;
        (void)!ftruncate(fd, end);
        return err_set(err, ERR_IO, (uint32_t)e, "%.200s: cannot append: %s", a->path, strerror(e));
    }
    return 0;
}

/* ---- recording ---- */

int acts_ready(struct acts *a, struct err *err)
{
    if (!a->journal)
        return err_set(err, ERR_UNAVAILABLE, 0, "there is no journal to record this in: see the agent's log");
    return journal_ready(a->journal, err);
}

static int put_act(const struct act *act, struct buf *out, struct err *err)
{
    AUTO(json_drop)
    json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "by", *act->by ? act->by : "anyone", "from", act->from,
                          "outcome", act->outcome, "verb", act->verb);
    if (!o || (act->why && json_object_set_new(o, "why", json_text(bytes_str(act->why))) < 0)
        || (act->what && json_object_set(o, "what", act->what) < 0))
        return err_set(err, ERR_IO, ENOMEM, "no memory for an act");
    if (jcs_put(out, o, err) < 0)
        return -1;
    return buf_check(out, "act", err);
}

int acts_record(struct acts *a, const struct act *act, struct err *err)
{
    AUTO(buf_done) struct buf line = buf_new(ACT_MAX);
    if (put_act(act, &line, err) < 0)
        return -1;
    size_t n = line.n;
    buf_u8(&line, '\n');
    if (buf_check(&line, "act", err) < 0 || acts_ready(a, err) < 0)
        return err_while(err, "record the act");
    pthread_mutex_lock(&a->lock);
    int rc = append(a, buf_bytes(&line), err);
    pthread_mutex_unlock(&a->lock);
    if (rc < 0 || journal_add(a->journal, "act", act->verb, bytes_of(line.p, n), err) < 0)
        return err_while(err, "record the act");
    return 0;
}

int acts_read(struct acts *a, json_t **out, struct err *err)
{
    AUTO(free_u8) uint8_t *text = NULL;
    AUTO(json_drop) json_t *all = json_object();
    size_t n;
    if (file_read(a->path, ACTS_FILE_MAX, &text, &n, err) < 0)
        return -1;
    struct bytes rest = bytes_of(text, n);
    const uint8_t *head = memchr(rest.p, '\n', rest.n); /* the boot's line is no act */
    rest = head ? bytes_of(head + 1, rest.n - (size_t)(head + 1 - rest.p)) : bytes_of(NULL, 0);
    for (const uint8_t *end; all && rest.n && (end = memchr(rest.p, '\n', rest.n));) {
        struct bytes line = bytes_of(rest.p, (size_t)(end - rest.p));
        uint8_t digest[48];
        char hex[97];
        json_t *act = NULL;
        if (json_parse(line, ACT_MAX, &act, err) < 0)
            return err_while(err, "read acts.jsonl");
        sha384(line, digest);
        json_object_set_new(all, hex_to(hex, bytes_of(digest, sizeof(digest))), act);
        rest = bytes_of(end + 1, rest.n - line.n - 1);
    }
    if (!all)
        return err_set(err, ERR_IO, ENOMEM, "no memory for acts");
    *out = MOVE(all);
    return 0;
}
