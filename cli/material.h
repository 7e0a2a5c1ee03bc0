/** cli/material.h: what --certs names: a folder with the vendors' material. */
#ifndef CVM_CLI_MATERIAL_H
#define CVM_CLI_MATERIAL_H

#include "cli/anchors.h"
#include "evidence/verify_supply.h"

struct material {
    struct verify_material view; /* of the rest: stay where it was filled */
    struct cert_files certs;
    X509_CRL *crl;
    struct tdx_prepared_collateral *tdx;
    struct supply kept, found; /* of the folder; of cache and vendors */
};

/** Reads certificates (.der, .cer, .crt, .pem), one CRL of AMD (.crl), and the files of Intel's PCS if
 * tcb_info.json or qe_identity.json is there. Other files are passed over, and those of `collateral preload`:
 * they are material_add()'s.
 *  @param trust  what Intel's material is judged by
 *  @return 0, or the exit status with the message printed */
int material_read(const char *folder, const struct verify_trust *trust, struct material *out);

struct material_request {
    const char *folder; /* of `collateral preload`; NULL: none */
    bool fetch;      /* asks the vendors for what is due and neither in the folder nor in the user's cache */
    bool keep;       /* with fetch: into the folder, AMD's revocation list too; else into the user's cache */
    bool revocation; /* AMD's revocation list is due: a policy wants it */
    bool cache;      /* looks into the user's cache; fetch does so too */
    time_t at;       /* the verifier's clock */
    const struct verify_trust *trust;
    const char *kds_url, *pcs_url; /* NULL: the vendors' own */
};

/** Adds what evidence needs and does not bring along, as far as it can be had within a few seconds; the rest
 * becomes warnings. Expired material is added too: the verifier's checks of dates say so.
 *  @return 0, or the exit status with the message printed */
int material_add(const struct material_request *request, const struct supply_evidence *evidence,
                 struct material *out);

/** For AUTO(material_done) struct material m = { 0 }. */
void material_done(struct material *m);

#endif
