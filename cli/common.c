#include "cli/commands.h"

#include "base/auto.h"
#include "base/file.h"

#include <errno.h>
#include <string.h>

/* Paths and peers' words end in these lines: no byte of theirs may move a terminal's cursor or start a new
 * line. */
static void put_clean(struct buf *line, const char *text)
{
    for (; text && *text; text++)
        buf_u8(line, (unsigned char)*text < 0x20 || *text == 0x7F ? '?' : (uint8_t)*text);
}

int fail(int status, const char *where, const char *what, const char *why)
{
    AUTO(buf_done) struct buf line = buf_new(16384);
    buf_str(&line, "cvm-cli: ");
    put_clean(&line, where);
    buf_str(&line, ": ");
    put_clean(&line, what);
    if (why) {
        buf_str(&line, ": ");
        put_clean(&line, why);
    }
    buf_str(&line, "\n");
    fwrite(line.p, 1, line.n, stderr);
    return status;
}

int fail_err(int status, const char *where, const char *what, const struct err *err)
{
    char text[ERR_TEXT_MAX];
    return fail(status, where, what, err_text(err, text, sizeof(text)));
}

int status_of(const struct err *err)
{
    static const int of[ERR_KINDS] = {
        [ERR_INPUT] = STATUS_INPUT,
        [ERR_TOO_LARGE] = STATUS_INPUT,
        [ERR_DENIED] = STATUS_NO,
        [ERR_UNAUTHENTICATED] = STATUS_NO,
        [ERR_NONE] = STATUS_ENVIRONMENT,
        [ERR_NOT_FOUND] = STATUS_ENVIRONMENT,
        [ERR_BUSY] = STATUS_ENVIRONMENT,
        [ERR_LIMITED] = STATUS_ENVIRONMENT,
        [ERR_UNAVAILABLE] = STATUS_ENVIRONMENT,
        [ERR_IO] = STATUS_ENVIRONMENT,
    };
    return of[err->kind];
}

int write_bytes(struct bytes data, const char *file)
{
    struct err err = { 0 };
    if (file_write_atomic(file, data, 0644, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, file, "cannot write", &err);
    return 0;
}

int write_out(struct buf *text, const char *file)
{
    struct err err = { 0 };
    if (text->n && text->p[text->n - 1] != '\n')
        buf_u8(text, '\n');
    if (buf_check(text, "the result", &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, file ? file : "standard output", "cannot write", &err);
    if (file)
        return write_bytes(buf_bytes(text), file);
    if (fwrite(text->p, 1, text->n, stdout) != text->n || fflush(stdout) != 0)
        return fail(STATUS_ENVIRONMENT, "standard output", "cannot write", strerror(errno));
    return 0;
}

int write_json(const json_t *value)
{
    AUTO(buf_done) struct buf text = buf_new(SIZE_MAX / 2);
    json_put(&text, value, true);
    return write_out(&text, NULL);
}

/* Standard input is read like a file whose size is not known; it is never closed. */
static int read_stdin(size_t max, uint8_t **out, size_t *n)
{
    AUTO(buf_done) struct buf data = buf_new(max);
    uint8_t chunk[16384];
    size_t got;
    while ((got = fread(chunk, 1, sizeof(chunk), stdin)) > 0 && !data.failed)
        buf_put(&data, bytes_of(chunk, got));
    if (ferror(stdin))
        return fail(STATUS_INPUT, "standard input", "cannot read", strerror(errno));
    if (data.failed)
        return fail(STATUS_INPUT, "standard input", "cannot read", "too large");
    *n = data.n;
    *out = data.p ? MOVE(data.p) : calloc(1, 1);
    return 0;
}

int read_input(const char *path, size_t max, uint8_t **out, size_t *n)
{
    struct err err = { 0 };
    if (strcmp(path, "-") == 0)
        return read_stdin(max, out, n);
    if (file_read(path, max, out, n, &err) < 0)
        return fail_err(STATUS_INPUT, path, "cannot read", &err);
    return 0;
}

static int usage(const struct command *command, const char *what, const char *word)
{
    char why[128];
    snprintf(why, sizeof(why), "see cvm-cli help %s", command->name);
    if (!word)
        return fail(STATUS_USAGE, command->name, what, why);
    AUTO(buf_done) struct buf text = buf_new(8192);
    buf_printf(&text, "%s %.4096s", what, word);
    AUTO(free_str) char *joined = buf_take_str(&text);
    return fail(STATUS_USAGE, command->name, joined ? joined : what, why);
}

static const struct option_row *row_of(const struct option_row *rows, size_t n, const char *word, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(rows[i].name) == len && strncmp(rows[i].name, word, len) == 0)
            return &rows[i];
    return NULL;
}

/* One option at argv[*at]; *at moves on over its value. */
static int one_option(const struct command *command, int argc, char **argv, int *at,
                      const struct option_row *rows, size_t n)
{
    const char *word = argv[*at] + (argv[*at][1] == '-' ? 2 : 1);
    bool long_form = argv[*at][1] == '-';
    const char *equals = long_form ? strchr(word, '=') : NULL;
    size_t len = equals ? (size_t)(equals - word) : strlen(word);
    const struct option_row *row = (len > 1) == long_form ? row_of(rows, n, word, len) : NULL;
    if (!row)
        return usage(command, "unknown option", argv[*at]);
    if (row->kind == OPTION_FLAG) {
        if (equals)
            return usage(command, "this option takes no value:", argv[*at]);
        *(bool *)row->out = true;
        return 0;
    }
    if (!equals && *at + 1 >= argc)
        return usage(command, "a value is missing after", argv[*at]);
    const char *value = equals ? equals + 1 : argv[++*at];
    if (row->kind == OPTION_TEXT) {
        *(const char **)row->out = value;
        return 0;
    }
    struct option_list *list = row->out;
    if (list->n == OPTION_LIST_MAX)
        return usage(command, "too many of", argv[*at]);
    list->item[list->n++] = value;
    return 0;
}

int options_parse(const struct command *command, int argc, char **argv, const struct option_row *rows,
                  size_t n, const char **args, size_t min, size_t max)
{
    size_t count = 0;
    bool only_args = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!only_args && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            help_print(command);
            return STATUS_HELP;
        }
        if (!only_args && strcmp(word, "--") == 0) {
            only_args = true;
        } else if (!only_args && word[0] == '-' && word[1]) {
            int rc = one_option(command, argc, argv, &i, rows, n);
            if (rc)
                return rc;
        } else if (count == max) {
            return usage(command, "one argument too many:", word);
        } else {
            args[count++] = word;
        }
    }
    return count < min ? usage(command, "an argument is missing", NULL) : 0;
}
