/** tee/tdx_quote.h: Intel TDX quotes, versions 4 and 5, with all parts that a verifier checks.
 *  Parsed is not trusted: lengths, types and versions are checked here, no signature is.
 *  Source: Intel TDX DCAP Quoting Library API, "Version 4 Quote Format" and "Version 5 Quote Format"; Intel
 * SGX SDK "REPORT body". Integers are little-endian; keys and signatures are big-endian. */
#ifndef CVM_TEE_TDX_QUOTE_H
#define CVM_TEE_TDX_QUOTE_H

#include "base/bytes.h"

#include <jansson.h>

#define TDX_QUOTE_HEADER   48
#define TDX_TEE_TYPE       0x81
#define TDX_KEY_ECDSA_P256 2
#define TDX_BODY_10_SIZE   584
#define TDX_BODY_15_SIZE   648
#define TDX_QE_REPORT_SIZE 384
#define TDX_SIGNATURE_SIZE 64
#define TDX_KEY_SIZE       64
#define TDX_CERT_QE_REPORT 6 /* outer certification data */
#define TDX_RTMRS          4

/** Body types of version 5. */
enum tdx_body_type { TDX_BODY_SGX = 1, TDX_BODY_10 = 2, TDX_BODY_15 = 3 };

/** Inner certification data. */
enum tdx_cert_type {
    TDX_CERT_PPID_PLAIN = 1,
    TDX_CERT_PPID_RSA2048 = 2,
    TDX_CERT_PPID_RSA3072 = 3,
    TDX_CERT_PCK_LEAF = 4,
    TDX_CERT_PCK_CHAIN = 5
};

/** Fields of the body, from its start: for writers (the emulator); checked against the parser by a test. */
enum tdx_body_offset {
    TDX_OFF_TEE_TCB_SVN = 0x000,
    TDX_OFF_MR_SEAM = 0x010,
    TDX_OFF_MR_SIGNER_SEAM = 0x040,
    TDX_OFF_SEAM_ATTRIBUTES = 0x070,
    TDX_OFF_TD_ATTRIBUTES = 0x078,
    TDX_OFF_XFAM = 0x080,
    TDX_OFF_MR_TD = 0x088,
    TDX_OFF_MR_CONFIG_ID = 0x0B8,
    TDX_OFF_MR_OWNER = 0x0E8,
    TDX_OFF_MR_OWNER_CONFIG = 0x118,
    TDX_OFF_RTMR = 0x148,
    TDX_OFF_REPORT_DATA = 0x208,
    TDX_OFF_TEE_TCB_SVN_2 = 0x248, /* TD 1.5 */
    TDX_OFF_MR_SERVICE_TD = 0x258,
};

/** Fields of the QE report, from its start (an SGX report body). */
enum tdx_qe_offset {
    TDX_QE_OFF_CPU_SVN = 0x000,
    TDX_QE_OFF_MISC_SELECT = 0x010,
    TDX_QE_OFF_ATTRIBUTES = 0x030,
    TDX_QE_OFF_MR_ENCLAVE = 0x040,
    TDX_QE_OFF_MR_SIGNER = 0x080,
    TDX_QE_OFF_ISV_PROD_ID = 0x100,
    TDX_QE_OFF_ISV_SVN = 0x102,
    TDX_QE_OFF_REPORT_DATA = 0x140,
};

/** TD attributes, bit numbers of the little-endian u64. Any of bits 7:0 means "under debug". */
enum tdx_attribute {
    TDX_ATTR_DEBUG = 0,
    TDX_ATTR_HGS_PLUS_PROF = 4,
    TDX_ATTR_PERF_PROF = 5,
    TDX_ATTR_PMT_PROF = 6,
    TDX_ATTR_ICSSD = 16,
    TDX_ATTR_LASS = 27,
    TDX_ATTR_SEPT_VE_DISABLE = 28,
    TDX_ATTR_MIGRATABLE = 29,
    TDX_ATTR_PKS = 30,
    TDX_ATTR_KL = 31,
    TDX_ATTR_TPA = 62,
    TDX_ATTR_PERFMON = 63,
};

