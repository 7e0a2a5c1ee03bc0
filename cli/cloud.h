/** cli/cloud.h: a machine in a cloud, made and removed through the cloud's own tool (az, gcloud, aws): a
 * table of steps, each a command with variables, how to see that it is done, and how to take it back. What
 * was made is kept in a state file, so that a run that was interrupted goes on, and a clean-up removes that
 * and nothing else. */
#ifndef CVM_CLI_CLOUD_H
#define CVM_CLI_CLOUD_H

#include "base/buf.h"
#include "base/json.h"

#define CLOUD_ARGS_MAX  32
#define CLOUD_STEPS_MAX 32
#define CLOUD_PORTS_MAX 64

/** Words of a command; "${name}" is a variable's value, "?name:word" a word that is there only if the
 * variable is not empty. The first is the program. */
typedef const char *cloud_command[CLOUD_ARGS_MAX];

struct cloud_step {
    const char *id, *title;
    const char *when;    /* a variable: the step is made only if it is not empty; NULL: always */
    const char *each;    /* a variable with a list, "80,443": once for each, "${item}", "${number}" from 00 */
    bool of_disk;        /* made from the disk's bytes: another disk replaces it */
    cloud_command probe; /* succeeds, and does not say "None", if the thing is there; empty: nobody knows */
    cloud_command run;
    const char *capture;           /* variable that takes what run (or probe, if the thing is there) prints */
    const char *wait;              /* run is repeated until it prints this */
    cloud_command undo, undo_then; /* empty: nothing to take back */
    const char *undo_unless;       /* a variable: what it names lies within, and stays */
};

struct cloud {
    const char *name, *tool, *tool_hint; /* "azure", "az", where to get it */
    cloud_command login;                 /* succeeds if somebody is logged in */
    const char *login_hint;
    const struct cloud_step *steps;
    size_t n;
    const char *address; /* the variable that holds the machine's public address */
};

extern const struct cloud cloud_azure, cloud_gcp, cloud_aws;

/** One deployment. */
struct deployment {
    const struct cloud *cloud;
    const char *state_file;
    json_t *vars;  /* name: text; owned */
    json_t *made;  /* ids of steps, in order; owned */
    json_t *found; /* what was there before; owned */
    bool dry_run, keep;
    unsigned poll_seconds;
};

/** The value of a variable, "" if it is not set. */
const char *cloud_var(const struct deployment *d, const char *name);

/** @return 0, or STATUS_ENVIRONMENT with the message printed: memory is short */
int cloud_set(struct deployment *d, const char *name, const char *value);

/** Reads the state file if there is one; variables that are set already win.
 *  @param must  it has to be there
 *  @return 0, or the exit status with the message printed */
int cloud_load(struct deployment *d, bool must);

/** Makes every step; on failure takes back what this run has made, unless keep.
 *  @return 0, or the exit status with the message printed */
int cloud_deploy(struct deployment *d);

/** Takes back what was made, last first, and removes the state file. */
int cloud_cleanup(struct deployment *d);

/** Appends a command as a shell would take it, variables filled in. */
void cloud_put_command(struct buf *out, const struct deployment *d, const cloud_command c, const char *item,
                       unsigned number);

void deployment_done(struct deployment *d);

#endif
