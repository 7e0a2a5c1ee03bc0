/** cli/manage.h: what the commands that manage a machine share: the token, the connection that the evidence
 * vouches for, requests with it, the owner's signature. Functions print their own messages and give back 0 or
 * an exit status. */
#ifndef CVM_CLI_MANAGE_H
#define CVM_CLI_MANAGE_H

#include "cli/call.h"

#define MANAGE_TOKEN_MAX 512
#define MANAGE_PATH_MAX  2048

struct manage {
    struct call call;
    char token[MANAGE_TOKEN_MAX];
    char authorization[MANAGE_TOKEN_MAX + 32];
    const char *headers[HTTP_HEADERS_MAX];
    size_t header_count;
};

/** Wipes the token. */
void manage_forget(struct manage *m);

/** CVM_API_TOKEN, standard input for "-", or with a warning the argument: others on the machine see
 * arguments.
 *  @param argument  NULL: not given */
int manage_token(struct manage *m, const char *argument);

/** A token never goes over plain HTTP, and only to the machine that the evidence speaks of: after this pin is
 * its key, unless --insecure. */
int manage_begin(struct manage *m);

/** manage_token(), manage_begin() and manage_authorize(). */
int manage_begin_as(struct manage *m, const char *token);

/** Adds a header line, which must stay as long as m. */
void manage_header(struct manage *m, const char *line);
void manage_authorize(struct manage *m);

/** One request; a status other than 2xx is a failure, printed. Long bodies show a bar on a terminal.
 *  @param sink  gets the answer as it comes; NULL: it is collected */
int manage_send(struct manage *m, const char *method, const char *path, struct bytes body,
                bool (*sink)(void *arg, struct bytes data), struct http_response *out);
int manage_send_and_print(struct manage *m, const char *method, const char *path, struct bytes body);

/** Writes the header X-Owner-Signature over the SHA-256 of message.
 *  @param key_path  PEM, P-256 or Ed25519 */
int manage_sign(const char *key_path, struct bytes message, char *header, size_t size);

/* There is no management on the internal port. */
#define MANAGE_ADDRESS_HELP                                                                                  \
    "URL may be a bare host or address: https on port 8000.\n"                                               \
    "\n"

#define TOKEN_HELP                                                                                           \
    "The token comes from CVM_API_TOKEN, from standard input with - in its place, or, with a warning, "      \
    "from\n"                                                                                                 \
    "the argument. It is sent over https only, to the machine that the collaterals vouch for (see "          \
    "collaterals):\n" TLS_HELP

#endif
