/* image/: what the hardware measures of a firmware before the first instruction. The figures marked as
 * published are those of virtee/sev-snp-measure 0.0.13 and virtee/sev 6.3.1: digests of the end of EDK II's
 * AmdSev build, whose tables have the same contents as launch.fd. */
#include "evidence.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "image/snp_launch.h"
#include "image/tdvf.h"

#include <stdlib.h>

/* Published: the digest after the pages of that build's firmware. */
#define PUBLISHED_FIRMWARE                                                                                   \
    "086e2e9149ebf45abdc3445fba5b2da8270bdbb04094d7a2c37faaa4b24af3aa16aff8c374c2a55c467a50da6d466b74"
#define TABLES_AT 0x9D0u /* before the end: TDX's, then SEV's, then the names */
#define SEV_AT    0x554u
#define VCPU_V4   0x00800F12u

static struct sample firmware;
static struct kernel_hashes empty_kernel, console_kernel;

static int setup(void **state)
{
    (void)state;
    firmware = sample_load_path(CVM_TEST_DATA "/image/launch.fd");
    sha256(bytes_of(NULL, 0), empty_kernel.kernel);
    sha256(bytes_of(NULL, 0), empty_kernel.initrd);
    console_kernel = empty_kernel;
    sha256(bytes_of("", 1), empty_kernel.cmdline);
    sha256(bytes_of("console=ttyS0 loglevel=7", 25), console_kernel.cmdline);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sample_done(&firmware);
    return 0;
}

static void is_hex(const uint8_t value[48], const char *want)
{
    char hex[97];
    assert_string_equal(hex_to(hex, bytes_of(value, 48)), want);
}

static void reads_what_the_host_is_told(void **state)
{
    static const struct sev_section want[] = {
        { 0x800000, 0x9000, SEV_SECTION_MEMORY },   { 0x80A000, 0x3000, SEV_SECTION_MEMORY },
        { 0x80D000, 0x1000, SEV_SECTION_SECRETS },  { 0x80E000, 0x1000, SEV_SECTION_CPUID },
        { 0x80F000, 0x1000, SEV_SECTION_SVSM_CAA }, { 0x810000, 0x1000, SEV_SECTION_KERNEL_HASHES },
        { 0x811000, 0xF000, SEV_SECTION_MEMORY },
    };
    struct ovmf_sev o;
    struct err err = { 0 };
    (void)state;
    assert_int_equal(ovmf_sev_parse(sample_bytes(&firmware), &o, &err), 0);
    assert_int_equal(o.n, 7);
    for (size_t i = 0; i < o.n; i++) {
        assert_int_equal(o.section[i].gpa, want[i].gpa);
        assert_int_equal(o.section[i].size, want[i].size);
        assert_int_equal(o.section[i].type, want[i].type);
    }
    assert_int_equal(o.reset_eip, 0x80B004);
    assert_int_equal(o.hashes_gpa, 0x810C00);
    assert_int_equal(o.hashes_size, 0x400);
}

/* The published firmware's pages, then ours to add: tables, kernel hashes, registers. */
static void agrees_with_published_figures(void **state)
{
    const struct {
        struct snp_launch launch;
        const char *want;
    } rows[] = {
        { { VMM_QEMU, 1, VCPU_V4, 0x21, &empty_kernel },
          "329c8ce0972ae52343b64d34a434a86f245dfd74f5ed7aae15d22efc78fb9683632b9b50e4e1d7fa41179ef98a7ef19"
          "8" },
        { { VMM_QEMU, 1, VCPU_V4, 0x1, &empty_kernel },
          "ddc5224521617a536ee7ce9dd6224d1b58a8d4fda1c741f3ac99fc4bfa04ba6e9fc98646d4a07a9079397fa3852819b"
          "5" },
        { { VMM_QEMU, 1, VCPU_V4, 0x21, &console_kernel },
          "803f691094946e42068aaa3a8f9e26a5c89f36f7b73ecfb28c653360fe4b3aba7e534442e7e1e17895dfe778d022897"
          "7" },
        { { VMM_QEMU, 1, VCPU_V4, 0x1, &console_kernel },
          "6d287813eb5222d770f75005c664e34c204f385ce832cc2ce7d0d6f354454362f390ef83a92046c042e706363b4b08f"
          "a" },
        { { VMM_QEMU, 1, VCPU_V4, 0x21, NULL },
          "e1e1ca029dd7973ab9513295be68198472dcd4fc834bd9af9b63f6e8a1674dbf281a9278a4a2ebe0eed9f22adbcd0e2"
          "b" },
        { { VMM_QEMU, 1, VCPU_V4, 0x1, NULL },
          "19358ba9a7615534a9a1e2f0dfc29384dcd4dcb7062ff9c6013b26869a5fc6ecabe033c48dd6f6db5d6d76e7c5df632"
          "d" },
        { { VMM_QEMU, 4, VCPU_V4, 0x21, &empty_kernel },
          "4953b1fb416fa874980e8442b3706d345926d5f38879134e00813c5d7abcbe78eafe7b422907be0b4698e2414a63194"
          "2" },
        { { VMM_QEMU, 4, VCPU_V4, 0x1, &empty_kernel },
          "5061fffb019493a903613d56d54b94912a1a2f9e4502385f5c194616753720a92441310ba6c4933de877c36e23046ad"
          "5" },
    };
    struct ovmf_sev o;
    struct err err = { 0 };
    (void)state;
    assert_int_equal(ovmf_sev_parse(sample_bytes(&firmware), &o, &err), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t digest[SNP_DIGEST];
        assert_int_equal(hex_decode_fixed(bytes_str(PUBLISHED_FIRMWARE), digest, sizeof(digest), &err), 0);
        assert_int_equal(snp_launch_rest(&o, &rows[i].launch, digest, &err), 0);
        is_hex(digest, rows[i].want);
    }
}

