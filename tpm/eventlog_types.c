#include "tpm/eventlog_formats.h"

#include "base/auto.h"

/* What an event's digest is over (PFP 1.05, 10.4.1): the data, the data or the value of the variable in it
 * (EDK II measures EV_EFI_VARIABLE_BOOT by the value), text behind a known prefix, or something that is not
 * in the log. */
enum cover { COVER_ELSE, COVER_DATA, COVER_VALUE, COVER_TEXT };

/* PFP 1.05, tables 27 and 28; dstack has a type of its own. */
static const struct row {
    uint32_t type;
    enum cover cover;
    const char *name;
} types[] = {
    { 0x00000000, COVER_ELSE, "EV_PREBOOT_CERT" },
    { 0x00000001, COVER_ELSE, "EV_POST_CODE" },
    { 0x00000002, COVER_ELSE, "EV_UNUSED" },
    { EV_NO_ACTION, COVER_ELSE, "EV_NO_ACTION" },
    { EV_SEPARATOR, COVER_DATA, "EV_SEPARATOR" },
    { EV_ACTION, COVER_DATA, "EV_ACTION" },
    { EV_EVENT_TAG, COVER_ELSE, "EV_EVENT_TAG" },
    { 0x00000007, COVER_ELSE, "EV_S_CRTM_CONTENTS" },
    { EV_S_CRTM_VERSION, COVER_DATA, "EV_S_CRTM_VERSION" },
    { 0x00000009, COVER_ELSE, "EV_CPU_MICROCODE" },
    { 0x0000000A, COVER_ELSE, "EV_PLATFORM_CONFIG_FLAGS" },
    { 0x0000000B, COVER_ELSE, "EV_TABLE_OF_DEVICES" },
    { 0x0000000C, COVER_ELSE, "EV_COMPACT_HASH" },
    { EV_IPL, COVER_TEXT, "EV_IPL" },
    { 0x0000000E, COVER_ELSE, "EV_IPL_PARTITION_DATA" },
    { 0x0000000F, COVER_ELSE, "EV_NONHOST_CODE" },
    { 0x00000010, COVER_ELSE, "EV_NONHOST_CONFIG" },
    { EV_NONHOST_INFO, COVER_DATA, "EV_NONHOST_INFO" },
    { 0x00000012, COVER_ELSE, "EV_OMIT_BOOT_DEVICE_EVENTS" },
    { 0x00000013, COVER_ELSE, "EV_POST_CODE2" },
    { EV_EFI_VARIABLE_DRIVER_CONFIG, COVER_DATA, "EV_EFI_VARIABLE_DRIVER_CONFIG" },
    { EV_EFI_VARIABLE_BOOT, COVER_VALUE, "EV_EFI_VARIABLE_BOOT" },
    { EV_EFI_BOOT_APPLICATION, COVER_ELSE, "EV_EFI_BOOT_SERVICES_APPLICATION" },
    { 0x80000004, COVER_ELSE, "EV_EFI_BOOT_SERVICES_DRIVER" },
    { 0x80000005, COVER_ELSE, "EV_EFI_RUNTIME_SERVICES_DRIVER" },
    { EV_EFI_GPT_EVENT, COVER_DATA, "EV_EFI_GPT_EVENT" },
    { EV_EFI_ACTION, COVER_DATA, "EV_EFI_ACTION" },
    { 0x80000008, COVER_ELSE, "EV_EFI_PLATFORM_FIRMWARE_BLOB" },
    { 0x80000009, COVER_ELSE, "EV_EFI_HANDOFF_TABLES" },
    { 0x8000000A, COVER_ELSE, "EV_EFI_PLATFORM_FIRMWARE_BLOB2" },
    { 0x8000000B, COVER_ELSE, "EV_EFI_HANDOFF_TABLES2" },
    { EV_EFI_VARIABLE_BOOT2, COVER_DATA, "EV_EFI_VARIABLE_BOOT2" },
    { 0x8000000D, COVER_DATA, "EV_EFI_GPT_EVENT2" },
    { 0x80000010, COVER_ELSE, "EV_EFI_HCRTM_EVENT" },
    { EV_EFI_VARIABLE_AUTHORITY, COVER_DATA, "EV_EFI_VARIABLE_AUTHORITY" },
    { 0x800000E1, COVER_ELSE, "EV_EFI_SPDM_FIRMWARE_BLOB" },
    { 0x800000E2, COVER_ELSE, "EV_EFI_SPDM_FIRMWARE_CONFIG" },
    { EV_DSTACK_RUNTIME, COVER_ELSE, "DSTACK_RUNTIME_EVENT" },
};

