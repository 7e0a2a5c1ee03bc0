#include "tee/snp_verify.h"

#include "base/auto.h"
#include "base/chain.h"
#include "tee/snp_verify_internal.h"

#include <openssl/err.h>
#include <openssl/evp.h>

/* ---- format ---- */

/* Bytes that must be zero, and in which versions (AMD 56860, ATTESTATION_REPORT). The last row is not signed.
 */
static const struct {
    uint16_t from, to;
    uint8_t version_min, version_max;
} reserved[] = {
    { 0x04C, 0x050, 2, 5 }, { 0x188, 0x1A0, 2, 2 }, { 0x18B, 0x1A0, 3, 5 }, { 0x1EB, 0x1EC, 2, 5 },
    { 0x1EF, 0x1F0, 2, 5 }, { 0x1F8, 0x2A0, 2, 4 }, { 0x208, 0x2A0, 5, 5 }, { 0x330, 0x4A0, 2, 5 },
};

static int check_format(const struct snp_report *r, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
        if (r->version >= reserved[i].version_min && r->version <= reserved[i].version_max
            && !bytes_zero(bytes_of(r->raw.p + reserved[i].from, reserved[i].to - reserved[i].from)))
            return err_set(err, ERR_INPUT, 0, "reserved bytes %#x to %#x are not zero in a version %u report",
                           reserved[i].from, reserved[i].to - 1, (unsigned)r->version);
    if (r->flags >> 5)
        return err_set(err, ERR_INPUT, 0, "reserved flags are set: %#x", (unsigned)r->flags);
    if (r->signature_algo != SNP_ALGO_P384_SHA384)
        return err_set(err, ERR_INPUT, 0, "signature algorithm %u: want 1, ECDSA P-384 over SHA-384",
                       (unsigned)r->signature_algo);
    if (!(r->policy >> SNP_POLICY_RESERVED_ONE & 1))
        return err_set(err, ERR_INPUT, 0, "guest policy %#" PRIx64 ": bit 17 is always 1", r->policy);
    if (r->vmpl == SNP_VMPL_HOST)
        return err_set(err, ERR_INPUT, 0, "the host asked for this report, not the guest");
    if (r->vmpl > 3)
        return err_set(err, ERR_INPUT, 0, "VMPL %u: want 0 to 3", (unsigned)r->vmpl);
    return 0;
}

static bool judge_format(const struct snp_report *r, struct checks *checks)
{
    struct err err = { 0 };
    int rc = check_format(r, &err);
    if (rc < 0)
        checks_add_rc(checks, "snp.format", rc, NULL, &err);
    else
        checks_add(checks, "snp.format", CHECK_OK, "version %u, firmware %u.%u.%u, VMPL %u",
                   (unsigned)r->version, r->current.major, r->current.minor, r->current.build,
                   (unsigned)r->vmpl);
    return rc == 0;
}

/* ---- signature ---- */

static int verify_signature(const struct snp_report *r, EVP_PKEY *key, struct err *err)
{
    AUTO(buf_done) struct buf der = buf_new(256);
    struct bytes covered = snp_report_signed(r->raw);
    if (r->mask_chip_key && bytes_zero(r->signature_r))
        return err_set(err, ERR_DENIED, 0, "the platform hides its key (MASK_CHIP_KEY): nothing is signed");
    if (snp_report_signature_der(r, &der, err) < 0)
        return -1;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha384(), NULL, key) == 1
                && EVP_DigestVerify(ctx, der.p, der.n, covered.p, covered.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    if (!good)
        return err_set(err, ERR_DENIED, 0,
                       "the signature is not by this VEK: changed, or another machine's or TCB's");
    return 0;
}

/* Does the chain fit this report? Its signature holds, so what it says of its key and product counts. */
static int check_chain(const struct snp_report *r, const struct snp_vek *vek, struct err *err)
{
    if (!vek->chain.ok)
        return err_set(err, ERR_DENIED, 0, "%s", vek->chain.why);
    if (r->signing_key != vek->kind)
        return err_set(err, ERR_DENIED, 0, "the report names its %s as signer, the certificate is a %s",
                       snp_signing_key_name(r->signing_key), snp_signing_key_name(vek->kind));
    if (r->product != SNP_UNKNOWN && r->product != vek->product)
        return err_set(err, ERR_DENIED, 0, "the report is of a %s processor, the chain is %s's",
                       snp_product_name(r->product), snp_product_name(vek->product));
    return 0;
}

static bool judge_chain(const struct snp_report *r, const struct snp_vek *vek, struct checks *checks)
{
    struct err err = { 0 };
    if (check_chain(r, vek, &err) < 0) {
        checks_add_rc(checks, "snp.vek_chain", -1, NULL, &err);
        return false;
    }
    checks_add(checks, "snp.vek_chain", CHECK_OK, "%s, %s, ARK of %s",
               vek->kind == SNP_KEY_VLEK ? "VLEK" : "VCEK", vek->kind == SNP_KEY_VLEK ? "ASVK" : "ASK",
               snp_product_name(vek->product));
    if (r->has_cpuid && r->product == SNP_UNKNOWN)
        checks_warn(checks, "CPU family %#x model %#x is not known; the chain says %s", r->cpuid_fam_id,
                    r->cpuid_mod_id, snp_product_name(vek->product));
    return true;
}

