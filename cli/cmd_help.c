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
    const char *word[2] = { NULL, NULL };
    int rc = options_parse(&command_help, argc, argv, NULL, 0, word, 0, 2);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (!word[0])
        return overview();
    const struct command *command = command_find(word[0]);
    if (!command)
        return fail(STATUS_USAGE, word[0], "no such command", "see cvm-cli help");
    if (!word[1])
        return help_print(command);
    if (command != &command_policy)
        return fail(STATUS_USAGE, "help", "one argument too many", word[1]);
    char *asked[] = { argv[1], argv[2], (char[]){ "--help" }, NULL }; /* an action explains itself */
    return command->run(3, asked);
}

const struct command command_help = {
    "help",
    "[COMMAND [ACTION]]",
    "Lists the commands, or explains one",
    "Without COMMAND: all commands, one a line, and the meaning of the exit status. policy has actions, "
    "with\n"
    "a help of their own.\n",
    run,
};
