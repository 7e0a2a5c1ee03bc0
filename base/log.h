/** base/log.h: one line an event: JSON on standard error, or journald fields. Only the top level logs;
 * libraries return errors. */
#ifndef CVM_BASE_LOG_H
#define CVM_BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/** Where and how much to log; process-wide, set once at start before threads exist (and the level at SIGHUP).
 *  journal: send to journald when standard error is connected to it (JOURNAL_STREAM), else JSON lines. */
void log_setup(enum log_level level);

/** "error", "warning", "info", "debug" → level. @return 0, or -1 for another word */
MUST_USE int log_level_parse(const char *word, enum log_level *out);

/** One event: a fixed event name ("listening", "collect"), then pairs of const char *key, const char *value,
 * ending with NULL. A value of NULL skips its pair. Never give it secrets. */
__attribute__((sentinel)) void log_event(enum log_level level, const char *event, ...);

/** log_event(level, event, "error", text of the chain, NULL). */
void log_err(enum log_level level, const char *event, const struct err *err);

#endif
