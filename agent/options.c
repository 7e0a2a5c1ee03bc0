#include "agent/options.h"

#include "base/auto.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <string.h>

static const char help_text[] =
    "usage: cvm-agent [OPTION]...\n"
    "Serves this confidential VM's evidence over HTTP, and judges the evidence of others.\n\n"
    "  --config FILE         agent policy (default: WORKLOAD/config/cvm_agent/cvm_agent_policy.json)\n"
    "  --workload DIR        the workload (default: /data/workload)\n"
    "  --emulate SHAPE       stand in for hardware: snp, tdx, snp-vtpm, tdx-vtpm, azure-snp, azure-tdx,\n"
    "                        gcp-snp, gcp-tdx, aws-snp\n"
    "  --tcti STRING         how to reach the TPM (default: device:/dev/tpmrm0)\n"
    "  --state DIR           what outlives a restart (default: /var/lib/cvm-agent)\n"
    "  --internal ADDR:PORT  plain HTTP on loopback (default: 127.0.0.1:7999; port 0: a free one)\n"
    "  --external ADDR:PORT  HTTPS (default: 0.0.0.0:8000; port 0: a free one)\n"
    "  --socket PATH         plain HTTP on a Unix socket (default: /run/cvm-agent/agent.sock)\n"
    "  --priv PATH           socket of cvm-agent-priv (default: /run/cvm-agent/priv.sock)\n"
    "  --etc DIR             settings of this machine (default: /etc/cvm-agent)\n"
    "  --allow-emulated-roots  /offchain-verify takes trust_roots: evidence below them proves no hardware\n"
    "  --verifier            judge others only: needs neither TEE nor TPM, and runs no workload\n"
    "  --log-level L         error, warning, info (default) or debug\n"
    "  --version             print the version\n"
    "  --help                print this\n\n"
    "Exit status: 0 stopped by a signal; 2 wrong usage; 3 a file could not be read or is malformed;\n"
    "4 the environment failed (no TEE and no TPM, a port is taken, permission).\n";

enum {
    OPT_CONFIG = 256,
    OPT_WORKLOAD,
    OPT_EMULATE,
    OPT_TCTI,
    OPT_STATE,
    OPT_INTERNAL,
    OPT_EXTERNAL,
    OPT_SOCKET,
    OPT_PRIV,
    OPT_ETC,
    OPT_LOG_LEVEL,
    OPT_ALLOW_ROOTS,
    OPT_VERIFIER,
    OPT_VERSION,
    OPT_HELP
};

static const struct option table[] = {
    { "config", required_argument, NULL, OPT_CONFIG },
    { "workload", required_argument, NULL, OPT_WORKLOAD },
    { "emulate", required_argument, NULL, OPT_EMULATE },
    { "tcti", required_argument, NULL, OPT_TCTI },
    { "state", required_argument, NULL, OPT_STATE },
    { "internal", required_argument, NULL, OPT_INTERNAL },
    { "external", required_argument, NULL, OPT_EXTERNAL },
    { "socket", required_argument, NULL, OPT_SOCKET },
    { "priv", required_argument, NULL, OPT_PRIV },
    { "etc", required_argument, NULL, OPT_ETC },
    { "allow-emulated-roots", no_argument, NULL, OPT_ALLOW_ROOTS },
    { "verifier", no_argument, NULL, OPT_VERIFIER },
    { "log-level", required_argument, NULL, OPT_LOG_LEVEL },
    { "version", no_argument, NULL, OPT_VERSION },
    { "help", no_argument, NULL, OPT_HELP },
    { NULL, 0, NULL, 0 },
};

const char *options_help(void)
{
    return help_text;
}

static int parse_port(const char *text, uint16_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long v = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 65536;
    if (v > 65535 || errno || *end)
        return -1;
    *out = htons((uint16_t)v);
    return 0;
}

int endpoint_parse(const char *text, struct endpoint *out, struct err *err)
{
    struct endpoint e = { 0 };
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    char host[INET6_ADDRSTRLEN + 2];
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    uint16_t port;
    if (!colon || n >= sizeof(host) || parse_port(colon + 1, &port) < 0)
        return err_set(err, ERR_INPUT, 0, "not ADDR:PORT: \"%.80s\"", text);
    memcpy(host, text, n);
    host[n] = '\0';
    v4.sin_port = v6.sin6_port = port;
    if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = '\0';
        if (inet_pton(AF_INET6, host + 1, &v6.sin6_addr) != 1)
            return err_set(err, ERR_INPUT, 0, "not an IPv6 address: \"%.80s\"", text);
        memcpy(&e.addr, &v6, sizeof(v6));
        e.n = sizeof(v6);
    } else {
        if (inet_pton(AF_INET, !strcmp(host, "localhost") ? "127.0.0.1" : host, &v4.sin_addr) != 1)
            return err_set(err, ERR_INPUT, 0, "not a numeric address: \"%.80s\"", text);
        memcpy(&e.addr, &v4, sizeof(v4));
        e.n = sizeof(v4);
    }
    *out = e;
    return 0;
}

