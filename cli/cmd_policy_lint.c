#include "cli/commands.h"

#include "base/auto.h"
#include "base/file.h"
#include "workload/compose.h"
#include "workload/lint.h"
#include "workload/measure.h"
#include "workload/path.h"
#include "workload/policy.h"
#include "workload/signature_policy.h"
#include "workload/tree.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A folder as it lies there: nothing of it is used afterwards, so symbolic links are simply not followed. */
static enum lint_entry find_on_disk(void *arg, const char *path)
{
    char full[PATH_MAX];
    struct stat st;
    if (path_set(full, sizeof(full), NULL, "%s/%s", (const char *)arg, path) < 0 || lstat(full, &st) < 0)
        return LINT_ABSENT;
    return S_ISREG(st.st_mode) ? LINT_FILE : S_ISDIR(st.st_mode) ? LINT_FOLDER : LINT_ABSENT;
}

static void put_error(struct buf *problems, size_t *errors, const struct err *err)
{
    buf_printf(problems, "error: %s\n", err->cause);
    ++*errors;
}

/* Files of other kinds, names that are none of a workload's, too many or too large: nothing is copied of such
 * a folder. */
static int lint_files(const char *dir, struct workload_tree **tree, struct buf *problems, size_t *errors)
{
    const struct tree_limits limits = { .skip_images = true };
    struct err err = { 0 };
    if (workload_tree_read(dir, &limits, tree, &err) == 0)
        return 0;
    if (err.kind != ERR_INPUT && err.kind != ERR_TOO_LARGE)
        return fail_err(status_of(&err), dir, "cannot read", &err);
    put_error(problems, errors, &err);
    return 0;
}

/* The archives beside docker-compose.yml, where a service's image is in none that can be read. A service
 * without any is not refused: the machine may pull its image. */
