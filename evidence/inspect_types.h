/** evidence/inspect_types.h: the decoders behind inspect.c, one group a file, and what they share. */
#ifndef CVM_EVIDENCE_INSPECT_TYPES_H
#define CVM_EVIDENCE_INSPECT_TYPES_H

#include "evidence/inspect.h"

#include <openssl/x509.h>

/** Certificates in one file. */
#define INSPECT_CERTS_MAX 32

/* inspect_x509.c */
bool looks_certificate(struct bytes data);
bool looks_crl(struct bytes data);
bool looks_public_key(struct bytes data);
int inspect_certificate(struct bytes data, json_t *out, struct err *err);
int inspect_crl(struct bytes data, json_t *out, struct err *err);
int inspect_public_key(struct bytes data, json_t *out, struct err *err);
/** Adds algorithm, size, curve and SPKI of a key. */
void inspect_put_key(EVP_PKEY *key, json_t *out);
/** Adds the extensions that a TEE or cloud vendor defined, decoded: "amd", "intel_sgx", "google". */
int inspect_put_vendor(const X509 *cert, json_t *out, struct err *err);

/* inspect_tpm.c */
bool looks_tpm_attest(struct bytes data);
bool looks_tpm_signature(struct bytes data);
bool looks_bare_rsa_signature(struct bytes data);
bool looks_tpm_public(struct bytes data);
bool looks_eventlog(struct bytes data);
bool looks_eventlog_json(struct bytes data);
int inspect_tpm_attest(struct bytes data, json_t *out, struct err *err);
int inspect_tpm_signature(struct bytes data, json_t *out, struct err *err);
int inspect_tpm_public(struct bytes data, json_t *out, struct err *err);
int inspect_eventlog(struct bytes data, json_t *out, struct err *err);

/* inspect_tee.c */
bool looks_snp_report(struct bytes data);
bool looks_cert_table(struct bytes data);
bool looks_tdx_quote(struct bytes data);
bool looks_tdreport(struct bytes data);
bool looks_tdreport_by_size(struct bytes data);
bool looks_hcl_report(struct bytes data);
bool looks_ccel_table(struct bytes data);
int inspect_snp_report(struct bytes data, json_t *out, struct err *err);
int inspect_cert_table(struct bytes data, json_t *out, struct err *err);
int inspect_tdx_quote(struct bytes data, json_t *out, struct err *err);
int inspect_tdreport(struct bytes data, json_t *out, struct err *err);
int inspect_hcl_report(struct bytes data, json_t *out, struct err *err);
int inspect_ccel_table(struct bytes data, json_t *out, struct err *err);

/* inspect_nvidia.c */
bool looks_nvidia_report(struct bytes data);
int inspect_nvidia_report(struct bytes data, json_t *out, struct err *err);

/* inspect_json.c */
bool looks_pcrs(struct bytes data);
bool looks_tcb_info(struct bytes data);
bool looks_qe_identity(struct bytes data);
bool looks_tcb_evaluation_numbers(struct bytes data);
bool looks_golden(struct bytes data);
bool looks_runtime_data(struct bytes data);
bool looks_jwt(struct bytes data);
int inspect_json_members(struct bytes data, json_t *out, struct err *err);
int inspect_pcrs(struct bytes data, json_t *out, struct err *err);
int inspect_golden(struct bytes data, json_t *out, struct err *err);
int inspect_jwt(struct bytes data, json_t *out, struct err *err);

/* inspect_documents.c */
bool looks_collaterals(struct bytes data);
int inspect_collaterals(struct bytes data, json_t *out, struct err *err);
int inspect_attestation(struct bytes data, json_t *out, struct err *err);

/** True if the data begins as a JSON object (or list) and has this member name somewhere; a NULL name asks
 * for the bracket alone. */
bool json_has(struct bytes data, char bracket, const char *member);

/** Adds value under key; a failure for want of memory leaves it out. */
static inline void put(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

/** Moves all members of from into out, and drops from. */
void put_all(json_t *out, json_t *from);

/** Adds a nested object under key: "type" and the members of a decoder. */
MUST_USE int put_nested(json_t *out, const char *key, const char *type, struct bytes data, struct err *err);

#endif
