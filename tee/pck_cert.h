/** tee/pck_cert.h: what Intel's SGX extension says in a PCK certificate: platform, TCB, FMSPC.
 *  Parsed is not trusted: chain and revocation are the verifier's business.
 *  Source: Intel SGX PCK Certificate and CRL Profile Specification, 1.3.5 and 1.3.6. */
#ifndef CVM_TEE_PCK_CERT_H
#define CVM_TEE_PCK_CERT_H

#include "base/x509.h"

#include <jansson.h>

#define PCK_OID_SGX    "1.2.840.113741.1.13.1"
#define PCK_COMPONENTS 16

enum pck_sgx_type { PCK_SGX_STANDARD = 0, PCK_SGX_SCALABLE = 1, PCK_SGX_SCALABLE_INTEGRITY = 2 };

struct pck_cert {
    struct bytes ppid;                     /* 16 */
    uint8_t component_svn[PCK_COMPONENTS]; /* SGX TCB components */
    uint16_t pcesvn;
    struct bytes cpusvn; /* 16 */
    struct bytes pceid;  /* 2 */
    struct bytes fmspc;  /* 6 */
    uint8_t sgx_type;    /* enum pck_sgx_type */
    /* from a Platform CA only */
    struct bytes platform_instance_id; /* 16, or empty */
    bool has_configuration;
    bool dynamic_platform, cached_keys, smt_enabled;
};

/** Reads the extension.
 *  @param out  views are valid as long as cert; written only on success
 *  @return 0, or -1 with ERR_INPUT: no such extension, or not as the profile has it */
MUST_USE int pck_cert_parse(const X509 *cert, struct pck_cert *out, struct err *err);

/** As pck_cert_parse(), from the extension's content. */
MUST_USE int pck_extension_parse(struct bytes extension, struct pck_cert *out, struct err *err);

/** {"fmspc","pceid","sgx_component_svn":[16],"pcesvn","cpusvn","ppid","sgx_type", …, "issuer","serial",
 * "not_before","not_after"}: a member of a quote's or certificate's JSON, hence without "type".
 *  @return 0 with a new reference in *out, or -1 with ERR_IO when memory is short */
MUST_USE int pck_cert_json(const struct pck_cert *pck, const X509 *cert, json_t **out, struct err *err);

#endif
