/** tee/lower.h: the lowest interfaces, everything that a collector touches outside the process. The real ones
 * talk to the kernel; tests and the emulator put their own in their place. Above this line all code is the
 * same. Return convention of the device calls: 0 (or a count) or -errno, as the kernel has it. */
#ifndef CVM_TEE_LOWER_H
#define CVM_TEE_LOWER_H

#include "base/bytes.h"
#include "base/http.h"
#include "tpm/rtmr.h"

#include <sys/types.h>
#include <tss2/tss2_tcti.h>

/** configfs-tsm: entries are folders under <sys>/kernel/config/tsm/report. One call opens, does its work and
 * closes. */
struct tsm_io {
    int (*make)(void *ctx, const char *entry);   /* mkdir */
    int (*remove)(void *ctx, const char *entry); /* rmdir */
    int (*write)(void *ctx, const char *entry, const char *attr, struct bytes data);
    ssize_t (*read)(void *ctx, const char *entry, const char *attr, uint8_t *out, size_t max);
    void *ctx;
    /** Calls each with every entry's name; NULL: entries of a killed instance cannot exist. */
    int (*list)(void *ctx, void (*each)(void *arg, const char *entry), void *arg);
};

/** /dev/sev-guest: one ioctl with the kernel's own request number and structures
 * (include/uapi/linux/sev-guest.h). */
struct sev_guest_io {
    int (*call)(void *ctx, unsigned long request, void *arg); /* 0 or -errno; -ENOENT: no such device */
    void *ctx;
};

/** CPUID of this machine: out is EAX, EBX, ECX, EDX. */
struct cpuid_io {
    void (*get)(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
    void *ctx;
};

/** How the TPM is reached. open gives a TCTI context (initialised), close finalises and frees it. */
struct tpm_io {
    int (*open)(void *ctx, TSS2_TCTI_CONTEXT **out, struct err *err);
    void (*close)(void *ctx, TSS2_TCTI_CONTEXT *tcti);
    void *ctx;
    const char *kind; /* for /platform: "device", "external", "emulated"; NULL: there is no TPM on purpose */
};

struct lower {
    const char *sys, *dev, *proc; /* "/sys", "/dev", "/proc", or a folder of a test */
    struct tsm_io tsm;
    struct sev_guest_io sev_guest;
    struct cpuid_io cpuid;
    struct tpm_io tpm;
    struct http http;            /* IMDS, KDS */
    const char *imds_url;        /* "http://169.254.169.254" */
    const char *kds_url;         /* "https://kdsintf.amd.com" */
    const char *boot_id;         /* text of this boot's id; NULL: <proc>/sys/kernel/random/boot_id */
    const struct rtmr_io *rtmr3; /* NULL: the kernel's file below sys, if it has one */
    bool emulated;
};

/** The real machine: /sys, /dev, /proc, configfs, ioctl, CPUID, libcurl and the TCTI of that name.
 *  @param storage  memory for the contexts, owned by the caller and kept as long as the result */
struct lower_system {
    char tsm_root[256], sev_path[256];
    const char *tcti;
};
struct lower lower_system(struct lower_system *storage, const char *sys, const char *dev, const char *proc,
                          const char *tcti, const char *tpm_kind);

#endif
