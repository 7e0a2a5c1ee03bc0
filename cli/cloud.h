/** cli/cloud.h: a machine in a cloud, made and removed through the cloud's own tool (az, gcloud, aws): a
 * table of steps, each a command with variables, how to see that it is done, and how to take it back. What
 * was begun and what was made is kept in a record, so that a run that was interrupted goes on, and a clean-up
 * removes that and nothing else. */
#ifndef CVM_CLI_CLOUD_H
#define CVM_CLI_CLOUD_H

#include "base/buf.h"
#include "base/json.h"

#define CLOUD_ARGS_MAX  32
#define CLOUD_STEPS_MAX 32
#define CLOUD_PORTS_MAX 64
#define CLOUD_LIST_MAX  512 /* characters of a list */

/** Words of a command; "${name}" is a variable's value, "?name:word" a word that is there only if the
 * variable is not empty. The first is the program. */
typedef const char *cloud_command[CLOUD_ARGS_MAX];

struct cloud_step {
    const char *id, *title;
    const char *when; /* a variable: the step is made only if it is not empty; NULL: always */
    const char *each; /* a variable with a list, "80,443": once for each, "${item}", "${number}" from 00 */
    const char
        *of; /* the step whose thing this belongs to: it goes with that one, and is made anew with it */
    const char *brings;  /* a step whose thing comes into being through this one: begun with it */
    const char *token;   /* variable with a random value of its own for each thing that is made */
    const char *not_new; /* a step: skipped in a run that has made this */
    bool of_disk;        /* made from the disk's bytes: another disk replaces it */
    bool shared;         /* somebody else's will do, and is not ours to remove */
    bool once;           /* it has served when it is made: not looked for again */
    bool again;          /* what was only begun may be half of it: done once more over it */
    bool reads;          /* changes nothing: done in every run */
    cloud_command probe; /* succeeds, and does not say "None", if the thing is there; empty: nobody knows */
    cloud_command probe_id; /* the same, asked once the captured variable is known: by that alone */
    const char *absent;     /* what the tool's error says if the thing is not there; "A|B": one of them */
    cloud_command run;      /* empty: only another step brings it */
    const char *capture;    /* variable that takes what run (or probe, if the thing is there) prints */
    const char *wait;       /* run is repeated until it prints this */
    cloud_command undo, undo_then; /* empty: nothing to take back */
    cloud_command
        others; /* all that was made lies in this thing; prints something of somebody else's in it */
};

struct cloud {
    const char *name, *tool, *tool_hint; /* "azure", "az", where to get it */
    cloud_command login;                 /* succeeds if somebody is logged in */
    const char *login_hint;
    cloud_command need; /* succeeds if the account has what it must have; empty: nothing */
    const char *need_name, *need_absent, *need_hint;
    const char *absent,
        *not_absent;   /* as in a step, for all steps; the error with not_absent means nothing */
    int absent_status; /* and its exit status; 0: any */
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
    json_t *begun; /* ids of steps that were begun and not ended, in order; owned */
    json_t *made;  /* ids of steps that were ended; owned */
    json_t *found; /* what was there before; owned */
    json_t *now;   /* what this run has begun, in order; not kept; owned */
    bool dry_run, keep;
    unsigned poll_seconds;
};

/** The value of a variable, "" if it is not set. */
const char *cloud_var(const struct deployment *d, const char *name);

/** @return 0, or STATUS_ENVIRONMENT with the message printed: memory is short */
int cloud_set(struct deployment *d, const char *name, const char *value);

/** Empty lists. @return 0, or STATUS_ENVIRONMENT with the message printed */
int cloud_start(struct deployment *d, const struct cloud *cloud);

void deployment_done(struct deployment *d);

/** Reads the record if there is one; variables that are set already win.
 *  @param must  it has to be there
 *  @return 0, or the exit status with the message printed */
int cloud_load(struct deployment *d, bool must);

/** Writes the record, whole or not at all. @return 0, or the exit status with the message printed */
int cloud_save(const struct deployment *d);

/** True if a list (begun, made, found, now) has this id. */
bool cloud_listed(const json_t *list, const char *id);

/** Puts an id at the end of a list, once. @return 0, or the exit status with the message printed */
int cloud_list(json_t *list, const char *id);
void cloud_unlist(json_t *list, const char *id);

/** What the record says of a step is forgotten, with what was captured, and of all that belongs to it. */
void cloud_forget(struct deployment *d, const struct cloud_step *s);

/** Appends a command as a shell would take it, variables filled in. */
void cloud_put_command(struct buf *out, const struct deployment *d, const cloud_command c, const char *item,
                       unsigned number);

/** Runs a command. @param out, errors  take its standard output and standard error; NULL: shown
 *  @return its exit status, or -1 */
int cloud_execute(const struct deployment *d, const cloud_command c, const char *item, unsigned number,
                  struct buf *out, struct buf *errors);

/** True if a tool printed something other than "None"; takes the line break off and terminates it. */
bool cloud_says_something(struct buf *out);

enum cloud_look { CLOUD_ABSENT, CLOUD_THERE, CLOUD_UNKNOWN };

/** Asks whether a step's thing is there; sets its captured variable if so. Only the tool's own answer for
 * what does not exist counts as absent: for any other failure, CLOUD_UNKNOWN with the message printed. */
enum cloud_look cloud_look(struct deployment *d, const struct cloud_step *s, const char *item,
                           unsigned number);

/** Runs a step's command, until it prints what is waited for. @return 0, or the exit status, printed */
int cloud_run_step(struct deployment *d, const struct cloud_step *s, const char *item, unsigned number);

typedef int cloud_visit_fn(struct deployment *d, const struct cloud_step *s, const char *item,
                           unsigned number);

/** Calls visit once, or for every item of the step's list, until it returns other than 0. */
int cloud_for_each(struct deployment *d, const struct cloud_step *s, cloud_visit_fn *visit);

/** True if the step is one of this deployment. */
bool cloud_applies(const struct deployment *d, const struct cloud_step *s);

/** Under which id a step, or an item of it, is in the record. */
void cloud_key(const struct cloud_step *s, const char *item, char key[static 80]);

/** True if the record says that a step was begun or made. */
bool cloud_recorded(const struct deployment *d, const struct cloud_step *s);

/** Removes the things of a step that is in the record and forgets it, or says why it stays.
 *  @return 0, or the exit status with the message printed; the record is as it was then */
int cloud_take_back(struct deployment *d, const struct cloud_step *s);

/** Takes back what this run has begun, last first. */
void cloud_roll_back(struct deployment *d);

/** Makes every step; on failure takes back what this run has made, unless keep.
 *  @return 0, or the exit status with the message printed */
int cloud_deploy(struct deployment *d);

/** Takes back what was begun and made, last first, and removes the record. */
int cloud_cleanup(struct deployment *d);

/** Is the tool here, and somebody logged in? @return 0, or the exit status with the message printed */
int cloud_check_tool(const struct deployment *d);

/** Prints the commands that cloud_deploy() would run, as far as the record goes; d is of no use after that.
 */
int cloud_print_deploy(struct deployment *d);

/** Prints the commands that cloud_cleanup() would run. */
int cloud_print_cleanup(const struct deployment *d);

/** True if another disk than the record's is to be deployed. */
bool cloud_other_disk(const struct deployment *d);

#endif
