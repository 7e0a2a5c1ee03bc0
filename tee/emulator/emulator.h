/** tee/emulator/emulator.h: a machine in software. It stands in for a platform shape below struct lower: a
 * software TPM, a software TEE that signs byte-exact SNP reports and TDX quotes, the certificates and
 * collateral behind them, the metadata and vendor services, boot logs and DMI files. Everything chains to
 * roots made for this state folder, which no verifier trusts unless told to. */
#ifndef CVM_TEE_EMULATOR_EMULATOR_H
#define CVM_TEE_EMULATOR_EMULATOR_H

#include "tee/lower.h"
#include "tee/shape.h"

struct emulator;

/** Starts the machine: the first time in a state folder keys, certificates and TPM are made (a few seconds),
 * later they are read back. A new boot (another <proc>/sys/kernel/random/boot_id of the real machine, or a
 * fresh TPM) measures its boot log into the PCRs once; a restart within one boot measures nothing.
 *  @param shape          "snp", "tdx", "snp-vtpm", "tdx-vtpm", "azure-snp", "azure-tdx", "gcp-snp",
 *                        "gcp-tdx", "aws-snp"
 *  @param state_dir      existing folder; everything lies below STATE/emulator, roots in roots.pem there
 *  @param external_tcti  tctildr name of a real TPM simulator to use instead of the one in the process, or
 *                        NULL
 *  @return 0, or -1: ERR_INPUT (no such shape; a damaged file, named), ERR_IO, ERR_UNAVAILABLE (external TPM)
 */
MUST_USE int emulator_new(const char *shape, const char *state_dir, const char *external_tcti,
                          struct emulator **out, struct err *err);

/** The machine's lowest interfaces, callable from several threads like the real ones; valid while e lives. */
struct lower emulator_lower(struct emulator *e);

/** The row of the shape that is emulated. Collectors detect it themselves. */
const struct shape *emulator_shape(const struct emulator *e);

/** Turns the machine off. Nothing obtained from emulator_lower() may be in use. NULL is fine. */
void emulator_free(struct emulator *e);

#endif
