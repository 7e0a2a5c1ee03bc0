#include "cli/check_document.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"
#include "base/x509.h"
#include "tpm/attest.h"
#include "tpm/eventlog.h"
#include "tpm/pcrs.h"
#include "tpm/public.h"
#include "tpm/signature.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>
#include <strings.h>

#define DOCUMENT_MAX   (32u << 20)
#define MEMBER_MAX     (16u << 20)
#define JOURNAL_PCR    14
#define BOUND_NONCE    30
#define EVENT_TEXT_MAX 4096

/* The parts of the document that the checks share. */
struct parts {
    const json_t *document, *tpm;
    struct tpm_attest quote;
    struct buf quote_raw, nonce;
    struct tpm_pcrs pcrs;
};

static void parts_done(struct parts *p)
{
    buf_done(&p->quote_raw);
    buf_done(&p->nonce);
}

static void say(struct buf *list, const char *what)
{
    buf_printf(list, "%s%s", list->n ? ", " : "", what);
}

static int no(struct err *err, const char *why)
{
    return err_set(err, ERR_DENIED, 0, "%s", why);
}

/* The nonce that the TPM binds: on a service's socket another than the caller's (contract, section 2). */
static int bound_nonce(const struct parts *p, struct bytes asked, struct buf *out, struct err *err)
{
    const json_t *service = json_object_get(p->document, "service");
    struct digest d;
    if (!service) {
        buf_put(out, asked);
        return buf_check(out, "nonce", err);
    }
    if (!json_is_string(service))
        return err_set(err, ERR_INPUT, 0, "\"service\" is not text");
    const struct bytes hashed[] = {
        bytes_of("cvm-agent/service", sizeof("cvm-agent/service")),
        bytes_of(json_string_value(service), json_string_length(service) + 1),
        asked,
    };
    if (digest_parts(ALG_SHA256, hashed, ARRAY_SIZE(hashed), &d, err) < 0)
        return -1;
    buf_put(out, bytes_of(d.b, BOUND_NONCE));
    return buf_check(out, "nonce", err);
}

