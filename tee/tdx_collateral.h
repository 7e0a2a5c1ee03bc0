/** tee/tdx_collateral.h: the material that a TDX quote is judged with: TCB info, quoting enclave identity,
 * their signatures and issuer chains, and two CRLs, as Intel's PCS and caches of it hand them out. Only taken
 * apart here; tdx_verify.h checks it, and reads the two documents only after their signatures hold. Sources:
 * Intel PCS API version 4; Intel SGX PCCS design guide; the collateral object of DCAP tools. */
#ifndef CVM_TEE_TDX_COLLATERAL_H
#define CVM_TEE_TDX_COLLATERAL_H

#include "base/chain.h"

#define TDX_CHAIN_MAX           4          /* certificates in an issuer chain */
#define TDX_COLLATERAL_PART_MAX (1u << 20) /* one part, in whatever form */
#define TDX_COLLATERAL_MAX      (4u << 20) /* all as one JSON */
#define TDX_CRL_MAX             (512u << 10)

/** What collateral consists of. */
enum tdx_part {
    TDX_PART_TCB_INFO,           /* {"tcbInfo":{…},"signature":hex}, or the inner object alone */
    TDX_PART_TCB_INFO_SIGNATURE, /* 128 hex digits, base64 or 64 bytes, for an inner object alone */
    TDX_PART_TCB_INFO_CHAIN,     /* PEM, or PEM URL-encoded: TCB signing certificate, root */
    TDX_PART_QE_IDENTITY,        /* {"enclaveIdentity":{…},"signature":hex}, or the inner object alone */
    TDX_PART_QE_IDENTITY_SIGNATURE,
    TDX_PART_QE_IDENTITY_CHAIN,
    TDX_PART_PCK_CRL, /* DER, PEM, hex or base64 */
    TDX_PART_PCK_CRL_CHAIN,
    TDX_PART_ROOT_CA_CRL,
    TDX_PARTS
};

/** A signed document: the exact bytes of the inner object, never serialised again. */
struct tdx_signed {
    uint8_t *raw; /* NULL: not there */
    size_t raw_n;
    bool has_signature;
    uint8_t signature[64];
};

struct tdx_certs {
    X509 *list[TDX_CHAIN_MAX];
    size_t n;
};

/** What is not there stays empty: the checks that need it fail then, and say so. */
struct tdx_collateral {
    struct tdx_signed tcb_info, qe_identity;
    struct tdx_certs tcb_info_chain, qe_identity_chain, pck_crl_chain;
    X509_CRL *pck_crl, *root_ca_crl;
};

/** An empty one, or NULL when memory is short. */
struct tdx_collateral *tdx_collateral_new(void);
void tdx_collateral_free(struct tdx_collateral *c);

/** For AUTO(tdx_collateral_drop) struct tdx_collateral *c. */
static inline void tdx_collateral_drop(struct tdx_collateral **c)
{
    tdx_collateral_free(*c);
}

/** Takes a part in; the bytes are copied.
 *  @return 0, or -1 with ERR_INPUT (not what the part should be, or the part is there already), ERR_TOO_LARGE
 * or ERR_IO (memory) */
MUST_USE int tdx_collateral_set(struct tdx_collateral *c, enum tdx_part part, struct bytes data,
                                struct err *err);

/** The member's name in the collateral object of DCAP tools: "tcb_info_signature". */
const char *tdx_part_name(enum tdx_part part);

/** Reads the collateral object of DCAP tools. TCB info and QE identity may be text or an object. Unknown
 * members are passed over; one that is missing stays empty, but at least one must be there.
 *  @param text  one JSON object; untrusted
 *  @return 0 with a new object in *out, or -1 as tdx_collateral_set() */
MUST_USE int tdx_collateral_parse(struct bytes text, struct tdx_collateral **out, struct err *err);

#endif
