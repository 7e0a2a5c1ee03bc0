/** evidence/verify_supply.h: the material that evidence needs and does not bring along, from a collateral
 * service (tee/collateral.h): a VEK certificate, Intel's collateral, the issuers of an attestation key.
 * Unverified like everything of that service: the verifier judges it. */
#ifndef CVM_EVIDENCE_VERIFY_SUPPLY_H
#define CVM_EVIDENCE_VERIFY_SUPPLY_H

#include "evidence/verify.h"
#include "tee/collateral.h"

#define SUPPLY_CERTS_MAX  16
#define SUPPLY_ABSENT_MAX 8
#define SUPPLY_ABSENT_CRL "AMD's revocation list" /* optional */

/** Evidence, as far as it says what it needs. */
struct supply_evidence {
    enum tee_type tee;
    struct bytes tee_report;           /* SNP report or TDX quote */
    struct bytes vek_cert, ak_cert;    /* that come along; no bytes: none */
    bool has_collateral, has_ak_chain; /* come along too */
};

/** What a parsed document says. */
struct supply_evidence supply_evidence_of(const struct document *d);

/** True if something is due that does not come along. */
bool supply_due(const struct supply_evidence *e);

struct supply_request {
    struct collateral_service *service;
    const struct verify_trust *trust; /* what Intel's collateral is judged by */
    struct verify_cache *cache;       /* judged collateral; NULL: none */
    bool revocation;                  /* AMD's CRL too: an optional check */
};

struct supply {
    X509 *cert[SUPPLY_CERTS_MAX]; /* owned */
    size_t certs;
    X509_CRL *crl;
    struct verify_held tdx; /* struct tdx_prepared_collateral */
    bool tdx_expired;       /* some of it, by the service's clock */
    uint8_t id[32];         /* names certificates and CRL */
    struct verify_absent absent[SUPPLY_ABSENT_MAX];
    char why[SUPPLY_ABSENT_MAX][ERR_TEXT_MAX];
    size_t absent_n;
};

/** Gets what is due; blocks as long as the service does. What cannot be had is listed in absent with its
 * reason.
 *  @param out  supply_done() it
 *  @return 0, or -1 with ERR_IO: memory is short */
MUST_USE int supply_get(const struct supply_request *request, const struct supply_evidence *evidence,
                        struct supply *out, struct err *err);

/** The supply as a verification takes it; views of s. */
struct verify_material supply_material(const struct supply *s);

/** For AUTO(supply_done) struct supply s = { 0 }. */
void supply_done(struct supply *s);

#endif
