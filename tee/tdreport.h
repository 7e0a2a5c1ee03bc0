/** tee/tdreport.h: the TDREPORT, what the TDX module gives a TD locally. Its MAC binds it to this processor;
 * it means something only after it became a quote, or inside an Azure HCL report for comparison with one.
 *  Parsed is not trusted.
 *  Source: Intel TDX module 1.5 ABI specification, TDREPORT_STRUCT, REPORTMACSTRUCT, TEE_TCB_INFO, TDINFO. */
#ifndef CVM_TEE_TDREPORT_H
#define CVM_TEE_TDREPORT_H

#include "tee/tdx_quote.h"

#define TDREPORT_SIZE          1024
#define TDREPORT_TYPE_TDX      0x81
#define TDREPORT_VERSION_MAX   1
#define TDREPORT_TCB_INFO_SIZE 239
#define TDREPORT_TDINFO_SIZE   512

/** Where each field begins: for writers (the emulator); checked against the parser by a test. */
enum tdreport_offset {
    TDREPORT_OFF_TYPE = 0x000, /* type, subtype, version, reserved */
    TDREPORT_OFF_CPU_SVN = 0x010,
    TDREPORT_OFF_TCB_INFO_HASH = 0x020,
    TDREPORT_OFF_TDINFO_HASH = 0x050,
    TDREPORT_OFF_REPORT_DATA = 0x080,
    TDREPORT_OFF_MAC = 0x0E0,
    TDREPORT_OFF_TCB_INFO = 0x100,
    TDREPORT_OFF_TEE_TCB_SVN = 0x108,
    TDREPORT_OFF_MR_SEAM = 0x118,
    TDREPORT_OFF_MR_SIGNER_SEAM = 0x148,
    TDREPORT_OFF_SEAM_ATTRIBUTES = 0x178,
    TDREPORT_OFF_TEE_TCB_SVN_2 = 0x180,
    TDREPORT_OFF_TDINFO = 0x200,
    TDREPORT_OFF_TD_ATTRIBUTES = 0x200,
    TDREPORT_OFF_XFAM = 0x208,
    TDREPORT_OFF_MR_TD = 0x210,
    TDREPORT_OFF_MR_CONFIG_ID = 0x240,
    TDREPORT_OFF_MR_OWNER = 0x270,
    TDREPORT_OFF_MR_OWNER_CONFIG = 0x2A0,
    TDREPORT_OFF_RTMR = 0x2D0,
    TDREPORT_OFF_SERVTD_HASH = 0x390,
};

struct tdreport {
    struct bytes raw; /* 1024 */
    uint8_t report_type, subtype, version;
    bool is_tdx;          /* type 0x81, subtype 0, version 0 or 1: what a TDX module makes */
    struct bytes cpu_svn; /* 16 */
    struct bytes tee_tcb_info_hash, tdinfo_hash; /* 48 each, SHA-384 of the two structures below */
    struct bytes mac;                            /* 32 */
    struct bytes valid;                          /* 8: which parts of tee_tcb_info are valid */
    struct bytes tee_tcb_info, tdinfo;           /* 239 and 512 bytes: what the hashes are over */
    struct tdx_body body;                        /* mr_service_td is SERVTD_HASH */
};

/** Splits a TDREPORT. Recorded ones exist whose first fields are not set, so the type is left to is_tdx: who
 * compares a report with a quote looks at it.
 *  @param out  views into raw, valid while raw is; written only on success
 *  @return 0, or -1 with ERR_INPUT: not 1024 bytes */
MUST_USE int tdreport_parse(struct bytes raw, struct tdreport *out, struct err *err);

/** True if both hashes agree with what they are over. This is consistency, not proof: anyone can compute
 * them. */
bool tdreport_consistent(const struct tdreport *report);

/** The TDREPORT as JSON, "type": "tdreport" first.
 *  @return 0 with a new reference in *out, or -1 with ERR_IO when memory is short */
MUST_USE int tdreport_json(const struct tdreport *report, json_t **out, struct err *err);

#endif
