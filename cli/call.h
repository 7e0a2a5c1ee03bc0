/** cli/call.h: asking an agent: where it is, whose key the connection has, what it answered. */
#ifndef CVM_CLI_CALL_H
#define CVM_CLI_CALL_H

#include "base/http.h"
#include "cli/commands.h"
#include "cli/target.h"

#define CALL_ANSWER_MAX  (32u << 20)
#define CALL_DEADLINE_MS 60000 /* a fresh Azure report takes up to 10 s, a TDX quote some seconds */
#define CALL_NONCE_MAX   30

struct call {
    const struct command *command;
    const char *url, *nonce, *file, *bank, *pin, *pcrs;
    const char *roots, *certs, *accept_tcb; /* for judging whose key the connection has */
    bool fresh, insecure, all, self_asserted;
    bool https; /* management is on https only */
    struct target target;
    char nonce_text[CALL_NONCE_MAX + 1];
    char peer_pin[65]; /* the key that the collaterals were checked against */
};

/** "cvm-cli: collaterals: WHAT: WHY": remarks on standard error that are no failure. */
void call_note(const struct call *c, const char *what, const char *why);

/** Reads URL, pin and nonce. @return 0, or a status with the message printed */
int call_prepare(struct call *c);

/** GET; an answer other than 200 is a failure, printed.
 *  @param pin      hex SHA-256 of the key that the peer must have, NULL: none
 *  @param any_key  takes any key */
int call_get(const struct call *c, const char *path, const char *pin, bool any_key,
             struct http_response *out);

/** Prints the sentence of an error body, or the status alone. @return STATUS_ENVIRONMENT */
int call_refused(const struct call *c, const char *url, const struct http_response *r);

/** Fetches and checks the collaterals document; on https without --pin the machine of the evidence is then
 * the peer, and peer_pin its key. @return 0, or a status with the message printed */
int call_collaterals(struct call *c, struct http_response *out);

/* How the peer is judged on https. */
#define JUDGE_OPTIONS(c)                                                                                     \
    { "pin", OPTION_TEXT, &(c).pin }, { "insecure", OPTION_FLAG, &(c).insecure },                            \
        { "trust-emulator", OPTION_TEXT, &(c).roots }, { "certs", OPTION_TEXT, &(c).certs },                 \
        { "accept-tcb", OPTION_TEXT, &(c).accept_tcb },                                                      \
    {                                                                                                        \
        "accept-self-asserted-ak", OPTION_FLAG, &(c).self_asserted                                           \
    }

#define ADDRESS_HELP                                                                                         \
    "URL may be a bare host or address: https on port 8000, for 127.0.0.1 and localhost http on port "       \
    "7999,\n"                                                                                                \
    "unless --pin is given.\n"                                                                               \
    "unix:/path is an agent's Unix socket.\n"                                                                \
    "\n"

#define TLS_HELP                                                                                             \
    "  --pin SHA256  the peer's key must be this one (SHA-256 of its SubjectPublicKeyInfo, 64 hex digits)\n" \
    "  --insecure    takes any key and checks nothing\n"                                                     \
    "  --trust-emulator ROOTS.pem, --certs DIR, --accept-tcb S,..., --accept-self-asserted-ak  as for "      \
    "verify\n"

#endif
