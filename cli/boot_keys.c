#include "cli/boot_keys.h"

#include "base/auto.h"
#include "cli/commands.h"

#include <stdlib.h>

#define LIST_MAX (1u << 20)

void boot_keys_done(struct boot_keys *keys)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys->file); i++)
        free(keys->file[i]);
}

static int read_vars(const char *path, struct boot_keys *out)
{
    struct varstore store;
    struct err err = { 0 };
    size_t n = 0;
    int rc = read_input(path, VARSTORE_MAX, &out->file[0], &n);
    if (rc)
        return rc;
    if (varstore_parse(bytes_of(out->file[0], n), &store, &err) < 0
        || secure_boot_read(&store, &out->keys, &err) < 0)
        return fail_err(STATUS_INPUT, path, "cannot be read", &err);
    return 0;
}

static int read_lists(const struct boot_keys_options *options, struct boot_keys *out)
{
    const struct {
        const char *path;
        struct bytes *list;
    } rows[] = {
        { options->pk, &out->keys.pk },
        { options->kek, &out->keys.kek },
        { options->db, &out->keys.db },
        { options->dbx, &out->keys.dbx },
    };
    struct err err = { 0 };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t n = 0;
        int rc = rows[i].path ? read_input(rows[i].path, LIST_MAX, &out->file[i], &n) : 0;
        if (rc)
            return rc;
        *rows[i].list = bytes_of(out->file[i], n);
    }
    if (secure_boot_check(&out->keys, &err) < 0)
        return fail_err(STATUS_INPUT, "predict", "the keys cannot be read", &err);
    return 0;
}

int boot_keys_read(const struct boot_keys_options *o, struct boot_keys *out)
{
    bool lists = o->pk || o->kek || o->db || o->dbx;
    out->given = o->vars || lists;
    if (o->vars && lists)
        return fail(STATUS_USAGE, "predict", "--vars has all variables",
                    "leave out --pk, --kek, --db and --dbx");
    if (lists && (!o->pk || !o->kek || !o->db))
        return fail(STATUS_USAGE, "predict", "Secure Boot's variables belong together",
                    "give --pk, --kek and --db, or --vars");
    if (o->vars)
        return read_vars(o->vars, out);
    return lists ? read_lists(o, out) : 0;
}
