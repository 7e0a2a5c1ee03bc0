/** tee/gcp_instance.h: the instance that Google's CA names in a vTPM AK or EK certificate.
 *  Parsed is not trusted: trust it only in a verified certificate whose is_production is true.
 *  Source: google/go-tpm-tools server/instance_info.go; google/go-attestation x509 (security properties). */
#ifndef CVM_TEE_GCP_INSTANCE_H
#define CVM_TEE_GCP_INSTANCE_H

#include "base/x509.h"

#include <jansson.h>

#define GCP_OID_INSTANCE "1.3.6.1.4.1.11129.2.1.21"
#define GCP_TEXT_MAX     256 /* zone, project id, instance name: longest that is read, with its terminator */

struct gcp_instance {
    char zone[GCP_TEXT_MAX], project_id[GCP_TEXT_MAX], instance_name[GCP_TEXT_MAX];
    uint64_t project_number, instance_id;
    bool has_security;         /* the optional part below is there; absent members are 0 and false */
    uint64_t security_version; /* [0] */
    bool is_production;        /* [1] */
    bool tpm_data_always_encrypted, suspend_resume_always_disabled; /* [2], [3] */
    bool vmtd_always_disabled, always_in_yarn;                      /* [4], [5] */
};

/** Reads the extension of a certificate.
 *  @return 0, or -1: ERR_NOT_FOUND (no such extension), ERR_INPUT (malformed, or with members that we do not
 * know) */
MUST_USE int gcp_instance_parse(const X509 *cert, struct gcp_instance *out, struct err *err);

/** As gcp_instance_parse(), from the extension's content. */
MUST_USE int gcp_extension_parse(struct bytes extension, struct gcp_instance *out, struct err *err);

/** {"zone","project_number","project_id","instance_id","instance_name","security_version","is_production",
 * …}: a member of a certificate's JSON, hence without "type". The two numbers are decimal text: they do not
 * fit a double.
 *  @return 0 with a new reference in *out, or -1 with ERR_IO when memory is short */
MUST_USE int gcp_instance_json(const struct gcp_instance *in, json_t **out, struct err *err);

#endif
