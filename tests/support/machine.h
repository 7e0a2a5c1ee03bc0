/** tests/support/machine.h: a soft TPM in a folder of its own, switched on and off. For tests that link the
 * soft TPM: compile machine.c into them. */
#ifndef CVM_TESTS_MACHINE_H
#define CVM_TESTS_MACHINE_H

#include "evidence.h"
#include "tcti_filter.h"

#include "tpm/soft/soft_tpm.h"
#include "tpm/tpm.h"

struct machine {
    struct soft_tpm *s;
    struct tpm *t;
};

/** Its folder and the two files in it; one test at a time. */
extern char machine_folder[64], state_path[96], boot_path[96];

/** Setup and teardown of a test: make and remove the folder. */
int machine_dir(void **state);
int machine_remove(void **state);

/** Fails the test with the cause when rc is negative. */
void check(int rc, const struct err *err);

/** Powers the TPM on and connects. */
struct machine machine_on(void);

/** As machine_on(), the connection running through *f, which is initialised here. */
struct machine machine_on_through(struct tcti_filter *f);

void machine_off(struct machine *m);

/** Extends a PCR in the SHA-256 bank with 01 02 00..., in the SHA-384 bank with 03 00.... */
void machine_extend(struct tpm *t, unsigned pcr);

struct tpm_pcrs machine_pcrs(struct tpm *t, uint16_t alg);

#endif
