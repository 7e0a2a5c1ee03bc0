#include "volume/header.h"

#include "base/auto.h"
#include "base/enc.h"
#include "tpm/sealed.h"

#include <stdlib.h>

#define TOKEN_TYPE    "cvm-agent-tpm2"
#define TOKEN_VERSION 1
#define RECOVERY_MAX  1024 /* RSA of 8192 bits */

static const uint8_t luks_magic[6] = { 'L', 'U', 'K', 'S', 0xBA, 0xBE };

enum volume_state volume_header_state(struct bytes header)
{
    const size_t text = sizeof(VOLUME_MARK) - 1;
    if (header.n < VOLUME_BLOCK)
        return VOLUME_FOREIGN;
    if (!memcmp(header.p, VOLUME_MARK, text) && bytes_zero(bytes_of(header.p + text, VOLUME_BLOCK - text)))
        return VOLUME_EMPTY;
    return memcmp(header.p, luks_magic, sizeof(luks_magic)) == 0 ? VOLUME_LUKS : VOLUME_FOREIGN;
}

void volume_token_done(struct volume_token *token)
{
    buf_done(&token->sealed);
    buf_done(&token->recovery);
}

/* The JSON area: text, then zeros. */
static int header_json(struct bytes header, json_t **out, struct err *err)
{
    struct reader r = reader_of(header);
    struct bytes magic, area;
    uint16_t version;
    uint64_t size;
    if (!rd_take(&r, sizeof(luks_magic), &magic) || memcmp(magic.p, luks_magic, magic.n) != 0
        || !rd_u16be(&r, &version) || version != 2 || !rd_u64be(&r, &size) || size != VOLUME_LUKS_SIZE
        || !rd_skip(&r, VOLUME_BLOCK - r.off) || !rd_take(&r, VOLUME_LUKS_SIZE - VOLUME_BLOCK, &area))
        return err_set(err, ERR_INPUT, 0, "the LUKS2 header is none that this program makes");
    area.n = strnlen((const char *)area.p, area.n);
    return json_parse(area, VOLUME_LUKS_SIZE, out, err);
}

static int take_pcrs(json_t *values, struct tpm_pcrs *out, struct err *err)
{
    const char *key;
    json_t *value;
    *out = (struct tpm_pcrs){ .alg = ALG_SHA256 };
    if (!json_is_object(values))
        return err_set(err, ERR_INPUT, 0, "token: pcrs is no object");
    json_object_foreach(values, key, value)
    {
        char *end;
        unsigned long pcr = strtoul(key, &end, 10);
        const char *hex = json_string_value(value);
        if (key[0] < '0' || key[0] > '9' || *end || pcr >= TPM_PCRS || !hex
            || hex_decode_fixed(bytes_str(hex), out->pcr[pcr].b, 32, NULL) < 0)
            return err_set(err, ERR_INPUT, 0, "token: pcrs has a member that is no register");
        out->pcr[pcr].alg = ALG_SHA256;
        out->pcr[pcr].n = 32;
        out->mask |= 1u << pcr;
    }
    return 0;
}

static int take_recovery(const json_t *recovery, struct volume_token *t, struct err *err)
{
    if (!recovery)
        return 0;
    const char *owner = json_string_value(json_object_get(recovery, "owner_sha256"));
    if (!owner || hex_decode_fixed(bytes_str(owner), t->recovery_owner, 32, NULL) < 0)
        return err_set(err, ERR_INPUT, 0, "token: recovery has no owner_sha256");
    return json_get_b64(recovery, "encrypted_key", &t->recovery, err);
}

static int take_token(const json_t *token, struct volume_token *t, struct err *err)
{
    if (json_integer_value(json_object_get(token, "version")) != TOKEN_VERSION)
        return err_set(err, ERR_INPUT, 0, "token: version is not %d", TOKEN_VERSION);
    if (json_get_b64(token, "sealed", &t->sealed, err) == 0
        && take_pcrs(json_object_get(token, "pcrs"), &t->pcrs, err) == 0
        && take_recovery(json_object_get(token, "recovery"), t, err) == 0)
        return 0;
    if (err && err->kind == ERR_TOO_LARGE)
        err->kind = ERR_INPUT; /* a part of the header that is none of ours */
    return -1;
}

int volume_token_find(struct bytes header, struct volume_token *out, struct err *err)
{
    AUTO(json_drop) json_t *top = NULL;
    AUTO(volume_token_done)
    struct volume_token t = { .sealed = buf_new(SEALED_BLOB_MAX), .recovery = buf_new(RECOVERY_MAX) };
    const json_t *found = NULL;
    const char *key;
    json_t *token;
    if (header_json(header, &top, err) < 0)
        return err_while(err, "read the LUKS2 header");
    json_object_foreach(json_object_get(top, "tokens"), key, token)
    {
        const char *type = json_string_value(json_object_get(token, "type"));
        if (!type || strcmp(type, TOKEN_TYPE) != 0)
            continue;
        if (found)
            return err_set(err, ERR_INPUT, 0, "the LUKS2 header has two tokens of type " TOKEN_TYPE);
        found = token;
    }
    if (!found)
        return err_set(err, ERR_NOT_FOUND, 0, "the LUKS2 header has no key that a TPM sealed");
    if (take_token(found, &t, err) < 0)
        return -1;
    *out = t;
    t = (struct volume_token){ .sealed = buf_new(0), .recovery = buf_new(0) };
    return 0;
}

json_t *volume_token_json(const struct volume_token *t)
{
    json_t *token =
        json_pack("{s:s,s:[s],s:i}", "type", TOKEN_TYPE, "keyslots", "0", "version", TOKEN_VERSION);
    json_t *pcrs = json_object();
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "%u", i);
        if (t->pcrs.mask & 1u << i)
            json_object_set_new(pcrs, name, json_hex(digest_bytes(&t->pcrs.pcr[i])));
    }
    json_object_set_new(token, "pcrs", pcrs);
    json_object_set_new(token, "sealed", json_b64(buf_bytes(&t->sealed)));
    if (t->recovery.n > 0) {
        json_t *recovery = json_object();
        json_object_set_new(recovery, "algorithm", json_string("RSA-OAEP-SHA256"));
        json_object_set_new(recovery, "owner_sha256", json_hex(bytes_of(t->recovery_owner, 32)));
        json_object_set_new(recovery, "encrypted_key", json_b64(buf_bytes(&t->recovery)));
        json_object_set_new(token, "recovery", recovery);
    }
    return token;
}

char *volume_pcrs_differing(const struct tpm_pcrs *then, const struct tpm_pcrs *now, char *out, size_t size)
{
    size_t used = 0;
    snprintf(out, size, "none");
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        if (!(then->mask & now->mask & 1u << i) || memcmp(then->pcr[i].b, now->pcr[i].b, 32) == 0)
            continue;
        int n = snprintf(out + used, size - used, "%s%u", used ? ", " : "", i);
        if (n <= 0 || (size_t)n >= size - used) {
            out[used] = '\0'; /* no half a number */
            break;
        }
        used += (size_t)n;
    }
    return out;
}
