/** tee/emulator/emu.h: the parts of an emulated machine, and the facts of each platform. Internal. */
#ifndef CVM_TEE_EMULATOR_EMU_H
#define CVM_TEE_EMULATOR_EMU_H

#include "tee/emulator/emu_ak.h"
#include "tee/emulator/emu_azure.h"
#include "tee/emulator/emu_boot.h"
#include "tee/emulator/emu_sev_guest.h"
#include "tee/emulator/emu_snp.h"
#include "tee/emulator/emu_tdx.h"
#include "tee/emulator/emu_tsm.h"
#include "tee/emulator/emulator.h"

#define UUID_SIZE 37
#define DMI_MAX   4

/** This boot of the real machine. */
#define HOST_BOOT_ID "/proc/sys/kernel/random/boot_id"

/** What the host hands to sev-guest and auxblob. */
enum host_certs { CERTS_NONE, CERTS_LEAF, CERTS_CHAIN };

/** CPUID answers; leaves that are not listed are zero. */
struct cpuid_row {
    uint32_t leaf, subleaf, out[4];
};

struct platform {
    const char *shape;
    const struct snp_facts *snp; /* one of the two */
    const struct tdx_facts *tdx;
    bool configfs;   /* the kernel has configfs-tsm */
    bool sev_device; /* and /dev/sev-guest */
    enum host_certs certs;
    struct boot_facts boot;
    const char *dmi[DMI_MAX][2]; /* file below <sys>/class/dmi/id, content */
    const struct cpuid_row *cpuid;
    size_t cpuid_count;
};

/** The row of a shape, or NULL. */
const struct platform *platform_by_name(const char *shape);

struct emulator {
    const struct shape *shape;
    const struct platform *platform;
    struct store store;
    struct snp_machine *snp;
    struct tdx_machine *tdx;
    struct tsm_fs *tsm;
    struct sev_guest sev_guest;
    struct buf cert_table;
    struct ak_ca ca;
    struct soft_tpm *soft;
    char *external_tcti; /* instead of soft */
    struct paravisor *paravisor;
    struct buf log, ccel;
    uint8_t rtmrs[4 * TDX_RTMR_SIZE];
    struct rtmr_io rtmr3; /* read NULL: none */
    char boot_id[UUID_SIZE];
    char sys[PATH_MAX], dev[PATH_MAX], proc[PATH_MAX];
};

/** emu_tpm.c: opens and closes the TCTI that the guest sees. */
MUST_USE int emulator_tcti_open(void *emulator, TSS2_TCTI_CONTEXT **out, struct err *err);
void emulator_tcti_close(void *emulator, TSS2_TCTI_CONTEXT *tcti);

/** emu_tpm.c: powers the TPM on, measures the boot, provisions the cloud's keys. */
MUST_USE int emulator_tpm_start(struct emulator *e, struct err *err);

/** emu_tpm.c: what has to wait for the hardware: the paravisor. */
MUST_USE int emulator_paravisor_start(struct emulator *e, const struct hcl_hardware *hardware,
                                      struct err *err);

/** emu_files.c: the files of <sys>, <dev>, <proc>, and roots.pem. */
MUST_USE int emulator_files_write(struct emulator *e, struct err *err);

/** emu_rtmr.c: RTMR3 as the boot left it; after the boot id is known. */
MUST_USE int emulator_rtmr3_start(struct emulator *e, struct err *err);

/** emu_http.c: the services that the machine can reach. */
struct http emulator_http(struct emulator *e);

/** UUID text of 16 bytes. */
void uuid_text(const uint8_t id[static 16], char out[static UUID_SIZE]);

#endif
