#include "image/secure_boot.h"

#include "base/auto.h"
#include "image/authenticode.h"
#include "image/siglist.h"

/* Most certificates that a list may have: each is held against each signature. */
#define CERTIFICATES_MAX 256

static int check_list(const char *name, struct bytes list, struct err *err)
{
    char why[sizeof(err->cause)];
    if (siglist_check(list, err) == 0)
        return 0;
    snprintf(why, sizeof(why), "%.120s", err->cause);
    return err_set(err, ERR_INPUT, 0, "%s: %s", name, why);
}

int secure_boot_check(struct secure_boot *keys, struct err *err)
{
    if (check_list("PK", keys->pk, err) < 0 || check_list("KEK", keys->kek, err) < 0
        || check_list("db", keys->db, err) < 0 || check_list("dbx", keys->dbx, err) < 0)
        return -1;
    keys->on = keys->pk.n > 0;
    return 0;
}

static struct bytes find(const struct varstore *store, const uint8_t guid[static 16], const char *name)
{
    struct bytes out;
    return varstore_find(store, guid, name, &out) ? out : bytes_of(NULL, 0);
}

int secure_boot_read(const struct varstore *store, struct secure_boot *out, struct err *err)
{
    struct bytes enable = find(store, varstore_secure_boot_enable, "SecureBootEnable");
    struct secure_boot keys = {
        .pk = find(store, varstore_global, "PK"),
        .kek = find(store, varstore_global, "KEK"),
        .db = find(store, varstore_image_security, "db"),
        .dbx = find(store, varstore_image_security, "dbx"),
        .has_dbt = find(store, varstore_image_security, "dbt").n > 0,
    };
    if (secure_boot_check(&keys, err) < 0)
        return -1;
    if (enable.n == 1 && enable.p[0] == 0)
        keys.on = false;
    *out = keys;
    return 0;
}

/* The first certificate of a list that a signature chains to. @return 1 found, 0 none, -1 */
static int search_certificates(struct bytes list, const struct pe *pe, const struct authenticode *signature,
                               struct bytes *out, struct err *err)
{
    struct siglist_walk walk = { .rest = reader_of(list) };
    struct siglist_entry entry;
    size_t n = 0;
    int rc;
    while ((rc = siglist_next(&walk, &entry, err)) > 0) {
        AUTO(x509_drop) X509 *cert = NULL;
        struct err why = { 0 };
        if (entry.kind != SIGLIST_X509)
            continue;
        if (++n > CERTIFICATES_MAX)
            return err_set(err, ERR_INPUT, 0, "more than %d certificates in a list", CERTIFICATES_MAX);
        if (x509_parse(entry.data, &cert, &why) < 0)
            continue; /* the firmware cannot use it either */
        if (authenticode_check(pe, signature, cert, &why) == 0) {
            *out = entry.whole;
            return 1;
        }
        if (why.kind != ERR_UNAUTHENTICATED)
            return err_set(err, why.kind, why.code, "%s", why.cause);
    }
    return rc;
}

/* The entry with the program's own hash. @return 1 found, 0 none, -1 */
static int search_hash(struct bytes list, const struct pe *pe, struct bytes *out, struct err *err)
{
    struct siglist_walk walk = { .rest = reader_of(list) };
    struct siglist_entry entry;
    struct digest hash;
    int rc;
    if (pe_authenticode(pe, ALG_SHA256, &hash, err) < 0)
        return -1;
    while ((rc = siglist_next(&walk, &entry, err)) > 0) {
        if (entry.kind != SIGLIST_SHA256 || !bytes_equal(entry.data, digest_bytes(&hash)))
            continue;
        *out = entry.whole;
        return 1;
    }
    return rc;
}

static int check_dbx(const struct secure_boot *keys, const struct pe *pe,
                     const struct authenticode_list *signatures, struct err *err)
{
    struct bytes entry;
    int rc = search_hash(keys->dbx, pe, &entry, err);
    for (size_t i = 0; i < signatures->n && rc == 0; i++)
        rc = search_certificates(keys->dbx, pe, &signatures->item[i], &entry, err);
    return rc > 0 ? err_set(err, ERR_DENIED, 0, "dbx forbids the program, or its signer") : rc;
}

/* Signature by signature, and the hash between the first and the second: it matters which entry is used. */
int secure_boot_authority(const struct secure_boot *keys, const struct pe *pe, struct bytes *out,
                          struct err *err)
{
    AUTO(authenticode_done) struct authenticode_list signatures = { .n = 0 };
    int rc = 0;
    if (authenticode_read(pe, &signatures, err) < 0 || check_dbx(keys, pe, &signatures, err) < 0)
        return -1;
    for (size_t i = 0; rc == 0 && (i < signatures.n || i == 0); i++) {
        if (i < signatures.n)
            rc = search_certificates(keys->db, pe, &signatures.item[i], out, err);
        if (rc == 0)
            rc = search_hash(keys->db, pe, out, err);
    }
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    return err_set(err, ERR_DENIED, 0,
                   signatures.n ? "none of the program's signatures is by a key of db"
                                : "the program is not signed, and db has not its hash");
}
