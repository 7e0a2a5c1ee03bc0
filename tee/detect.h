/** tee/detect.h: what this machine is. The TEE is told by the kernel's report provider, the TEE's device, the
 * HCL report in the TPM, in this order; the DMI strings are the host's word and choose the cloud only, that
 * is, where certificates and keys are looked for. Nothing here is evidence. */
#ifndef CVM_TEE_DETECT_H
#define CVM_TEE_DETECT_H

#include "tee/lower.h"
#include "tee/shape.h"

#define FINDINGS_MAX 12

/** One thing that was looked for. */
struct finding {
    const char *what; /* literal: "configfs-tsm provider" */
    bool found;
    char detail[120]; /* what was seen, or why it was not and what to do; printable ASCII */
};

struct detection {
    enum tee_type tee;
    enum cloud_type cloud;
    bool tpm;        /* a TPM was given, or its device file exists */
    bool hcl;        /* the hardware report lies in the TPM (Azure's paravisor) */
    const char *via; /* literal: what told the TEE; "" when there is none */
    size_t count;
    struct finding findings[FINDINGS_MAX];
};

/** Looks; never fails, never writes outside an own configfs-tsm entry that it removes.
 *  @param tpm  an open TPM of this machine for the HCL report, or NULL: then TPM device files are looked for
 */
void detect(const struct lower *l, struct tpm *tpm, struct detection *out);

/** Appends the findings, one a line: "WHAT: DETAIL". */
void detection_text(const struct detection *d, struct buf *out);

#endif
