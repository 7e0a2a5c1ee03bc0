/** cli/document_registers.h: the registers that a collaterals document says a machine has, for comparing
 * documents. Nothing is verified here: cvm-cli verify does that. */
#ifndef CVM_CLI_DOCUMENT_REGISTERS_H
#define CVM_CLI_DOCUMENT_REGISTERS_H

#include "base/json.h"
#include "policy/registers.h"
#include "tpm/eventlog.h"

#define DOCUMENT_SIZE_MAX (32u << 20)

/** A boot log of a document. Begin with { 0 }. */
struct document_log {
    bool there;
    struct buf raw;
    struct tpm_eventlog log; /* views into raw */
};

/** True if the document looks like collaterals: it has TEE evidence or a TPM quote. */
bool document_is_collaterals(const json_t *document);

/** Fills registers from the TEE's report or quote, the PCRs and the workload log.
 *  @return 0, or -1 with ERR_INPUT naming the member */
MUST_USE int document_registers(const json_t *document, struct registers *out, struct err *err);

/** Decodes and parses the boot log of that member; absent: there stays false.
 *  @return 0, or -1 with ERR_INPUT */
MUST_USE int document_log_read(const json_t *document, const char *member, enum tpm_eventlog_kind kind,
                               struct document_log *out, struct err *err);

void document_log_done(struct document_log *log);

/** Appends the digests that the log extends into PCRs of r->bank to the PCRs' lists.
 *  @return 0, or -1 with ERR_IO, ERR_TOO_LARGE */
MUST_USE int registers_add_log(struct registers *r, const struct tpm_eventlog *log, struct err *err);

#endif
