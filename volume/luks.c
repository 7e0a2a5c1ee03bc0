#include "volume/luks.h"

#include "base/auto.h"
#include "volume/header.h"

#include <errno.h>
#include <libcryptsetup.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define CIPHER     "aes"
#define MODE       "xts-plain64"
#define INTEGRITY  "hmac(sha256)"
#define VOLUME_KEY (64 + 32) /* XTS of AES-256, and the HMAC's */
#define SECTOR     4096
#define PART_KEY   64
#define WIPE_BLOCK (1u << 20)
#define SLOTS_SIZE (1u << 20)

/* The keys of the slots are random bytes: nothing is gained by hashing them slowly. */
static const struct crypt_pbkdf_type quick = {
    .type = CRYPT_KDF_PBKDF2, .hash = "sha256", .iterations = 1000, .flags = CRYPT_PBKDF_NO_BENCHMARK
};

static void first_complaint(int level, const char *text, void *arg)
{
    char *out = arg;
    if (level == CRYPT_LOG_ERROR && !out[0])
        snprintf(out, 160, "%.*s", (int)strcspn(text, "\n"), text);
}

struct session {
    char said[160];
    struct crypt_device *cd;
};

static void session_drop(struct session *s)
{
    crypt_free(s->cd);
    crypt_set_log_callback(NULL, NULL, NULL); /* what it wrote to ends here */
}

static int failed(const struct session *s, int rc, const char *what, struct err *err)
{
    return err_set(err, rc == -EPERM ? ERR_DENIED : ERR_IO, (uint32_t)-rc, "%s: %s%s%s", what, strerror(-rc),
                   s->said[0] ? ": " : "", s->said);
}

static int begin(struct session *s, const char *file, const char *partition, struct err *err)
{
    crypt_set_log_callback(NULL, first_complaint, s->said);
    int rc = crypt_init_data_device(&s->cd, file, partition);
    if (rc < 0)
        return failed(s, rc, "begin with the volume", err);
    crypt_set_log_callback(s->cd, first_complaint, s->said);
    crypt_token_external_disable();
    rc = crypt_metadata_locking(s->cd, 0); /* the header is a file of ours alone */
    if (rc == 0)
        rc = crypt_volume_key_keyring(s->cd, 0);
    return rc < 0 ? failed(s, rc, "set up the volume", err) : 0;
}

int luks_format(const char *file, const char *partition, const uint8_t *const keys[2], const char *token,
                struct err *err)
{
    AUTO(session_drop) struct session s = { .said = "" };
    struct crypt_params_luks2 params = {
        .pbkdf = &quick, .integrity = INTEGRITY, .sector_size = SECTOR, .label = "cvm-volume"
    };
    if (begin(&s, file, partition, err) < 0)
        return -1;
    crypt_set_rng_type(s.cd, CRYPT_RNG_URANDOM);
    int rc = crypt_set_metadata_size(s.cd, VOLUME_LUKS_SIZE, SLOTS_SIZE);
    if (rc == 0)
        rc = crypt_set_data_offset(s.cd, VOLUME_HEADER_SIZE / 512);
    if (rc == 0)
        rc = crypt_format(s.cd, CRYPT_LUKS2, CIPHER, MODE, NULL, NULL, VOLUME_KEY, &params);
    for (int slot = 0; rc >= 0 && slot < 2; slot++)
        if (keys[slot])
            rc = crypt_keyslot_add_by_volume_key(s.cd, slot, NULL, 0, (const char *)keys[slot], 32);
    if (rc >= 0)
        rc = crypt_token_json_set(s.cd, CRYPT_ANY_TOKEN, token);
    return rc < 0 ? failed(&s, rc, "make the LUKS2 header", err) : 0;
}

/* The header has been authenticated; this catches a program that forgot to. */
static int check_form(const struct session *s, struct err *err)
{
    struct crypt_params_integrity integrity = { 0 };
    if (crypt_get_integrity_info(s->cd, &integrity) < 0 || !integrity.integrity
        || strcmp(integrity.integrity, INTEGRITY) != 0 || !crypt_get_cipher(s->cd)
        || strcmp(crypt_get_cipher(s->cd), CIPHER) != 0 || strcmp(crypt_get_cipher_mode(s->cd), MODE) != 0
        || crypt_get_data_offset(s->cd) != VOLUME_HEADER_SIZE / 512
        || crypt_get_volume_key_size(s->cd) != VOLUME_KEY)
        return err_set(err, ERR_DENIED, 0, "the header is not of the form " CIPHER "-" MODE ", " INTEGRITY);
    return 0;
}