/* From the first page on; computed by virtee/sev-snp-measure 0.0.13 and by tests/interop/launch_digest.py. */
static void measures_a_firmware(void **state)
{
    const struct {
        struct snp_launch launch;
        const char *want;
    } rows[] = {
        { { VMM_QEMU, 1, 0x00A00F11, 1, NULL },
          "047a8f84a261fed3cd164f36536fa5a5e2c0c9012e608409c3b8032d14a31af26bbd7e733b14474d45127830b637e94"
          "c" },
        { { VMM_QEMU, 4, 0x00A00F11, 1, &console_kernel },
          "c6a9593e4ddc3faee02c94776ec7c566a1f98f13591f7ca18a1e1f576ca8c1fa6b02ebc859fea8fe552bc8d2fbde49f"
          "7" },
        { { VMM_EC2, 1, 0, 1, NULL },
          "a121fd6bb300be3ef6b88245d00d3498f618a373fb98967f2556e4bf0fd5048f1c9e3ccf4d7c5be66341a41b8512b18"
          "4" },
        { { VMM_EC2, 4, 0, 1, NULL },
          "5bc0e4f3c89cfb90c23cf0253dcbb7421f25ddc00fd0facbeed27804bb50c7656c2a13e603d389194ff78ebef9f7661"
          "a" },
        { { VMM_GCE, 1, 0, 1, NULL },
          "1dde7ca1b964748bab049968df953cd2aa47b83ed2ff3435dcab02a1ecf545948e089c34fd7e3e6f122e338e541d178"
          "1" },
        { { VMM_GCE, 4, 0, 1, NULL },
          "4a261a3fb47a494f9872170e1a3e15b1b78adbf19d693296b12bde74f03e2cb7733cfc358a7a59eeae8faec4b4cac8e"
          "5" },
    };
    struct ovmf_sev o;
    struct err err = { 0 };
    (void)state;
    assert_int_equal(ovmf_sev_parse(sample_bytes(&firmware), &o, &err), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t digest[SNP_DIGEST];
        assert_int_equal(snp_launch_digest(&o, &rows[i].launch, digest, &err), 0);
        is_hex(digest, rows[i].want);
    }
}

static void knows_processors(void **state)
{
    static const struct {
        const char *type;
        uint32_t signature;
    } rows[] = {
        { "EPYC", 0x00800F12 },       { "EPYC-v4", 0x00800F12 },    { "EPYC-IBPB", 0x00800F12 },
        { "EPYC-Rome", 0x00830F10 },  { "EPYC-Milan", 0x00A00F11 }, { "EPYC-Milan-v2", 0x00A00F11 },
        { "EPYC-Genoa", 0x00A10F10 }, { "EPYC-Turin", 0x00B00F00 }, { "0x00A00f11", 0x00A00F11 },
    };
    static const char *const unknown[] = {
        "",     "EPYC-",          "EPYC-v0",      "EPYC-v5", "EPYC-v11",
        "epyc", "EPYC-Milan-v3",  "EPYC-Genoa-v", "0x",      "0x123456789",
        "0x1g", "EPYC-Turin-v1x", "EPYC-Milano",  "host",    "EPYC-IBPB-v1"
    };
    uint32_t got;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(vmsa_cpu_signature(rows[i].type, &got));
        assert_int_equal(got, rows[i].signature);
    }
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_false(vmsa_cpu_signature(unknown[i], &got));
}

