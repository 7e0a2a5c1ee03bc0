#include "tee/snp_report.h"

#include "base/auto.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <strings.h>

/* AMD 56860, TCB_VERSION: which byte holds which component. */
static const struct tcb_layout {
    uint8_t bootloader, tee, snp, microcode, fmc;
    bool has_fmc;
} layout_milan = { 0, 1, 6, 7, 0, false }, layout_turin = { 1, 2, 3, 7, 0, true };

static const struct {
    const char *name;
    const struct tcb_layout *layout;
    size_t chip_id;
} products[SNP_PRODUCTS] = {
    [SNP_UNKNOWN] = { "", &layout_milan, 64 },     [SNP_MILAN] = { "Milan", &layout_milan, 64 },
    [SNP_GENOA] = { "Genoa", &layout_milan, 64 },  [SNP_TURIN] = { "Turin", &layout_turin, 8 },
    [SNP_VENICE] = { "Venice", &layout_turin, 8 },
};

/* Combined family and model of CPUID leaf 1. The KDS knows Bergamo and Siena as Genoa too. */
static const struct {
    uint8_t family, from, to;
    enum snp_product product;
} models[] = {
    { 0x19, 0x00, 0x0F, SNP_MILAN },  { 0x19, 0x10, 0x1F, SNP_GENOA },  { 0x19, 0xA0, 0xAF, SNP_GENOA },
    { 0x1A, 0x00, 0x11, SNP_TURIN },  { 0x1A, 0x50, 0x57, SNP_VENICE }, { 0x1A, 0x90, 0x9F, SNP_VENICE },
    { 0x1A, 0xA0, 0xAF, SNP_VENICE }, { 0x1A, 0xC0, 0xC7, SNP_VENICE },
};

enum snp_product snp_product_of(uint8_t family, uint8_t model)
{
    for (size_t i = 0; i < ARRAY_SIZE(models); i++)
        if (family == models[i].family && model >= models[i].from && model <= models[i].to)
            return models[i].product;
    return SNP_UNKNOWN;
}

const char *snp_product_name(enum snp_product product)
{
    return products[product].name;
}

enum snp_product snp_product_by_name(struct bytes name)
{
    const uint8_t *dash = memchr(name.p, '-', name.n);
    size_t n = dash ? (size_t)(dash - name.p) : name.n;
    for (enum snp_product p = SNP_MILAN; p < SNP_PRODUCTS; p++)
        if (n == strlen(products[p].name) && strncasecmp((const char *)name.p, products[p].name, n) == 0)
            return p;
    return SNP_UNKNOWN;
}

size_t snp_chip_id_size(enum snp_product product)
{
    return products[product].chip_id;
}

struct snp_tcb snp_tcb_decode(enum snp_product product, struct bytes tcb)
{
    const struct tcb_layout *at = products[product].layout;
    if (tcb.n < 8)
        return (struct snp_tcb){ .has_fmc = at->has_fmc };
    return (struct snp_tcb){ .bootloader = tcb.p[at->bootloader],
                             .tee = tcb.p[at->tee],
                             .snp = tcb.p[at->snp],
                             .microcode = tcb.p[at->microcode],
                             .fmc = at->has_fmc ? tcb.p[at->fmc] : 0,
                             .has_fmc = at->has_fmc };
}

void snp_tcb_encode(enum snp_product product, const struct snp_tcb *tcb, uint8_t out[static 8])
{
    const struct tcb_layout *at = products[product].layout;
    memset(out, 0, 8);
    if (at->has_fmc)
        out[at->fmc] = tcb->fmc;
    out[at->bootloader] = tcb->bootloader;
    out[at->tee] = tcb->tee;
    out[at->snp] = tcb->snp;
    out[at->microcode] = tcb->microcode;
}

bool snp_tcb_at_least(const struct snp_tcb *a, const struct snp_tcb *b)
{
    return a->bootloader >= b->bootloader && a->tee >= b->tee && a->snp >= b->snp
           && a->microcode >= b->microcode && a->fmc >= b->fmc;
}

/* Version 2 has no CPUID bytes. A chip id of 8 bytes is Turin's; else it may be Milan or Genoa. */
static enum snp_product product_of_report(const struct snp_report *r)
{
    if (r->has_cpuid)
        return snp_product_of(r->cpuid_fam_id, r->cpuid_mod_id);
    struct bytes id = bytes_of(r->chip_id.p, 8), rest = bytes_of(r->chip_id.p + 8, r->chip_id.n - 8);
    return !bytes_zero(id) && bytes_zero(rest) ? SNP_TURIN : SNP_UNKNOWN;
}

