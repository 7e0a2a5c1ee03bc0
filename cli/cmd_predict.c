#include "cli/commands.h"
#include "cli/predict_launch.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "cli/boot_keys.h"
#include "cli/measuring.h"
#include "image/disk.h"
#include "image/predict.h"
#include "tee/shape.h"

#include <stdlib.h>
#include <string.h>

#define PCR(n) (1u << (n))

/* What the agent pins too (contract, section 4); the rest follows the VM's devices and disk: only with --all.
 */
#define PCRS_PINNED                                                                                          \
    (PCR(0) | PCR(2) | PCR(3) | PCR(4) | PCR(7) | PCR(8) | PCR(9) | PCR(11) | PCR(12) | PCR(13) | PCR(16)    \
     | PCR(23))
#define PCRS_HISTORY (PCR(14) | PCR(15))

struct predicting {
    const char *path, *firmware_path, *shape_name, *bank, *workload, *images, *out;
    bool no_workload, all, json;
    const struct shape *shape;
    struct disk disk;
    uint8_t *firmware_data;
    size_t firmware_n;
    struct firmware firmware;
    struct prediction prediction;
    struct measure_plan *plan; /* of the workload, if there is one */
    struct launch_options launching;
    struct launch_prediction launch;
    struct boot_keys_options key_files;
    struct boot_keys boot_keys;
};

static void predicting_done(struct predicting *p)
{
    disk_close(&p->disk);
    measure_plan_free(p->plan);
    free(p->firmware_data);
    boot_keys_done(&p->boot_keys);
}

/* What the TEE itself measures; for this the file need not be one that boots our disks. */
static int predict_launch(struct predicting *p)
{
    struct bytes file;
    if (p->firmware_path) {
        int rc = read_input(p->firmware_path, FIRMWARE_MAX, &p->firmware_data, &p->firmware_n);
        if (rc)
            return rc;
    }
    file = bytes_of(p->firmware_data, p->firmware_n);
    return launch_predict(&p->launching, p->shape, p->firmware_path ? &file : NULL, p->firmware_path,
                          &p->launch);
}

static int read_firmware(struct predicting *p, uint16_t alg)
{
    struct err err = { 0 };
    if (firmware_parse(bytes_of(p->firmware_data, p->firmware_n), alg, &p->firmware, &err) < 0)
        return fail_err(STATUS_INPUT, p->firmware_path, "cannot be read", &err);
    return 0;
}

/* Without a word about the workload its registers are not known: the disk's data partition is the host's. */
static int workload_registers(struct predicting *p)
{
    static const uint8_t pcrs[] = { WORKLOAD_PCR_HISTORY, WORKLOAD_PCR_NOW };
    struct digest value;
    struct err err = { 0 };
    if (p->no_workload)
        return 0;
    if (p->workload) {
        int rc = measure_directory(p->workload, p->images, &p->plan);
        if (rc)
            return rc;
        if (measure_predict(p->plan, p->prediction.alg, &value, &err) < 0)
            return fail_err(STATUS_ENVIRONMENT, p->workload, "cannot predict", &err);
    }
    for (size_t i = 0; i < ARRAY_SIZE(pcrs); i++) {
        struct predict_pcr *pcr = &p->prediction.pcr[pcrs[i]];
        if (p->workload) {
            pcr->value = value;
            pcr->why = i ? "the workload" : "the workload's first start; updates extend it";
        } else {
            pcr->kind = UNKNOWN;
            pcr->why = "the workload: give --workload DIR, or --no-workload";
        }
    }
    return 0;
}

/* With a kernel from the command line the firmware takes another path, and so do the events of the boot. */
static void direct_registers(struct predicting *p)
{
    static const uint8_t pcrs[] = { 4, 5, 9, 11, 12, 13 };
    for (size_t i = 0; i < ARRAY_SIZE(pcrs) && p->launching.kernel; i++) {
        p->prediction.pcr[pcrs[i]].kind = UNKNOWN;
        p->prediction.pcr[pcrs[i]].why = "a kernel booted directly: record one boot";
    }
}

