/* What POST /attestation answers: an attest.Attestation of the collected evidence, or a bare report or quote.
 * Sources: google/go-tpm-tools proto/attest.proto, client/attest.go; ultravioletrs/cocos
 * pkg/attestation/vtpm. */
#include "evidence/collect_internal.h"

#include "base/auto.h"
#include "base/enc.h"
#include "evidence/attestation.h"
#include "tee/gcp_instance.h"
#include "tee/hcl_report.h"
#include "tee/snp_report.h"

#define MESSAGE_MAX (16u << 20)

static void put_optional(struct buf *out, uint32_t number, struct bytes value)
{
    if (value.n)
        pb_put_bytes(out, number, value);
}

static void put_inner(struct buf *out, uint32_t number, const struct buf *inner)
{
    if (inner->failed)
        out->failed = true;
    pb_put_bytes(out, number, buf_bytes(inner));
}

static void put_quote(struct bytes quote, struct bytes sig, const struct tpm_pcrs *values, struct buf *out)
{
    AUTO(buf_done) struct buf message = buf_new(MESSAGE_MAX), pcrs = buf_new(MESSAGE_MAX);
    pb_put_uint(&pcrs, 1, values->alg);
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        AUTO(buf_done) struct buf entry = buf_new(128);
        if (!(values->mask >> i & 1))
            continue;
        if (i)
            pb_put_uint(&entry, 1, i);
        pb_put_bytes(&entry, 2, digest_bytes(&values->pcr[i]));
        put_inner(&pcrs, 2, &entry);
    }
    pb_put_bytes(&message, 1, quote);
    pb_put_bytes(&message, 2, sig);
    put_inner(&message, 3, &pcrs);
    put_inner(out, 2, &message);
}

/* Google's certificates name the instance. */
static void put_instance(struct bytes ak_cert, struct buf *out)
{
    AUTO(x509_drop) X509 *cert = NULL;
    AUTO(buf_done) struct buf message = buf_new(MESSAGE_MAX);
    struct gcp_instance instance;
    struct err ignored;
    if (!ak_cert.n || x509_parse(ak_cert, &cert, &ignored) < 0
        || gcp_instance_parse(cert, &instance, &ignored) < 0)
        return;
    put_optional(&message, 1, bytes_str(instance.zone));
    put_optional(&message, 2, bytes_str(instance.project_id));
    pb_put_uint(&message, 3, instance.project_number);
    put_optional(&message, 4, bytes_str(instance.instance_name));
    pb_put_uint(&message, 5, instance.instance_id);
    put_inner(out, 4, &message);
}

static void put_extra(struct buf *chain, const char *name, struct bytes value)
{
    AUTO(buf_done) struct buf entry = buf_new(MESSAGE_MAX);
    if (!value.n)
        return;
    pb_put_bytes(&entry, 1, bytes_str(name));
    pb_put_bytes(&entry, 2, value);
    put_inner(chain, 7, &entry);
}

/* Of Azure's machines: what the paravisor's report binds. */
static struct bytes runtime_data(const struct evidence *e)
{
    struct hcl_report report;
    struct err ignored;
    return e->hcl.n && hcl_report_parse(buf_bytes(&e->hcl), &report, &ignored) == 0 ? hcl_var_data(&report)
                                                                                    : bytes_of(NULL, 0);
}

static struct bytes asked(const struct evidence *e)
{
    return bytes_of(e->asked.report_data, sizeof(e->asked.report_data));
}

static uint64_t product_number(enum snp_product p)
{
    return p == SNP_MILAN ? 1 : p == SNP_GENOA ? 2 : p == SNP_TURIN ? 3 : 0;
}

static void put_product(const struct snp_report *r, struct buf *out)
{
    AUTO(buf_done) struct buf product = buf_new(64), stepping = buf_new(16);
    if (!product_number(r->product))
        return;
    pb_put_uint(&product, 1, product_number(r->product));
    if (r->cpuid_step)
        pb_put_uint(&stepping, 1, r->cpuid_step);
    put_inner(&product, 3, &stepping);
    put_inner(out, 3, &product);
}

static int put_snp(const struct collector *c, const struct evidence *e, struct buf *out, struct err *err)
{
    AUTO(buf_done) struct buf report = buf_new(MESSAGE_MAX), chain = buf_new(MESSAGE_MAX);
    struct snp_report r;
    if (snp_report_parse(buf_bytes(&e->tee.report), &r, err) < 0
        || attestation_put_snp_report(r.raw, &report, err) < 0)
        return -1;
    if (r.signing_key != SNP_KEY_VLEK)
        put_optional(&chain, 1, buf_bytes(&e->certs.vek));
    for (size_t i = 0; i < e->certs.chain_n; i++)
        put_optional(&chain, (uint32_t)i + 2, buf_bytes(&e->certs.chain[i]));
    if (r.signing_key == SNP_KEY_VLEK)
        put_optional(&chain, 6, buf_bytes(&e->certs.vek));
    if (c->shape->tpm) {
        put_extra(&chain, ATTESTATION_ASKED, asked(e));
        put_extra(&chain, ATTESTATION_RUNTIME, runtime_data(e));
    }
    put_inner(out, 1, &report);
    put_inner(out, 2, &chain);
    put_product(&r, out);
    return 0;
}

