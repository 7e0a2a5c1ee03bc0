#include "cli/commands.h"

#include "base/auto.h"
#include "cli/rego_files.h"

static int run(int argc, char **argv)
{
    const char *path[2] = { NULL, NULL };
    struct rego_place place;
    struct err err = { 0 };
    int rc = options_parse(&command_fmt, argc, argv, NULL, 0, path, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    AUTO(rego_files_done) struct rego_files files = { 0 };
    AUTO(buf_done) struct buf out = buf_new((size_t)64 << 20);
    rc = rego_files_read(path, &files);
    if (rc)
        return rc;
    if (rego_format(&files.source[0], &out, &place, &err) < 0)
        return rego_refused(&files.source[0], &place, &err);
    return out.n ? write_out(&out, NULL) : STATUS_DONE;
}

const struct command command_fmt = {
    "fmt",
    "POLICY.rego",
    "Prints a policy in canonical layout",
    "Tabs, one space around operators, an expression a line, comments kept. The meaning is not changed, and "
    "what was\n"
    "printed once is printed the same again.\n"
    "\n"
    "Exit status: 0; 3 if the text does not parse, with LINE:COLUMN.\n",
    run,
};
