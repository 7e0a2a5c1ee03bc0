#include "volume/volume.h"

#include "base/auto.h"
#include "base/file.h"
#include "tpm/sealed.h"
#include "volume/filesystem.h"
#include "volume/keys.h"
#include "volume/partition.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>

#define DEVICE "/dev/mapper/" VOLUME_NAME

/* All that is secret, in one place to be wiped. */
struct secrets {
    uint8_t secret[VOLUME_SECRET], slot[VOLUME_SECRET], recovery[VOLUME_SECRET];
};

static void secrets_wipe(struct secrets *s)
{
    OPENSSL_cleanse(s, sizeof(*s));
}

static void unlink_path(const char **path)
{
    unlink(*path);
}

void volume_done(struct volume *v)
{
    volume_token_done(&v->token);
    free(v->header);
    v->header = NULL;
}

static int make_file(const char *path, struct err *err)
{
    unlink(path);
    AUTO(close_fd) int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, VOLUME_HEADER_SIZE) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot make %s: %s", path, strerror(errno));
    return 0;
}

/* The history register has to be as at the boot's start: once the agent has measured, nothing is sealed any
 * more. */
static int check_history(const struct tpm_pcrs *pcrs, struct err *err)
{
    if (!bytes_zero(digest_bytes(&pcrs->pcr[VOLUME_HISTORY_PCR])))
        return err_set(err, ERR_DENIED, 0, "PCR %d is not zero: something was measured before the volume",
                       VOLUME_HISTORY_PCR);
    return 0;
}

static int make_token(struct volume *v, struct tpm *t, const struct secrets *s, struct err *err)
{
    v->token = (struct volume_token){ .sealed = buf_new(SEALED_BLOB_MAX), .recovery = buf_new(1024) };
    if (tpm_seal(t, bytes_of(s->secret, VOLUME_SECRET), v->settings.mask, &v->token.sealed, &v->token.pcrs,
                 err)
            < 0
        || check_history(&v->token.pcrs, err) < 0)
        return -1;
    return v->recovery_pem.n == 0 ? 0
                                  : volume_recovery_encrypt(v->recovery_pem, s->recovery, &v->token.recovery,
                                                            v->token.recovery_owner, err);
}

static int make_luks(const struct volume *v, const struct secrets *s, struct err *err)
{
    AUTO(json_drop) json_t *token = volume_token_json(&v->token);
    AUTO(buf_done) struct buf text = buf_new(VOLUME_LUKS_SIZE);
    const uint8_t *const keys[2] = { s->slot, v->recovery_pem.n > 0 ? s->recovery : NULL };
    json_put(&text, token, false);
    AUTO(free_str) char *line = buf_take_str(&text);
    if (!token || !line)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the token");
    return luks_format(v->header_file, v->partition, keys, line, err);
}

int volume_state_device(const struct volume *v, const char **device, struct err *err)
{
    *device = v->settings.workload ? "/dev/mapper/" VOLUME_STATE_NAME : DEVICE;
    return v->settings.workload ? luks_part(DEVICE, 0, VOLUME_STATE_SECTORS, true, VOLUME_STATE_NAME, err)
                                : 0;
}

static int make_filesystem(const struct volume *v, struct err *err)
{
    const char *device;
    struct err ignored = { 0 };
    if (volume_state_device(v, &device, err) < 0)
        return -1;
    int rc = filesystem_make(device, VOLUME_NAME, true, err);
    if (!v->settings.workload)
        return rc;
    return luks_close(VOLUME_STATE_NAME, rc < 0 ? &ignored : err) < 0 ? -1 : rc;
}

static int fill(const struct volume *v, const struct secrets *s, struct err *err)
{
    char uuid[LUKS_UUID_SIZE];
    if (luks_open(v->header_file, v->partition, VOLUME_NAME, LUKS_SLOT_SEALED, s->slot, true, uuid, err) < 0)
        return -1;
    int rc = luks_wipe(v->header_file, v->partition, VOLUME_NAME, v->progress, err) < 0
                     || make_filesystem(v, err) < 0
                 ? -1
                 : 0;
    struct err ignored = { 0 };
    return luks_close(VOLUME_NAME, rc < 0 ? &ignored : err) < 0 ? -1 : rc;
}

static int read_header_file(struct volume *v, struct err *err)
{
    AUTO(free_u8) uint8_t *made = NULL;
    size_t n;
    if (file_read(v->header_file, VOLUME_HEADER_SIZE, &made, &n, err) < 0)
        return -1;
    memset(v->header, 0, VOLUME_HEADER_SIZE);
    memcpy(v->header, made, n);
    return 0;
}

int volume_create(struct volume *v, struct tpm *t, struct err *err)
{
    AUTO(secrets_wipe) struct secrets s = { 0 };
    AUTO(unlink_path) const char *file = v->header_file;
    volume_token_done(&v->token);
    if (volume_secret_new(s.secret, err) < 0 || volume_secret_new(s.recovery, err) < 0
        || volume_key(s.secret, "slot", s.slot, err) < 0 || make_token(v, t, &s, err) < 0
        || make_file(file, err) < 0 || make_luks(v, &s, err) < 0 || fill(v, &s, err) < 0
        || read_header_file(v, err) < 0
        || volume_mac(s.secret, bytes_of(v->header, VOLUME_HEADER_SIZE), v->header + VOLUME_MAC_AT, err) < 0
        || partition_write_header(v->partition, v->header, err) < 0)
        return err_while(err, "make the volume");
    return 0;
}

/* Says which registers are in the way, where that is the reason. */
static int unseal(struct volume *v, struct tpm *t, struct secrets *s, struct err *err)
{
    AUTO(buf_wipe) struct buf secret = buf_new(SEALED_SECRET_MAX);
    struct tpm_pcrs now;
    char differing[96];
    if (tpm_pcr_read(t, ALG_SHA256, v->settings.mask, &now, err) < 0)
        return -1;
    if (tpm_unseal(t, buf_bytes(&v->token.sealed), v->settings.mask, &secret, err) < 0) {
        volume_pcrs_differing(&v->token.pcrs, &now, differing, sizeof(differing));
        char cause[sizeof(err->cause)];
        memcpy(cause, err->cause, sizeof(cause));
        return err_set(err, err->kind, err->code, "%.200s; PCRs that are not as they were: %s", cause,
                       differing);
    }
    if (secret.n != VOLUME_SECRET)
        return err_set(err, ERR_DENIED, 0, "the sealed secret has %zu bytes", secret.n);
    memcpy(s->secret, secret.p, VOLUME_SECRET);
    return check_history(&now, err);
}

int volume_open(struct volume *v, struct tpm *t, struct err *err)
{
    AUTO(secrets_wipe) struct secrets s = { 0 };
    AUTO(unlink_path) const char *file = v->header_file;
    struct bytes header = bytes_of(v->header, VOLUME_HEADER_SIZE);
    volume_token_done(&v->token);
    if (volume_token_find(header, &v->token, err) < 0 || unseal(v, t, &s, err) < 0
        || volume_mac_check(s.secret, header, err) < 0 || volume_key(s.secret, "slot", s.slot, err) < 0)
        return err_while(err, "open the volume");
    if (file_write_atomic(file, header, 0600, err) < 0
        || luks_open(file, v->partition, VOLUME_NAME, LUKS_SLOT_SEALED, s.slot, false, v->uuid, err) < 0)
        return err_while(err, "open the volume");
    return 0;
}
