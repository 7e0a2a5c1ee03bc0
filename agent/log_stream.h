/** agent/log_stream.h: container logs as they come: one thread a container writes lines of JSON into a small
 * queue, from which the event thread answers; while the queue is empty the connection is suspended. */
#ifndef CVM_AGENT_LOG_STREAM_H
#define CVM_AGENT_LOG_STREAM_H

#include "workload/engine.h"

#include <microhttpd.h>

#define LOG_STREAMS_MAX    8  /* at once */
#define LOG_STREAM_MEMBERS 16 /* containers of one stream */
#define LOG_STREAM_QUEUE   (256u << 10)
#define LOG_STREAM_BEAT_MS 15000 /* an empty line: is the reader still there? */

/** All streams of an agent, so that they can be ended. */
struct log_streams;

MUST_USE int log_streams_new(struct log_streams **out, struct err *err);

/** Ends all streams; new ones are refused. Before the HTTP server stops. */
void log_streams_stop(struct log_streams *s);

/** After the HTTP server stopped. NULL is fine. */
void log_streams_free(struct log_streams *s);

/** Wakes streams that were silent for long: now and then, from any thread. */
void log_streams_beat(struct log_streams *s, uint64_t now_ms);

/** Begins a stream.
 *  @param names   containers, n of them
 *  @param out     a response for this connection, to be queued and destroyed
 *  @return 0, or -1: ERR_LIMITED (too many streams), ERR_INPUT (too many containers), ERR_IO */
MUST_USE int log_stream_begin(struct log_streams *s, const struct engine *engine, char *const *names,
                              size_t n, const struct engine_log_options *options,
                              struct MHD_Connection *connection, struct MHD_Response **out, struct err *err);

#endif
