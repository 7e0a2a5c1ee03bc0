/** tests/integration/emulator_rig.h: an emulated machine of a test, switched on and off, shown and judged. */
#ifndef CVM_TESTS_EMULATOR_RIG_H
#define CVM_TESTS_EMULATOR_RIG_H

#include "evidence.h"

#include "tee/emulator/emulator.h"
#include "tpm/tpm.h"

#define START_FIRST_MS 20000 /* a loaded machine under sanitizers; the output says what it took */
#define START_LATER_MS 1000

#define OK(call)                                                                                             \
    do {                                                                                                     \
        struct err err = { 0 };                                                                              \
        char text_[ERR_TEXT_MAX];                                                                            \
        if ((call) < 0)                                                                                      \
            fail_msg("%s: %s", #call, err_text(&err, text_, sizeof(text_)));                                 \
    } while (0)

/* A machine that is switched on, with what a collector would hold. */
struct machine {
    char state[64], out[80];
    struct emulator *e;
    struct lower l;
    TSS2_TCTI_CONTEXT *tcti;
    struct tpm *tpm;
};

/** The machine of the running test, so that one that fails is switched off too: libtpms is one TPM a process.
 */
extern struct machine rig;

/** A cmocka teardown: switches rig off and removes its folder. */
int switch_off(void **state);

/** The report data that every report here carries. */
extern const uint8_t report_data[64];

/** A new state folder, and its removal. */
void folder_new(struct machine *m);
void folder_drop(struct machine *m);

/** Starts the machine within limit milliseconds and opens its TPM. Fails the test if it cannot. */
void power_on(struct machine *m, const char *shape, const char *tcti, double limit);
void power_off(struct machine *m);

/** GETs an address from the emulated network; the body is the caller's. Another status fails the test. */
struct buf fetch(const struct machine *m, const char *url, unsigned status);

/** Collects everything that the platform shows into files below m->out. */
void show(struct machine *m, const char *shape);

/** Lets check_emulator.py judge those files. */
void judge(const struct machine *m);

/** Detection finds the shape from the machine alone. */
void detects_itself(struct machine *m);

/** A file below STATE/emulator. Free with sample_done(). */
struct sample state_file(const struct machine *m, const char *name);

#endif
