/** tpm/eventlog_formats.h: what the files of the event log parser share; nobody else includes it. */
#ifndef CVM_TPM_EVENTLOG_FORMATS_H
#define CVM_TPM_EVENTLOG_FORMATS_H

#include "tpm/eventlog.h"

/** Appends an event; *cap is how many there is room for. ERR_TOO_LARGE beyond EVENTLOG_EVENTS_MAX. */
MUST_USE int eventlog_add(struct tpm_eventlog *log, const struct tpm_event *event, size_t *cap,
                          struct err *err);

/** Adds a bank; the caller sees to EVENTLOG_ALGS_MAX. ERR_INPUT: a size that is not the algorithm's, or
 * twice. */
MUST_USE int eventlog_add_alg(struct tpm_eventlog *log, uint16_t alg, uint16_t size, size_t off,
                              struct err *err);

/** Reads dstack's JSON list [{imr,event_type,digest,event,event_payload}] into log, storage included. */
MUST_USE int eventlog_read_dstack(struct bytes text, struct tpm_eventlog *log, struct err *err);

/** The digest of a runtime event of dstack. */
MUST_USE int eventlog_dstack_digest(const struct tpm_event *event, struct digest *out, struct err *err);

/** UEFI_VARIABLE_DATA: the name in UTF-16LE without a terminator. */
struct efi_variable {
    struct bytes guid, name, value;
};

/** Splits UEFI_VARIABLE_DATA; false if its sizes are not those of the data. */
bool eventlog_variable(struct bytes data, struct efi_variable *out);

/** Splits an EV_IPL of grub into "grub_cmd" and the text behind it, terminator included; false for other
 * data. */
bool eventlog_grub_text(struct bytes data, struct bytes *prefix, struct bytes *text);

/** Appends UTF-16LE as UTF-8, up to a NUL; lone surrogates become U+FFFD. */
void eventlog_put_utf16(struct buf *out, struct bytes text);

/** Appends a GUID as text; data has 16 bytes. */
void eventlog_put_guid(struct buf *out, struct bytes guid);

/** Appends a UEFI device path as text, nodes separated by "/". @return false if it is malformed */
bool eventlog_put_path(struct buf *out, struct bytes path);

#endif
