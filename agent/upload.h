/** agent/upload.h: a file that a request brings, streamed to disk: the event thread collects a few pieces,
 * and another thread writes and hashes them while the connection is suspended. The file has no name: nobody
 * else can open it, and it is gone when the request is. */
#ifndef CVM_AGENT_UPLOAD_H
#define CVM_AGENT_UPLOAD_H

#include "base/buf.h"

#include <microhttpd.h>

/** Bytes of one upload that are in memory at most, and the library's buffer for multipart headers. */
#define UPLOAD_BUFFER    (256u << 10)
#define UPLOAD_MULTIPART (16u << 10)
/** What a multipart body may have beside the file. */
#define UPLOAD_SLACK (64u << 10)
/** The multipart field. */
#define UPLOAD_FIELD "file"

struct upload;

/** Begins to take a body.
 *  @param folder  where the file lies; private to this machine
 *  @param max     bytes of the file
 *  @param raw     whether a body that is not multipart is the file itself
 *  @return 0, or -1: ERR_INPUT (neither), ERR_IO */
MUST_USE int upload_new(struct MHD_Connection *connection, const char *folder, uint64_t max, bool raw,
                        struct upload **out, struct err *err);

/** NULL is fine. */
void upload_free(struct upload *u);

/** Takes a piece of the body, on the event thread.
 *  @return 0, or -1: ERR_INPUT (not multipart, another field), ERR_TOO_LARGE */
MUST_USE int upload_take(struct upload *u, const char *data, size_t n, struct err *err);

/** True when the pieces should be written before more are taken. */
bool upload_is_full(const struct upload *u);

/** Writes what was collected; not on the event thread, and not while upload_take() runs.
 *  @return 0, or -1 with ERR_IO: no room */
MUST_USE int upload_flush(struct upload *u, struct err *err);

struct uploaded {
    int fd; /* at offset 0; the upload's */
    uint64_t size;
    uint8_t sha384[48];
};

/** After the last piece: checks that the body was whole, writes the rest. Not on the event thread.
 *  @return 0, or -1: ERR_INPUT (no file in it, cut short), ERR_IO */
MUST_USE int upload_end(struct upload *u, struct uploaded *out, struct err *err);

#endif
