/** cli/collateral_files.h: TDX collateral from a file or a folder. */
#ifndef CVM_CLI_COLLATERAL_FILES_H
#define CVM_CLI_COLLATERAL_FILES_H

#include "tee/tdx_collateral.h"

/** Reads one JSON in the member names of DCAP tools, or a folder of PCS files: tcb_info.json,
 * qe_identity.json, tcb_signing_chain.pem, pck_crl.der, pck_crl_issuer_chain.pem, root_ca_crl.der. A file
 * that a folder lacks is missing material: the checks that need it fail. A folder with none of them is no
 * collateral.
 *  @param path  "-" is standard input
 *  @return 0 with a new object in *out, or the exit status with the message printed */
int collateral_read(const char *path, struct tdx_collateral **out);

/** As collateral_read(), for a quote: a folder of `collateral preload` has more than one platform's files,
 * and the quote's are picked out. */
int collateral_read_for(const char *path, struct bytes quote, struct tdx_collateral **out);

#endif
