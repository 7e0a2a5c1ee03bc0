#include "cli/collateral_files.h"

#include "base/auto.h"
#include "base/file.h"
#include "cli/commands.h"
#include "tee/collateral.h"
#include "tee/tdx_quote.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* One file may be two parts: the same certificate signs TCB info and QE identity. */
static const struct {
    const char *name;
    enum tdx_part part;
} files[] = {
    { "tcb_info.json", TDX_PART_TCB_INFO },
    { "tcb_signing_chain.pem", TDX_PART_TCB_INFO_CHAIN },
    { "tcb_signing_chain.pem", TDX_PART_QE_IDENTITY_CHAIN },
    { "qe_identity.json", TDX_PART_QE_IDENTITY },
    { "pck_crl.der", TDX_PART_PCK_CRL },
    { "pck_crl_issuer_chain.pem", TDX_PART_PCK_CRL_CHAIN },
    { "root_ca_crl.der", TDX_PART_ROOT_CA_CRL },
};

/* *found counts the files that are there. */
static int read_part(struct tdx_collateral *c, const char *folder, size_t i, size_t *found)
{
    AUTO(free_u8) uint8_t *data = NULL;
    char path[PATH_MAX];
    struct err err = { 0 };
    size_t n = 0;
    if (path_set(path, sizeof(path), &err, "%s/%s", folder, files[i].name) < 0)
        return fail_err(STATUS_INPUT, folder, "cannot read", &err);
    if (file_read(path, TDX_COLLATERAL_PART_MAX, &data, &n, &err) < 0)
        return err.kind == ERR_NOT_FOUND ? 0 : fail_err(STATUS_INPUT, path, "cannot read", &err);
    if (tdx_collateral_set(c, files[i].part, bytes_of(data, n), &err) < 0)
        return fail_err(status_of(&err), path, tdx_part_name(files[i].part), &err);
    ++*found;
    return 0;
}

static int read_folder(const char *folder, struct tdx_collateral **out)
{
    AUTO(tdx_collateral_drop) struct tdx_collateral *c = tdx_collateral_new();
    size_t found = 0;
    if (!c)
        return fail(STATUS_ENVIRONMENT, folder, "cannot read", "out of memory");
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        int rc = read_part(c, folder, i, &found);
        if (rc)
            return rc;
    }
    if (!found)
        return fail(STATUS_INPUT, folder, "no TDX collateral",
                    "the folder has none of tcb_info.json, qe_identity.json, pck_crl.der and so on");
    *out = MOVE(c);
    return 0;
}

int collateral_read(const char *path, struct tdx_collateral **out)
{
    AUTO(free_u8) uint8_t *data = NULL;
    struct err err = { 0 };
    struct stat st;
    size_t n = 0;
    if (strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return read_folder(path, out);
    int rc = read_input(path, TDX_COLLATERAL_MAX, &data, &n);
    if (rc)
        return rc;
    if (tdx_collateral_parse(bytes_of(data, n), out, &err) < 0)
        return fail_err(status_of(&err), path, "not TDX collateral", &err);
    return 0;
}

int collateral_read_for(const char *path, struct bytes quote, struct tdx_collateral **out)
{
    char plain[PATH_MAX];
    struct tdx_quote q;
    struct stat st;
    uint8_t fmspc[6];
    enum collateral_ca ca;
    struct err ignored = { 0 };
    bool folder = strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    if (folder && path_set(plain, sizeof(plain), NULL, "%s/tcb_info.json", path) == 0 && stat(plain, &st) < 0
        && tdx_quote_parse(quote, &q, &ignored) == 0
        && collateral_of_pck(q.pck_chain, fmspc, &ca, &ignored) == 0
        && collateral_dir_tdx(path, bytes_of(fmspc, sizeof(fmspc)), ca, out, &ignored) == 0)
        return 0;
    return collateral_read(path, out);
}