/* MSG_REPORT_RSP: status, size, 24 reserved bytes, report, zeros. The ioctl can succeed with a bad status. */
static int unwrap_response(struct bytes raw, struct bytes *report, struct err *err)
{
    struct reader r = reader_of(raw);
    uint32_t status, size;
    struct bytes reserved;
    if (!rd_u32le(&r, &status) || !rd_u32le(&r, &size) || !rd_take(&r, 24, &reserved)
        || !rd_take(&r, SNP_REPORT_SIZE, report))
        return err_set(err, ERR_INPUT, 0, "SNP report response of %zu bytes is cut short", raw.n);
    if (status != 0)
        return err_set(err, ERR_INPUT, status,
                       "SNP firmware answered the report request with status %#" PRIx32 " (offset 0)",
                       status);
    if (size != SNP_REPORT_SIZE || !bytes_zero(reserved) || !bytes_zero(r.rest))
        return err_set(err, ERR_INPUT, 0,
                       "SNP report response announces %" PRIu32
                       " bytes at offset 4 (want %d), or its padding is not zero",
                       size, SNP_REPORT_SIZE);
    return 0;
}

static bool take_version(struct reader *r, struct snp_version *v, struct bytes *reserved)
{
    return rd_u8(r, &v->build) && rd_u8(r, &v->minor) && rd_u8(r, &v->major) && rd_take(r, 1, reserved);
}

/* 0x000 to 0x187, the same in every version. */
static bool take_head(struct reader *r, struct snp_report *q)
{
    struct bytes reserved;
    if (!rd_u32le(r, &q->version) || !rd_u32le(r, &q->guest_svn) || !rd_u64le(r, &q->policy)
        || !rd_take(r, 16, &q->family_id) || !rd_take(r, 16, &q->image_id) || !rd_u32le(r, &q->vmpl)
        || !rd_u32le(r, &q->signature_algo) || !rd_take(r, 8, &q->current_tcb)
        || !rd_u64le(r, &q->platform_info) || !rd_u32le(r, &q->flags) || !rd_take(r, 4, &reserved)
        || !rd_take(r, 64, &q->report_data) || !rd_take(r, 48, &q->measurement)
        || !rd_take(r, 32, &q->host_data) || !rd_take(r, 48, &q->id_key_digest)
        || !rd_take(r, 48, &q->author_key_digest) || !rd_take(r, 32, &q->report_id)
        || !rd_take(r, 32, &q->report_id_ma) || !rd_take(r, 8, &q->reported_tcb))
        return false;
    q->author_key_en = q->flags & 1;
    q->mask_chip_key = q->flags >> 1 & 1;
    q->signing_key = q->flags >> 2 & 7;
    q->reserved_zero = bytes_zero(reserved) && q->flags >> 5 == 0;
    return true;
}

/* 0x188 to the end; version 3 and version 5 put fields where zeros were before. */
static bool take_tail(struct reader *r, struct snp_report *q)
{
    struct bytes cpuid, gap, one, two, mit, middle, end;
    if (!rd_take(r, 3, &cpuid) || !rd_take(r, 21, &gap) || !rd_take(r, 64, &q->chip_id)
        || !rd_take(r, 8, &q->committed_tcb) || !take_version(r, &q->current, &one)
        || !take_version(r, &q->committed, &two) || !rd_take(r, 8, &q->launch_tcb) || !rd_take(r, 16, &mit)
        || !rd_take(r, 152, &middle) || !rd_take(r, SNP_SCALAR_FIELD, &q->signature_r)
        || !rd_take(r, SNP_SCALAR_FIELD, &q->signature_s) || !rd_take(r, 368, &end))
        return false;
    q->has_cpuid = q->version >= 3;
    q->has_mit_vectors = q->version >= 5;
    if (q->has_cpuid)
        q->cpuid_fam_id = cpuid.p[0], q->cpuid_mod_id = cpuid.p[1], q->cpuid_step = cpuid.p[2];
    if (q->has_mit_vectors)
        q->launch_mit_vector = le_uint(mit.p, 8), q->current_mit_vector = le_uint(mit.p + 8, 8);
    q->reserved_zero = q->reserved_zero && (q->has_cpuid || bytes_zero(cpuid)) && bytes_zero(gap)
                       && bytes_zero(one) && bytes_zero(two) && (q->has_mit_vectors || bytes_zero(mit))
                       && bytes_zero(middle) && bytes_zero(end);
    return true;
}