static int lint_archives(const struct workload_tree *tree, const struct compose *compose,
                         const struct workload_policy *policy, struct buf *problems, size_t *errors)
{
    struct measure_service *services = NULL;
    struct err err = { 0 };
    size_t n = 0;
    bool needed = false;
    if (measure_services(compose, policy, &services, &n, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, tree->root, "cannot judge", &err);
    bool found = measure_find_images(tree, services, n, &err) == 0;
    for (size_t i = 0; i < n; i++)
        needed = needed || (!services[i].skip && !services[i].has_id);
    free(services);
    if (!found && (needed || err.kind == ERR_DENIED))
        put_error(problems, errors, &err);
    return 0;
}

/* A file that is not there is lint's to say. */
static void lint_signatures(const struct workload_tree *tree, const struct compose *compose,
                            const struct workload_policy *policy, struct buf *problems, size_t *errors)
{
    AUTO(signature_policy_done) struct signature_policy ignored = { 0 };
    const char *path = policy->signature_policy_path;
    char text[ERR_TEXT_MAX];
    struct err err = { 0 };
    if ((path && !workload_tree_find(tree, path))
        || signature_policy_load(tree, compose, policy, &ignored, &err) == 0)
        return;
    buf_printf(problems, "%s: error: %s\n", path ? path : POLICY_PATH, err_text(&err, text, sizeof(text)));
    ++*errors;
}

/* One that is not there is lint's to say. */
static int read_env_file(void *dir, const char *path, struct buf *out, struct err *err)
{
    AUTO(free_u8) uint8_t *text = NULL;
    char full[PATH_MAX];
    size_t n = 0;
    if (find_on_disk(dir, path) != LINT_FILE)
        return 0;
    if (path_set(full, sizeof(full), err, "%s/%s", (const char *)dir, path) < 0
        || file_read(full, COMPOSE_ENV_MAX, &text, &n, err) < 0)
        return -1;
    buf_put(out, bytes_of(text, n));
    return 0;
}

static void lint_environments(const char *dir, struct compose *compose, struct buf *problems, size_t *errors)
{
    for (size_t i = 0; i < compose->service_count; i++) {
        AUTO(compose_memory_drop) struct compose_memory *memory = NULL;
        const struct compose_service *s = &compose->services[i];
        struct compose_pairs ignored;
        struct err err = { 0 };
        if (!s->env_files.n
            || compose_environment(compose, s, read_env_file, (void *)(uintptr_t)dir, &ignored, &memory, &err)
                   == 0)
            continue;
        buf_printf(problems, COMPOSE_FILE ": error: services.%s.env_file: %s\n", s->name, err.cause);
        ++*errors;
    }
}

/* The workload around the policy: docker-compose.yml and the files that both name. */
static int lint_workload(const char *dir, const struct workload_policy *policy, struct buf *problems,
                         size_t *errors)
{
    AUTO(free_u8) uint8_t *yaml = NULL, *dotenv = NULL;
    AUTO(compose_drop) struct compose *compose = NULL;
    AUTO(workload_tree_drop) struct workload_tree *files = NULL;
    AUTO(lint_done) struct lint lint = { 0 };
    const struct lint_tree tree = { find_on_disk, (void *)(uintptr_t)dir };
    char path[PATH_MAX];
    size_t n = 0, dotenv_n = 0;
    struct err err = { 0 };
    int rc = lint_files(dir, &files, problems, errors);
    if (rc)
        return rc;
    if (files && !workload_tree_find(files, COMPOSE_FILE) && workload_tree_has_settings(files)) {
        buf_str(problems, "warning: no " COMPOSE_FILE ": settings without services\n");
        return 0;
    }
    if (path_set(path, sizeof(path), &err, "%s/" COMPOSE_FILE, dir) < 0
        || file_read(path, COMPOSE_FILE_MAX, &yaml, &n, &err) < 0)
        return fail_err(STATUS_INPUT, dir, "cannot read " COMPOSE_FILE, &err);
    if (path_set(path, sizeof(path), &err, "%s/" COMPOSE_ENV_FILE, dir) < 0
        || (file_read(path, COMPOSE_ENV_MAX, &dotenv, &dotenv_n, &err) < 0 && err.kind != ERR_NOT_FOUND))
        return fail_err(STATUS_INPUT, dir, "cannot read " COMPOSE_ENV_FILE, &err);
    if (compose_parse(bytes_of(yaml, n), bytes_of(dotenv, dotenv_n), &compose, &err) < 0) {
        buf_printf(problems, COMPOSE_FILE ": error: %s\n", err.cause);
        ++*errors;
        return 0;
    }
    lint_environments(dir, compose, problems, errors);
    if (workload_lint(compose, policy, &tree, NULL, &lint, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, dir, "cannot judge", &err);
    for (size_t i = 0; i < lint.n; i++)
        lint_put(&lint.finding[i], problems);
    *errors += lint.errors;
    if (files)
        lint_signatures(files, compose, policy, problems, errors);
    return files ? lint_archives(files, compose, policy, problems, errors) : 0;
}

static int lint_policy(const char *path, struct workload_policy *policy, struct buf *problems, size_t *errors)
{
    AUTO(free_u8) uint8_t *text = NULL;
    AUTO(buf_done) struct buf lines = buf_new(1u << 20);
    size_t n = 0;
    struct err err = { 0 };
    int rc = read_input(path, POLICY_FILE_MAX, &text, &n);
    if (rc)
        return rc;
    if (workload_policy_judge(bytes_of(text, n), policy, &lines, errors, &err) < 0)
        return fail_err(STATUS_INPUT, path, "not a policy", &err);
    for (struct bytes rest = buf_bytes(&lines); rest.n;) {
        const uint8_t *end = memchr(rest.p, '\n', rest.n);
        size_t length = end ? (size_t)(end - rest.p) : rest.n - 1;
        buf_printf(problems, "error: %.*s\n", (int)length, (const char *)rest.p);
        rest = bytes_of(rest.p + length + 1, rest.n - length - 1);
    }
    return 0;
}

static int print(const struct workload_policy *policy, const struct buf *problems)
{
    AUTO(buf_done) struct buf text = buf_new(8u << 20);
    workload_policy_explain(policy, &text);
    if (problems->n) {
        buf_str(&text, "\n");
        buf_put(&text, buf_bytes(problems));
    }
    return write_out(&text, NULL);
}

static int run(int argc, char **argv)
{
    const char *args[1] = { 0 };
    AUTO(workload_policy_done) struct workload_policy policy = { 0 };
    AUTO(buf_done) struct buf problems = buf_new(4u << 20);
    size_t malformed = 0, refused = 0;
    struct stat st;
    char path[PATH_MAX];
    struct err err = { 0 };
    int rc = options_parse(&command_policy_lint, argc, argv, NULL, 0, args, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    bool folder = strcmp(args[0], "-") != 0 && stat(args[0], &st) == 0 && S_ISDIR(st.st_mode);
    if (folder && path_set(path, sizeof(path), &err, "%s/" POLICY_PATH, args[0]) < 0)
        return fail_err(STATUS_INPUT, args[0], "cannot read", &err);
    if (folder && access(path, F_OK) < 0)
        workload_policy_defaults(&policy);
    else if ((rc = lint_policy(folder ? path : args[0], &policy, &problems, &malformed)))
        return rc;
    if (folder && (rc = lint_workload(args[0], &policy, &problems, &refused)))
        return rc;
    for (size_t i = 0; i < policy.warning_count && !folder; i++)
        buf_printf(&problems, "warning: %s\n", policy.warnings[i]);
    if (policy.disk_count && !folder) /* of a folder it is an error */
        buf_str(&problems, "warning: cvm_config.disk_config: this agent mounts no data disks, and refuses a "
                           "workload that asks for one\n");
    rc = print(&policy, &problems);
    return rc ? rc : malformed ? STATUS_INPUT : refused ? STATUS_NO : 0;
}

const struct command command_policy_lint = {
    "policy-lint",
    "FILE|DIR",
    "Explains a cvm_agent_policy.json, and finds what is wrong with it",
    "FILE is a cvm_agent_policy.json. Prints every setting in effect, one a line, with whether it is "
    "written\n"
    "in the file or a default; then every problem: \"error:\" for what keeps an agent from starting,\n"
    "\"warning:\" for older names (with the new one), settings without effect and settings that open\n"
    "something. Passwords are not printed.\n"
    "\n"
    "DIR is a workload directory: its policy (the built-in one if it has none) is explained, and its files\n"
    "and docker-compose.yml are judged together with it, as the agent does before it starts anything: files\n"
    "that a workload does not hold, image archives that cannot be read, settings that hand out the machine,\n"
    "short image names, files that are absent, services that the policy names and the file lacks. A problem\n"
    "of docker-compose.yml has its line and column.\n"
    "\n"
    "Exit status 0 if there is no error, 1 if the agent would refuse the workload, 3 if the policy cannot "
    "be\n"
    "read or is malformed.\n",
    run,
};
