/* cvm-cli: the publisher's, verifier's and operator's tool. */
#include "cli/commands.h"

#include "base/auto.h"

#include <signal.h>
#include <string.h>

/* By name. */
/* A line each. clang-format would fill them up. */
/* clang-format off */
static const struct command *const table[] = {
    &command_build_image,
    &command_cleanup_aws,
    &command_cleanup_azure,
    &command_cleanup_gcp,
    &command_collateral,
    &command_collaterals,
    &command_deploy_aws,
    &command_deploy_azure,
    &command_deploy_gcp,
    &command_diff,
    &command_doctor,
    &command_eval,
    &command_eventlog,
    &command_fmt,
    &command_golden,
    &command_help,
    &command_inspect,
    &command_livepatch,
    &command_logs,
    &command_maintenance,
    &command_measure,
    &command_policy,
    &command_policy_lint,
    &command_predict,
    &command_sign,
    &command_sign_kernel,
    &command_token,
    &command_token_verify,
    &command_update_disk,
    &command_update_workload,
    &command_verify,
    &command_verify_attestation,
    &command_verify_azure,
    &command_verify_image,
    &command_verify_signature,
    &command_verify_snp,
    &command_verify_tdx,
    &command_verify_tpm,
};
/* clang-format on */

const struct command *const *commands(size_t *n)
{
    *n = ARRAY_SIZE(table);
    return table;
}

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (strcmp(table[i]->name, name) == 0)
            return table[i];
    return NULL;
}

/* Edits (insert, delete, replace) between two short words. */
static size_t distance(const char *a, const char *b)
{
    size_t row[33], n = strnlen(b, 32);
    for (size_t k = 0; k <= n; k++)
        row[k] = k;
    for (size_t i = 0; a[i] && i < 32; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t k = 1; k <= n; k++) {
            size_t best = diagonal + (a[i] != b[k - 1]);
            diagonal = row[k];
            if (row[k] + 1 < best)
                best = row[k] + 1;
            if (row[k - 1] + 1 < best)
                best = row[k - 1] + 1;
            row[k] = best;
        }
    }
    return row[n];
}

static int unknown(const char *word)
{
    const struct command *nearest = table[0];
    char why[160];
    for (size_t i = 1; i < ARRAY_SIZE(table); i++)
        if (distance(word, table[i]->name) < distance(word, nearest->name))
            nearest = table[i];
    if (distance(word, nearest->name) <= 3)
        snprintf(why, sizeof(why), "did you mean \"%s\"? see cvm-cli help", nearest->name);
    else
        snprintf(why, sizeof(why), "see cvm-cli help");
    return fail(STATUS_USAGE, word, "no such command", why);
}

int main(int argc, char **argv)
{
    char *help[] = { (char[]){ "help" }, NULL };
    signal(SIGPIPE, SIG_IGN); /* a reader that goes away is a failed write, not a signal */
    if (argc < 2)
        return fail(STATUS_USAGE, "command line", "no command in it", "cvm-cli help lists them");
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        AUTO(buf_done) struct buf text = buf_new(64);
        buf_str(&text, "cvm-cli " CVM_VERSION);
        return write_out(&text, NULL);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return command_help.run(1, help);
    const struct command *command = command_find(argv[1]);
    return command ? command->run(argc - 1, argv + 1) : unknown(argv[1]);
}
