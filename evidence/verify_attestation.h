/** evidence/verify_attestation.h: an attest.Attestation of go-tpm-tools, judged: each quote, the boot log,
 * the AK's certificate, and the report of a TEE inside. Pure. Sources: google/go-tpm-tools server/verify.go
 * and client/attest.go (what its clients bind); ultravioletrs/cocos pkg/attestation (SHA3-512 over nonce and
 * key). */
#ifndef CVM_EVIDENCE_VERIFY_ATTESTATION_H
#define CVM_EVIDENCE_VERIFY_ATTESTATION_H

#include "evidence/attestation.h"
#include "evidence/verify.h"

struct verify_attestation_options {
    const struct verify_trust *trust;
    const struct verify_material *material; /* NULL: none */
    time_t at;
    struct bytes nonce;       /* no bytes: freshness is "unchecked" */
    struct bytes report_data; /* that the caller asked for, at most 64 bytes; none: as the message says, or
                                 the nonce */
    uint32_t accept_tcb;
};

struct attestation_verdict {
    struct snp_verdict snp;
    struct tdx_verdict tdx;
    bool tee_authentic;
    const char *binding;   /* what the report_data of the TEE's report follows, or NULL */
    const char *freshness; /* "fresh", "unchecked", "stale" */
};

/** Makes the tpm.* checks over all quotes (the worst result of a name stays), tpm.eventlog_replay, and for a
 * TEE inside its snp.* or tdx.* checks, platform.hardware_root and binding.nonce.
 *  @param a  must outlive *out
 *  @return 0, or -1 with ERR_IO (memory) */
MUST_USE int verify_attestation(const struct attestation *a, const struct verify_attestation_options *options,
                                struct checks *checks, struct attestation_verdict *out, struct err *err);

#endif
