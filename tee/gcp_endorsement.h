/** tee/gcp_endorsement.h: what Google says of the firmware it boots confidential VMs with: a signed list of
 * launch measurements (VMLaunchEndorsement), public for each measurement in the bucket gce_tcb_integrity.
 *  Source: google/gce-tcb-verifier proto/endorsement.proto, verify/verify.go, extract/extractsev. */
#ifndef CVM_TEE_GCP_ENDORSEMENT_H
#define CVM_TEE_GCP_ENDORSEMENT_H

#include "base/buf.h"
#include "base/x509.h"

#include <time.h>

#define GCP_ENDORSEMENT_MAX (1u << 20)
#define GCP_VCPUS_MAX       256 /* vCPU counts that one endorsement lists */
#define GCP_MEASUREMENT     48

struct gcp_measurement {
    uint32_t vcpus;
    struct bytes value; /* GCP_MEASUREMENT bytes */
};

/** Views into the bytes parsed. */
struct gcp_endorsement {
    struct bytes golden;    /* the message that is signed */
    struct bytes signature; /* RSA-PSS over SHA-256; empty: none */
    struct bytes cert;      /* DER; empty: none */
    struct bytes ca_bundle; /* PEM; empty: none */
    struct bytes digest;    /* SHA-384 of the firmware image; empty: not said */
    bool has_snp;
    uint32_t svn;
    struct bytes family_id, image_id;
    uint64_t policy;
    struct gcp_measurement measurement[GCP_VCPUS_MAX];
    size_t measurements;
};

/** Takes it apart; parsed is not trusted.
 *  @param raw  untrusted, any length; must outlive *out
 *  @return 0, or -1 with ERR_INPUT (which member, at what offset) or ERR_TOO_LARGE */
MUST_USE int gcp_endorsement_parse(struct bytes raw, struct gcp_endorsement *out, struct err *err);

/** The SNP measurement for a number of vCPUs; no bytes: not endorsed. */
struct bytes gcp_endorsement_snp(const struct gcp_endorsement *e, uint32_t vcpus);

/** Judges the signature by the certificate, and the certificate's chain through ca_bundle.
 *  @param roots  trusted; none: the chain must end in a self-signed certificate of the bundle, if it has one.
 * That proves only that nothing was damaged on the way
 *  @return 0, or -1: ERR_DENIED with what does not hold, ERR_INPUT (a certificate that cannot be read),
 * ERR_IO */
MUST_USE int gcp_endorsement_verify(const struct gcp_endorsement *e, X509 *const *roots, size_t roots_n,
                                    time_t at, struct err *err);

/** Object name of the endorsement of an SNP measurement (48 bytes), below the bucket: appended with the
 * bucket's name, "gce_tcb_integrity/ovmf_x64_csm/sevsnp/<hex>.binarypb". */
void gcp_endorsement_object(struct bytes measurement, struct buf *out);

/** Likewise of the firmware image with this digest: ".../ovmf_x64_csm/<hex>.fd". */
void gcp_firmware_object(struct bytes digest, struct buf *out);

#endif
