/** cli/target.h: where an agent is, as the user says it. */
#ifndef CVM_CLI_TARGET_H
#define CVM_CLI_TARGET_H

#include "base/err.h"

#include <stdbool.h>

#define TARGET_MAX 512

struct target {
    char base[TARGET_MAX];   /* "https://10.0.0.7:8000", without a slash at the end */
    char socket[TARGET_MAX]; /* Unix socket path, or "" */
    bool tls;
    bool loopback; /* a bare loopback name, or a Unix socket */
};

/** Reads a URL, "unix:/path", or a bare host or address with or without a port: a bare one is https on port
 * 8000; loopback is http on port 7999 (https where the port given is 8000).
 *  @param https  what is asked for is there on https only: a bare loopback name is https on port 8000 too
 *  @return 0, or -1 with ERR_INPUT */
MUST_USE int target_parse(const char *text, bool https, struct target *out, struct err *err);

#endif