static const struct row *row_of(uint32_t type)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (types[i].type == type)
            return &types[i];
    return NULL;
}

const char *tpm_event_type_name(uint32_t type)
{
    const struct row *row = row_of(type);
    return row ? row->name : NULL;
}

bool eventlog_variable(struct bytes data, struct efi_variable *out)
{
    struct reader r = reader_of(data);
    uint64_t name, value;
    if (!rd_take(&r, 16, &out->guid) || !rd_u64le(&r, &name) || !rd_u64le(&r, &value) || name > r.rest.n / 2
        || !rd_take(&r, 2 * (size_t)name, &out->name) || value != r.rest.n)
        return false;
    out->value = r.rest;
    return true;
}

bool eventlog_grub_text(struct bytes data, struct bytes *prefix, struct bytes *text)
{
    static const char *const prefixes[] = { "grub_cmd: ", "kernel_cmdline: ", "module_cmdline: ", "grub_cmd ",
                                            "grub_kernel_cmdline " };
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        size_t n = strlen(prefixes[i]);
        if (data.n < n || memcmp(data.p, prefixes[i], n) != 0)
            continue;
        *prefix = bytes_of(data.p, strcspn(prefixes[i], ": "));
        *text = bytes_of(data.p + n, data.n - n);
        return true;
    }
    return false;
}

/* Every digest that we can compute is the one over the bytes. */
static bool digests_are_over(const struct tpm_event_digest *digests, size_t n, struct bytes covered)
{
    size_t same = 0;
    struct digest d;
    for (size_t i = 0; i < n; i++) {
        if (!digest_size(digests[i].alg))
            continue;
        if (digest_of(digests[i].alg, covered, &d, NULL) < 0
            || !bytes_equal(digest_bytes(&d), digests[i].value))
            return false;
        same++;
    }
    return same > 0;
}

/* The type, the name and the payload, as eventlog_dstack.c computes it. */
static int dstack_matches(const struct tpm_event *event, const struct tpm_event_digest *digests, size_t n)
{
    struct digest d;
    return n == 1 && eventlog_dstack_digest(event, &d, NULL) == 0
           && bytes_equal(digest_bytes(&d), digests[0].value);
}

int tpm_event_data_matches(const struct tpm_eventlog *log, const struct tpm_event *event)
{
    const struct row *row = row_of(event->type);
    struct tpm_event_digest digests[EVENTLOG_ALGS_MAX];
    size_t n = tpm_event_digests(log, event, digests);
    struct efi_variable variable;
    struct bytes prefix, text;
    if (event->type == EV_DSTACK_RUNTIME && log->kind == EVENTLOG_DSTACK)
        return dstack_matches(event, digests, n);
    if (!row || row->cover == COVER_ELSE)
        return -1;
    if (row->cover != COVER_TEXT && digests_are_over(digests, n, event->data))
        return 1;
    if (row->cover == COVER_VALUE)
        return eventlog_variable(event->data, &variable) && digests_are_over(digests, n, variable.value);
    if (row->cover != COVER_TEXT)
        return 0;
    if (!eventlog_grub_text(event->data, &prefix, &text))
        return -1;
    bool ends = text.n && text.p[text.n - 1] == 0; /* newer grub leaves the terminator out of the digest */
    return digests_are_over(digests, n, text)
           || (ends && digests_are_over(digests, n, bytes_of(text.p, text.n - 1)));
}
