#include "image/predict.h"

#include "base/auto.h"

#define ACTION_CALLING "Calling EFI Application from Boot Option"
#define ACTION_EXIT    "Exit Boot Services Invocation"
#define ACTION_EXITED  "Exit Boot Services Returned with Success"

static const uint8_t separator[4];

/* The stub whose measurements are known: another version measures other sections, and packs the initrd anew.
 */
#define STUB_MARK "#### LoaderInfo: systemd-stub 252"

struct job {
    struct prediction *out;
    struct err *err;
    bool failed;
};

static void set(struct job *j, unsigned pcr, enum predict_kind kind, const char *why)
{
    struct predict_pcr *p = &j->out->pcr[pcr];
    p->kind = kind;
    p->why = why;
    p->value = (struct digest){ .alg = j->out->alg, .n = (uint8_t)digest_size(j->out->alg) };
}

static void extend_digest(struct job *j, unsigned pcr, const struct digest *d)
{
    if (!j->failed && digest_extend(&j->out->pcr[pcr].value, digest_bytes(d), j->err) < 0)
        j->failed = true;
}

static void extend(struct job *j, unsigned pcr, struct bytes data)
{
    struct digest d;
    if (j->failed)
        return;
    if (digest_of(j->out->alg, data, &d, j->err) < 0)
        j->failed = true;
    else
        extend_digest(j, pcr, &d);
}

static void extend_program(struct job *j, unsigned pcr, const struct pe *pe)
{
    struct digest d;
    if (!j->failed && pe_authenticode(pe, j->out->alg, &d, j->err) < 0)
        j->failed = true;
    extend_digest(j, pcr, &d);
}

/* The firmware runs the image, the stub in it runs the kernel: through the firmware, which measures it, but
 * under Secure Boot the stub stands in for the firmware's check, and with it for the measurement. */
static void boot_path(struct job *j, const struct uki *uki, const struct secure_boot *keys)
{
    bool secure = keys && keys->on;
    struct pe kernel;
    set(j, 4, PREDICTED,
        secure ? "the kernel image; under Secure Boot the kernel in it is not measured apart"
               : "the kernel image, and the kernel in it");
    extend(j, 4, bytes_str(ACTION_CALLING));
    extend(j, 4, bytes_of(separator, sizeof(separator)));
    extend_program(j, 4, &uki->pe);
    if (!j->failed && pe_parse(uki->linux_, &kernel, j->err) < 0)
        j->failed = true;
    else if (!j->failed && !secure)
        extend_program(j, 4, &kernel);
}

static void partitions(struct job *j, const struct gpt *gpt)
{
    AUTO(buf_done) struct buf event = buf_new(GPT_HEAD_MAX);
    gpt_event(gpt, &event);
    set(j, 5, PREDICTED, "the partition table: changes when the disk is resized");
    extend(j, 5, bytes_of(separator, sizeof(separator)));
    extend(j, 5, buf_bytes(&event));
    extend(j, 5, bytes_str(ACTION_EXIT));
    extend(j, 5, bytes_str(ACTION_EXITED));
}

/* A variable as it is measured: UEFI_VARIABLE_DATA. */
static void variable(struct job *j, const uint8_t guid[static 16], const char *name, struct bytes data)
{
    AUTO(buf_done) struct buf b = buf_new(VARSTORE_MAX + 256);
    buf_put(&b, bytes_of(guid, 16));
    buf_u64le(&b, strlen(name));
    buf_u64le(&b, data.n);
    for (const char *at = name; *at; at++)
        buf_u16le(&b, (uint8_t)*at);
    buf_put(&b, data);
    extend(j, 7, buf_bytes(&b));
}

static const char *why_of(const struct secure_boot *keys)
{
    if (keys->on)
        return "Secure Boot on: its keys, and the one of db that let the image start";
    return keys->pk.n || keys->kek.n || keys->db.n || keys->dbx.n ? "Secure Boot off, with these keys"
                                                                  : "Secure Boot off, no keys enrolled";
}

static void secure_boot(struct job *j, const struct uki *uki, const struct firmware *firmware,
                        const struct secure_boot *keys)
{
    static const struct secure_boot none;
    const uint8_t state = keys && keys->on;
    struct bytes entry;
    keys = keys ? keys : &none;
    set(j, 7, PREDICTED, why_of(keys));
    variable(j, varstore_global, "SecureBoot", bytes_of(&state, !firmware || firmware->secure_boot ? 1 : 0));
    variable(j, varstore_global, "PK", keys->pk);
    variable(j, varstore_global, "KEK", keys->kek);
    variable(j, varstore_image_security, "db", keys->db);
    variable(j, varstore_image_security, "dbx", keys->dbx);
    extend(j, 7, bytes_of(separator, sizeof(separator)));
    if (keys->on && !j->failed && secure_boot_authority(keys, &uki->pe, &entry, j->err) < 0)
        j->failed = true;
    else if (keys->on && !j->failed)
        variable(j, varstore_image_security, "db", entry);
}

/* What a firmware measures elsewhere, or in another way, is for a recorded boot to say. */
static void doubt(struct job *j, unsigned pcrs, const char *why)
{
    for (unsigned i = 0; i < PREDICT_PCRS; i++)
        if (pcrs >> i & 1)
            set(j, i, FIRMWARE, why);
}

#define OF_FIRMWARE 0xfcu /* 2 to 7 */