char *endpoint_text(const struct endpoint *e, char out[static ENDPOINT_TEXT])
{
    char host[INET6_ADDRSTRLEN] = "?";
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (e->addr.ss_family == AF_INET6) {
        memcpy(&v6, &e->addr, sizeof(v6));
        inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host));
        snprintf(out, ENDPOINT_TEXT, "[%s]:%u", host, ntohs(v6.sin6_port));
    } else {
        memcpy(&v4, &e->addr, sizeof(v4));
        inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host));
        snprintf(out, ENDPOINT_TEXT, "%s:%u", host, ntohs(v4.sin_port));
    }
    return out;
}

bool endpoint_is_loopback(const struct endpoint *e)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (e->addr.ss_family == AF_INET6) {
        memcpy(&v6, &e->addr, sizeof(v6));
        return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
    memcpy(&v4, &e->addr, sizeof(v4));
    return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
}

static int set_internal(const char *text, struct endpoint *out, struct err *err)
{
    struct endpoint e;
    if (endpoint_parse(text, &e, err) < 0)
        return err_while(err, "--internal");
    if (!endpoint_is_loopback(&e))
        return err_set(err, ERR_INPUT, 0,
                       "--internal %.80s: plain HTTP without authentication is for loopback addresses only",
                       text);
    *out = e;
    return 0;
}

/* One option. */
static int apply(struct options *o, int option, const char *value, struct err *err)
{
    switch (option) {
    case OPT_CONFIG:
        o->config = value;
        return 0;
    case OPT_WORKLOAD:
        o->workload = value;
        return 0;
    case OPT_EMULATE:
        o->emulate = value;
        return 0;
    case OPT_TCTI:
        o->tcti = value;
        return 0;
    case OPT_STATE:
        o->state = value;
        return 0;
    case OPT_SOCKET:
        o->socket = value;
        o->socket_given = true;
        return 0;
    case OPT_PRIV:
        o->priv = value;
        o->priv_given = true;
        return 0;
    case OPT_ETC:
        o->etc = value;
        return 0;
    case OPT_ALLOW_ROOTS:
        o->allow_emulated_roots = true;
        return 0;
    case OPT_VERIFIER:
        o->verifier = true;
        return 0;
    case OPT_VERSION:
        o->version = true;
        return 0;
    case OPT_HELP:
        o->help = true;
        return 0;
    case OPT_INTERNAL:
        return set_internal(value, &o->internal, err);
    case OPT_EXTERNAL:
        return endpoint_parse(value, &o->external, err) < 0 ? err_while(err, "--external") : 0;
    case OPT_LOG_LEVEL:
        o->level_given = true;
        if (log_level_parse(value, &o->level) < 0)
            return err_set(err, ERR_INPUT, 0, "--log-level %.40s: want error, warning, info or debug", value);
        return 0;
    default:
        return err_set(err, ERR_INPUT, 0, "unknown option");
    }
}

int options_parse(int argc, char **argv, struct options *out, struct err *err)
{
    struct options o = { .workload = "/data/workload",
                         .state = "/var/lib/cvm-agent",
                         .etc = "/etc/cvm-agent",
                         .socket = "/run/cvm-agent/agent.sock",
                         .priv = "/run/cvm-agent/priv.sock",
                         .level = LOG_LEVEL_INFO };
    if (endpoint_parse("127.0.0.1:7999", &o.internal, err) < 0
        || endpoint_parse("0.0.0.0:8000", &o.external, err) < 0)
        return -1;
    opterr = 0;
    optind = 0; /* start anew: tests parse several times */
    for (int c; (c = getopt_long(argc, argv, ":", table, NULL)) != -1;) {
        if (c == ':')
            return err_set(err, ERR_INPUT, 0, "%.80s wants a value", argv[optind - 1]);
        if (c == '?')
            return err_set(err, ERR_INPUT, 0, "unknown option %.80s", argv[optind - 1]);
        if (apply(&o, c, optarg, err) < 0)
            return -1;
    }
    if (optind < argc)
        return err_set(err, ERR_INPUT, 0, "unexpected argument %.80s", argv[optind]);
    if (o.verifier && o.emulate)
        return err_set(err, ERR_INPUT, 0, "--verifier has no machine to emulate: leave out --emulate");
    *out = o;
    return 0;
}
