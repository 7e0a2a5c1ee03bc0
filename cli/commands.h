/** cli/commands.h: the commands of cvm-cli and what they share. A new command is one file and one row in
 * main.c. */
#ifndef CVM_CLI_COMMANDS_H
#define CVM_CLI_COMMANDS_H

#include "base/buf.h"
#include "base/json.h"

/** Exit status (contract, section 1). */
enum status {
    STATUS_DONE = 0,
    STATUS_NO = 1, /* judged, and the answer is no */
    STATUS_USAGE = 2,
    STATUS_INPUT = 3,       /* an input could not be read or is malformed */
    STATUS_ENVIRONMENT = 4, /* device, TPM, network, permission */
    STATUS_HELP = -1        /* options_parse() printed the help: the command ends with 0 */
};

struct command {
    const char *name;
    const char *args;    /* "FILE [--type T]" */
    const char *summary; /* one line */
    const char *help;    /* paragraphs, each line ending with a newline */
    /** argv[0] is the command's name. @return the exit status */
    int (*run)(int argc, char **argv);
};

extern const struct command command_build_image;
extern const struct command command_cleanup_aws;
extern const struct command command_cleanup_azure;
extern const struct command command_cleanup_gcp;
extern const struct command command_collateral;
extern const struct command command_collaterals;
extern const struct command command_deploy_aws;
extern const struct command command_deploy_azure;
extern const struct command command_deploy_gcp;
extern const struct command command_diff;
extern const struct command command_doctor;
extern const struct command command_eval;
extern const struct command command_eventlog;
extern const struct command command_fmt;
extern const struct command command_golden;
extern const struct command command_help;
extern const struct command command_inspect;
extern const struct command command_livepatch;
extern const struct command command_logs;
extern const struct command command_maintenance;
extern const struct command command_measure;
extern const struct command command_policy;
extern const struct command command_policy_lint;
extern const struct command command_predict;
extern const struct command command_sign;
extern const struct command command_sign_kernel;
extern const struct command command_token;
extern const struct command command_token_verify;
extern const struct command command_update_disk;
extern const struct command command_update_workload;
extern const struct command command_verify;
extern const struct command command_verify_attestation;
extern const struct command command_verify_azure;
extern const struct command command_verify_image;
extern const struct command command_verify_signature;
extern const struct command command_verify_snp;
extern const struct command command_verify_tdx;
extern const struct command command_verify_tpm;

/** All commands, *n of them, by name. */
const struct command *const *commands(size_t *n);

/** The command of that name, or NULL. */
const struct command *command_find(const char *name);

/** Prints "cvm-cli: WHERE: WHAT: WHY" on one line of standard error (why may be NULL) and gives status back.
 */
int fail(int status, const char *where, const char *what, const char *why);

/** fail() with the whole text of an error. */
int fail_err(int status, const char *where, const char *what, const struct err *err);

/** The exit status of an error: ERR_INPUT and ERR_TOO_LARGE are the input's fault, ERR_DENIED a no. */
int status_of(const struct err *err);

/** Appends a line break unless there is one, and writes everything to standard output, or to a file whole or
 * not at all. @return 0, or STATUS_ENVIRONMENT with the message printed */
int write_out(struct buf *text, const char *file);

/** Writes bytes as they are to a file, whole or not at all. @return as write_out() */
int write_bytes(struct bytes data, const char *file);

/** As write_out(), for a JSON value, indented. */
int write_json(const json_t *value);

/** Reads an input file; "-" is standard input. @return 0, or STATUS_INPUT with the message printed */
int read_input(const char *path, size_t max, uint8_t **out, size_t *n);

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_LIST };

/** Values of an option that may be given several times. */
#define OPTION_LIST_MAX 16

struct option_list {
    const char *item[OPTION_LIST_MAX];
    size_t n;
};

struct option_row {
    const char *name; /* without the dashes; one letter: "-o" */
    enum option_kind kind;
    void *out; /* bool *, const char ** or struct option_list * */
};

/** Reads options and arguments; options may stand anywhere before "--". "--name=VALUE" and "--name VALUE".
 *  @param args  receives up to max positional arguments; fewer than min or more is wrong usage
 *  @return 0, STATUS_HELP after --help, or STATUS_USAGE with the message printed */
int options_parse(const struct command *command, int argc, char **argv, const struct option_row *rows,
                  size_t n, const char **args, size_t min, size_t max);

/** Prints a command's help. @return the exit status */
int help_print(const struct command *command);

#endif
