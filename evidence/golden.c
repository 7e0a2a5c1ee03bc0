/* The golden measurement document, contract section 4: what this machine is now, as values to pin. */
#include "evidence/collect_internal.h"

#include "base/enc.h"
#include "base/json.h"

#include "tee/snp_report.h"
#include "tee/tdx_quote.h"

#define PCR(n) (1u << (n))

/* Always pinned: firmware, boot path, kernel, command line, workload. 12 and 13 too: a swapped kernel command
 * line shows only there and in 9. */
#define PCRS_PINNED                                                                                          \
    (PCR(0) | PCR(2) | PCR(3) | PCR(4) | PCR(7) | PCR(8) | PCR(9) | PCR(11) | PCR(12) | PCR(13) | PCR(16)    \
     | PCR(23))
/* These follow the VM's devices and disk: only when asked for. */
#define PCRS_DEVICES (PCR(1) | PCR(5) | PCR(6) | PCR(10))
/* Histories, judged by replay and never pinned. */
#define PCRS_HISTORY (PCR(14) | PCR(15))

static void put_hex(struct buf *out, const char *key, struct bytes data)
{
    json_put_key(out, key);
    buf_u8(out, '"');
    hex_put(out, data);
    buf_u8(out, '"');
}

static void put_tcb(struct buf *out, const struct snp_tcb *tcb)
{
    json_put_key(out, "minimum_tcb");
    buf_printf(out, "{\"bootloader\":%u,\"tee\":%u,\"snp\":%u,\"microcode\":%u", tcb->bootloader, tcb->tee,
               tcb->snp, tcb->microcode);
    if (tcb->has_fmc)
        buf_printf(out, ",\"fmc\":%u", tcb->fmc);
    buf_u8(out, '}');
}

static int put_snp(struct bytes raw, struct buf *out, struct err *err)
{
    struct snp_report r;
    if (snp_report_parse(raw, &r, err) < 0)
        return err_while(err, "parse the SNP report");
    json_put_key(out, "sev_snp");
    buf_u8(out, '{');
    put_hex(out, "measurement", r.measurement);
    json_put_key(out, "policy");
    buf_printf(out, "\"0x%" PRIx64 "\"", r.policy);
    json_put_key(out, "vmpl");
    buf_printf(out, "%u", r.vmpl);
    put_hex(out, "family_id", r.family_id);
    put_hex(out, "image_id", r.image_id);
    put_hex(out, "host_data", r.host_data);
    put_hex(out, "id_key_digest", r.id_key_digest);
    put_hex(out, "author_key_digest", r.author_key_digest);
    struct snp_tcb tcb = snp_tcb_decode(r.product, r.reported_tcb);
    put_tcb(out, &tcb);
    buf_u8(out, '}');
    return 0;
}

static int put_tdx(struct bytes raw, struct buf *out, struct err *err)
{
    struct tdx_quote q;
    if (tdx_quote_parse(raw, &q, err) < 0)
        return err_while(err, "parse the TDX quote");
    json_put_key(out, "tdx");
    buf_u8(out, '{');
    put_hex(out, "mr_td", q.body.mr_td);
    put_hex(out, "mr_seam", q.body.mr_seam);
    put_hex(out, "mr_signer_seam", q.body.mr_signer_seam);
    put_hex(out, "td_attributes", q.body.td_attributes);
    put_hex(out, "xfam", q.body.xfam);
    put_hex(out, "mr_config_id", q.body.mr_config_id);
    put_hex(out, "mr_owner", q.body.mr_owner);
    put_hex(out, "mr_owner_config", q.body.mr_owner_config);
    for (unsigned i = 0; i < 3; i++) {
        char key[8];
        snprintf(key, sizeof(key), "rtmr%u", i);
        put_hex(out, key, q.body.rtmr[i]);
    }
    buf_u8(out, '}');
    return 0;
}

static int pick_pcrs(uint32_t pcrs, bool all, uint32_t *out, struct err *err)
{
    uint32_t mask = pcrs ? pcrs : PCRS_PINNED | (all ? PCRS_DEVICES : 0);
    if (mask & PCRS_HISTORY)
        return err_set(err, ERR_INPUT, 0,
                       "PCRs 14 and 15 are histories: they are judged by replay and cannot be pinned");
    if (mask & ~TPM_PCRS_ALL)
        return err_set(err, ERR_INPUT, 0, "PCR numbers go from 0 to 23");
    *out = mask;
    return 0;
}

static void put_tpm(const struct evidence *e, uint32_t mask, struct buf *out)
{
    json_put_key(out, "tpm");
    buf_str(out, "{\"bank\":");
    json_put_string(out, bytes_str(digest_name(e->pcrs.alg)));
    json_put_key(out, "pcrs");
    buf_u8(out, '{');
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        char key[8];
        snprintf(key, sizeof(key), "%u", i);
        if (mask >> i & 1)
            put_hex(out, key, digest_bytes(&e->pcrs.pcr[i]));
    }
    buf_str(out, "},\"events\":{}}");
}

int evidence_golden(const struct collector *c, const struct evidence *e, uint32_t pcrs, bool all,
                    const char *workload_log, struct buf *out, struct err *err)
{
    const struct shape *shape = c->shape;
    uint32_t mask;
    if (pick_pcrs(pcrs, all, &mask, err) < 0)
        return -1;
    buf_str(out, "{\"golden_measurement\":{\"version\":1,\"platform\":{\"tee\":");
    json_put_string(out, bytes_str(tee_name(shape->tee)));
    json_put_key(out, "cloud");
    json_put_string(out, bytes_str(cloud_name(c->cloud)));
    buf_u8(out, '}');
    if (shape->tee == TEE_SEV_SNP && put_snp(buf_bytes(&e->tee.report), out, err) < 0)
        return -1;
    if (shape->tee == TEE_TDX && put_tdx(buf_bytes(&e->tee.report), out, err) < 0)
        return -1;
    if (shape->tpm)
        put_tpm(e, mask, out);
    json_put_key(out, "workload");
    if (workload_log)
        buf_printf(out, "{\"scheme\":\"cvm-agent-v1\",\"events\":%s}", workload_log);
    else
        buf_str(out, "null");
    buf_str(out, "}}");
    return buf_check(out, "golden measurement", err);
}
