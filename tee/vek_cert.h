/** tee/vek_cert.h: what AMD's extensions say in a VCEK or VLEK certificate: product, TCB, chip or provider.
 *  Parsed is not trusted: chain and signature are the verifier's business.
 *  Source: AMD 57230, VCEK certificate and KDS interface specification, chapter 3. */
#ifndef CVM_TEE_VEK_CERT_H
#define CVM_TEE_VEK_CERT_H

#include "base/x509.h"
#include "tee/snp_report.h"

#define VEK_OID_PREFIX "1.3.6.1.4.1.3704.1."
#define VEK_TEXT_MAX   128 /* product name, CSP id: longest that is read, with its terminator */

struct vek_cert {
    uint8_t struct_version;
    char product_name[VEK_TEXT_MAX]; /* "Milan-B0", "Genoa" */
    enum snp_product product;        /* SNP_UNKNOWN if the name is none that we know */
    struct snp_tcb tcb;              /* has_fmc as the certificate has it */
    uint8_t spl4, spl5, spl6, spl7;  /* reserved; spl4 is absent on Turin */
    bool has_spl4;
    struct bytes hwid;         /* VCEK: 64 or 8 bytes, view into the certificate; empty on a VLEK */
    char csp_id[VEK_TEXT_MAX]; /* VLEK; "" on a VCEK */
};

/** Reads the extensions.
 *  @param cert  any certificate
 *  @param out   hwid is valid as long as cert; written only on success
 *  @return 0, or -1 with ERR_INPUT that names the extension: missing, malformed, or both or neither of
 *          hardware id and CSP id */
MUST_USE int vek_cert_parse(const X509 *cert, struct vek_cert *out, struct err *err);

/** {"struct_version","product_name","product","bl_spl","tee_spl","snp_spl","ucode_spl","fmc_spl" (Turin),
 * "spl4".."spl7","hwid" or "csp_id"}: a member of a certificate's JSON, hence without "type".
 *  @return 0 with a new reference in *out, or -1 with ERR_IO when memory is short */
MUST_USE int vek_cert_json(const struct vek_cert *vek, json_t **out, struct err *err);

#endif
