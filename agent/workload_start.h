/** agent/workload_start.h: from a folder on the data partition to running containers (contract, section 6):
 * read once and copied, judged, the engine started under the signature policy, images fetched, measured,
 * started in the order of their dependencies, watched. All of it on a thread of its own: the machine attests
 * meanwhile, and whatever fails.
 *
 * Within one boot the copy stays, and a restart of the agent uses it: what the disk holds by then does not
 * count. */
#ifndef CVM_AGENT_WORKLOAD_START_H
#define CVM_AGENT_WORKLOAD_START_H

#include "agent/measurements.h"
#include "agent/options.h"
#include "agent/places.h"
#include "agent/service_sockets.h"
#include "agent/workload.h"

struct workload_boot;

struct workload_boot_options { /* all kept by the caller as long as the workload_boot */
    const struct options *options;
    const struct places *places;
    struct collector *collector;
    struct priv_client *priv;
    struct measurements *measurements;    /* NULL: the workload log could not be opened */
    struct service_sockets *sockets;      /* NULL: none */
    const struct workload_policy *before; /* the policy as it lay on the disk when the process started: it has
                                             chosen the machine, and must be the one that is measured */
    bool firewall;                        /* whether rules are set */
    uint16_t external_port;

    /** Called on the thread: with everything closed once the copy's owner is known, and again when the policy
     * is measured. The policy stays valid as long as the workload_start.
     *  @param owner_pub  config/cvm_agent/owner.pub, empty: none */
    void (*policy_known)(void *arg, const struct workload_policy *policy, struct bytes owner_pub);
    void *arg;
};

/** @return 0 with *out, or -1 with ERR_IO. Nothing runs yet */
MUST_USE int workload_boot_new(const struct workload_boot_options *options, struct workload_boot **out,
                               struct err *err);

/** The workload that updates and management routes work on; NULL if there is no folder for one. */
struct workload *workload_boot_workload(struct workload_boot *s);

/** Starts the thread, and waits a moment for the policy, so that the first requests find it.
 *  @return 0, or -1 with ERR_IO */
MUST_USE int workload_boot_run(struct workload_boot *s, struct err *err);

/** Ends the thread; containers go on running. Before the collector is freed. NULL is fine. */
void workload_boot_stop(struct workload_boot *s);

/** NULL is fine. */
void workload_boot_free(struct workload_boot *s);

/** Appends the families of /metrics: whether the workload runs, and each service's state. From any thread. */
void workload_boot_metrics(struct workload_boot *s, struct buf *out);

#endif
