/** evidence/attestation.h: the attest.Attestation message of go-tpm-tools, in its binary and its JSON form: a
 * vTPM's quotes, event log and key, and perhaps the report of a TEE.
 *  Source: google/go-tpm-tools proto/attest.proto and proto/tpm.proto; google/go-sev-guest
 * proto/sevsnp.proto; google/go-tdx-guest proto/tdx.proto. */
#ifndef CVM_EVIDENCE_ATTESTATION_H
#define CVM_EVIDENCE_ATTESTATION_H

#include "base/buf.h"
#include "base/pb_json.h"
#include "tpm/tpm.h"

#define ATTESTATION_MAX        (8u << 20) /* either form */
#define ATTESTATION_QUOTES_MAX 8
#define ATTESTATION_CERTS_MAX  8

struct attestation_quote {
    struct bytes quote;   /* TPMS_ATTEST */
    struct bytes raw_sig; /* TPMT_SIGNATURE */
    struct tpm_pcrs pcrs; /* as the message says; alg 0: none */
};

struct attestation {
    struct bytes ak_pub; /* TPMT_PUBLIC */
    struct attestation_quote quotes[ATTESTATION_QUOTES_MAX];
    size_t quote_count;
    struct bytes event_log, canonical_event_log;
    struct bytes ak_cert; /* DER */
    struct bytes intermediate_certs[ATTESTATION_CERTS_MAX];
    size_t intermediate_count;
    struct bytes vcek_cert, ask_cert, ark_cert, vlek_cert; /* DER, of the SNP part */

    struct bytes message;  /* the binary form */
    struct buf wire;       /* owns it when the input was JSON */
    struct buf snp_report; /* the 1184 bytes that the processor signed, put together again; empty: none */
    struct buf tdx_quote;  /* the version 4 quote, put together again; empty: none */
};

/** Message tables, for pb_to_json() and pb_from_json(). */
extern const struct pb_message attestation_message;     /* attest.Attestation */
extern const struct pb_message snp_attestation_message; /* sevsnp.Attestation */
extern const struct pb_message tdx_quote_message;       /* tdx.QuoteV4 */

/** True if data looks like an attest.Attestation: JSON with its names, or protobuf that begins with a
 * TPMT_PUBLIC in field 1. */
bool attestation_looks(struct bytes data);

/** Reads either form; parsed is not trusted.
 *  @param data  untrusted; must outlive *out
 *  @param out   attestation_done() it; written only on success
 *  @return 0, or -1 with ERR_INPUT (with the offset, or the member's name) or ERR_TOO_LARGE */
MUST_USE int attestation_parse(struct bytes data, struct attestation *out, struct err *err);

/** For AUTO(attestation_done). */
void attestation_done(struct attestation *a);

/** Appends the 1184-byte report of a sevsnp.Report message that pb_check() passed. */
MUST_USE int attestation_snp_report(struct bytes report, struct buf *out, struct err *err);

/** Appends the quote of a tdx.QuoteV4 message that pb_check() passed. */
MUST_USE int attestation_tdx_quote(struct bytes quote, struct buf *out, struct err *err);

#endif