/* ---- dates ---- */

static void judge_validity(const struct snp_vek *vek, time_t at, struct checks *checks)
{
    char from[24], until[24], now[24];
    bool holds = vek->from <= at && at <= vek->until;
    checks_add(checks, "snp.vek_validity", holds ? CHECK_OK : CHECK_FAILED,
               "the chain is valid %s to %s, the clock says %s", rfc3339_text(vek->from, from),
               rfc3339_text(vek->until, until), rfc3339_text(at, now));
}

static void judge_crl(const struct snp_vek *vek, const struct snp_rules *rules, struct checks *checks)
{
    char from[24], until[24], now[24];
    time_t at = rules->at;
    bool current = vek->crl_from <= at && (!vek->crl_until || at <= vek->crl_until);
    bool expired = vek->crl_from <= at && !current;
    if (vek->crl.ok && expired && rules->accept_expired) {
        rfc3339_text(vek->crl_until, until);
        checks_add(checks, "snp.crl", CHECK_OK, "not revoked by a CRL that expired on %s, which is accepted",
                   until);
        checks_warn(checks, "AMD's CRL expired on %s, which is accepted: what was revoked since is not in it",
                    until);
    } else if (!vek->crl.ok)
        checks_add(checks, "snp.crl", CHECK_FAILED, "%s", vek->crl.why);
    else
        checks_add(checks, "snp.crl", current ? CHECK_OK : CHECK_FAILED,
                   "not revoked by the CRL of %s to %s, the clock says %s", rfc3339_text(vek->crl_from, from),
                   vek->crl_until ? rfc3339_text(vek->crl_until, until) : "ever", rfc3339_text(at, now));
}

/* The clock of a verifier is never earlier than what the vendor has signed already. */
static void judge_clock(const struct snp_vek *vek, time_t at, struct checks *checks)
{
    char from[24], now[24];
    checks_add(checks, "document.clock", at >= vek->crl_from ? CHECK_OK : CHECK_FAILED,
               "the CRL was signed at %s, the clock says %s", rfc3339_text(vek->crl_from, from),
               rfc3339_text(at, now));
}

/* ---- meaning ---- */

static void judge_tcb(const struct snp_report *r, const struct snp_vek *vek, struct checks *checks)
{
    const struct snp_tcb *t = &vek->facts.tcb;
    struct snp_tcb want = snp_tcb_decode(vek->product, r->reported_tcb);
    uint8_t raw[8];
    snp_tcb_encode(vek->product, t, raw);
    bool same = t->has_fmc == want.has_fmc && bytes_equal(bytes_of(raw, sizeof(raw)), r->reported_tcb);
    checks_add(
        checks, "snp.vek_tcb", same ? CHECK_OK : CHECK_FAILED,
        "certificate: bootloader %u, TEE %u, SNP %u, microcode %u, FMC %u; reported TCB: %u, %u, %u, %u, "
        "%u",
        t->bootloader, t->tee, t->snp, t->microcode, t->fmc, want.bootloader, want.tee, want.snp,
        want.microcode, want.fmc);
}

static void judge_chip_id(const struct snp_report *r, const struct snp_vek *vek, struct checks *checks)
{
    size_t n = snp_chip_id_size(vek->product);
    struct bytes chip = bytes_of(r->chip_id.p, n), rest = bytes_of(r->chip_id.p + n, r->chip_id.n - n);
    if (vek->kind == SNP_KEY_VLEK) {
        checks_add(checks, "snp.vek_chip_id", CHECK_NOT_APPLICABLE, "a VLEK names a provider, not a chip: %s",
                   vek->facts.csp_id);
    } else if (bytes_zero(r->chip_id)) {
        checks_add(checks, "snp.vek_chip_id", CHECK_NOT_APPLICABLE,
                   "the platform masks its chip id; the VCEK is one chip's all the same");
        checks_warn(checks, "the chip id is masked");
    } else {
        bool same = bytes_equal(vek->facts.hwid, chip) && bytes_zero(rest);
        checks_add(checks, "snp.vek_chip_id", same ? CHECK_OK : CHECK_FAILED, "%s",
                   same ? "the certificate is this chip's" : "the certificate is another chip's");
    }
}

