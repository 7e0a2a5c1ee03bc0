#include "agent/auth.h"

#include "agent/owner.h"
#include "agent/tries.h"
#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <strings.h>

#define STATE_MAX        4096
#define HEADER_TOKEN_MAX 512

_Static_assert(TOKEN_TRIES == TRIES_MAX, "one number");

struct auth {
    pthread_mutex_t lock;
    char path[PATH_MAX], boot_id[64];
    bool given, preset; /* given: sha256 is in force; preset: preset_sha256 waits for journal and rules */
    bool journalled;    /* the journal has the preset one */
    uint8_t sha256[32], preset_sha256[32];
    bool rules_known, required;
    EVP_PKEY *owner;
    struct tries tries;
};

static void id_of(const uint8_t hash[static 32], char out[static TOKEN_ID_SIZE])
{
    hex_to(out, bytes_of(hash, (TOKEN_ID_SIZE - 1) / 2));
}

/* ---- the file of this boot ---- */

static int read_state(struct auth *a, struct err *err)
{
    AUTO(free_u8) uint8_t *text = NULL;
    AUTO(json_drop) json_t *root = NULL;
    struct err why = { 0 };
    size_t n;
    if (file_read(a->path, STATE_MAX, &text, &n, &why) < 0) {
        if (why.kind == ERR_NOT_FOUND)
            return 0;
        *err = why;
        return -1;
    }
    if (json_parse(bytes_of(text, n), STATE_MAX, &root, err) < 0)
        return err_while(err, "read auth.json");
    const char *boot = json_string_value(json_object_get(root, "boot_id"));
    const char *hex = json_string_value(json_object_get(root, "token_sha256"));
    if (!boot || !hex || hex_decode_fixed(bytes_str(hex), a->sha256, sizeof(a->sha256), &why) < 0)
        return err_set(err, ERR_INPUT, 0, "%.200s: no boot_id or no token_sha256", a->path);
    a->given = !strcmp(boot, a->boot_id);
    return 0;
}

static int write_state(const struct auth *a, const uint8_t hash[static 32], struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(STATE_MAX);
    buf_str(&text, "{\"boot_id\":");
    json_put_string(&text, bytes_str(a->boot_id));
    buf_str(&text, ",\"token_sha256\":\"");
    hex_put(&text, bytes_of(hash, 32));
    buf_str(&text, "\"}\n");
    if (buf_check(&text, "auth.json", err) < 0 || file_write_atomic(a->path, buf_bytes(&text), 0600, err) < 0)
        return err_while(err, "keep the token's hash");
    return 0;
}

/* Deployers write the file with and without a newline at the end. */
static int read_preset(struct auth *a, const char *text, struct err *err)
{
    struct bytes hex = bytes_str(text);
    while (hex.n && isspace(hex.p[0]))
        hex = bytes_of(hex.p + 1, hex.n - 1);
    while (hex.n && isspace(hex.p[hex.n - 1]))
        hex.n--;
    if (hex.n != 64 || hex_decode_fixed(hex, a->preset_sha256, sizeof(a->preset_sha256), err) < 0)
        return err_set(err, ERR_INPUT, 0, "token_hash: want the SHA-256 of the token, 64 hex digits");
    a->preset = true;
    return 0;
}

int auth_new(const struct auth_options *options, struct auth **out, struct err *err)
{
    struct auth *a = calloc(1, sizeof(*a));
    if (!a)
        return err_set(err, ERR_IO, ENOMEM, "no memory for tokens");
    pthread_mutex_init(&a->lock, NULL);
    a->required = true;
    snprintf(a->boot_id, sizeof(a->boot_id), "%s", options->boot_id);
    int rc = path_set(a->path, sizeof(a->path), err, "%s/auth.json", options->state);
    rc = rc < 0 ? rc : read_state(a, err);
    if (rc == 0 && !a->given && options->preset) /* the first one of a boot stays */
        rc = read_preset(a, options->preset, err);
    if (rc < 0)
        auth_free(a);
    else
        *out = a;
    return rc;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    EVP_PKEY_free(a->owner);
    pthread_mutex_destroy(&a->lock);
    OPENSSL_cleanse(a, sizeof(*a));
    free(a);
}

