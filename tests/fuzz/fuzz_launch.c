#include "fuzz.h"

#include "image/snp_launch.h"
#include "image/tdvf.h"

/* What was taken keeps to the file, and is measured the same way twice. */
static void measured(const struct ovmf_sev *o)
{
    const struct kernel_hashes kernel = { { 1 }, { 2 }, { 3 } };
    uint8_t digest[2][SNP_DIGEST];
    for (unsigned vmm = VMM_QEMU; vmm <= VMM_GCE; vmm++)
        for (unsigned with = 0; with < 2; with++) {
            const struct snp_launch l = { (enum vmm)vmm, 2, 0x00A00F11, 1, with ? &kernel : NULL };
            struct err err = { 0 };
            int rc = snp_launch_digest(o, &l, digest[0], &err);
            CHECK(rc == 0 || err.kind == ERR_INPUT);
            CHECK(snp_launch_digest(o, &l, digest[1], &err) == rc);
            CHECK(rc < 0 || memcmp(digest[0], digest[1], SNP_DIGEST) == 0);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ovmf_sev o;
    static struct tdvf t;
    struct err err = { 0 };
    uint64_t total = 0;
    uint8_t mrtd[48];
    if (ovmf_sev_parse(bytes_of(data, size), &o, &err) < 0) {
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_NOT_FOUND || err.kind == ERR_UNAVAILABLE);
    } else {
        for (size_t i = 0; i < o.n; i++)
            total += o.section[i].size;
        CHECK(o.n <= SEV_SECTIONS_MAX && total <= SEV_MEMORY_MAX && size % SEV_PAGE == 0);
        if (total < 1u << 20)
            measured(&o);
    }
    if (tdvf_parse(bytes_of(data, size), &t, &err) < 0) {
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_NOT_FOUND || err.kind == ERR_UNAVAILABLE);
        return 0;
    }
    total = 0;
    for (size_t i = 0; i < t.n; i++) {
        CHECK(t.section[i].data.n == 0 || t.section[i].data.n == t.section[i].size);
        CHECK(!t.section[i].measured || t.section[i].data.n);
        total += t.section[i].size;
    }
    CHECK(total <= TDVF_MEMORY_MAX);
    if (total < 1u << 20)
        CHECK(tdvf_mrtd(&t, mrtd, &err) == 0);
    return 0;
}
