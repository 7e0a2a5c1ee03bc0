/** tee/tsm.h: the steps of configfs-tsm that detection and report collection share. Internal to tee/. */
#ifndef CVM_TEE_TSM_H
#define CVM_TEE_TSM_H

#include "tee/report.h"

#define TSM_PREFIX     "cvm-agent-" /* our entries: cvm-agent-PID-COUNTER-RANDOM */
#define TSM_SHARED     "cvm-agent" /* the one entry that cvm-agent-setup makes and hands to the agent's user */
#define TSM_ENTRY_SIZE 64
#define TSM_TEXT_MAX   64 /* a text attribute */

/** Makes an entry with a name that nobody else has. @return 0, or -1: ERR_NOT_FOUND, ERR_DENIED, ERR_IO */
MUST_USE int tsm_entry_make(const struct lower *l, char name[static TSM_ENTRY_SIZE], struct err *err);

/** Reads a text attribute without its newline. @return 0 or -errno */
MUST_USE int tsm_text(const struct lower *l, const char *entry, const char *attr,
                      char out[static TSM_TEXT_MAX]);

/** The provider's name, through an entry of its own. */
MUST_USE int tsm_provider(const struct lower *l, char out[static TSM_TEXT_MAX], struct err *err);

/** The TEE of a provider's name, or TEE_NONE for one that we do not know. */
enum tee_type tsm_provider_tee(const char *provider);

/** What tee_report_get() walks. deadline: of clock_ms(). */
MUST_USE int tsm_report(const struct lower *l, enum tee_type tee, const uint8_t report_data[static 64],
                        uint64_t deadline, struct tee_report *out, struct err *err);
MUST_USE int sev_guest_report(const struct lower *l, enum tee_type tee, const uint8_t report_data[static 64],
                              uint64_t deadline, struct tee_report *out, struct err *err);

#endif