/* Whose firmware a platform has. */
static enum predict_host host_of(const struct shape *shape)
{
    if (shape->cloud == CLOUD_NONE)
        return shape->tee == TEE_TDX ? PREDICT_QEMU_TDX : PREDICT_QEMU;
    return shape->cloud == CLOUD_GCP && shape->tee == TEE_SEV_SNP ? PREDICT_GCE_SNP : PREDICT_CLOUD;
}

static int predict_disk(struct predicting *p, uint16_t alg)
{
    struct err err = { 0 };
    struct verity_header header;
    uint8_t root[32];
    int rc = p->firmware_path ? read_firmware(p, alg) : 0;
    if (rc || (rc = boot_keys_read(&p->key_files, &p->boot_keys)))
        return rc;
    /* A prediction for an image that would not boot is worth nothing: the root is looked at too. */
    if (disk_open(p->path, &p->disk, &err) < 0 || disk_check_root(&p->disk, root, &header, &err) < 0)
        return fail_err(err.kind == ERR_DENIED ? STATUS_NO : STATUS_INPUT, p->path, "not an image that boots",
                        &err);
    if (predict_boot(&p->disk.gpt, &p->disk.uki, host_of(p->shape), p->firmware_path ? &p->firmware : NULL,
                     p->boot_keys.given ? &p->boot_keys.keys : NULL, alg, &p->prediction, &err)
        < 0)
        return fail_err(status_of(&err), p->path,
                        err.kind == ERR_DENIED ? "Secure Boot refuses the image" : "cannot predict", &err);
    direct_registers(p);
    return workload_registers(p);
}

static int predict(struct predicting *p)
{
    uint16_t alg = digest_by_name(p->bank);
    if (!alg)
        return fail(STATUS_USAGE, p->bank, "no such bank", "sha256 or sha384");
    p->shape = shape_by_name(p->shape_name);
    if (!p->shape)
        return fail(STATUS_USAGE, p->shape_name, "no such shape", "see cvm-agent --help");
    if (!p->path && (!p->firmware_path || p->shape->tee == TEE_NONE))
        return fail(STATUS_USAGE, "predict", "nothing to predict from",
                    "name a disk, or a firmware and a TEE");
    if (!p->path
        && (p->key_files.vars || p->key_files.pk || p->key_files.kek || p->key_files.db || p->key_files.dbx))
        return fail(STATUS_USAGE, "predict", "Secure Boot's keys need a disk", NULL);
    if (!p->path && p->workload)
        return fail(STATUS_USAGE, "predict", "--workload needs a disk", NULL);
    p->prediction.alg = alg;
    int rc = predict_launch(p);
    return rc || !p->path ? rc : predict_disk(p, alg);
}

/* {"scheme","events"} as the measurement of a workload has them. */
static json_t *workload_json(const struct predicting *p)
{
    AUTO(json_drop) json_t *measured = p->plan ? measure_json(p->plan) : NULL;
    if (!measured)
        return NULL;
    return json_pack("{s:O, s:O}", "scheme", json_object_get(measured, "scheme"), "events",
                     json_object_get(measured, "events"));
}

static json_t *golden(const struct predicting *p)
{
    json_t *pcrs = json_object();
    for (unsigned i = 0; i < PREDICT_PCRS; i++) {
        char key[8];
        bool wanted = p->all ? !(PCRS_HISTORY >> i & 1) : PCRS_PINNED >> i & 1;
        snprintf(key, sizeof(key), "%u", i);
        if (wanted && p->prediction.pcr[i].kind == PREDICTED)
            json_object_set_new(pcrs, key, json_hex(digest_bytes(&p->prediction.pcr[i].value)));
    }
    json_t *inner = json_pack("{s:i, s:{s:s, s:s}, s:{s:s, s:o, s:{}}}", "version", 1, "platform", "tee",
                              tee_name(p->shape->tee), "cloud", cloud_name(p->shape->cloud), "tpm", "bank",
                              digest_name(p->prediction.alg), "pcrs", pcrs, "events");
    if (inner && !p->path)
        json_object_del(inner, "tpm");
    if (inner && (p->no_workload || p->plan))
        json_object_set_new(inner, "workload", p->plan ? workload_json(p) : json_null());
    if (inner && p->launch.name && p->launch.kind == PREDICTED)
        json_object_set_new(inner, p->launch.tee,
                            json_pack("{s:o}", p->launch.name,
                                      json_hex(bytes_of(p->launch.value, sizeof(p->launch.value)))));
    return inner ? json_pack("{s:o}", "golden_measurement", inner) : NULL;
}

