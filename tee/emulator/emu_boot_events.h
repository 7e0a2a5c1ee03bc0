/** tee/emulator/emu_boot_events.h: the list of events of an emulated boot. Internal. */
#ifndef CVM_TEE_EMULATOR_EMU_BOOT_EVENTS_H
#define CVM_TEE_EMULATOR_EMU_BOOT_EVENTS_H

#include "tee/emulator/emu_boot.h"

struct boot_event {
    unsigned pcr;
    uint32_t type;
    struct bytes data;   /* what the log shows */
    struct bytes hashed; /* what is measured */
};

typedef int boot_visit_fn(void *arg, const struct boot_event *event, struct err *err);

/** Calls visit for each event in order; stops at the first failure. */
MUST_USE int boot_events(const struct boot_facts *facts, boot_visit_fn *visit, void *arg, struct err *err);

#endif
