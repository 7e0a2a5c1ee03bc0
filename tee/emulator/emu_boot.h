/** tee/emulator/emu_boot.h: what the emulated firmware and boot loader measure: one list of events, written
 * as a TCG crypto-agile log, as a CCEL, and extended into the TPM. The kernel is a unified kernel image
 * started by the firmware. Source: TCG PC Client Platform Firmware Profile 1.05, section 10; UEFI 2.10,
 * section 38.4; systemd docs/TPM2_PCR_MEASUREMENTS.md. */
#ifndef CVM_TEE_EMULATOR_EMU_BOOT_H
#define CVM_TEE_EMULATOR_EMU_BOOT_H

#include "base/buf.h"
#include "tpm/tpm.h"

#define BOOT_LOG_MAX    (1u << 20)
#define FIRMWARE_PCRS   0xFFu       /* what nobody extends after the boot */
#define BOOT_CCEL_SIZE  (64u << 10) /* the whole log area, the unused tail is 0xFF */
#define CCEL_TABLE_SIZE 56

struct boot_facts {
    const char *firmware; /* its version: EV_S_CRTM_VERSION */
    int gce_technology;   /* GCE's non-host info; -1: the firmware has none */
};

/** Appends the TPM's log for the banks. */
MUST_USE int boot_log(const struct boot_facts *facts, const struct tpm_banks *banks, struct buf *out,
                      struct err *err);

/** Appends the CCEL area and computes the RTMRs that it leads to (4 x 48 bytes). */
MUST_USE int boot_ccel(const struct boot_facts *facts, struct buf *out, uint8_t *rtmrs, struct err *err);

/** The ACPI table that announces the CCEL. */
void boot_ccel_table(uint8_t out[static CCEL_TABLE_SIZE]);

/** Measures the boot into a TPM whose PCRs 0 to 7 are zero; does nothing when they hold this boot already.
 *  @param fresh  receives whether it measured: a new boot
 *  @return 0, or -1: ERR_INPUT when the PCRs hold something else */
MUST_USE int boot_measure(const struct boot_facts *facts, struct tpm *tpm, const struct tpm_banks *banks,
                          bool *fresh, struct err *err);

#endif
