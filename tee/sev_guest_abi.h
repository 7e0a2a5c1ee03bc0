/** tee/sev_guest_abi.h: the kernel's interface of /dev/sev-guest, in our own words, so that no kernel header
 * of a certain version is needed. These structures are handed to ioctl(); bytes inside the response are read
 * with struct reader.
 *  Source: Linux include/uapi/linux/sev-guest.h; AMD 56860, MSG_REPORT_RSP. */
#ifndef CVM_TEE_SEV_GUEST_ABI_H
#define CVM_TEE_SEV_GUEST_ABI_H

#include <assert.h>
#include <stdint.h>

#define SEV_GUEST_GET_REPORT      0xC0205300ul
#define SEV_GUEST_GET_DERIVED_KEY 0xC0205301ul
#define SEV_GUEST_GET_EXT_REPORT  0xC0205302ul

#define SEV_GUEST_MSG_VERSION   1
#define SEV_GUEST_RESPONSE_SIZE 4000
#define SEV_GUEST_CERTS_STEP    4096u
#define SEV_GUEST_CERTS_MAX     0x4000u /* the driver refuses more */

/* exit_info: upper half from the hypervisor, lower half from the firmware */
#define SEV_VMM_INVALID_LEN 1u
#define SEV_VMM_BUSY        2u

struct sev_guest_request {
    uint8_t msg_version, pad[7];
    uint64_t request;  /* address */
    uint64_t response; /* address of SEV_GUEST_RESPONSE_SIZE bytes */
    uint64_t exit_info;
};

struct sev_report_request {
    uint8_t user_data[64];
    uint32_t vmpl;
    uint8_t reserved[28];
};

struct sev_ext_report_request {
    struct sev_report_request report;
    uint64_t certs_address;
    uint32_t certs_len;
    uint32_t pad;
};

static_assert(sizeof(struct sev_guest_request) == 32, "kernel ABI");
static_assert(sizeof(struct sev_report_request) == 96, "kernel ABI");
static_assert(sizeof(struct sev_ext_report_request) == 112, "kernel ABI");

#endif