static void refuses(const struct ovmf_sev *o, struct snp_launch l)
{
    uint8_t digest[SNP_DIGEST];
    struct err err = { 0 };
    assert_int_equal(snp_launch_digest(o, &l, digest, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
}

static void refuses_what_no_host_would_start(void **state)
{
    const struct snp_launch good = { VMM_QEMU, 2, VCPU_V4, 1, &empty_kernel };
    struct ovmf_sev o, changed;
    struct snp_launch l;
    struct err err = { 0 };
    uint8_t digest[SNP_DIGEST];
    (void)state;
    assert_int_equal(ovmf_sev_parse(sample_bytes(&firmware), &o, &err), 0);
    assert_int_equal(snp_launch_digest(&o, &good, digest, &err), 0);
    refuses(&o, (l = good, l.vcpus = 0, l));
    refuses(&o, (l = good, l.vcpus = SNP_VCPUS_MAX + 1, l));
    refuses(&o, (l = good, l.vmm = VMM_EC2, l));
    refuses(&o, (l = good, l.vmm = VMM_GCE, l));
    refuses((changed = o, changed.reset_eip = 0, &changed), good);
    refuses((changed = o, changed.section[5].type = SEV_SECTION_MEMORY, &changed), good);
    refuses((changed = o, changed.hashes_gpa = 0, &changed), good);
    refuses((changed = o, changed.hashes_gpa = 0x811000, &changed), good);
    refuses((changed = o, changed.hashes_gpa = 0x810F60, &changed), good);
    refuses((changed = o, changed.hashes_size = 175, &changed), good);
}

/* ---- Hostile files ---- */

static void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* One number of the SEV metadata changed: from its start, in bytes. */
static enum err_kind with_number(size_t at, uint32_t value)
{
    AUTO(free_u8) uint8_t *copy = heap_copy(firmware.p, firmware.n);
    struct ovmf_sev o;
    struct err err = { 0 };
    put32(copy + firmware.n - SEV_AT + at, value);
    return ovmf_sev_parse(bytes_of(copy, firmware.n), &o, &err) < 0 ? err.kind : ERR_NONE;
}

static void refuses_damaged_metadata(void **state)
{
    (void)state;
    assert_int_equal(with_number(0, 0x56455342), ERR_INPUT);               /* signature */
    assert_int_equal(with_number(4, 99), ERR_INPUT);                       /* size */
    assert_int_equal(with_number(8, 2), ERR_UNAVAILABLE);                  /* version */
    assert_int_equal(with_number(12, 8), ERR_INPUT);                       /* number of sections */
    assert_int_equal(with_number(12, 0xFFFFFFFF), ERR_INPUT);              /* whose size is no number */
    assert_int_equal(with_number(16 + 8, 9), ERR_UNAVAILABLE);             /* kind */
    assert_int_equal(with_number(16 + 4, 0), ERR_INPUT);                   /* no bytes */
    assert_int_equal(with_number(16 + 4, 0x9001), ERR_INPUT);              /* no whole pages */
    assert_int_equal(with_number(16, 0x800001), ERR_INPUT);                /* not at a page */
    assert_int_equal(with_number(16 + 4, 0xB000), ERR_INPUT);              /* overlaps the next */
    assert_int_equal(with_number(16, 0xFFFF8000), ERR_INPUT);              /* in the firmware */
    assert_int_equal(with_number(16 + 6 * 12 + 4, 0x80000000), ERR_INPUT); /* too much to measure */
    assert_int_equal(with_number(16 + 2 * 12 + 4, 0x2000), ERR_INPUT);     /* two pages of secrets */
}

static uint8_t *with_digests(struct bytes file, uint8_t out[2 * 48], bool *snp, bool *tdx)
{
    struct ovmf_sev o;
    struct tdvf t;
    struct err err = { 0 };
    const struct snp_launch l = { VMM_QEMU, 2, VCPU_V4, 1, NULL };
    memset(out, 0, 2 * 48);
    *snp = ovmf_sev_parse(file, &o, &err) == 0 && snp_launch_digest(&o, &l, out, &err) == 0;
    *tdx = tdvf_parse(file, &t, &err) == 0;
    if (*tdx)
        assert_int_equal(tdvf_mrtd(&t, out + 48, &err), 0);
    return out;
}

/* Each bit of both tables: the file is refused, or its digests are others. MRTD covers the second page only.
 */
static void no_bit_of_the_tables_is_free(void **state)
{
    AUTO(free_u8) uint8_t *copy = heap_copy(firmware.p, firmware.n);
    uint8_t good[96], got[96];
    bool snp, tdx;
    (void)state;
    with_digests(sample_bytes(&firmware), good, &snp, &tdx);
    assert_true(snp && tdx);
    for (size_t i = firmware.n - TABLES_AT; i < firmware.n; i += i < firmware.n - 256 ? 3 : 1)
        for (unsigned bit = 0; bit < 8; bit++) {
            copy[i] ^= (uint8_t)(1u << bit);
            with_digests(bytes_of(copy, firmware.n), got, &snp, &tdx);
            assert_true(!snp || memcmp(got, good, 48) != 0);
            assert_true(!tdx || memcmp(got + 48, good + 48, 48) != 0);
            copy[i] ^= (uint8_t)(1u << bit);
        }
}

/* Cut at either end: nothing beyond is read, and nothing is found where the end is missing. */
static void every_cut(void **state)
{
    uint8_t digests[96];
    bool snp, tdx;
    (void)state;
    for (size_t n = 0; n < firmware.n; n += n < firmware.n - 3000 ? 64 : 1) {
        AUTO(free_u8) uint8_t *head = heap_copy(firmware.p, n);
        AUTO(free_u8) uint8_t *tail = heap_copy(firmware.p + firmware.n - n, n);
        with_digests(bytes_of(head, n), digests, &snp, &tdx);
        assert_false(snp || tdx);
        with_digests(bytes_of(tail, n), digests, &snp, &tdx);
        assert_true(!snp || n % SEV_PAGE == 0);
        assert_false(tdx); /* its sections are the whole file */
    }
}

/* ---- TDX ---- */

static void measures_a_tdx_firmware(void **state)
{
    struct tdvf t;
    uint8_t mrtd[48];
    struct err err = { 0 };
    (void)state;
    assert_int_equal(tdvf_parse(sample_bytes(&firmware), &t, &err), 0);
    assert_int_equal(t.n, 5);
    assert_true(t.section[0].measured && !t.section[1].measured);
    assert_int_equal(tdvf_mrtd(&t, mrtd, &err), 0);
    is_hex(
        mrtd,
        "3ea3b29b7c78edd0e88b69e72d4ee7f3a610db9b109b37de78aefeb2b40752d121b42eead674ff3bb733e1350ffcd6e2");
}

static enum err_kind with_tdx_number(size_t at, uint32_t value)
{
    AUTO(free_u8) uint8_t *copy = heap_copy(firmware.p, firmware.n);
    struct tdvf t;
    struct err err = { 0 };
    put32(copy + firmware.n - TABLES_AT + at, value);
    return tdvf_parse(bytes_of(copy, firmware.n), &t, &err) < 0 ? err.kind : ERR_NONE;
}

static void refuses_damaged_tdx_metadata(void **state)
{
    (void)state;
    assert_int_equal(with_tdx_number(0, 0), ERR_INPUT);                  /* signature */
    assert_int_equal(with_tdx_number(8, 2), ERR_UNAVAILABLE);            /* version */
    assert_int_equal(with_tdx_number(12, 0), ERR_INPUT);                 /* no sections */
    assert_int_equal(with_tdx_number(12, 0x08000005), ERR_INPUT);        /* whose size fits 32 bits again */
    assert_int_equal(with_tdx_number(16, 0x1001), ERR_INPUT);            /* beyond the file */
    assert_int_equal(with_tdx_number(16 + 4, 0x800), ERR_INPUT);         /* less data than memory */
    assert_int_equal(with_tdx_number(16 + 8, 0xFFFFE000), ERR_INPUT);    /* overlaps */
    assert_int_equal(with_tdx_number(16 + 12, 1), ERR_INPUT);            /* above 4 GiB */
    assert_int_equal(with_tdx_number(16 + 24, 4), ERR_UNAVAILABLE);      /* kind */
    assert_int_equal(with_tdx_number(16 + 28, 2), ERR_UNAVAILABLE);      /* attribute */
    assert_int_equal(with_tdx_number(16 + 64 + 28, 1), ERR_UNAVAILABLE); /* memory that the host fills */
    assert_int_equal(with_tdx_number(16 + 64 + 16, 0x10000001), ERR_INPUT);
    assert_int_equal(with_tdx_number(16 + 64 + 4, 1), ERR_INPUT);
}

/* Firmware without these tables: said so, not taken for damage. */
static void tells_absence_from_damage(void **state)
{
    AUTO(free_u8) uint8_t *blank = calloc(2, SEV_PAGE);
    struct ovmf_sev o;
    struct tdvf t;
    struct err err = { 0 };
    (void)state;
    assert_non_null(blank);
    assert_int_equal(ovmf_sev_parse(bytes_of(blank, 2 * SEV_PAGE), &o, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_int_equal(tdvf_parse(bytes_of(blank, 2 * SEV_PAGE), &t, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_the_host_is_told),
        cmocka_unit_test(agrees_with_published_figures),
        cmocka_unit_test(measures_a_firmware),
        cmocka_unit_test(knows_processors),
        cmocka_unit_test(refuses_what_no_host_would_start),
        cmocka_unit_test(refuses_damaged_metadata),
        cmocka_unit_test(no_bit_of_the_tables_is_free),
        cmocka_unit_test(every_cut),
        cmocka_unit_test(measures_a_tdx_firmware),
        cmocka_unit_test(refuses_damaged_tdx_metadata),
        cmocka_unit_test(tells_absence_from_damage),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