static int put_tdx(const struct collector *c, const struct evidence *e, struct buf *out, struct err *err)
{
    AUTO(buf_done) struct buf behind = buf_new(MESSAGE_MAX);
    struct bytes runtime = runtime_data(e);
    if (c->shape->tpm)
        attestation_put_behind(ATTESTATION_ASKED, asked(e), &behind);
    if (runtime.n)
        attestation_put_behind(ATTESTATION_RUNTIME, runtime, &behind);
    if (attestation_put_tdx_quote(buf_bytes(&e->tee.report), buf_bytes(&behind), out, err) < 0) {
        err->kind = ERR_UNAVAILABLE; /* the machine's quote, not the caller's fault */
        return -1;
    }
    return 0;
}

/* sevsnp.Attestation or tdx.QuoteV4. */
static int put_tee(const struct collector *c, const struct evidence *e, struct buf *out, struct err *err)
{
    return c->shape->tee == TEE_TDX ? put_tdx(c, e, out, err) : put_snp(c, e, out, err);
}

static int put_message(const struct collector *c, const struct evidence *e, struct buf *out, struct err *err)
{
    AUTO(buf_done) struct buf log = buf_new(MESSAGE_MAX), tee = buf_new(MESSAGE_MAX);
    if (c->log_tpm.b64.n && b64_decode(buf_bytes(&c->log_tpm.b64), &log, err) < 0)
        return -1;
    pb_put_bytes(out, 1, buf_bytes(&e->ak_public));
    put_quote(buf_bytes(&e->quote), buf_bytes(&e->sig), &e->pcrs, out);
    if (e->second.quote.n)
        put_quote(buf_bytes(&e->second.quote), buf_bytes(&e->second.sig), &e->second.pcrs, out);
    put_optional(out, 3, buf_bytes(&log));
    put_instance(buf_bytes(&e->ak_cert), out);
    put_optional(out, 6, buf_bytes(&e->ak_cert));
    for (size_t i = 0; i < e->ak_chain.n; i++)
        put_optional(out, 7, buf_bytes(&e->ak_chain.cert[i]));
    if (c->shape->tee == TEE_NONE)
        return 0;
    if (put_tee(c, e, &tee, err) < 0)
        return -1;
    put_inner(out, c->shape->tee == TEE_TDX ? 9 : 8, &tee);
    return 0;
}

/* Two spaces become a tab: no string holds a line break. */
static void put_tabs(struct bytes text, struct buf *out)
{
    bool start = true;
    for (size_t i = 0; i < text.n; i++) {
        if (start && i + 1 < text.n && text.p[i] == ' ' && text.p[i + 1] == ' ') {
            buf_u8(out, '\t');
            i++;
            continue;
        }
        start = text.p[i] == '\n';
        buf_u8(out, text.p[i]);
    }
}

static int put_json(const struct pb_message *type, struct bytes message, struct buf *out, struct err *err)
{
    AUTO(json_drop) json_t *json = NULL;
    AUTO(buf_done) struct buf text = buf_new(out->max);
    if (pb_to_json(type, message, PB_PROTOJSON, &json, err) < 0)
        return -1;
    json_put(&text, json, true);
    if (buf_check(&text, "attestation", err) < 0)
        return -1;
    put_tabs(buf_bytes(&text), out);
    buf_u8(out, '\n');
    return 0;
}

int evidence_attestation(const struct collector *c, const struct evidence *e, bool json, struct buf *out,
                         struct err *err)
{
    AUTO(buf_done) struct buf message = buf_new(MESSAGE_MAX);
    bool tpm = c->shape->tpm;
    if (!tpm && !json) {
        buf_put(out, buf_bytes(&e->tee.report));
        return buf_check(out, "attestation", err);
    }
    if ((tpm ? put_message(c, e, &message, err) : put_tee(c, e, &message, err)) < 0
        || buf_check(&message, "attestation", err) < 0)
        return err_while(err, "make the attestation");
    if (json
        && put_json(tpm                        ? &attestation_message
                    : c->shape->tee == TEE_TDX ? &tdx_quote_message
                                               : &snp_attestation_message,
                    buf_bytes(&message), out, err)
               < 0)
        return err_while(err, "make the attestation");
    if (!json)
        buf_put(out, buf_bytes(&message));
    return buf_check(out, "attestation", err);
}