static json_t *answer(const struct predicting *p)
{
    json_t *rows = json_array();
    for (unsigned i = 0; i < PREDICT_PCRS && p->path; i++) {
        const struct predict_pcr *pcr = &p->prediction.pcr[i];
        json_t *row = json_pack("{s:i, s:s, s:s}", "pcr", (int)i, "state", predict_kind_name(pcr->kind),
                                "why", pcr->why);
        if (row && pcr->kind == PREDICTED)
            json_object_set_new(row, "value", json_hex(digest_bytes(&pcr->value)));
        json_array_append_new(rows, row);
    }
    json_t *value = json_pack("{s:s, s:o}", "bank", digest_name(p->prediction.alg), "pcrs", rows);
    if (value && p->launch.name)
        json_object_set_new(value, p->launch.tee, launch_json(&p->launch));
    return value;
}

static void put_row(struct buf *text, const char *name, enum predict_kind kind, struct bytes value,
                    const char *why)
{
    buf_printf(text, "%-6s  %-18s  ", name, predict_kind_name(kind));
    if (kind == PREDICTED) {
        hex_put(text, value);
        buf_str(text, "  ");
    }
    buf_printf(text, "%s\n", why);
}

static int print_table(const struct predicting *p)
{
    AUTO(buf_done) struct buf text = buf_new(65536);
    const struct launch_prediction *l = &p->launch;
    for (unsigned i = 0; i < PREDICT_PCRS && p->path; i++) {
        const struct predict_pcr *pcr = &p->prediction.pcr[i];
        char name[16];
        if (i >= 17 && i <= 22)
            continue;
        snprintf(name, sizeof(name), "PCR %u", i);
        put_row(&text, name, pcr->kind, digest_bytes(&pcr->value), pcr->why);
    }
    if (l->name)
        put_row(&text, strcmp(l->name, "mr_td") == 0 ? "MRTD" : "LAUNCH", l->kind,
                bytes_of(l->value, sizeof(l->value)), l->why);
    return write_out(&text, NULL);
}

static int write_golden(const struct predicting *p)
{
    AUTO(buf_done) struct buf text = buf_new(1u << 20);
    if (!p->path && p->launch.kind != PREDICTED)
        return fail(STATUS_INPUT, "predict", "nothing to pin", p->launch.why);
    AUTO(json_drop) json_t *document = golden(p);
    if (!document)
        return fail(STATUS_ENVIRONMENT, "predict", "out of memory", NULL);
    if (p->path && p->prediction.pcr[4].kind != PREDICTED)
        fail(0, p->out, "warning: PCR 4 is not pinned",
             "another program can extend 9 and 11 alike: pin PCR 4 of a recorded boot");
    json_put(&text, document, true);
    return write_out(&text, p->out);
}