/** What a TD is, as quotes and TDREPORTs both have it; views. */
struct tdx_body {
    struct bytes tee_tcb_svn;             /* 16: [0] module SVN, [1] module version, [2] microcode */
    struct bytes mr_seam, mr_signer_seam; /* 48 each */
    struct bytes seam_attributes;         /* 8 */
    struct bytes td_attributes;           /* 8 */
    struct bytes xfam;                    /* 8 */
    struct bytes mr_td;                   /* 48: SHA-384 of the TD as built */
    struct bytes mr_config_id, mr_owner, mr_owner_config; /* 48 each */
    struct bytes rtmr[TDX_RTMRS];                         /* 48 each */
    struct bytes report_data;                             /* 64 */
    struct bytes tee_tcb_svn_2;                           /* 16, or empty: TD 1.0 */
    struct bytes mr_service_td;                           /* 48, or empty: TD 1.0 */
};

struct tdx_qe_report {
    struct bytes raw;     /* TDX_QE_REPORT_SIZE bytes: what its signature covers */
    struct bytes cpu_svn; /* 16 */
    uint32_t misc_select;
    struct bytes attributes;            /* 16 */
    struct bytes mr_enclave, mr_signer; /* 32 each */
    uint16_t isv_prod_id, isv_svn;
    struct bytes report_data; /* 64 */
};

struct tdx_quote {
    uint16_t version, att_key_type;
    uint32_t tee_type;
    struct bytes qe_vendor_id; /* 16 */
    struct bytes user_data;    /* 20 */
    uint16_t body_type;        /* enum tdx_body_type; version 4 has none and always carries TDX_BODY_10 */
    struct tdx_body body;
    struct bytes signed_bytes; /* header, descriptor (version 5) and body: what the quote signature covers */
    struct bytes signature;    /* 64: r and s */
    struct bytes attestation_key; /* 64: x and y on P-256 */
    uint16_t cert_data_type;      /* TDX_CERT_QE_REPORT */
    struct tdx_qe_report qe_report;
    struct bytes qe_report_signature; /* 64: r and s, by the PCK */
    struct bytes qe_auth_data;
    uint16_t inner_cert_data_type;   /* enum tdx_cert_type */
    struct bytes certification_data; /* its content */
    struct bytes pck_chain; /* PEM, leaf first, for TDX_CERT_PCK_CHAIN (and the leaf alone); else empty */
    uint32_t signature_data_len;
    size_t quote_len;      /* header to the end of the signature data */
    struct bytes trailing; /* what follows: recorded quotes come padded; never to be read */
};

/** Splits a quote.
 *  @param raw  a quote as kernel or service gave it; untrusted, any length
 *  @param out  views into raw, valid while raw is; written only on success
 *  @return 0, or -1 with ERR_INPUT: cut short, or another version, TEE, key type, body or certification data
 */
MUST_USE int tdx_quote_parse(struct bytes raw, struct tdx_quote *out, struct err *err);

/** True if any "under debug" attribute (bits 7:0) is set. */
bool tdx_is_debug(const struct tdx_body *body);

/** TD attributes as a number. */
uint64_t tdx_attributes(const struct tdx_body *body);

/** Sets the members of a body in object: Intel's names in snake_case, then the compact spellings that other
 * tools use (mrtd, rtmr0, ...). @return false when memory is short */
MUST_USE bool tdx_body_json(json_t *object, const struct tdx_body *body);

/** The quote as JSON, "type": "tdx_quote" first. body_type is null in version 4; fields of TD 1.5 are null in
 * a TD 1.0 body. "pck" has the facts of the PCK leaf (pck_cert.h), null when the quote carries none that can
 * be read.
 *  @return 0 with a new reference in *out, or -1 with ERR_IO when memory is short */
MUST_USE int tdx_quote_json(const struct tdx_quote *quote, json_t **out, struct err *err);

#endif
