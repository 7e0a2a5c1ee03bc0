/* The pseudo-files of the emulated machine, and the file of its roots. */
#include "base/auto.h"
#include "base/file.h"
#include "base/x509.h"
#include "tee/emulator/emu.h"

#include <string.h>

#define ROOTS_MAX 32

void uuid_text(const uint8_t id[static 16], char out[static UUID_SIZE])
{
    static const uint8_t bytes_of_part[] = { 4, 2, 2, 2, 6 };
    char *p = out;
    for (size_t part = 0; part < sizeof(bytes_of_part); part++) {
        if (part)
            *p++ = '-';
        for (size_t i = 0; i < bytes_of_part[part]; i++, id++)
            p += sprintf(p, "%02x", *id);
    }
}

/* A file below STATE/emulator/root with its folders. */
static int put(struct emulator *e, const char *folder, const char *name, struct bytes data, struct err *err)
{
    char path[256];
    if (path_set(path, sizeof(path), err, "root/%s", folder) < 0 || store_folder(&e->store, path, err) < 0
        || path_set(path, sizeof(path), err, "root/%s/%s", folder, name) < 0)
        return -1;
    return store_put(&e->store, path, data, 0644, err);
}

static int put_line(struct emulator *e, const char *folder, const char *name, const char *text,
                    struct err *err)
{
    char line[256];
    if (path_set(line, sizeof(line), err, "%s\n", text) < 0)
        return -1;
    return put(e, folder, name, bytes_str(line), err);
}

/* Devices are reached through struct lower; the files only show that they are there. */
static int devices(struct emulator *e, struct err *err)
{
    const struct {
        bool there;
        const char *name;
    } nodes[] = { { e->platform->sev_device, "sev-guest" },
                  { e->tdx && e->platform->configfs, "tdx_guest" },
                  { e->shape->tpm, "tpmrm0" } };
    char path[PATH_MAX];
    if (store_folder(&e->store, "root/dev", err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
        if (path_set(path, sizeof(path), err, "%s/%s", e->dev, nodes[i].name) < 0)
            return -1;
        if (!nodes[i].there)
            (void)!unlink(path);
        else if (put(e, "dev", nodes[i].name, bytes_of(NULL, 0), err) < 0)
            return -1;
    }
    return 0;
}

static int logs(struct emulator *e, struct err *err)
{
    uint8_t table[CCEL_TABLE_SIZE];
    if (e->shape->tpm
        && put(e, "sys/kernel/security/tpm0", "binary_bios_measurements", buf_bytes(&e->log), err) < 0)
        return -1;
    if (e->ccel.n == 0)
        return 0;
    boot_ccel_table(table);
    if (put(e, "sys/firmware/acpi/tables", "CCEL", bytes_of(table, sizeof(table)), err) < 0)
        return -1;
    return put(e, "sys/firmware/acpi/tables/data", "CCEL", buf_bytes(&e->ccel), err);
}

/* Appends the roots that the file does not have yet: one state folder may hold machines of several shapes. */
static int roots(struct emulator *e, struct err *err)
{
    AUTO(buf_done) struct buf pem = buf_new(STORE_FILE_MAX);
    X509 *known[ROOTS_MAX], *mine[] = { e->snp ? snp_machine_public(e->snp).ark : NULL,
                                        e->tdx ? tdx_machine_root(e->tdx) : NULL, e->ca.root.cert };
    struct err why = { 0 };
    int n = 0;
    if (store_get(&e->store, "roots.pem", &pem, err) < 0) {
        if (err->kind != ERR_NOT_FOUND)
            return -1;
    } else {
        n = x509_parse_chain(buf_bytes(&pem), known, ROOTS_MAX, &why);
        if (n < 0)
            return store_damaged(&e->store, "roots.pem", "not certificates in PEM", err);
    }
    for (size_t i = 0; i < ARRAY_SIZE(mine); i++) {
        bool listed = mine[i] == NULL;
        for (int k = 0; k < n && !listed; k++)
            listed = X509_cmp(known[k], mine[i]) == 0;
        if (!listed)
            pem_put(&pem, mine[i]);
    }
    for (int k = 0; k < n; k++)
        X509_free(known[k]);
    return buf_check(&pem, "roots.pem", err) < 0
               ? -1
               : store_put(&e->store, "roots.pem", buf_bytes(&pem), 0644, err);
}

/* What another shape's machine left in the same folder must not be found. */
static int sweep(struct emulator *e, struct err *err)
{
    static const char *const files[] = {
        "sys/kernel/security/tpm0/binary_bios_measurements",
        "sys/firmware/acpi/tables/CCEL",
        "sys/firmware/acpi/tables/data/CCEL",
        "sys/class/dmi/id/chassis_asset_tag",
        "sys/class/dmi/id/product_serial",
        "sys/class/dmi/id/product_uuid",
    };
    AUTO(buf_done) struct buf last = buf_new(64);
    char path[PATH_MAX];
    if (store_get(&e->store, "shape", &last, err) == 0
        && bytes_equal(buf_bytes(&last), bytes_str(e->shape->name)))
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        if (path_set(path, sizeof(path), err, "%s/root/%s", e->store.dir, files[i]) < 0)
            return -1;
        (void)!unlink(path);
    }
    return store_put(&e->store, "shape", bytes_str(e->shape->name), 0644, err);
}

int emulator_files_write(struct emulator *e, struct err *err)
{
    if (path_set(e->sys, sizeof(e->sys), err, "%s/root/sys", e->store.dir) < 0
        || path_set(e->dev, sizeof(e->dev), err, "%s/root/dev", e->store.dir) < 0
        || path_set(e->proc, sizeof(e->proc), err, "%s/root/proc", e->store.dir) < 0 || sweep(e, err) < 0
        || store_folder(&e->store, "root/sys/class/dmi/id", err) < 0)
        return -1;
    for (size_t i = 0; i < DMI_MAX && e->platform->dmi[i][0]; i++)
        if (put_line(e, "sys/class/dmi/id", e->platform->dmi[i][0], e->platform->dmi[i][1], err) < 0)
            return -1;
    if (put_line(e, "proc/sys/kernel/random", "boot_id", e->boot_id, err) < 0 || devices(e, err) < 0
        || logs(e, err) < 0)
        return -1;
    return roots(e, err);
}
