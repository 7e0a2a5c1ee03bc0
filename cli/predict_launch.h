/** cli/predict_launch.h: the register of the TEE itself in a prediction: the launch digest of SEV-SNP, MRTD
 * of TDX. */
#ifndef CVM_CLI_PREDICT_LAUNCH_H
#define CVM_CLI_PREDICT_LAUNCH_H

#include "base/json.h"
#include "image/predict.h"
#include "tee/shape.h"

/** As given on the command line; NULL: not given. */
struct launch_options {
    const char *vcpus, *vcpu_type, *features, *kernel, *initrd, *append;
};

struct launch_prediction {
    const char *tee, *name; /* members of a golden measurement; NULL: a platform without a TEE */
    enum predict_kind kind;
    uint8_t value[48];          /* where predicted */
    char why[ERR_TEXT_MAX + 8]; /* one line for people */
};

/** Predicts it. What cannot be known exactly is unknown, with the reason.
 *  @param firmware  the file's bytes; NULL: not given
 *  @return 0, or the exit status with the message printed */
int launch_predict(const struct launch_options *options, const struct shape *shape,
                   const struct bytes *firmware, const char *firmware_path, struct launch_prediction *out);

/** {NAME: {"state","why","value"}}, or NULL when memory is short. */
json_t *launch_json(const struct launch_prediction *launch);

#endif
