#include "cli/commands.h"

#include "base/auto.h"

int help_print(const struct command *command)
{
    AUTO(buf_done) struct buf text = buf_new(65536);
    buf_printf(&text, "usage: cvm-cli %s %s\n\n%s.\n\n%s", command->name, command->args, command->summary,
               command->help);
    return write_out(&text, NULL);
}

static int overview(void)
{
    AUTO(buf_done) struct buf text = buf_new(65536);
    size_t n;
    const struct command *const *list = commands(&n);
    buf_str(&text, "usage: cvm-cli COMMAND ...\n       cvm-cli help [COMMAND]\n       cvm-cli --version\n\n");
    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "  %-18s %s\n", list[i]->name, list[i]->summary);
    buf_str(&text, "\nExit status: 0 done or verified; 1 judged, and the answer is no; 2 wrong usage;\n"
                   "3 an input could not be read or is malformed; 4 the environment failed.\n");
    return write_out(&text, NULL);
}

static int run(int argc, char **argv)
{
    const char *name = NULL;
    int rc = options_parse(&command_help, argc, argv, NULL, 0, &name, 0, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (!name)
        return overview();
    const struct command *command = command_find(name);
    if (!command)
        return fail(STATUS_USAGE, name, "no such command", "see cvm-cli help");
    return help_print(command);
}

const struct command command_help = {
    "help",
    "[COMMAND]",
    "Lists the commands, or explains one",
    "Without COMMAND: all commands, one a line, and the meaning of the exit status.\n",
    run,
};
