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
 * tcb_info.json or qe_identity.json is there. Other files are passed over.
 *  @param trust  what Intel's material is judged by
 *  @return 0, or the exit status with the message printed */
int material_read(const char *folder, const struct verify_trust *trust, struct material *out);

/** For AUTO(material_done) struct material m = { 0 }. */
void material_done(struct material *m);

#endif
