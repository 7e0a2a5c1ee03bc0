/** cli/policy_make.h: what the parts of "cvm-cli policy" share. */
#ifndef CVM_CLI_POLICY_MAKE_H
#define CVM_CLI_POLICY_MAKE_H

#include "cli/commands.h"
#include "evidence/attestation.h"

#define POLICY_FILE     "attestation_policy.json"
#define POLICY_FILE_MAX (1u << 20)

/** The parts of "cvm-cli policy", each a command. */
extern const struct command policy_azure, policy_download, policy_extend, policy_gcp, policy_hostdata,
    policy_measurement, policy_sev_snp, policy_tdx;

/** Evidence that a policy is made from. */
struct policy_evidence {
    uint8_t *file;                          /* owned */
    struct buf wire, snp_report, tdx_quote; /* the raw report or quote; empty: none of that kind */
};

/** Reads a raw SNP report or TDX quote, an attest.Attestation, sevsnp.Attestation or tdx.QuoteV4 (protobuf or
 * JSON), or a collaterals document, told by content.
 *  @return 0, or STATUS_INPUT with the message printed */
int policy_evidence_read(const char *path, struct policy_evidence *out);

/** For AUTO(policy_evidence_done). */
void policy_evidence_done(struct policy_evidence *e);

/** Writes a policy to FILE, whole or not at all; "-" is standard output. Checked before: what we write we
 * read.
 *  @return 0, or the status with the message printed */
int policy_write(const json_t *policy, const char *file);

/** A decimal or 0x number. @return 0, or STATUS_USAGE with the message printed */
int policy_number(const char *option, const char *text, uint64_t max, uint64_t *out);

#endif
