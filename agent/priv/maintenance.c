/* A signal to the main process of a container, by its id, through the engine: which process that is, and that
 * it still is, the engine knows. */
#include "agent/priv/verbs.h"

#include "base/auto.h"
#include "base/enc.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum priv_status verb_maintenance(struct priv_exchange *x)
{
    struct reader r = reader_of(bytes_of(x->request->payload, x->request->payload_size));
    struct bytes id;
    uint16_t number;
    char hex[65], request[256], answer[32] = "";
    if (x->request->payload_size != PRIV_MAINTENANCE_SIZE || !rd_take(&r, 32, &id) || !rd_u16le(&r, &number)
        || number == 0 || number >= NSIG || number == SIGKILL || number == SIGSTOP)
        return PRIV_MALFORMED;
    AUTO(close_fd) int fd = engine_dial(x->ctx->directory);
    if (fd < 0)
        return priv_say(x, PRIV_FAILED, (uint32_t)errno, "the container engine does not run: %s",
                        strerror(errno));
    /* podman has docker's interface too */
    int n = snprintf(request, sizeof(request),
                     "POST /v1.41/containers/%s/kill?signal=%u HTTP/1.1\r\nHost: localhost\r\n"
                     "Content-Length: 0\r\nConnection: close\r\n\r\n",
                     hex_to(hex, id), (unsigned)number);
    const struct timeval limit = { 8, 0 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (send(fd, request, (size_t)n, MSG_NOSIGNAL) != n
        || recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL) != (ssize_t)sizeof(answer) - 1
        || strncmp(answer, "HTTP/1.1 ", 9) != 0)
        return priv_say(x, PRIV_FAILED, 0, "the container engine did not answer");
    if (answer[9] != '2')
        return priv_say(x, PRIV_FAILED, 0, "the container engine sent no signal: status %.3s", answer + 9);
    return PRIV_OK;
}
