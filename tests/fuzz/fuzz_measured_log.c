/* A measured log's file, whatever is in it: opened and written out as JSON again, or refused with its line.
 */
#include "fuzz.h"

#include "base/auto.h"
#include "base/json.h"
#include "workload/log.h"

#include <fcntl.h>
#include <string.h>

#define BOOT "11111111-2222-3333-4444-555555555555"

static char made[64]; /* path of the log */

static void clean_up(void)
{
    char previous[96];
    snprintf(previous, sizeof(previous), "%s.previous", made);
    unlink(previous);
    unlink(made);
    *strrchr(made, '/') = '\0';
    rmdir(made);
}

static void log_drop(struct measured_log **log)
{
    measured_log_close(*log);
}

/* A file in memory, in a folder of this process: the log sets other boots' files aside there. */
static const char *write_file(const uint8_t *data, size_t size)
{
    static char folder[] = "/dev/shm/cvm-fuzz-XXXXXX", path[64];
    if (!path[0]) {
        CHECK(mkdtemp(folder) != NULL);
        snprintf(path, sizeof(path), "%s/log", folder);
        atexit(clean_up);
    }
    memcpy(made, path, sizeof(path));
    AUTO(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned pcrs[] = { JOURNAL_PCR };
    AUTO(log_drop) struct measured_log *log = NULL;
    AUTO(buf_done) struct buf text = buf_new(64u << 20);
    AUTO(json_drop) json_t *array = NULL;
    struct err err = { 0 };
    if (measured_log_open(write_file(data, size), BOOT, NULL, pcrs, 1, &log, &err) < 0) {
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
        return 0;
    }
    measured_log_json(log, &text);
    CHECK(json_parse(buf_bytes(&text), 64u << 20, &array, &err) == 0);
    CHECK(json_array_size(array) == measured_log_count(log));
    return 0;
}