/* Fills expected with magic and nonce, as extraData has them. */
static int check_question(struct parts *p, const struct document_check *want, struct buf *expected,
                          struct err *err)
{
    static const char *const magics[] = { "External/collaterals", "Internal/collaterals",
                                          "Workload/collaterals" };
    AUTO(buf_done) struct buf nonce = buf_new(256);
    bool known = false;
    if (json_get_b64(p->document, "magic", expected, err) < 0
        || json_get_b64(p->document, "nonce", &nonce, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
        known |= bytes_equal(buf_bytes(expected), bytes_str(magics[i])) && (!want->external || i == 0);
    if (!known)
        return no(err, want->external ? "the document's magic is not External/collaterals"
                                      : "the document's magic is none that agents use");
    if (!bytes_equal(buf_bytes(&nonce), want->nonce))
        return no(err, "the document's nonce is not the one asked for");
    return bound_nonce(p, want->nonce, expected, err);
}

static int verify_signature(EVP_PKEY *key, const struct tpm_signature *sig, struct bytes message,
                            struct err *err)
{
    AUTO(buf_done) struct buf der = buf_new(4096);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how = NULL;
    if (sig->hash == ALG_SHA1) {
        EVP_MD_CTX_free(ctx);
        return no(err, "the TPM quote is signed over SHA-1");
    }
    int padding = sig->scheme == TPM_SCHEME_RSAPSS ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;
    bool ec = sig->scheme == TPM_SCHEME_ECDSA;
    bool good = ctx && tpm_signature_to_der(sig, &der, err) == 0 && EVP_PKEY_is_a(key, ec ? "EC" : "RSA") == 1
                && EVP_DigestVerifyInit_ex(ctx, &how, digest_name(sig->hash), NULL, NULL, key, NULL) == 1
                && (ec || EVP_PKEY_CTX_set_rsa_padding(how, padding) == 1)
                && EVP_DigestVerify(ctx, der.p, der.n, message.p, message.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good ? 0 : no(err, "the TPM quote is not signed by the document's AK");
}

/* A restricted TPM key cannot sign a made-up quote; the bare SPKI does not say that it is one. */
static int check_ak(const struct parts *p, struct bytes spki, struct buf *checked, struct buf *left,
                    struct err *err)
{
    AUTO(buf_done) struct buf area = buf_new(MEMBER_MAX), own = buf_new(CERT_MAX);
    struct tpm_public pub;
    if (!json_object_get(p->tpm, "ak_public")) {
        say(left, "the AK's attributes (no ak_public)");
        return 0;
    }
    if (json_get_b64(p->tpm, "ak_public", &area, err) < 0 || tpm_public_parse(buf_bytes(&area), &pub, err) < 0
        || tpm_public_check_ak(&pub, err) < 0 || tpm_public_spki(&pub, &own, err) < 0)
        return err_while(err, "ak_public");
    if (!bytes_equal(buf_bytes(&own), spki))
        return no(err, "ak_public and ak_pub are different keys");
    say(checked, "AK attributes");
    return 0;
}

static int read_pcrs(struct parts *p, struct err *err)
{
    const json_t *outer = json_object_get(p->tpm, "pcrs"), *values = json_object_get(outer, "pcrs");
    json_int_t alg = json_integer_value(json_object_get(outer, "hash"));
    size_t size = alg > 0 && alg <= UINT16_MAX ? digest_size((uint16_t)alg) : 0;
    if (!size || !json_is_object(values))
        return err_set(err, ERR_INPUT, 0, "tpm.pcrs is not there, or of an unknown hash");
    p->pcrs.alg = (uint16_t)alg;
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        AUTO(buf_done) struct buf value = buf_new(DIGEST_MAX);
        char key[4];
        snprintf(key, sizeof(key), "%u", i);
        if (!json_object_get(values, key))
            continue;
        if (json_get_b64(values, key, &value, err) < 0)
            return -1;
        if (value.n != size)
            return err_set(err, ERR_INPUT, 0, "tpm.pcrs %u has %zu bytes, want %zu", i, value.n, size);
        p->pcrs.mask |= 1u << i;
        p->pcrs.pcr[i] = (struct digest){ .alg = p->pcrs.alg, .n = (uint8_t)size };
        memcpy(p->pcrs.pcr[i].b, value.p, size);
    }
    return 0;
}

static int check_quote(struct parts *p, struct bytes extra, struct buf *checked, struct buf *left,
                       struct err *err)
{
    AUTO(buf_done) struct buf sig_raw = buf_new(MEMBER_MAX), spki = buf_new(CERT_MAX);
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    struct tpm_signature sig;
    struct digest digest;
    if (json_get_b64(p->tpm, "quote", &p->quote_raw, err) < 0
        || json_get_b64(p->tpm, "raw_sig", &sig_raw, err) < 0
        || json_get_b64(p->tpm, "ak_pub", &spki, err) < 0
        || tpm_attest_parse(buf_bytes(&p->quote_raw), &p->quote, err) < 0
        || tpm_signature_parse(buf_bytes(&sig_raw), &sig, err) < 0 || read_pcrs(p, err) < 0)
        return err_while(err, "TPM quote");
    if (spki_parse_der(buf_bytes(&spki), &key, err) < 0)
        return err_while(err, "tpm.ak_pub");
    if (verify_signature(key, &sig, p->quote.raw, err) < 0)
        return -1;
    say(checked, "TPM quote signed by the document's AK");
    if (check_ak(p, buf_bytes(&spki), checked, left, err) < 0)
        return -1;
    if (p->quote.type != TPM_ATTEST_QUOTE || !bytes_equal(p->quote.extra_data, extra))
        return no(err, "the TPM quote does not carry the magic and nonce asked for");
    if (tpm_pcr_digest(p->quote.quote.selections, p->quote.quote.n, &p->pcrs, 1, sig.hash, &digest, err) < 0)
        return err_while(err, "PCR digest");
    if (!bytes_equal(digest_bytes(&digest), p->quote.quote.pcr_digest))
        return no(err, "the PCR values are not the quoted ones");
    say(checked, "nonce, magic and PCR digest in it");
    return 0;
}

/* Where PCR 14 stood when the agent's journal began: boot loaders may have extended it before. */
static int journal_start(const struct parts *p, struct digest *out, struct err *err)
{
    AUTO(buf_done) struct buf raw = buf_new(MEMBER_MAX);
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    struct tpm_replay replay;
    *out = (struct digest){ .alg = p->pcrs.alg, .n = (uint8_t)digest_size(p->pcrs.alg) };
    if (!json_object_get(p->document, "boot_log_tpm"))
        return 0;
    if (json_get_b64(p->document, "boot_log_tpm", &raw, err) < 0
        || tpm_eventlog_parse(buf_bytes(&raw), EVENTLOG_TPM, &log, err) < 0
        || tpm_eventlog_replay(&log, &replay, err) < 0)
        return err_while(err, "boot_log_tpm");
    const struct tpm_pcrs *bank = tpm_replay_bank(&replay, p->pcrs.alg);
    if (bank && (bank->mask & 1u << JOURNAL_PCR))
        *out = bank->pcr[JOURNAL_PCR];
    return 0;
}

/* H("cvm-agent-v1" 0 type 0 name 0 SHA-384(content)), contract, section 6. */
static int extend_event(const json_t *event, struct digest *pcr, uint8_t content[static 48], struct err *err)
{
    AUTO(buf_done) struct buf preimage = buf_new(EVENT_TEXT_MAX);
    const char *type = json_string_value(json_object_get(event, "type"));
    const char *name = json_string_value(json_object_get(event, "name"));
    const char *hex = json_string_value(json_object_get(event, "content_sha384"));
    struct digest d;
    if (!type || !name || !hex)
        return err_set(err, ERR_INPUT, 0, "a journal event lacks type, name or content_sha384");
    if (hex_decode_fixed(bytes_str(hex), content, 48, err) < 0)
        return err_while(err, "content_sha384");
    buf_put(&preimage, bytes_of("cvm-agent-v1", sizeof("cvm-agent-v1")));
    buf_put(&preimage, bytes_of(type, strlen(type) + 1));
    buf_put(&preimage, bytes_of(name, strlen(name) + 1));
    buf_put(&preimage, bytes_of(content, 48));
    if (buf_check(&preimage, "journal event", err) < 0
        || digest_of(pcr->alg, buf_bytes(&preimage), &d, err) < 0)
        return -1;
    return digest_extend(pcr, digest_bytes(&d), err);
}

static int check_journal(const struct parts *p, const uint8_t *spki_sha384, struct err *err)
{
    const json_t *journal = json_object_get(p->document, "journal_log");
    struct digest pcr;
    bool seen = false, same = false;
    if (!(p->pcrs.mask & 1u << JOURNAL_PCR))
        return no(err, "PCR 14 is not in the quote: the journal cannot be held against it");
    if (journal_start(p, &pcr, err) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(journal); i++) {
        const json_t *event = json_array_get(journal, i);
        uint8_t content[48];
        if (extend_event(event, &pcr, content, err) < 0)
            return err_while(err, "journal_log");
        /* the last one: each start in this boot has a key of its own */
        if (strcmp(json_string_value(json_object_get(event, "type")), "tls-key") == 0) {
            seen = true;
            same = memcmp(content, spki_sha384, sizeof(content)) == 0;
        }
    }
    if (!seen)
        return no(err, "the journal has no tls-key event");
    if (!same)
        return no(err, "the journal's tls-key is not the key of this connection");
    if (!bytes_equal(digest_bytes(&pcr), digest_bytes(&p->pcrs.pcr[JOURNAL_PCR])))
        return no(err, "the journal does not replay to the quoted PCR 14");
    return 0;
}

static int check_peer(const struct parts *p, const struct document_check *want, struct buf *checked,
                      struct err *err)
{
    char hex[65];
    const char *said = json_string_value(json_object_get(p->document, "tls_spki_sha256"));
    if (!said || strcasecmp(said, hex_to(hex, bytes_of(want->spki_sha256, 32))) != 0)
        return no(err, "the document's tls_spki_sha256 is not the key of this connection");
    if (!p->tpm)
        return no(err, "there is no TPM quote that could tie the TLS key to the machine");
    if (check_journal(p, want->spki_sha384, err) < 0)
        return -1;
    say(checked, "TLS key in the document and in the journal, journal against PCR 14");
    return 0;
}

int document_check(struct bytes document, const struct document_check *want, struct buf *checked,
                   struct buf *left, struct err *err)
{
    AUTO(json_drop) json_t *json = NULL;
    AUTO(parts_done) struct parts p = { .quote_raw = buf_new(MEMBER_MAX), .nonce = buf_new(256) };
    AUTO(buf_done) struct buf extra = buf_new(1024);
    if (json_parse(document, DOCUMENT_MAX, &json, err) < 0)
        return -1;
    if (!json_is_object(json))
        return err_set(err, ERR_INPUT, 0, "the answer is not a collaterals document");
    p.document = json;
    p.tpm = json_object_get(json, "tpm");
    if (check_question(&p, want, &extra, err) < 0)
        return -1;
    if (!p.tpm)
        say(left, "nonce (no TPM quote)");
    else if (check_quote(&p, buf_bytes(&extra), checked, left, err) < 0)
        return -1;
    return want->spki_sha256 ? check_peer(&p, want, checked, err) : 0;
}
