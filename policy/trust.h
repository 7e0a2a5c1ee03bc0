/** policy/trust.h: the vendors' certificates that are built in: trust anchors and the intermediates between
 * them and the evidence. The files, their sources and fingerprints are listed in policy/trust/README.md. */
#ifndef CVM_POLICY_TRUST_H
#define CVM_POLICY_TRUST_H

#include "base/buf.h"

enum trust_vendor { TRUST_AMD, TRUST_INTEL, TRUST_GOOGLE, TRUST_MICROSOFT };

struct trust_row {
    const char *name; /* file name without .pem */
    enum trust_vendor vendor;
    bool anchor;         /* a root that verification may end at; otherwise an intermediate */
    const char *product; /* AMD: "Milan", "Genoa", "Turin"; else NULL */
    const char *sha256;  /* fingerprint of the DER, lower-case hex */
};

#define TRUST_ROWS 17

/** All rows, TRUST_ROWS of them. */
const struct trust_row *trust_rows(void);

/** The PEM text of a row. */
struct bytes trust_pem(size_t row);

/** The DER of every built-in certificate, for chain building: parsed and checked against its fingerprint.
 *  @param out   array of TRUST_ROWS views into storage, in the order of trust_rows()
 *  @return 0, or -1: a built-in certificate is not what its row says (a broken build) */
MUST_USE int trust_der(struct buf *storage, struct bytes out[static TRUST_ROWS], struct err *err);

#endif
