/** agent/setup/setup.h: what cvm-agent-setup does once a boot, as root, before the agent starts without
 * privileges. */
#ifndef CVM_AGENT_SETUP_H
#define CVM_AGENT_SETUP_H

#include "base/err.h"

#include <sys/types.h>

/** Largest boot log that is copied; a longer one is left where it is, with a warning. */
#define BOOT_LOG_MAX (16u << 20)

struct setup {
    const char *root; /* "" or the prefix of a test */
    uid_t uid;        /* of the agent */
    gid_t gid;
    unsigned warnings;
};

/** Finds the agent's user in ROOT/etc/passwd. @return 0, or -1: ERR_NOT_FOUND (no such user), ERR_IO */
MUST_USE int setup_find_user(struct setup *s, struct err *err);

/** Makes /run/cvm-agent and /var/lib/cvm-agent. @return 0, or -1 with ERR_IO */
MUST_USE int setup_folders(struct setup *s, struct err *err);

/** Copies the boot logs, which only root may read, to /run/cvm-agent/boot. What is absent is no error; what
 * cannot be copied is a warning. */
void setup_boot_logs(struct setup *s);

/** Gives the agent the report folder, the measurement files and the TEE devices that are there. */
void setup_devices(struct setup *s);

#endif