/* Of the file that is given. */
static void doubts_of_release(struct job *j, const struct firmware *firmware, const struct secure_boot *keys)
{
    if (!firmware) {
        doubt(j, OF_FIRMWARE, "what the firmware measures: name it with --firmware");
        return;
    }
    if (firmware->release == FIRMWARE_RETRIES_EXIT)
        doubt(j, 1u << 5, "this release measures each failed attempt to leave the firmware: record a boot");
    if (keys && keys->has_dbt)
        doubt(j, 1u << 7, "the variable dbt is set, which some firmware measures: record a boot");
    if (firmware->release != FIRMWARE_UNCHECKED)
        return;
    snprintf(j->out->unchecked, sizeof(j->out->unchecked),
             "what firmware %s measures was not checked: record a boot of it", firmware->version);
    doubt(j, OF_FIRMWARE, j->out->unchecked);
}

static void doubts(struct job *j, enum predict_host host, const struct firmware *firmware,
                   const struct secure_boot *keys)
{
    static const struct {
        enum predict_host host;
        unsigned pcrs;
        const char *why;
    } rows[] = {
        { PREDICT_QEMU_TDX, 1u << 2 | 1u << 4 | 1u << 5,
          "under TDX firmware may measure programs and partitions elsewhere: record a boot" },
        { PREDICT_GCE_SNP, 1u << 5, "Google's firmware measures failed attempts to leave it: record a boot" },
        { PREDICT_GCE_SNP, 1u << 7, "Secure Boot's variables, which are Google's: record a boot" },
        { PREDICT_CLOUD, OF_FIRMWARE, "the cloud's firmware: record one boot of each machine type" },
    };
    if (host == PREDICT_QEMU || host == PREDICT_QEMU_TDX)
        doubts_of_release(j, firmware, keys);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].host == host)
            doubt(j, rows[i].pcrs, rows[i].why);
}

/* The kernel measures what it was started with: the command line as UTF-16 with its NUL, and the initrd. */
static void kernel(struct job *j, const struct uki *uki)
{
    AUTO(buf_done) struct buf wide = buf_new(2 * UKI_CMDLINE_MAX);
    for (size_t i = 0; i < uki->cmdline.n; i++)
        buf_u16le(&wide, uki->cmdline.p[i]);
    buf_u16le(&wide, 0);
    set(j, 9, PREDICTED, "command line and initrd, as the kernel took them");
    extend(j, 9, buf_bytes(&wide));
    extend(j, 9, uki->initrd);
}

static void stub(struct job *j, const struct uki *uki)
{
    const struct {
        const char *name;
        struct bytes data;
    } sections[] = {
        { ".linux", uki->linux_ },
        { ".osrel", uki->osrel },
        { ".cmdline", uki->cmdline },
        { ".initrd", uki->initrd },
    };
    set(j, 11, PREDICTED, "the sections of the kernel image, as the stub measures them");
    for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
        extend(j, 11, bytes_of(sections[i].name, strlen(sections[i].name) + 1));
        extend(j, 11, sections[i].data);
    }
}

static void constants(struct job *j)
{
    static const struct {
        uint8_t pcr, kind;
        bool separated;
        const char *why;
    } rows[] = {
        { 0, FIRMWARE, false, "firmware: changes with its version, and with the processor's model on some" },
        { 1, FIRMWARE, false, "boot entries and devices of the machine" },
        { 2, PREDICTED, true, "no option ROMs" },
        { 3, PREDICTED, true, "no option ROMs" },
        { 6, PREDICTED, true, "nothing but the separator" },
        { 8, PREDICTED, false, "not used: there is no boot loader" },
        { 10, FIRMWARE, false, "IMA's summary of 0 to 9" },
        { 12, PREDICTED, false, "zero: the stub took no other command line and no credentials" },
        { 13, PREDICTED, false, "zero: the stub took no system extensions" },
        { 14, UNKNOWN, false, "the agent's journal: judged by replay" },
        { 15, PREDICTED, false, "zero: no workload" },
        { 16, PREDICTED, false, "zero: no kernel patches" },
        { 23, PREDICTED, false, "zero: no workload" },
    };
    for (unsigned i = 17; i <= 22; i++)
        set(j, i, UNKNOWN, "of a dynamic launch: not used");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        set(j, rows[i].pcr, (enum predict_kind)rows[i].kind, rows[i].why);
        if (rows[i].separated)
            extend(j, rows[i].pcr, bytes_of(separator, sizeof(separator)));
    }
}

static bool stub_is_known(const struct uki *uki)
{
    struct bytes mark;
    struct err ignored = { 0 };
    return pe_content(&uki->pe, ".sdmagic", &mark, &ignored) == 0 && mark.n >= strlen(STUB_MARK)
           && memcmp(mark.p, STUB_MARK, strlen(STUB_MARK)) == 0;
}

int predict_boot(const struct gpt *gpt, const struct uki *uki, enum predict_host host,
                 const struct firmware *firmware, const struct secure_boot *keys, uint16_t alg,
                 struct prediction *out, struct err *err)
{
    struct job j = { out, err, false };
    if (!digest_size(alg))
        return err_set(err, ERR_INPUT, 0, "no such bank");
    if (firmware && keys && keys->on && !firmware->secure_boot)
        return err_set(err, ERR_INPUT, 0, "the firmware was built without Secure Boot: it ignores keys");
    out->alg = alg;
    constants(&j);
    boot_path(&j, uki, keys);
    partitions(&j, gpt);
    secure_boot(&j, uki, firmware, keys);
    doubts(&j, host, firmware, keys);
    kernel(&j, uki);
    stub(&j, uki);
    if (!stub_is_known(uki)) {
        set(&j, 9, UNKNOWN, "the stub is not systemd-stub 252: how it packs the initrd is not known");
        set(&j, 11, UNKNOWN, "the stub is not systemd-stub 252: what it measures is not known");
    }
    return j.failed ? err_while(err, "predict the PCRs") : 0;
}

const char *predict_kind_name(enum predict_kind kind)
{
    static const char *const names[] = { "predicted", "firmware-dependent", "unknown" };
    return names[kind];
}
