#include "cli/policy_files.h"

#include "base/auto.h"
#include "base/file.h"

#include <string.h>

#define POLICY_FILE_MAX (1u << 20)
#define BUNDLE_FILE_MAX (256u << 10)

/* A bundle that a policy names: the policy is the relying party's own, and so are its paths. */
static int read_bundle(void *ctx, const char *path, struct buf *out, struct err *err)
{
    AUTO(free_u8) uint8_t *data = NULL;
    size_t n;
    (void)ctx;
    if (file_read(path, BUNDLE_FILE_MAX, &data, &n, err) < 0)
        return -1;
    buf_put(out, bytes_of(data, n));
    return buf_check(out, "certificate bundle", err);
}

static int load(const char *path, struct policies *out)
{
    static const char *const endings[] = { ".json", ".rego" };
    const struct cocos_files files = { read_bundle, NULL };
    AUTO(free_u8) uint8_t *text = NULL;
    struct err err = { 0 };
    const char *slash = strrchr(path, '/');
    char name[256];
    size_t n;
    int rc = read_input(path, POLICY_FILE_MAX, &text, &n);
    if (rc)
        return rc;
    snprintf(name, sizeof(name), "%s", slash ? slash + 1 : path);
    for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
        size_t len = strlen(name), end = strlen(endings[i]);
        if (len > end && !strcmp(name + len - end, endings[i]))
            name[len - end] = '\0';
    }
    if (policies_add(out, name, bytes_of(text, n), &files, &err) < 0)
        return fail_err(STATUS_INPUT, path, "not a policy", &err);
    return 0;
}

int policy_files_load(const struct option_list *paths, struct policies *out)
{
    int rc = 0;
    for (size_t i = 0; i < paths->n && !rc; i++)
        rc = load(paths->item[i], out);
    return rc;
}
