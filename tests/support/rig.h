/** tests/support/rig.h: the same test over the TPM in the process and over a real swtpm, quotes judged by
 * OpenSSL and tpm2-tools. For tests that link the soft TPM: compile rig.c into them. */
#ifndef CVM_TESTS_RIG_H
#define CVM_TESTS_RIG_H

#include "evidence.h"
#include "swtpm.h"

#include "tpm/soft/soft_tpm.h"
#include "tpm/tpm.h"

#define OK(call)                                                                                             \
    do {                                                                                                     \
        struct err err = { 0 };                                                                              \
        if ((call) < 0)                                                                                      \
            fail_msg("%s: %s", #call, err.cause);                                                            \
    } while (0)
#define REFUSED(expected, call)                                                                              \
    do {                                                                                                     \
        struct err err = { 0 };                                                                              \
        assert_int_equal((call), -1);                                                                        \
        if (err.kind != (expected))                                                                          \
            fail_msg("%s: kind %d, not %s: %s", #call, err.kind, #expected, err.cause);                      \
        assert_true(strlen(err.cause) > 10);                                                                 \
    } while (0)

struct rig {
    bool soft;
    char dir[64]; /* of the soft TPM, and for files */
    struct soft_tpm *s;
    struct swtpm w;
    struct tpm *t;
};

/** Setups and the teardown of a test. */
int rig_soft(void **state);
int rig_swtpm(void **state);
int rig_done(void **state);

/** The rig, or the test is skipped where there is no swtpm. */
struct rig *rig_of(void **state);

/** Connects anew; the caller has closed rig->t. */
void rig_open(struct rig *rig);

#define TRANSIENT      0x80000000u
#define LOADED_SESSION 0x02000000u
#define SAVED_SESSION  0x03000000u

/** How many handles of a range the TPM has, asked for over a connection of the test's own. */
unsigned rig_handles(struct rig *rig, uint32_t first);

/** Writes a file into the rig's folder. */
void rig_file(const struct rig *rig, const char *name, struct bytes data);

/** fixedTPM .. userWithAuth, restricted, sign: the attributes of platforms' AKs. */
#define AK_ATTRIBUTES 0x00050072u

/** Marshalled TPMT_PUBLIC of an RSA-2048 key (RSASSA if it is restricted and signs) and of a P-256 AK. */
struct buf rsa_template(uint32_t attributes);
struct buf ecc_template(void);

/** Quotes over extra_n bytes; OpenSSL and tpm2_checkquote must accept it, and its pcrDigest agree with the
 * PCRs read. */
void rig_quote(struct rig *rig, const struct tpm_ak *ak, uint16_t alg, uint32_t mask, size_t extra_n);

#endif
