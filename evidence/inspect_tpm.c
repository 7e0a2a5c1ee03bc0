/* What a TPM makes: quotes, signatures, public areas, event logs. */
#include "evidence/inspect_types.h"

#include "base/auto.h"
#include "base/x509.h"
#include "tpm/attest.h"
#include "tpm/eventlog.h"
#include "tpm/public.h"
#include "tpm/signature.h"

/* True if data, or data after a TPM2B size, begins with these bytes. */
static bool begins(struct bytes data, const char *with, size_t n, bool sized)
{
    size_t skip = sized ? 2 : 0;
    return data.n >= skip + n && memcmp(data.p + skip, with, n) == 0;
}

bool looks_tpm_attest(struct bytes data)
{
    return begins(data, "\xFFTCG", 4, false) || begins(data, "\xFFTCG", 4, true);
}

/* Scheme and hash, both two bytes big-endian, from short lists: no other type begins so. */
bool looks_tpm_signature(struct bytes data)
{
    struct reader r = reader_of(data);
    uint16_t scheme, hash;
    return rd_u16be(&r, &scheme) && rd_u16be(&r, &hash) && tpm_scheme_name(scheme)
           && scheme != TPM_SCHEME_NULL && digest_size(hash);
}

/* A signature value alone has no structure: 256, 384 or 512 bytes that look drawn at random. Random bytes
 * show about 162, 199 and 221 different values; text, DER and structures with padding far fewer. */
bool looks_bare_rsa_signature(struct bytes data)
{
    static const struct {
        size_t size;
        unsigned distinct_min;
    } sizes[] = { { 256, 138 }, { 384, 172 }, { 512, 195 } };
    bool seen[256] = { false };
    unsigned distinct = 0;
    for (size_t i = 0; i < data.n; i++) {
        distinct += !seen[data.p[i]];
        seen[data.p[i]] = true;
        if (i >= 3 && data.p[i] == data.p[i - 1] && data.p[i] == data.p[i - 2] && data.p[i] == data.p[i - 3])
            return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        if (data.n == sizes[i].size)
            return distinct >= sizes[i].distinct_min;
    return false;
}

static bool key_type(struct reader r)
{
    uint16_t type, name_alg;
    return rd_u16be(&r, &type) && rd_u16be(&r, &name_alg) && (type == TPM_KEY_RSA || type == TPM_KEY_ECC)
           && digest_size(name_alg);
}

bool looks_tpm_public(struct bytes data)
{
    struct reader r = reader_of(data), sized = r;
    uint16_t size;
    return key_type(r) || (rd_u16be(&sized, &size) && size >= 8 && size <= 2048 && key_type(sized));
}

bool looks_eventlog(struct bytes data)
{
    return !json_has(data, '{', NULL) && !json_has(data, '[', NULL) && tpm_eventlog_looks_like(data);
}

bool looks_eventlog_json(struct bytes data)
{
    return json_has(data, '[', "imr") && tpm_eventlog_looks_like(data);
}

int inspect_tpm_attest(struct bytes data, json_t *out, struct err *err)
{
    struct tpm_attest attest;
    if (tpm_attest_parse(data, &attest, err) < 0)
        return -1;
    put_all(out, tpm_attest_json(&attest));
    return 0;
}

/* Sizes of bare RSA signatures, which no content tells from other bytes: taken when asked for by name. */
int inspect_tpm_signature(struct bytes data, json_t *out, struct err *err)
{
    struct tpm_signature sig;
    bool bare = (data.n == 256 || data.n == 384 || data.n == 512) && !looks_tpm_signature(data);
    int rc = bare ? tpm_signature_parse_bare(data, TPM_SCHEME_RSASSA, ALG_SHA256, &sig, err)
                  : tpm_signature_parse(data, &sig, err);
    if (rc < 0)
        return -1;
    put(out, "bare", json_boolean(bare));
    if (bare)
        put(out, "sig", json_hex(sig.rsa)); /* the bytes say no scheme */
    else
        put_all(out, tpm_signature_json(&sig));
    return 0;
}

int inspect_tpm_public(struct bytes data, json_t *out, struct err *err)
{
    struct tpm_public pub;
    AUTO(buf_done) struct buf spki = buf_new(CERT_MAX);
    AUTO(buf_done) struct buf name = buf_new(2 + DIGEST_MAX);
    struct err ignored;
    if (tpm_public_parse(data, &pub, err) < 0)
        return -1;
    put_all(out, tpm_public_json(&pub));
    if (!json_object_get(out, "name") && tpm_public_name(&pub, &name, &ignored) == 0)
        put(out, "name", json_hex(buf_bytes(&name)));
    if (!json_object_get(out, "spki") && tpm_public_spki(&pub, &spki, &ignored) == 0)
        put(out, "spki", json_hex(buf_bytes(&spki)));
    return 0;
}

int inspect_eventlog(struct bytes data, json_t *out, struct err *err)
{
    static const char *const kinds[] = { "auto", "tpm", "ccel", "dstack" };
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    json_t *json = NULL;
    if (tpm_eventlog_parse(data, EVENTLOG_AUTO, &log, err) < 0 || tpm_eventlog_json(&log, &json, err) < 0)
        return -1;
    put(out, "kind", json_string(kinds[log.kind]));
    put(out, "bytes_used", json_integer((json_int_t)log.used));
    put(out, "event_count", json_integer((json_int_t)log.count));
    put_all(out, json);
    return 0;
}
