/** evidence/verify_document.h: the collaterals document taken apart, contract section 3. Parsed is not
 * trusted. Documents of the automata agents (no "version", no "platform") are read too. */
#ifndef CVM_EVIDENCE_VERIFY_DOCUMENT_H
#define CVM_EVIDENCE_VERIFY_DOCUMENT_H

#include "base/buf.h"
#include "base/json.h"
#include "base/x509.h"
#include "tee/shape.h"

#define DOCUMENT_MAX         (32u << 20) /* two boot logs of 4 MiB, as base64, and the rest */
#define DOCUMENT_CHAIN_MAX   8
#define DOCUMENT_EVENTS_MAX  8192 /* of one measured log: a boot of many updates */
#define DOCUMENT_UNKNOWN_MAX 8
#define DOCUMENT_TEXT_MAX    128 /* report, service, platform names */

struct document_list {
    struct bytes item[DOCUMENT_CHAIN_MAX];
    size_t n;
};

struct document {
    json_t *root;   /* owned; the logs and texts below are borrowed from it */
    uint8_t *bytes; /* owned; what base64 decodes to */
    struct {
        bool said; /* the document has "platform" */
        const char *tee, *cloud;
        bool emulated;
    } platform;

    enum tee_type tee;       /* by the member that is there */
    struct bytes tee_report; /* SNP report or TDX quote */
    struct bytes vek_cert;   /* DER; empty: none */
    struct document_list cert_chain;
    struct document_list vek_certs; /* of first agents: VEK and chain in one; in the two above too */
    const json_t *collateral;       /* tdx.collateral, an object or a text; NULL: none */

    bool has_tpm;
    struct bytes quote, raw_sig;
    struct tpm_pcrs pcrs;
    struct bytes ak_pub, ak_public, ak_cert, var_data; /* empty: not there */
    struct document_list ak_cert_chain;
    struct document_list tpm_certs;   /* of first agents: as vek_certs */
    const char *report, *report_time; /* NULL: not there */

    struct bytes magic, nonce, uuid;
    const char *service; /* NULL: none */
    struct bytes boot_log_tpm, boot_log_ccel;
    const json_t *workload_log, *journal_log; /* arrays, or NULL */
    const char *tls_spki_sha256;              /* 64 lower-case hex digits, or NULL */

    size_t unknown_n;
    char unknown[DOCUMENT_UNKNOWN_MAX][64]; /* paths of members that nobody here knows */
};

/** Reads a document strictly: one JSON object, no duplicate keys, one TEE at most, every known member of its
 * type and size. Members that are not known are listed, not refused.
 *  @param text  untrusted, any length; not needed afterwards
 *  @param out   written only on success; document_done() frees
 *  @return 0, or -1 with ERR_INPUT (line and column, or the member's path) or ERR_TOO_LARGE */
MUST_USE int document_parse(struct bytes text, struct document *out, struct err *err);

/** As document_parse(), from a value that is parsed already; takes its own reference. */
MUST_USE int document_from_json(json_t *root, struct document *out, struct err *err);

struct json_spans;

/** As document_parse(), from an object within a text that is parsed already; no document is larger than that.
 *  @param text_n  the text's size */
MUST_USE int document_from_spans(const struct json_spans *spans, json_t *object, size_t text_n,
                                 struct document *out, struct err *err);

/** For AUTO(document_done). */
void document_done(struct document *d);

#endif
