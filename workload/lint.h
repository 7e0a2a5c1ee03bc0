/** workload/lint.h: everything about a workload that can be judged before anything is measured or started:
 * the settings that hand out the machine, image names, files that are referenced and absent, what the policy
 * names and compose lacks. */
#ifndef CVM_WORKLOAD_LINT_H
#define CVM_WORKLOAD_LINT_H

#include "workload/compose.h"
#include "workload/policy.h"

#define LINT_FINDINGS_MAX 200                             /* more are counted, not kept */
#define LINT_INIT         "/usr/libexec/podman/catatonit" /* podman 4.3's default (containers.conf(5), init_path) */

enum lint_level { LINT_ERROR, LINT_WARNING };

struct lint_finding {
    enum lint_level level;
    const char *file;     /* a constant: COMPOSE_FILE or POLICY_PATH */
    struct compose_at at; /* line 0: the file as a whole */
    char *text;           /* a sentence: what, and what to write instead */
};

struct lint {
    struct lint_finding *finding; /* errors and warnings in the order found */
    size_t n;
    size_t errors, warnings; /* all, kept or not */
};

enum lint_entry { LINT_ABSENT, LINT_FILE, LINT_FOLDER };

/** What lies below the workload directory, without reading it. */
struct lint_tree {
    /** path as workload_path() makes it */
    enum lint_entry (*find)(void *arg, const char *path);
    void *arg;
};

/** The machine that is to run it; members that are NULL are not checked (offline). */
struct lint_machine {
    const char *subuid, *subgid; /* "/etc/subuid", "/etc/subgid" */
    const char *passwd, *group;  /* "/etc/passwd", "/etc/group": docker wants the owner there */
    const char *init;            /* LINT_INIT: podman starts it for `init: true` */
};

/** Judges a workload.
 *  @param tree     NULL: files are not looked for
 *  @param machine  NULL: as all members NULL
 *  @param out      lint_done() frees it; written only on success
 *  @return 0 also when there are findings (ask out->errors); -1: no memory */
MUST_USE int workload_lint(const struct compose *compose, const struct workload_policy *policy,
                           const struct lint_tree *tree, const struct lint_machine *machine, struct lint *out,
                           struct err *err);

/** For AUTO(). */
void lint_done(struct lint *l);

/** Appends one finding as "FILE:LINE:COLUMN: error: text". */
void lint_put(const struct lint_finding *f, struct buf *out);

/** Turns errors into a failure: the first one, and how many there are. @return 0 if there are none, or -1
 * with ERR_DENIED */
MUST_USE int lint_check(const struct lint *l, struct err *err);

#endif