static void judge_policy(const struct snp_report *r, struct checks *checks)
{
    bool debug = r->policy >> SNP_POLICY_DEBUG & 1, agent = r->policy >> SNP_POLICY_MIGRATE_MA & 1;
    bool bound = false;
    for (size_t i = 0; i < r->report_id_ma.n; i++)
        bound |= r->report_id_ma.p[i] != 0xFF;
    checks_add(checks, "snp.debug", debug ? CHECK_FAILED : CHECK_OK, "%s",
               debug ? "the guest policy allows the host to debug the guest: its memory is open"
                     : "the guest policy forbids debugging");
    checks_add(checks, "snp.migration", bound ? CHECK_FAILED : CHECK_OK, "%s",
               bound   ? "the guest is bound to a migration agent, which may export its memory"
               : agent ? "a migration agent is allowed, none is bound"
                       : "no migration agent");
    if (agent)
        checks_warn(checks, "the guest policy allows a migration agent");
    if (r->policy >> (SNP_POLICY_PAGE_SWAP_DISABLE + 1))
        checks_warn(checks, "the guest policy has bits that are not known: %#" PRIx64, r->policy);
}

/* As the report stores a TCB; Milan's and Genoa's reserved parts too, which are extensions of their own. */
static uint64_t stored_tcb(const struct snp_vek *vek)
{
    const struct vek_cert *f = &vek->facts;
    uint8_t raw[8];
    snp_tcb_encode(vek->product, &f->tcb, raw);
    if (f->has_spl4) {
        raw[2] = f->spl4;
        raw[3] = f->spl5;
        raw[4] = f->spl6;
        raw[5] = f->spl7;
    }
    return le_uint(raw, sizeof(raw));
}

static void fill_verdict(const struct snp_report *r, const struct snp_vek *vek, struct snp_verdict *out)
{
    out->authentic = true;
    out->product = vek->product;
    out->anchor = vek->anchor;
    out->reported = snp_tcb_decode(vek->product, r->reported_tcb);
    out->current = snp_tcb_decode(vek->product, r->current_tcb);
    out->committed = snp_tcb_decode(vek->product, r->committed_tcb);
    out->launch = snp_tcb_decode(vek->product, r->launch_tcb);
    out->vek_tcb = stored_tcb(vek);
    memcpy(out->vek_product, vek->facts.product_name, sizeof(out->vek_product));
    memcpy(out->csp_id, vek->facts.csp_id, sizeof(out->csp_id));
}

/* ---- all of it ---- */

/* Every check that was not made becomes false; crl only if it was asked for. */
static void close_checks(struct checks *checks, const struct snp_vek *vek, const char *why)
{
    static const char *const names[] = { "snp.format",       "snp.report_signature", "snp.vek_chain",
                                         "snp.vek_validity", "snp.vek_tcb",          "snp.vek_chip_id",
                                         "snp.debug",        "snp.migration" };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!checks_find(checks, names[i]))
            checks_add(checks, names[i], CHECK_FAILED, "not made: %s", why);
    if (!checks_find(checks, "snp.crl"))
        checks_add(checks, "snp.crl", vek && vek->crl_asked ? CHECK_FAILED : CHECK_NOT_APPLICABLE,
                   vek && vek->crl_asked ? "not made: %s" : "not asked", why);
    if (!checks_find(checks, "document.clock"))
        checks_add(checks, "document.clock", CHECK_NOT_APPLICABLE, "nothing with a signed date");
}

/* What depends on the certificates alone. */
static void judge_certificates(const struct snp_vek *vek, const struct snp_rules *rules,
                               struct checks *checks, struct snp_verdict *out)
{
    judge_validity(vek, rules->at, checks);
    if (vek->crl_asked)
        judge_crl(vek, rules, checks);
    if (vek->crl_authentic) {
        judge_clock(vek, rules->at, checks);
        out->latest_signed = vek->crl_from;
    }
}

/* @return why the rest cannot be judged, or NULL when all was */
static const char *judge(struct bytes raw, const struct snp_vek *vek, const struct snp_rules *rules,
                         struct checks *checks, struct snp_verdict *out)
{
    struct err err = { 0 };
    if (snp_report_parse(raw, &out->report, &err) < 0) {
        checks_add_rc(checks, "snp.format", -1, NULL, &err);
        return "the report cannot be read";
    }
    out->parsed = true;
    bool format = judge_format(&out->report, checks);
    if (!vek)
        return "there is no VEK certificate";
    int rc = verify_signature(&out->report, vek->key, &err);
    checks_add_rc(checks, "snp.report_signature", rc, "ECDSA P-384 over SHA-384 by the VEK", &err);
    bool chain = judge_chain(&out->report, vek, checks);
    if (!vek->chain.ok)
        return "the certificate is not AMD's";
    judge_certificates(vek, rules, checks, out);
    if (rc < 0)
        return "the report's signature does not hold";
    if (!chain)
        return "the certificate does not fit the report";
    if (!format)
        return "the report's format does not hold";
    fill_verdict(&out->report, vek, out);
    judge_tcb(&out->report, vek, checks);
    judge_chip_id(&out->report, vek, checks);
    judge_policy(&out->report, checks);
    return NULL;
}

void snp_verify_by(struct bytes raw, const struct snp_vek *vek, const struct snp_rules *rules,
                   struct checks *checks, struct snp_verdict *out)
{
    *out = (struct snp_verdict){ 0 };
    const char *why = judge(raw, vek, rules, checks, out);
    close_checks(checks, vek, why ? why : "");
}