static int load(struct session *s, const char *file, const char *partition, struct err *err)
{
    if (begin(s, file, partition, err) < 0)
        return -1;
    int rc = crypt_load(s->cd, CRYPT_LUKS2, NULL);
    return rc < 0 ? failed(s, rc, "load the LUKS2 header", err) : check_form(s, err);
}

int luks_open(const char *file, const char *partition, const char *name, int slot,
              const uint8_t key[static 32], bool fresh, char uuid[static LUKS_UUID_SIZE], struct err *err)
{
    AUTO(session_drop) struct session s = { .said = "" };
    if (load(&s, file, partition, err) < 0)
        return -1;
    int rc = crypt_activate_by_passphrase(s.cd, name, slot, (const char *)key, 32,
                                          fresh ? CRYPT_ACTIVATE_NO_JOURNAL : 0);
    if (rc < 0)
        return failed(&s, rc, "activate the volume", err);
    snprintf(uuid, LUKS_UUID_SIZE, "%s", crypt_get_uuid(s.cd) ? crypt_get_uuid(s.cd) : "");
    return 0;
}

struct wipe {
    void (*progress)(unsigned);
    unsigned said;
};

static int wiped(uint64_t size, uint64_t offset, void *arg)
{
    struct wipe *w = arg;
    unsigned percent = size ? (unsigned)(offset * 100 / size) : 100;
    if (w->progress && percent >= w->said + 10) {
        w->said = percent;
        w->progress(percent);
    }
    return 0;
}

int luks_wipe(const char *file, const char *partition, const char *name, void (*progress)(unsigned),
              struct err *err)
{
    AUTO(session_drop) struct session s = { .said = "" };
    struct wipe w = { progress, 0 };
    char path[64];
    snprintf(path, sizeof(path), "/dev/mapper/%s", name);
    if (load(&s, file, partition, err) < 0)
        return -1;
    int rc = crypt_wipe(s.cd, path, CRYPT_WIPE_ZERO, 0, 0, WIPE_BLOCK, 0, wiped, &w);
    return rc < 0 ? failed(&s, rc, "write zeros over the volume", err) : 0;
}

int luks_close(const char *name, struct err *err)
{
    AUTO(session_drop) struct session s = { .said = "" };
    crypt_set_log_callback(NULL, first_complaint, s.said);
    int rc = crypt_init_by_name(&s.cd, name);
    if (rc == 0)
        rc = crypt_deactivate(s.cd, name);
    return rc < 0 ? failed(&s, rc, "close the volume", err) : 0;
}

int luks_part(const char *device, uint64_t first_sector, uint64_t sectors, bool kept, const char *name,
              struct err *err)
{
    AUTO(session_drop) struct session s = { .said = "" };
    struct crypt_params_plain params = { .offset = first_sector, .size = sectors, .sector_size = SECTOR };
    uint8_t key[PART_KEY];
    crypt_set_log_callback(NULL, first_complaint, s.said);
    for (uint8_t i = 0; i < sizeof(key); i++)
        key[i] = i;
    if (!kept && getrandom(key, sizeof(key), 0) != sizeof(key))
        return err_set(err, ERR_IO, (uint32_t)errno, "no random bytes: %s", strerror(errno));
    int rc = crypt_init(&s.cd, device);
    if (rc == 0)
        rc = crypt_volume_key_keyring(s.cd, 0);
    if (rc == 0)
        rc = crypt_format(s.cd, CRYPT_PLAIN, CIPHER, MODE, NULL, NULL, sizeof(key), &params);
    if (rc == 0)
        rc = crypt_activate_by_volume_key(s.cd, name, (const char *)key, sizeof(key), CRYPT_ACTIVATE_SHARED);
    OPENSSL_cleanse(key, sizeof(key));
    return rc < 0 ? failed(&s, rc, "open a part of the volume", err) : 0;
}