/* ---- tokens ---- */

bool auth_preset(struct auth *a, char out[static TOKEN_ID_SIZE])
{
    pthread_mutex_lock(&a->lock);
    bool waits = a->preset;
    if (waits)
        id_of(a->preset_sha256, out);
    pthread_mutex_unlock(&a->lock);
    return waits;
}

/* With the lock held. */
static int put_in_force(struct auth *a, const uint8_t hash[static 32], struct err *err)
{
    if (write_state(a, hash, err) < 0)
        return -1;
    memcpy(a->sha256, hash, sizeof(a->sha256));
    a->given = true;
    a->preset = false;
    return 0;
}

int auth_use_preset(struct auth *a, struct err *err)
{
    pthread_mutex_lock(&a->lock);
    a->journalled = true;
    int rc = a->preset && a->rules_known ? put_in_force(a, a->preset_sha256, err) : 0;
    pthread_mutex_unlock(&a->lock);
    return rc;
}

int auth_make(char token[static TOKEN_SIZE + 1], char id[static TOKEN_ID_SIZE], struct err *err)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    uint8_t hash[32];
    for (size_t n = 0; n < TOKEN_SIZE;) {
        uint8_t b;
        if (RAND_bytes(&b, 1) != 1)
            return err_set(err, ERR_IO, 0, "no random bytes for a token");
        if ((b & 63) < sizeof(letters) - 1) /* others are thrown away: every letter is as likely */
            token[n++] = letters[b & 63];
    }
    token[TOKEN_SIZE] = '\0';
    sha256(bytes_of(token, TOKEN_SIZE), hash);
    id_of(hash, id);
    return 0;
}

