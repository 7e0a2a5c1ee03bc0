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
    struct bytes asked, runtime_data; /* ATTESTATION_ASKED, ATTESTATION_RUNTIME; empty: not there */

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

/** What the report_data of our attestations is (contract, section 2). On machines with SEV-SNP and a TPM, as
 * Cocos has it: SHA3-512(report_data || TPMT_PUBLIC). On all others: SHA-512("cvm-agent/attestation-v1" 00 ||
 * report_data
 * || nonce).
 *  @param report_data  64 bytes; nonce: 32
 *  @return 0, or -1 with ERR_IO: libcrypto refused */
MUST_USE int attestation_bind_cocos(struct bytes report_data, struct bytes ak_public, uint8_t out[static 64],
                                    struct err *err);
MUST_USE int attestation_bind_v1(struct bytes report_data, struct bytes nonce, uint8_t out[static 64],
                                 struct err *err);

/** Values beside the evidence that its reader needs, where the messages have room for them: among the extra
 * certificates of an SNP report, or behind a TDX quote (16 bytes of name, size as u32le, value). */
#define ATTESTATION_ASKED   "b2c9a9d4-5e0f-4c83-9c1f-6d2a7e1b0c54" /* report_data of the request, 64 bytes */
#define ATTESTATION_RUNTIME "5f6c8a17-3b9e-4d0a-8f52-91c7e4d3a2b6" /* Azure's runtime data */
#define ATTESTATION_BODY_15                                                                                  \
    "0d2f4b61-7c1e-4f2b-9a86-3e57d0c9b1f8" /* what a TD 1.5 body has beyond 584 bytes */

/** Appends a sevsnp.Report or tdx.QuoteV4 message with what the raw bytes say; the inverse of the two below.
 * A quote of version 5 has that version in its header; readers that know version 4 only refuse it there.
 *  @return 0, or -1: ERR_INPUT (not a report, not a quote) */
MUST_USE int attestation_put_snp_report(struct bytes raw, struct buf *out, struct err *err);
MUST_USE int attestation_put_tdx_quote(struct bytes raw, struct bytes behind, struct buf *out,
                                       struct err *err);

/** Appends a value as it lies behind a TDX quote. */
void attestation_put_behind(const char *name, struct bytes value, struct buf *out);

/** Appends the 1184-byte report of a sevsnp.Report message that pb_check() passed. */
MUST_USE int attestation_snp_report(struct bytes report, struct buf *out, struct err *err);

/** Appends the quote of a tdx.QuoteV4 message that pb_check() passed. */
MUST_USE int attestation_tdx_quote(struct bytes quote, struct buf *out, struct err *err);

#endif
