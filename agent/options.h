/** agent/options.h: the command line of cvm-agent (contract section 1). */
#ifndef CVM_AGENT_OPTIONS_H
#define CVM_AGENT_OPTIONS_H

#include "base/log.h"

#include <stdbool.h>
#include <sys/socket.h>

/** An address to listen on. */
struct endpoint {
    struct sockaddr_storage addr;
    socklen_t n;
};

/** Room for "[IPv6]:PORT". */
#define ENDPOINT_TEXT 64

struct options {
    const char *config; /* NULL: the workload's policy file, if there is one */
    const char *workload, *state, *etc;
    const char *emulate; /* a shape, or NULL */
    const char *tcti;    /* NULL: the kernel's resource manager */
    const char *socket, *priv;
    bool priv_given; /* --priv was named: an emulated agent uses it too */
    bool socket_given;
    struct endpoint internal, external;
    enum log_level level;
    bool level_given, allow_emulated_roots, help, version;
    bool verifier; /* judges others only: neither TEE, TPM nor workload is looked for */
};

/** Reads the arguments. Strings point into argv or are constants.
 *  @return 0, or -1 with ERR_INPUT: what is wrong with which option */
MUST_USE int options_parse(int argc, char **argv, struct options *out, struct err *err);

/** What --help prints. */
const char *options_help(void);

/** Parses a numeric "ADDR:PORT", "[ADDR6]:PORT" or "localhost:PORT". @return 0, or -1 with ERR_INPUT */
MUST_USE int endpoint_parse(const char *text, struct endpoint *out, struct err *err);

/** Writes "ADDR:PORT". Returns out. */
char *endpoint_text(const struct endpoint *e, char out[static ENDPOINT_TEXT]);

/** True for 127.0.0.0/8 and ::1. */
bool endpoint_is_loopback(const struct endpoint *e);

#endif
