/** agent/program.h: the agent as a whole: its parts in the order in which they are opened. */
#ifndef CVM_AGENT_PROGRAM_H
#define CVM_AGENT_PROGRAM_H

#include "agent/appraisal_route.h"
#include "agent/auth.h"
#include "agent/collateral.h"
#include "agent/config.h"
#include "agent/journal.h"
#include "agent/listen.h"
#include "agent/machine.h"
#include "agent/measurements.h"
#include "agent/operate.h"
#include "agent/options.h"
#include "agent/places.h"
#include "agent/priv_client.h"
#include "agent/server.h"
#include "agent/service_sockets.h"
#include "agent/tls.h"
#include "agent/verify_route.h"
#include "agent/workload_copy.h"
#include "agent/workload_start.h"
#include "policy/trust.h"
#include "workload/policy.h"

/* Exit statuses of contract section 1. */
enum { EXIT_OK = 0, EXIT_USAGE = 2, EXIT_INPUT = 3, EXIT_ENVIRONMENT = 4 };

struct agent {
    struct options options;
    struct settings settings;
    struct workload_policy policy; /* as it lay on the disk; the measured one is the workload's */
    struct workload_policy closed; /* in effect until the measured one is known */
    struct places places;
    struct listeners listeners;
    struct service_sockets *services; /* NULL: the folder could not be made */
    struct priv_client priv;
    struct machine machine;
    struct buf trust_storage;
    struct bytes trust[TRUST_ROWS];
    struct chain_pool pool;
    struct agent_collateral collateral;
    struct collector *collector;
    struct tls_identity tls;
    struct auth *auth;
    struct journal *journal;
    struct measurements *measurements;
    struct workload_boot *workload; /* NULL: out of memory */
    struct operate *operate;
    struct verifier *verifier;
    struct appraiser *appraiser;
    struct server *server;
};

/** Prints one line to standard error. @return status */
int program_fail(int status, const char *what, const struct err *err);

/** Reads agent.json and the policy, and decides what is emulated. @return an exit status; the reason is
 * printed */
int program_configure(struct agent *a);

/** Opens what talks to the TEE, the TPM and the vendors. @return 0, or -1: what was opened is closed by
 * program_close() */
MUST_USE int program_open_collector(struct agent *a, struct err *err);

/** Opens what answers requests, up to the HTTP servers. @return as program_open_collector() */
MUST_USE int program_open_server(struct agent *a, struct err *err);

/** Ends requests and closes all there is. */
void program_close(struct agent *a);

#endif
