/** agent/machine.h: the machine below the collector: the real one, or the emulator's where the build has it.
 */
#ifndef CVM_AGENT_MACHINE_H
#define CVM_AGENT_MACHINE_H

#include "agent/options.h"
#include "tee/lower.h"

struct emulator;

struct machine {
    struct lower lower;
    struct lower_system storage;
    struct emulator *emulator; /* NULL on the real machine */
};

/** True if this build has the emulator. */
bool machine_can_emulate(void);

/** Opens the machine that the options ask for; it must stay where it is.
 *  @return 0, or -1: ERR_INPUT (no such shape), ERR_IO, ERR_UNAVAILABLE */
MUST_USE int machine_open(const struct options *o, struct machine *out, struct err *err);

/** Nothing may use the machine any more. An empty struct is fine. */
void machine_close(struct machine *m);

#endif
