#include "agent/identity.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/json.h"
#include "workload/keccak.h"

#include <errno.h>
#include <limits.h>
#include <openssl/rand.h>

#define STATE_MAX   4096
#define JOURNAL_MAX (64u << 20)

/* The salt is no secret: without the TPM's seed of this boot it gives no key. */
struct identity {
    struct collector *collector;
    struct journal *journal;
    char path[PATH_MAX], boot_id[64];
    bool known;
    uint8_t salt[32], hash[IDENTITY_SIZE];
};

int identity_new(const struct identity_options *options, struct identity **out, struct err *err)
{
    struct identity *i = calloc(1, sizeof(*i));
    if (!i)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the identity key");
    i->collector = options->collector;
    i->journal = options->journal;
    snprintf(i->boot_id, sizeof(i->boot_id), "%s", options->boot_id);
    if (path_set(i->path, sizeof(i->path), err, "%s/identity.json", options->state) < 0) {
        free(i);
        return -1;
    }
    *out = i;
    return 0;
}

void identity_free(struct identity *i)
{
    free(i);
}

/* ---- the TPM's part ---- */

struct call {
    const uint8_t *salt, *digest; /* digest NULL: the public point only */
    uint8_t xy[64], rs[64];
};

static int on_tpm(struct tpm *tpm, void *arg, struct err *err)
{
    struct call *c = arg;
    if (!tpm)
        return err_set(err, ERR_UNAVAILABLE, 0, "this machine has no TPM, so there is no key to sign with");
    return c->digest ? tpm_boot_key_sign(tpm, c->salt, c->digest, c->xy, c->rs, err)
                     : tpm_boot_key(tpm, c->salt, c->xy, err);
}

/* ---- the key of this boot ---- */

/* Whether the journal's last identity is this hash: a file that somebody put here names no other key. */
static bool in_journal(struct journal *j, const uint8_t hash[static IDENTITY_SIZE])
{
    AUTO(buf_done) struct buf text = buf_new(JOURNAL_MAX);
    AUTO(json_drop) json_t *events = NULL;
    struct err ignored = { 0 };
    uint8_t content[48];
    char hex[97];
    const char *last = "";
    size_t k;
    json_t *e;
    if (!journal_put(j, SIZE_MAX, &text) || json_parse(buf_bytes(&text), JOURNAL_MAX, &events, &ignored) < 0)
        return false;
    json_array_foreach(events, k, e)
    {
        const char *type = json_string_value(json_object_get(e, "type"));
        const char *sha = json_string_value(json_object_get(e, "content_sha384"));
        if (type && sha && !strcmp(type, "identity"))
            last = sha;
    }
    sha384(bytes_of(hash, IDENTITY_SIZE), content);
    return !strcmp(last, hex_to(hex, bytes_of(content, sizeof(content))));
}

static int derive(struct identity *i, const uint8_t salt[static 32], uint8_t hash[static IDENTITY_SIZE],
                  struct err *err)
{
    struct call c = { .salt = salt };
    if (collector_with_tpm(i->collector, on_tpm, &c, err) < 0)
        return -1;
    keccak256(bytes_of(c.xy, sizeof(c.xy)), hash);
    return 0;
}

/* @return true if the file names this boot's key */
static bool recall(struct identity *i)
{
    AUTO(free_u8) uint8_t *text = NULL;
    AUTO(json_drop) json_t *root = NULL;
    struct err ignored = { 0 };
    uint8_t salt[32];
    size_t n;
    if (file_read(i->path, STATE_MAX, &text, &n, &ignored) < 0
        || json_parse(bytes_of(text, n), STATE_MAX, &root, &ignored) < 0)
        return false;
    const char *boot = json_string_value(json_object_get(root, "boot_id"));
    const char *hex = json_string_value(json_object_get(root, "salt"));
    if (!boot || !hex || strcmp(boot, i->boot_id) != 0
        || hex_decode_fixed(bytes_str(hex), salt, sizeof(salt), &ignored) < 0
        || derive(i, salt, i->hash, &ignored) < 0 || !in_journal(i->journal, i->hash))
        return false;
    memcpy(i->salt, salt, sizeof(salt));
    return true;
}

/* In the journal first, then used. */
static int make(struct identity *i, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(STATE_MAX);
    uint8_t salt[32], hash[IDENTITY_SIZE];
    if (RAND_bytes(salt, sizeof(salt)) != 1)
        return err_set(err, ERR_IO, 0, "no random bytes for a key");
    if (derive(i, salt, hash, err) < 0
        || journal_add(i->journal, "identity", "", bytes_of(hash, sizeof(hash)), err) < 0)
        return -1;
    buf_str(&text, "{\"boot_id\":");
    json_put_string(&text, bytes_str(i->boot_id));
    buf_str(&text, ",\"salt\":\"");
    hex_put(&text, bytes_of(salt, sizeof(salt)));
    buf_str(&text, "\"}\n");
    if (buf_check(&text, "identity.json", err) < 0
        || file_write_atomic(i->path, buf_bytes(&text), 0600, err) < 0)
        return err_while(err, "keep the identity key");
    memcpy(i->salt, salt, sizeof(salt));
    memcpy(i->hash, hash, sizeof(hash));
    return 0;
}

static int ready(struct identity *i, bool renew, struct err *err)
{
    if (!i->journal)
        return err_set(err, ERR_UNAVAILABLE, 0, "there is no journal to name a key in: see the agent's log");
    if (journal_ready(i->journal, err) < 0)
        return -1;
    if (!i->known && !renew)
        i->known = recall(i);
    if (i->known && !renew)
        return 0;
    if (make(i, err) < 0)
        return err_while(err, "make the identity key");
    i->known = true;
    return 0;
}

int identity_hash(struct identity *i, bool renew, uint8_t hash[static IDENTITY_SIZE], struct err *err)
{
    if (ready(i, renew, err) < 0)
        return -1;
    memcpy(hash, i->hash, IDENTITY_SIZE);
    return 0;
}

int identity_sign(struct identity *i, struct bytes message, bool renew, uint8_t hash[static IDENTITY_SIZE],
                  uint8_t rs[static 64], struct err *err)
{
    uint8_t digest[32];
    if (ready(i, renew, err) < 0)
        return -1;
    struct call c = { .salt = i->salt, .digest = digest };
    sha256(message, digest);
    if (collector_with_tpm(i->collector, on_tpm, &c, err) < 0)
        return err_while(err, "sign the message");
    keccak256(bytes_of(c.xy, sizeof(c.xy)), hash);
    if (memcmp(hash, i->hash, IDENTITY_SIZE) != 0) {
        i->known = false; /* the TPM was reset under us: the journal does not name this key */
        return err_set(err, ERR_UNAVAILABLE, 0, "the TPM has another key now than it had: ask again");
    }
    memcpy(rs, c.rs, sizeof(c.rs));
    return 0;
}
