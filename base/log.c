#include "base/log.h"

#include "base/auto.h"
#include "base/json.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <time.h>

#define LOG_LINE_MAX  8192
#define LOG_PAIRS_MAX 16

static const char *const level_names[] = { "error", "warning", "info", "debug" };
static const int level_priority[] = { 3, 4, 6, 7 }; /* syslog(3) */

/* The process's one sink: set up once at start; only the level changes later. */
static _Atomic int max_level = LOG_LEVEL_INFO;
static bool to_journal;

static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM"); /* device:inode, systemd.exec(5) */
    struct stat st;
    char *colon = NULL, *end = NULL;
    unsigned long long dev = stream ? strtoull(stream, &colon, 10) : 0;
    unsigned long long ino = colon && *colon == ':' ? strtoull(colon + 1, &end, 10) : 0;
    return end && !*end && fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_setup(enum log_level level)
{
    atomic_store(&max_level, (int)level);
    to_journal = stderr_is_journal();
}

int log_level_parse(const char *word, enum log_level *out)
{
    for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
        if (!strcasecmp(word, level_names[i])) {
            *out = (enum log_level)i;
            return 0;
        }
    }
    return -1;
}

static void put_time(struct buf *b)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    buf_printf(b, "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ\"", tm.tm_year + 1900, tm.tm_mon + 1,
               tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000);
}

static void write_line(enum log_level level, const char *event, va_list ap)
{
    AUTO(buf_done) struct buf b = buf_new(LOG_LINE_MAX);
    put_time(&b);
    json_put_key(&b, "level");
    json_put_string(&b, bytes_str(level_names[level]));
    json_put_key(&b, "event");
    json_put_string(&b, bytes_str(event));
    for (const char *key; (key = va_arg(ap, const char *));) {
        const char *value = va_arg(ap, const char *);
        if (!value)
            continue;
        json_put_key(&b, key);
        json_put_string(&b, bytes_str(value));
    }
    buf_str(&b, "}\n");
    if (b.failed)
        dprintf(STDERR_FILENO, "{\"level\":\"%s\",\"event\":\"%s\",\"note\":\"line over %d bytes\"}\n",
                level_names[level], event, LOG_LINE_MAX);
    else
        (void)!write(STDERR_FILENO, b.p, b.n);
}

static void put_field(struct iovec *iov, char **heap, const char *key, const char *value)
{
    char name[32] = "CVM_";
    size_t k = strlen(name);
    for (; *key && k + 1 < sizeof(name); key++)
        name[k++] = (char)(*key == '-' ? '_' : toupper((unsigned char)*key));
    name[k] = '\0';
    if (asprintf(heap, "%s=%s", name, value) < 0)
        *heap = NULL;
    *iov = (struct iovec){ *heap, *heap ? strlen(*heap) : 0 };
}

static void send_journal(enum log_level level, const char *event, va_list ap)
{
    struct iovec iov[LOG_PAIRS_MAX + 2];
    char *heap[LOG_PAIRS_MAX + 2] = { 0 };
    AUTO(buf_done) struct buf message = buf_new(LOG_LINE_MAX);
    char priority[16];
    int n = 2;
    snprintf(priority, sizeof(priority), "PRIORITY=%d", level_priority[level]);
    buf_printf(&message, "MESSAGE=%s", event);
    for (const char *key; (key = va_arg(ap, const char *));) {
        const char *value = va_arg(ap, const char *);
        if (!value || n == LOG_PAIRS_MAX + 2)
            continue;
        buf_printf(&message, " %s=%s", key, value);
        put_field(&iov[n], &heap[n], key, value);
        n++;
    }
    iov[0] = (struct iovec){ message.p, message.n };
    iov[1] = (struct iovec){ priority, strlen(priority) };
    sd_journal_sendv(iov, n);
    for (int i = 2; i < n; i++)
        free(heap[i]);
}

void log_event(enum log_level level, const char *event, ...)
{
    if ((int)level > atomic_load(&max_level))
        return;
    int saved = errno;
    va_list ap;
    va_start(ap, event);
    if (to_journal)
        send_journal(level, event, ap);
    else
        write_line(level, event, ap);
    va_end(ap);
    errno = saved;
}

void log_err(enum log_level level, const char *event, const struct err *err)
{
    char text[ERR_TEXT_MAX];
    log_event(level, event, "error", err_text(err, text, sizeof(text)), NULL);
}
