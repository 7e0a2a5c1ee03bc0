/** image/predict.h: the PCRs that a boot of an image will have, from its files alone.
 *  Source: TCG PC Client Platform Firmware Profile 1.05, sections 3.3.4 and 10.4; systemd-stub 252;
 * Linux 6.12 (drivers/firmware/efi/libstub): checked against boots of OVMF 2022.11, 2025.02 and 2026.08,
 * register by register, with Secure Boot and without. */
#ifndef CVM_IMAGE_PREDICT_H
#define CVM_IMAGE_PREDICT_H

#include "image/firmware.h"
#include "image/gpt.h"
#include "image/secure_boot.h"
#include "image/uki.h"

#define PREDICT_PCRS 24

enum predict_kind {
    PREDICTED, /* computed from the files */
    FIRMWARE,  /* depends on firmware and on the devices of the machine: record one boot of each */
    UNKNOWN,   /* depends on what happens while it runs */
};

/** Whose firmware starts the image, and what it was seen to measure. */
enum predict_host {
    PREDICT_QEMU,     /* EDK II's, the file that is given */
    PREDICT_QEMU_TDX, /* the same under TDX, where programs may be measured into the RTMRs instead of PCR 4 */
    PREDICT_GCE_SNP,  /* Google's: recorded boots outside TDX have the same events in 2, 3, 4 and 6 */
    PREDICT_CLOUD,    /* any other cloud's: nobody has the file, or it was seen to measure other things */
};

struct predict_pcr {
    enum predict_kind kind;
    struct digest value; /* where predicted */
    const char *why;     /* one line for people */
};

struct prediction {
    uint16_t alg;
    char unchecked[128]; /* text that reasons point at */
    struct predict_pcr pcr[PREDICT_PCRS];
};

/** Computes all PCRs of one bank. PCR 15, 16 and 23 are those of a machine without a workload.
 *  @param host      says with firmware which of PCR 2 to 7 can be known
 *  @param firmware  of the same bank; NULL: not known, and under QEMU PCR 2 to 7 with it
 *  @param keys      Secure Boot's variables; NULL: none is enrolled, Secure Boot is off
 *  @return 0, or -1: ERR_INPUT (a kernel that is no UEFI program, a bank that we do not have, a damaged
 * signature, keys for a firmware without Secure Boot), ERR_DENIED (with these keys the firmware does not
 * start the image), ERR_IO */
MUST_USE int predict_boot(const struct gpt *gpt, const struct uki *uki, enum predict_host host,
                          const struct firmware *firmware, const struct secure_boot *keys, uint16_t alg,
                          struct prediction *out, struct err *err);

/** "predicted", "firmware-dependent", "unknown". */
const char *predict_kind_name(enum predict_kind kind);

#endif