int snp_report_parse(struct bytes raw, struct snp_report *out, struct err *err)
{
    struct bytes report = raw;
    if (raw.n == SNP_RESPONSE_SIZE || raw.n == SNP_RESPONSE_HEADER + SNP_REPORT_SIZE) {
        if (unwrap_response(raw, &report, err) < 0)
            return -1;
    } else if (raw.n != SNP_REPORT_SIZE) {
        return err_set(err, ERR_INPUT, 0, "an SNP report has %d bytes (a response %d), not %zu",
                       SNP_REPORT_SIZE, SNP_RESPONSE_SIZE, raw.n);
    }
    struct reader r = reader_of(report);
    struct snp_report q = { .raw = report };
    if (!take_head(&r, &q) || q.version < SNP_VERSION_MIN || q.version > SNP_VERSION_MAX)
        return err_set(err, ERR_INPUT, 0, "SNP report version %" PRIu32 " at offset 0: want %d to %d",
                       q.version, SNP_VERSION_MIN, SNP_VERSION_MAX);
    if (!take_tail(&r, &q) || r.rest.n != 0)
        return err_set(err, ERR_INPUT, 0, "SNP report cut short at offset %zu of %zu", r.off, report.n);
    q.product = product_of_report(&q);
    *out = q;
    return 0;
}

struct bytes snp_report_signed(struct bytes report)
{
    return bytes_of(report.p, report.n < SNP_SIGNED_SIZE ? report.n : SNP_SIGNED_SIZE);
}

static void sig_drop(ECDSA_SIG **sig)
{
    ECDSA_SIG_free(*sig);
}

int snp_report_signature_der(const struct snp_report *report, struct buf *out, struct err *err)
{
    const struct bytes fields[] = { report->signature_r, report->signature_s };
    BIGNUM *scalar[2] = { NULL, NULL };
    if (report->signature_algo != SNP_ALGO_P384_SHA384)
        return err_set(err, ERR_INPUT, 0, "SNP report signature algorithm %" PRIu32 ": want 1 (ECDSA P-384)",
                       report->signature_algo);
    if (report->signing_key != SNP_KEY_VCEK && report->signing_key != SNP_KEY_VLEK)
        return err_set(err, ERR_INPUT, 0, "SNP report is signed by no key (signing key %u)",
                       report->signing_key);
    for (size_t i = 0; i < 2; i++) {
        struct bytes used = bytes_of(fields[i].p, SNP_SCALAR_SIZE);
        struct bytes over = bytes_of(fields[i].p + SNP_SCALAR_SIZE, fields[i].n - SNP_SCALAR_SIZE);
        if (bytes_zero(used) || !bytes_zero(over))
            return err_set(err, ERR_INPUT, 0, "SNP report signature is zero or longer than P-384");
    }
    AUTO(sig_drop) ECDSA_SIG *sig = ECDSA_SIG_new();
    for (size_t i = 0; i < 2; i++)
        scalar[i] = BN_lebin2bn(fields[i].p, SNP_SCALAR_SIZE, NULL);
    if (!sig || !scalar[0] || !scalar[1] || ECDSA_SIG_set0(sig, scalar[0], scalar[1]) != 1) {
        BN_free(scalar[0]);
        BN_free(scalar[1]);
        return err_set(err, ERR_IO, 0, "out of memory while reading an SNP signature");
    }
    int n = i2d_ECDSA_SIG(sig, NULL);
    unsigned char *at = n > 0 ? buf_room(out, (size_t)n) : NULL;
    if (!at || i2d_ECDSA_SIG(sig, &at) != n)
        return err_set(err, ERR_TOO_LARGE, 0, "no room for an SNP signature of %d bytes", n);
    return 0;
}

const char *snp_signing_key_name(uint8_t signing_key)
{
    static const char *const names[8] = {
        [SNP_KEY_VCEK] = "vcek", [SNP_KEY_VLEK] = "vlek", [SNP_KEY_NONE] = "none"
    };
    return signing_key < 8 && names[signing_key] ? names[signing_key] : "reserved";
}
