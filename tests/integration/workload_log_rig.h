/** workload_log_rig.h: a boot with a TPM and a file that stands for RTMR3, two workloads, and what their log
 * must say. */
#ifndef CVM_TEST_WORKLOAD_LOG_RIG_H
#define CVM_TEST_WORKLOAD_LOG_RIG_H

#include "evidence.h"
#include "swtpm.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/json.h"
#include "workload/workload_log.h"

#define BOOT "11111111-2222-3333-4444-555555555555"

extern struct err why; /* of the last OK() */

#define OK(call)                                                                                             \
    do {                                                                                                     \
        if ((call) < 0)                                                                                      \
            fail_msg("%s: %s", #call, why.cause);                                                            \
    } while (0)

struct place {
    struct swtpm swtpm;
    char folder[40], log[64], rtmr3_path[64];
    struct rtmr_io rtmr3;
    bool has_rtmr3;
    struct tpm *tpm;
    struct workload_log *w;
};

/* ---- a machine ---- */

void boot(struct place *p);
int machine_new(void **state);
int machine_done(void **state);
struct place *place_of(void **state);
int open_place(struct place *p, struct err *err);
void close_place(struct place *p);
struct digest pcr(struct place *p, unsigned i, uint16_t alg);
void foreign_extend(struct place *p, unsigned i);

/* ---- plans ---- */

extern const struct measure_plan old_plan, new_plan;
static const uint8_t zip[48] = { 0x7a, 0x69, 0x70 };
int make_plans(void **state);
void assert_same(const struct digest *a, const struct digest *b, const char *what);

/* Every register holds what the log says, and PCR 23 what the plan predicts. */
void assert_holds(struct place *p, const struct measure_plan *plan);
size_t count(struct place *p);

enum workload_start start(struct place *p, const struct measure_plan *plan);

#endif
