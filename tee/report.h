/** tee/report.h: a fresh report of the TEE over 64 bytes of the caller: configfs-tsm first, /dev/sev-guest
 * after it. The report is checked only for being the answer to this question; it is not verified here.
 *  Source: Linux Documentation/ABI/testing/configfs-tsm-report, include/uapi/linux/sev-guest.h. */
#ifndef CVM_TEE_REPORT_H
#define CVM_TEE_REPORT_H

#include "base/buf.h"
#include "tee/lower.h"
#include "tee/shape.h"

#define REPORT_DATA_SIZE 64
#define REPORT_MAX       (64u << 10) /* an SNP report has 1184 bytes, a TDX quote about 5 to 8 thousand */
#define CERT_TABLE_MAX   (64u << 10) /* the sev-guest driver stops at 16 KiB */
#define REPORT_TIME_MAX  60000       /* ms: for one request with all its repetitions */

struct tee_report {
    struct buf report; /* SNP report of 1184 bytes, or TDX quote */
    struct buf certs;  /* SNP certificate table of the host; may be empty */
    const char *via;   /* literal: "configfs-tsm", "sev-guest" */
};

/** Asks for a report. Blocks (a TDX quote takes seconds); to be called from one thread of the machine only.
 *  @param report_data  64 bytes that the report will carry
 *  @param out          owned by the caller: tee_report_done()
 *  @return 0, or -1: ERR_NOT_FOUND (no such interface), ERR_UNAVAILABLE (host or quoting service does not
 *          answer now, busy, throttled), ERR_DENIED (no permission), ERR_IO (key wiped, firmware error, an
 *          answer to another question) */
MUST_USE int tee_report_get(const struct lower *l, enum tee_type tee, const uint8_t report_data[static 64],
                            struct tee_report *out, struct err *err);

/** For AUTO(tee_report_done). */
void tee_report_done(struct tee_report *r);

/** Removes configfs-tsm entries that a killed instance left: those with our name whose process is gone. Call
 * it once, at start. @return how many were removed */
unsigned tee_report_cleanup(const struct lower *l);

#endif
