/** tee/cert_table.h: the certificate table that the host hands to an SNP guest (extended report, configfs
 * auxblob). Its contents are the host's: never a trust anchor, not even known to be certificates.
 *  Source: AMD 56421 (GHCB), SNP Extended Guest Request. */
#ifndef CVM_TEE_CERT_TABLE_H
#define CVM_TEE_CERT_TABLE_H

#include "base/buf.h"

#include <jansson.h>

#define CERT_TABLE_ENTRY       24 /* GUID, u32 offset, u32 length */
#define CERT_TABLE_ENTRIES_MAX 32

enum cert_kind {
    CERT_UNKNOWN,
    CERT_VCEK,
    CERT_VLEK,
    CERT_ASK, /* for a VLEK the ASVK */
    CERT_ARK,
    CERT_CRL,
    CERT_PLATFORM_INFO,   /* added by go-sev-guest: size, CPUID(1).EAX */
    CERT_GCE_ENDORSEMENT, /* VMLaunchEndorsement of Google's firmware */
    CERT_KINDS
};

struct cert_entry {
    enum cert_kind kind;
    uint8_t guid[16]; /* in the order of its text; an unknown one as stored */
    uint32_t offset;
    struct bytes data; /* view into the table: DER, PEM or whatever the host put there */
};

struct cert_table {
    size_t n;
    struct cert_entry entry[CERT_TABLE_ENTRIES_MAX];
};

/** Splits a table. No bytes, or zeros only, are an empty table; entries may overlap and come in any order;
 * what no entry points to is not read. Both byte orders of GUIDs are known.
 *  @param out  views into raw, valid while raw is; written only on success
 *  @return 0, or -1: ERR_INPUT (no end, an entry outside the table or over the entries), ERR_TOO_LARGE (more
 *          than CERT_TABLE_ENTRIES_MAX entries) */
MUST_USE int cert_table_parse(struct bytes raw, struct cert_table *out, struct err *err);

/** The first entry of that kind. @return true and a view, or false if there is none */
bool cert_table_find(const struct cert_table *table, enum cert_kind kind, struct bytes *out);

/** "VCEK", "VLEK", "ASK", "ARK", "CRL", "PLATFORM_INFO", "GCE_ENDORSEMENT"; "" for CERT_UNKNOWN. */
const char *cert_kind_name(enum cert_kind kind);

/** GUID of a kind in the order of its text (RFC 4122), 16 bytes: for writers. NULL for CERT_UNKNOWN. */
const uint8_t *cert_kind_guid(enum cert_kind kind);

/** {"type": "cert_table", "entries": [{"guid","name","offset","length"}]}; guid without hyphens.
 *  @return 0 with a new reference in *out, or -1 with ERR_IO when memory is short */
MUST_USE int cert_table_json(const struct cert_table *table, json_t **out, struct err *err);

#endif