static int run(int argc, char **argv)
{
    AUTO(predicting_done)
    struct predicting p = { .disk = { .fd = -1 }, .shape_name = "snp-vtpm", .bank = "sha256" };
    const struct option_row rows[] = {
        { "firmware", OPTION_TEXT, &p.firmware_path },
        { "shape", OPTION_TEXT, &p.shape_name },
        { "workload", OPTION_TEXT, &p.workload },
        { "images", OPTION_TEXT, &p.images },
        { "bank", OPTION_TEXT, &p.bank },
        { "no-workload", OPTION_FLAG, &p.no_workload },
        { "all", OPTION_FLAG, &p.all },
        { "json", OPTION_FLAG, &p.json },
        { "vcpus", OPTION_TEXT, &p.launching.vcpus },
        { "vcpu-type", OPTION_TEXT, &p.launching.vcpu_type },
        { "guest-features", OPTION_TEXT, &p.launching.features },
        { "kernel", OPTION_TEXT, &p.launching.kernel },
        { "initrd", OPTION_TEXT, &p.launching.initrd },
        { "append", OPTION_TEXT, &p.launching.append },
        { "vars", OPTION_TEXT, &p.key_files.vars },
        { "pk", OPTION_TEXT, &p.key_files.pk },
        { "kek", OPTION_TEXT, &p.key_files.kek },
        { "db", OPTION_TEXT, &p.key_files.db },
        { "dbx", OPTION_TEXT, &p.key_files.dbx },
        { "o", OPTION_TEXT, &p.out },
    };
    int rc = options_parse(&command_predict, argc, argv, rows, ARRAY_SIZE(rows), &p.path, 0, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (p.workload && p.no_workload)
        return fail(STATUS_USAGE, "predict", "--workload and --no-workload exclude each other", NULL);
    rc = predict(&p);
    if (rc == 0 && p.out)
        rc = write_golden(&p);
    if (rc)
        return rc;
    if (!p.json)
        return print_table(&p);
    AUTO(json_drop) json_t *value = answer(&p);
    return value ? write_json(value) : fail(STATUS_ENVIRONMENT, "predict", "out of memory", NULL);
}

const struct command command_predict = {
    "predict",
    "[DISK] [--firmware FILE] [--vars FILE | --pk FILE --kek FILE --db FILE [--dbx FILE]] [--shape SHAPE] "
    "[--vcpus N] "
    "[--workload DIR] [-o GOLDEN.json]",
    "Computes what a boot of a disk image, or a firmware, will measure",
    "DISK is a raw disk that build-image made. From its files alone every register is predicted, or said to "
    "be\n"
    "firmware-dependent (record one boot of each firmware and machine type) or unknown. The root is checked\n"
    "against its hash first.\n"
    "\n"
    "  --firmware FILE  the OVMF image (OVMF_CODE_4M.fd) of a machine under QEMU: then PCR 2 to 7 are\n"
    "                   predicted, for Secure Boot off and no keys enrolled unless they are named; not those "
    "of\n"
    "                   a release whose measurements were not looked at. The firmware of clouds is their "
    "own:\n"
    "                   2, 3, 4 and 6 are predicted for gcp-snp alone\n"
    "  --vars FILE      the machine's variables (OVMF_VARS.fd): Secure Boot is on if a platform key is in "
    "it\n"
    "  --pk, --kek, --db, --dbx FILE  or its keys, each a list of signatures (EFI_SIGNATURE_LIST, .esl)\n"
    "                   An image that a firmware with these keys refuses ends with 1\n"
    "  --shape SHAPE    the platform that the golden measurement is for (default: snp-vtpm)\n"
    "  --workload DIR   the workload folder that is on the disk: PCR 23 and 15 are predicted, as measure "
    "does\n"
    "  --images FILE    ids of images that are not beside docker-compose.yml, see measure\n"
    "  --no-workload    there is no workload: PCR 23 and 15 stay zero\n"
    "  --bank B         sha256 (default) or sha384\n"
    "  --all            the golden measurement pins all that is predicted, PCR 5 and 6 too\n"
    "  --json           prints {\"bank\",\"pcrs\":[{\"pcr\",\"state\",\"value\",\"why\"}]} and, for a TEE,\n"
    "                   {\"sev_snp\":{\"measurement\":{\"state\",\"value\",\"why\"}}} or "
    "{\"tdx\":{\"mr_td\":...}}\n"
    "  -o FILE          writes a golden measurement of what is predicted, whole or not at all\n"
    "\n"
    "With --firmware the launch measurement of SEV-SNP is predicted too, for the host of the shape (QEMU, "
    "EC2 or\n"
    "Google), or MRTD of TDX under QEMU; without a DISK only this. It needs:\n"
    "\n"
    "  --vcpus N        how many processors (SEV-SNP)\n"
    "  --vcpu-type T    their type as QEMU names it (EPYC-Milan), or CPUID Fn0000_0001 EAX as 0x and hex "
    "digits;\n"
    "                   for QEMU alone\n"
    "  --guest-features F  SEV_FEATURES (default: 0x1, SEV-SNP alone)\n"
    "  --kernel FILE [--initrd FILE] [--append TEXT]  QEMU boots this kernel with kernel-hashes=on\n",
    run,
};
