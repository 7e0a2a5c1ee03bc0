/** evidence/attestation_places.h: where the members of sevsnp and tdx messages lie in what the hardware
 * signs; for reading and making them, not for users. */
#ifndef CVM_EVIDENCE_ATTESTATION_PLACES_H
#define CVM_EVIDENCE_ATTESTATION_PLACES_H

#include "base/bytes.h"

#define SNP_REPORT_SIZE       1184
#define TDX_HEADER_SIZE       48
#define TDX_BODY_SIZE         584
#define QE_REPORT_SIZE        384
#define ATTESTATION_NAME_SIZE 16

/** Where a member lies in the fixed structure that the hardware signed. */
struct attestation_place {
    uint32_t number;
    uint16_t offset, size;
    bool integer; /* little-endian */
};

struct attestation_places {
    const struct attestation_place *row;
    size_t n;
};

extern const struct attestation_places attestation_report_places, attestation_header_places,
    attestation_body_places, attestation_enclave_places;

/** True if 16 bytes are the name that is spelled so. */
bool attestation_is_named(struct bytes name, const char *spelled);

#endif