int auth_use(struct auth *a, const char *token, struct err *err)
{
    uint8_t hash[32];
    sha256(bytes_str(token), hash);
    pthread_mutex_lock(&a->lock);
    int rc = put_in_force(a, hash, err);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

/* ---- the owner ---- */

/* With the lock held, once the rules are known. token_hash lies where the host can write: an owner's machine
 * takes no token from there. */
static int settle_preset(struct auth *a, struct err *err)
{
    if (a->preset && a->owner) {
        a->preset = false;
        log_event(LOG_LEVEL_WARNING, "token", "note",
                  "token_hash has no effect: the workload has an owner.pub, whose signature gives the token",
                  NULL);
    }
    return a->preset && a->journalled ? put_in_force(a, a->preset_sha256, err) : 0;
}

int auth_set_rules(struct auth *a, const struct auth_rules *rules, struct err *err)
{
    EVP_PKEY *owner = NULL;
    if (rules->owner_pub.n && owner_key_parse(rules->owner_pub, &owner, err) < 0)
        return -1;
    pthread_mutex_lock(&a->lock);
    EVP_PKEY_free(a->owner);
    a->owner = owner;
    a->required = rules->required;
    a->rules_known = true;
    int rc = settle_preset(a, err);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

static int not_yet(struct err *err)
{
    return err_set(
        err, ERR_UNAVAILABLE, 0,
        "the workload's policy is not known yet, or was refused: try again, or see the agent's log");
}

static void tagged(const char *tag, size_t tag_n, struct bytes second, struct bytes third,
                   uint8_t out[static 32])
{
    uint8_t text[128];
    size_t n = 0;
    memcpy(text, tag, tag_n);
    n += tag_n;
    memcpy(text + n, second.p, second.n);
    n += second.n;
    memcpy(text + n, third.p, third.n);
    n += third.n;
    sha256(bytes_of(text, n), out);
}

int auth_may_give(struct auth *a, const char *signature, const uint8_t spki_sha256[static 32],
                  struct err *err)
{
    static const char tag[] = "cvm-agent/api-token"; /* its NUL is part of it */
    uint8_t digest[32];
    int rc = 0;
    pthread_mutex_lock(&a->lock);
    if (!a->rules_known)
        rc = not_yet(err);
    else if (!a->required)
        rc = err_set(err, ERR_DENIED, 0, "the policy has https_server.enable_auth off: no token is needed");
    else if (a->preset)
        rc = err_set(err, ERR_DENIED, 0, "the token was preset by its hash: ask the deployer for it");
    else if (a->given)
        rc = err_set(err, ERR_DENIED, 0,
                     "the token of this boot is in use already: POST /api-token/rotate changes it");
    else if (a->owner) {
        tagged(tag, sizeof(tag), bytes_of(spki_sha256, 32), bytes_of(NULL, 0), digest);
        rc = owner_verify(a->owner, signature, digest, err);
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

bool auth_has_owner(struct auth *a)
{
    pthread_mutex_lock(&a->lock);
    bool has = a->owner != NULL;
    pthread_mutex_unlock(&a->lock);
    return has;
}

int auth_check_update(struct auth *a, const char *signature, uint64_t version,
                      const uint8_t zip_sha384[static 48], bool *signed_, struct err *err)
{
    static const char tag[] = "cvm-agent/update"; /* its NUL is part of it */
    uint8_t number[8], digest[32];
    int rc = 0;
    for (size_t i = 0; i < sizeof(number); i++)
        number[i] = (uint8_t)(version >> (56 - 8 * i));
    tagged(tag, sizeof(tag), bytes_of(number, sizeof(number)), bytes_of(zip_sha384, 48), digest);
    pthread_mutex_lock(&a->lock);
    if (!a->rules_known)
        rc = not_yet(err);
    else if (a->owner)
        rc = owner_verify(a->owner, signature, digest, err);
    if (rc == 0)
        *signed_ = a->owner != NULL;
    pthread_mutex_unlock(&a->lock);
    return rc;
}

/* ---- requests ---- */

/* @return the token's text, or NULL: not a Bearer header */
static const char *token_of(const char *header)
{
    static const char scheme[] = "Bearer";
    size_t n = sizeof(scheme) - 1;
    if (!header || strncasecmp(header, scheme, n) != 0 || (header[n] != ' ' && header[n] != '\t'))
        return NULL;
    header += n;
    while (*header == ' ' || *header == '\t')
        header++;
    return *header ? header : NULL;
}

static int compare(struct auth *a, const char *token, const struct address *who, uint64_t now_ms,
                   unsigned *retry_after_s, struct err *err)
{
    uint8_t hash[32];
    if (!tries_left(&a->tries, who, now_ms, retry_after_s))
        return err_set(err, ERR_LIMITED, 0, "too many wrong tokens from this address: try again in %u s",
                       *retry_after_s);
    sha256(bytes_of(token, strnlen(token, HEADER_TOKEN_MAX)), hash);
    if (a->given && strlen(token) < HEADER_TOKEN_MAX && CRYPTO_memcmp(hash, a->sha256, sizeof(hash)) == 0)
        return 0;
    tries_wrong(&a->tries, who, now_ms);
    return err_set(
        err, ERR_UNAUTHENTICATED, 0, "wrong token: %s",
        a->given    ? "send the one of this boot"
        : a->preset ? "the preset one is not in the journal yet, or the policy not known, see the agent's log"
                    : "none has been given yet, GET /api-token does");
}

int auth_check(struct auth *a, const char *header, const struct address *who, uint64_t now_ms,
               struct auth_caller *out, unsigned *retry_after_s, struct err *err)
{
    const char *token = token_of(header);
    struct auth_caller caller = { "" };
    int rc = 0;
    pthread_mutex_lock(&a->lock);
    if (a->required && !token)
        rc = err_set(err, ERR_UNAUTHENTICATED, 0, "a token is wanted: send Authorization: Bearer TOKEN");
    else if (a->required)
        rc = compare(a, token, who, now_ms, retry_after_s, err);
    if (rc == 0 && a->required)
        id_of(a->sha256, caller.token_id);
    pthread_mutex_unlock(&a->lock);
    if (rc == 0)
        *out = caller;
    return rc;
}
