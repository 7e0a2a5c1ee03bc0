/* From a verification's result to what policy/ compares: nothing that is not proven is filled in. */
#include "appraisal/appraise.h"

#include "base/auto.h"

int registers_set_snp(struct registers *out, const struct snp_report *r, const struct snp_tcb *tcb,
                      struct err *err)
{
    const struct {
        enum register_id id;
        struct bytes value;
    } rows[] = {
        { REG_SNP_MEASUREMENT, r->measurement },     { REG_SNP_FAMILY_ID, r->family_id },
        { REG_SNP_IMAGE_ID, r->image_id },           { REG_SNP_HOST_DATA, r->host_data },
        { REG_SNP_ID_KEY_DIGEST, r->id_key_digest }, { REG_SNP_AUTHOR_KEY_DIGEST, r->author_key_digest },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (registers_set(out, rows[i].id, rows[i].value, err) < 0)
            return -1;
    out->tcb.svn[TCB_BOOTLOADER] = tcb->bootloader;
    out->tcb.svn[TCB_TEE] = tcb->tee;
    out->tcb.svn[TCB_SNP] = tcb->snp;
    out->tcb.svn[TCB_MICROCODE] = tcb->microcode;
    out->tcb.svn[TCB_FMC] = tcb->fmc;
    out->tcb.mask = 1u << TCB_BOOTLOADER | 1u << TCB_TEE | 1u << TCB_SNP | 1u << TCB_MICROCODE;
    if (tcb->has_fmc)
        out->tcb.mask |= 1u << TCB_FMC;
    return registers_set_number(out, REG_SNP_POLICY, r->policy, err) < 0
                   || registers_set_number(out, REG_SNP_VMPL, r->vmpl, err) < 0
               ? -1
               : 0;
}

int registers_set_tdx(struct registers *out, const struct tdx_body *b, struct err *err)
{
    const struct {
        enum register_id id;
        struct bytes value;
    } rows[] = {
        { REG_TDX_MR_TD, b->mr_td },
        { REG_TDX_MR_SEAM, b->mr_seam },
        { REG_TDX_MR_SIGNER_SEAM, b->mr_signer_seam },
        { REG_TDX_TD_ATTRIBUTES, b->td_attributes },
        { REG_TDX_XFAM, b->xfam },
        { REG_TDX_MR_CONFIG_ID, b->mr_config_id },
        { REG_TDX_MR_OWNER, b->mr_owner },
        { REG_TDX_MR_OWNER_CONFIG, b->mr_owner_config },
        { REG_TDX_RTMR0, b->rtmr[0] },
        { REG_TDX_RTMR1, b->rtmr[1] },
        { REG_TDX_RTMR2, b->rtmr[2] },
        { REG_TDX_RTMR3, b->rtmr[3] },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (registers_set(out, rows[i].id, rows[i].value, err) < 0)
            return -1;
    return 0;
}

/* Events count only where the log's replay gives the quoted value: then they are as good as the value. */
static int set_events(const struct verify_result *r, struct registers *out, struct err *err)
{
    for (size_t i = 0; i < r->boot_log.count; i++) {
        const struct tpm_event *e = &r->boot_log.events[i];
        struct bytes value;
        struct digest d = { .alg = out->bank };
        if (e->index >= TPM_PCRS || !(r->boot_explained >> e->index & 1) || e->type == EV_NO_ACTION
            || !tpm_event_digest(&r->boot_log, e, out->bank, &value) || value.n > sizeof(d.b))
            continue;
        d.n = (uint8_t)value.n;
        memcpy(d.b, value.p, value.n);
        if (registers_add_event(out, e->index, &d, err) < 0)
            return -1;
    }
    return 0;
}

static int set_pcrs(const struct verify_result *r, struct registers *out, struct err *err)
{
    const struct tpm_pcrs *pcrs = &r->document.pcrs;
    out->bank = pcrs->alg;
    out->pcr_mask = pcrs->mask;
    memcpy(out->pcr, pcrs->pcr, sizeof(out->pcr));
    return set_events(r, out, err);
}

static int fill(const struct verify_result *r, struct registers *out, struct err *err)
{
    snprintf(out->tee, sizeof(out->tee), "%s", r->tee_authentic ? tee_name(r->document.tee) : "");
    snprintf(out->cloud, sizeof(out->cloud), "%s", cloud_name(r->cloud));
    if (r->tee_authentic && r->document.tee == TEE_SEV_SNP
        && registers_set_snp(out, &r->snp.report, &r->snp.reported, err) < 0)
        return -1;
    if (r->tee_authentic && r->document.tee == TEE_TDX && registers_set_tdx(out, &r->tdx.quote.body, err) < 0)
        return -1;
    if (r->document.has_tpm && r->pcrs_proven && set_pcrs(r, out, err) < 0)
        return -1;
    if (r->workload_holds && registers_set_workload(out, r->document.workload_log, err) < 0)
        return -1;
    out->workload.rooted = r->workload_rooted;
    return 0;
}

int registers_of(const struct verify_result *r, struct registers *out, struct err *err)
{
    struct registers made = { .bank = 0 };
    if (fill(r, &made, err) < 0) {
        registers_done(&made);
        return err_while(err, "gather registers");
    }
    *out = made;
    return 0;
}
