/* cvm-agent-setup: a oneshot service before cvm-agent; running it again changes nothing. */
#include "agent/setup/setup.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

enum { EXIT_OK = 0, EXIT_USAGE = 2, EXIT_ENVIRONMENT = 4 };

static int usage(void)
{
    fprintf(stderr, "cvm-agent-setup: usage: cvm-agent-setup [--root DIR | --version]: wrong arguments\n");
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct setup s = { .root = "" };
    struct err err = { 0 };
    char text[ERR_TEXT_MAX];
    log_setup(LOG_LEVEL_INFO);
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        puts("cvm-agent-setup " CVM_VERSION);
        return EXIT_OK;
    }
    if (argc == 3 && !strcmp(argv[1], "--root"))
        s.root = argv[2];
    else if (argc != 1)
        return usage();
    if (setup_find_user(&s, &err) < 0 || setup_folders(&s, &err) < 0) {
        fprintf(stderr, "cvm-agent-setup: %s\n", err_text(&err, text, sizeof(text)));
        return EXIT_ENVIRONMENT;
    }
    setup_boot_logs(&s);
    setup_devices(&s);
    log_event(LOG_LEVEL_INFO, "setup-done", NULL);
    return EXIT_OK;
}
