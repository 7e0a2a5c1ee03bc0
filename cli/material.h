/** cli/material.h: what --certs names: a folder with the vendors' material. */
#ifndef CVM_CLI_MATERIAL_H
#define CVM_CLI_MATERIAL_H

#include "cli/anchors.h"
#include "evidence/verify.h"

struct material {
    struct verify_material view; /* of the rest */
    struct cert_files certs;
    X509_CRL *crl;
    struct tdx_prepared_collateral *tdx;
};

/** Reads certificates (.der, .cer, .crt, .pem), one CRL of AMD (.crl), and the files of Intel's PCS if
 * tcb_info.json or qe_identity.json is there. Other files are passed over, and those of `collateral preload`:
 * they are material_add_kept()'s.
 *  @param trust  what Intel's material is judged by
 *  @return 0, or the exit status with the message printed */
int material_read(const char *folder, const struct verify_trust *trust, struct material *out);

struct material_request {
    const char *folder; /* of `collateral preload`; NULL: none */
    bool fetch;         /* asks the vendors for what is not there, and keeps it in the folder */
    time_t at;          /* the verifier's clock */
    const struct verify_trust *trust;
    const char *kds_url, *pcs_url; /* NULL: the vendors' own */
};

/** Evidence, as far as it says what it needs. */
struct material_evidence {
    enum tee_type tee;
    struct bytes tee_report;           /* SNP report or TDX quote */
    struct bytes vek_cert, ak_cert;    /* that come along; empty: none */
    bool has_collateral, has_ak_chain; /* come along too */
};

/** Adds what evidence needs and does not bring along, as far as it can be had. Expired material is added too:
 * the verifier's checks of dates say so.
 *  @return 0, or the exit status with the message printed */
int material_add_kept(const struct material_request *request, const struct material_evidence *evidence,
                      struct material *out);

/** As material_add_kept(), for a collaterals document. One that does not parse needs nothing.
 *  @param document  JSON text; untrusted */
int material_add_for_document(const struct material_request *request, struct bytes document,
                              struct material *out);

/** For AUTO(material_done) struct material m = { 0 }. */
void material_done(struct material *m);

#endif
