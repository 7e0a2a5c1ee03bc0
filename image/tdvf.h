/** image/tdvf.h: MRTD of a TDX machine that QEMU starts, from the firmware file. Source: Intel TDX Virtual
 * Firmware Design Guide (344991), metadata; Intel TDX module ABI (348551), TDH.MEM.PAGE.ADD and
 * TDH.MR.EXTEND; the order is that of QEMU 10.1 and Linux 6.16: section by section, each page added and then
 * its bytes. */
#ifndef CVM_IMAGE_TDVF_H
#define CVM_IMAGE_TDVF_H

#include "base/bytes.h"

#define TDVF_PAGE         4096u
#define TDVF_SECTIONS_MAX 32
#define TDVF_MEMORY_MAX   (128u << 20) /* all sections together */

struct tdvf_section {
    struct bytes data;  /* view into the file, of size bytes; empty: zeros that are not measured */
    uint64_t gpa, size; /* whole pages */
    bool measured;
};

struct tdvf {
    struct tdvf_section section[TDVF_SECTIONS_MAX];
    size_t n; /* in the firmware's order, which is the order of measuring */
};

/** Reads the metadata. The result borrows the file.
 *  @return 0; or -1 with ERR_NOT_FOUND (firmware without TDX metadata), ERR_UNAVAILABLE (a version, a kind of
 *  section or an attribute whose measurement is not known) or ERR_INPUT (damaged) */
MUST_USE int tdvf_parse(struct bytes file, struct tdvf *out, struct err *err);

/** @return 0, or -1 with ERR_IO */
MUST_USE int tdvf_mrtd(const struct tdvf *tdvf, uint8_t out[static 48], struct err *err);

#endif
