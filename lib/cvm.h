/** cvm.h: libcvm, which judges evidence of confidential VMs: collaterals documents, held against golden
 * measurements and policies. It makes no request, reads no file and keeps no global state; the vendors' roots
 * are built in. A verifier may be used by one thread at a time; any number of verifiers may live.
 *
 *   struct cvm_verifier *v = cvm_verifier_new();
 *   char *answer;
 *   cvm_set_nonce(v, nonce, nonce_size);
 *   cvm_set_golden(v, golden, golden_size);
 *   if (cvm_verify(v, document, document_size, &answer) == CVM_VERIFIED) ...
 *
 * Symbols are versioned: what a release has, later ones of the same soname keep. */
#ifndef CVM_H
#define CVM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The exit statuses of cvm-cli, with their meaning. Whatever is not CVM_VERIFIED is not verified. */
enum cvm_status {
    CVM_VERIFIED = 0,    /* done; verified */
    CVM_REFUSED = 1,     /* judged, and the answer is no */
    CVM_USAGE = 2,       /* an argument that no call may have */
    CVM_MALFORMED = 3,   /* an input could not be read */
    CVM_ENVIRONMENT = 4, /* memory is short, or libcrypto refused */
};

/** What a caller may accept that is refused otherwise. Each weakens the answer, which names it. */
enum cvm_accept {
    CVM_ACCEPT_SELF_ASSERTED_AK = 1, /* PCRs whose key only the guest named: its host can forge them */
    CVM_ACCEPT_EXPIRED = 2,          /* vendors' material whose date is over */
};

struct cvm_verifier;

/** The version of the library, like "0.1.0". Constant. */
const char *cvm_version(void);

/** A verifier with the vendors' roots. @return it, to be freed with cvm_verifier_free(), or NULL: no memory
 */
struct cvm_verifier *cvm_verifier_new(void);
void cvm_verifier_free(struct cvm_verifier *v);

/** Why the last call on v did not return CVM_VERIFIED, one sentence; "" after one that did. Valid until the
 * next call on v. */
const char *cvm_error(const struct cvm_verifier *v);

/** The nonce that the document was asked with, 1 to 30 bytes, copied. Without it freshness is "unchecked".
 *  @return CVM_VERIFIED: taken; or CVM_USAGE */
enum cvm_status cvm_set_nonce(struct cvm_verifier *v, const void *nonce, size_t size);

/** The clock to judge by, RFC 3339 ("2025-01-31T12:00:00Z"), instead of the system's at each cvm_verify().
 *  @return CVM_VERIFIED: taken; or CVM_USAGE */
enum cvm_status cvm_set_time(struct cvm_verifier *v, const char *time);

/** The golden measurement (JSON) that the machine must have; copied, judged by cvm_verify(). Another call
 * replaces it. @return CVM_VERIFIED: taken; CVM_USAGE (empty) or CVM_ENVIRONMENT */
enum cvm_status cvm_set_golden(struct cvm_verifier *v, const char *json, size_t size);

/** The public key (PEM) that must have signed the golden measurement; copied, read by cvm_verify().
 *  @return as cvm_set_golden() */
enum cvm_status cvm_set_golden_key(struct cvm_verifier *v, const char *pem, size_t size);

/** One more policy that must hold, at most 16: JSON of Cocos or Cube, or Rego, told by content. Policies that
 * name files are refused. @param name  how the check is called: "policy.NAME"
 *  @return CVM_VERIFIED: taken; CVM_MALFORMED: with line and column */
enum cvm_status cvm_add_policy(struct cvm_verifier *v, const char *name, const char *text, size_t size);

/** Certificates that documents lack: VEKs and issuers, one DER, or PEM blocks; 64 at most. They are not
 * trusted for being here. @return CVM_VERIFIED: taken; CVM_MALFORMED */
enum cvm_status cvm_add_certificates(struct cvm_verifier *v, const void *certs, size_t size);

/** AMD's revocation list, DER or PEM, for the next documents. @return CVM_VERIFIED: taken; CVM_MALFORMED */
enum cvm_status cvm_set_snp_crl(struct cvm_verifier *v, const void *crl, size_t size);

/** Intel's collateral, one JSON object in the field names of DCAP tools (tcb_info, qe_identity, pck_crl,
 * ...), for quotes whose document has none. @return CVM_VERIFIED: taken; CVM_MALFORMED; CVM_REFUSED: not by
 * Intel's root */
enum cvm_status cvm_set_tdx_collateral(struct cvm_verifier *v, const char *json, size_t size);

/** Accepts emulated evidence below these roots (PEM): it proves no hardware. For tests.
 *  @return CVM_VERIFIED: taken; CVM_MALFORMED */
enum cvm_status cvm_trust_emulator(struct cvm_verifier *v, const char *pem, size_t size);

/** What is accepted, a sum of enum cvm_accept; replaces what was accepted before.
 *  @return CVM_VERIFIED: taken; or CVM_USAGE: an unknown bit */
enum cvm_status cvm_accept(struct cvm_verifier *v, unsigned what);

/** Intel's TCB statuses to accept, separated by commas ("UpToDate,SWHardeningNeeded" without this call), or
 * "none": a quote without collateral. @return CVM_VERIFIED: taken; or CVM_USAGE */
enum cvm_status cvm_accept_tcb(struct cvm_verifier *v, const char *statuses);

/** Older binding rules to accept by name, separated by commas; copied.
 *  @return CVM_VERIFIED: taken; or CVM_USAGE: no such rule */
enum cvm_status cvm_accept_binding(struct cvm_verifier *v, const char *rules);

/** Judges a collaterals document, which is what GET /collaterals/NONCE of cvm-agent answers. The verifier is
 * unchanged and may judge any number of documents.
 *  @param answer  NULL, or receives the answer as JSON: {"success","error"?,"checks","claims","coverage",
 *                 "not_checked","freshness","warnings"}; NULL when there is none. Freed with cvm_free()
 *  @return CVM_VERIFIED; CVM_REFUSED with the answer that says why; or CVM_MALFORMED, CVM_ENVIRONMENT */
enum cvm_status cvm_verify(struct cvm_verifier *v, const void *document, size_t size, char **answer);

/** Decodes evidence to JSON without verifying anything: what the bytes say.
 *  @param type  NULL: told from the content; else a name that `cvm-cli help inspect` lists
 *  @param out   receives the JSON, or one sentence that says what is wrong, or NULL; freed with cvm_free()
 *  @return CVM_VERIFIED: decoded (not: verified); CVM_USAGE: no such type; CVM_MALFORMED; CVM_ENVIRONMENT */
enum cvm_status cvm_inspect(const void *data, size_t size, const char *type, char **out);

/** Frees what cvm_verify() and cvm_inspect() handed out. NULL is allowed. */
void cvm_free(char *text);

#ifdef __cplusplus
}
#endif

#endif
