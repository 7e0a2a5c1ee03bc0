#include "cli/document_registers.h"

#include "base/auto.h"
#include "base/enc.h"
#include "tee/snp_report.h"
#include "tee/tdx_quote.h"

#include <stdio.h>
#include <stdlib.h>

bool document_is_collaterals(const json_t *document)
{
    return json_object_get(json_object_get(document, "sev_snp"), "attestation_report")
           || json_object_get(json_object_get(document, "tdx"), "attestation_report")
           || json_object_get(json_object_get(document, "tpm"), "quote");
}

static void copy_word(const json_t *platform, const char *key, char out[16])
{
    const char *text = json_string_value(json_object_get(platform, key));
    snprintf(out, 16, "%s", text ?: "");
}

static int fill_snp(struct bytes raw, struct registers *out, struct err *err)
{
    struct snp_report r;
    if (snp_report_parse(raw, &r, err) < 0)
        return -1;
    const struct {
        enum register_id id;
        struct bytes value;
    } rows[] = {
        { REG_SNP_MEASUREMENT, r.measurement },     { REG_SNP_FAMILY_ID, r.family_id },
        { REG_SNP_IMAGE_ID, r.image_id },           { REG_SNP_HOST_DATA, r.host_data },
        { REG_SNP_ID_KEY_DIGEST, r.id_key_digest }, { REG_SNP_AUTHOR_KEY_DIGEST, r.author_key_digest },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (registers_set(out, rows[i].id, rows[i].value, err) < 0)
            return -1;
    struct snp_tcb tcb = snp_tcb_decode(r.product, r.reported_tcb);
    out->tcb = (struct register_tcb){
        .mask = (uint8_t)(tcb.has_fmc ? 0x1F : 0x0F),
        .svn = { [TCB_BOOTLOADER] = tcb.bootloader,
                 [TCB_TEE] = tcb.tee,
                 [TCB_SNP] = tcb.snp,
                 [TCB_MICROCODE] = tcb.microcode,
                 [TCB_FMC] = tcb.fmc },
    };
    if (registers_set_number(out, REG_SNP_POLICY, r.policy, err) < 0)
        return -1;
    return registers_set_number(out, REG_SNP_VMPL, r.vmpl, err);
}

static int fill_tdx(struct bytes raw, struct registers *out, struct err *err)
{
    struct tdx_quote q;
    if (tdx_quote_parse(raw, &q, err) < 0)
        return -1;
    const struct {
        enum register_id id;
        struct bytes value;
    } rows[] = {
        { REG_TDX_MR_TD, q.body.mr_td },
        { REG_TDX_MR_SEAM, q.body.mr_seam },
        { REG_TDX_MR_SIGNER_SEAM, q.body.mr_signer_seam },
        { REG_TDX_TD_ATTRIBUTES, q.body.td_attributes },
        { REG_TDX_XFAM, q.body.xfam },
        { REG_TDX_MR_CONFIG_ID, q.body.mr_config_id },
        { REG_TDX_MR_OWNER, q.body.mr_owner },
        { REG_TDX_MR_OWNER_CONFIG, q.body.mr_owner_config },
        { REG_TDX_RTMR0, q.body.rtmr[0] },
        { REG_TDX_RTMR1, q.body.rtmr[1] },
        { REG_TDX_RTMR2, q.body.rtmr[2] },
        { REG_TDX_RTMR3, q.body.rtmr[3] },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (registers_set(out, rows[i].id, rows[i].value, err) < 0)
            return -1;
    return 0;
}

static int fill_tee(const json_t *document, struct registers *out, struct err *err)
{
    static const struct {
        const char *tee;
        int (*fill)(struct bytes raw, struct registers *out, struct err *err);
    } rows[] = { { "sev_snp", fill_snp }, { "tdx", fill_tdx } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(buf_done) struct buf raw = buf_new(DOCUMENT_SIZE_MAX);
        const json_t *evidence = json_object_get(document, rows[i].tee);
        if (!evidence)
            continue;
        if (json_get_b64(evidence, "attestation_report", &raw, err) < 0
            || rows[i].fill(buf_bytes(&raw), out, err) < 0)
            return err_while(err, rows[i].tee);
        if (!out->tee[0])
            snprintf(out->tee, sizeof(out->tee), "%s", rows[i].tee);
    }
    return 0;
}

/* {"hash":11,"pcrs":{"0":base64,...}} */
static int fill_pcrs(const json_t *pcrs, struct registers *out, struct err *err)
{
    json_int_t alg = json_integer_value(json_object_get(pcrs, "hash"));
    const json_t *values = json_object_get(pcrs, "pcrs");
    if (!pcrs)
        return 0;
    size_t size = alg > 0 && alg <= UINT16_MAX ? digest_size((uint16_t)alg) : 0;
    if (!size || !json_is_object(values))
        return err_set(err, ERR_INPUT, 0, "tpm.pcrs is not {\"hash\":11,\"pcrs\":{...}}");
    out->bank = (uint16_t)alg;
    for (unsigned i = 0; i < REGISTER_PCRS; i++) {
        AUTO(buf_done) struct buf raw = buf_new(DIGEST_MAX);
        char key[4];
        snprintf(key, sizeof(key), "%u", i);
        if (!json_object_get(values, key))
            continue;
        if (json_get_b64(values, key, &raw, err) < 0)
            return err_while(err, "tpm.pcrs");
        if (raw.n != size)
            return err_set(err, ERR_INPUT, 0, "tpm.pcrs.pcrs.%u has %zu bytes, want %zu", i, raw.n, size);
        out->pcr[i] = (struct digest){ .alg = (uint16_t)alg, .n = (uint8_t)size };
        memcpy(out->pcr[i].b, raw.p, size);
        out->pcr_mask |= 1u << i;
    }
    return 0;
}

int document_registers(const json_t *document, struct registers *out, struct err *err)
{
    AUTO(registers_done) struct registers r = { 0 };
    const json_t *platform = json_object_get(document, "platform");
    const json_t *workload = json_object_get(document, "workload_log");
    copy_word(platform, "tee", r.tee);
    copy_word(platform, "cloud", r.cloud);
    if (fill_tee(document, &r, err) < 0
        || fill_pcrs(json_object_get(json_object_get(document, "tpm"), "pcrs"), &r, err) < 0)
        return -1;
    if (workload && registers_set_workload(&r, workload, err) < 0)
        return err_while(err, "workload_log");
    *out = r;
    r = (struct registers){ 0 };
    return 0;
}

int document_log_read(const json_t *document, const char *member, enum tpm_eventlog_kind kind,
                      struct document_log *out, struct err *err)
{
    struct document_log log = { .raw = buf_new(EVENTLOG_SIZE_MAX) };
    if (!json_object_get(document, member))
        return 0;
    if (json_get_b64(document, member, &log.raw, err) < 0
        || tpm_eventlog_parse(buf_bytes(&log.raw), kind, &log.log, err) < 0) {
        buf_done(&log.raw);
        return -1;
    }
    log.there = true;
    *out = log;
    return 0;
}

void document_log_done(struct document_log *log)
{
    if (log->there)
        tpm_eventlog_done(&log->log);
    buf_done(&log->raw);
    log->there = false;
}

int registers_add_log(struct registers *r, const struct tpm_eventlog *log, struct err *err)
{
    for (size_t i = 0; i < log->count; i++) {
        const struct tpm_event *e = &log->events[i];
        struct digest d = { .alg = r->bank };
        struct bytes value;
        if (e->type == EV_NO_ACTION || e->index >= REGISTER_PCRS || !tpm_event_digest(log, e, r->bank, &value)
            || value.n > sizeof(d.b))
            continue;
        d.n = (uint8_t)value.n;
        memcpy(d.b, value.p, value.n);
        if (registers_add_event(r, e->index, &d, err) < 0)
            return -1;
    }
    return 0;
}
