#include "image/snp_launch.h"

#include "base/auto.h"
#include "base/buf.h"
#include "base/digest.h"

#define PAGE_INFO  0x70u
#define TABLE_SIZE 168u /* header and three entries */
#define TABLE_ROOM 176u /* rounded up to 16 */

enum page_type { PAGE_NORMAL = 1, PAGE_VMSA, PAGE_ZERO, PAGE_UNMEASURED, PAGE_SECRETS, PAGE_CPUID };

/* KVM gives the processors' pages no address, -1; the security processor sees its low 48 bits, page-aligned.
 */
#define VMSA_GPA UINT64_C(0xFFFFFFFFF000)

struct job {
    struct hasher *hasher;
    uint8_t *digest;
    struct err *err;
};

static int hash(struct job *j, struct bytes data, uint8_t out[static SNP_DIGEST])
{
    struct digest d;
    if (hasher_parts(j->hasher, &data, 1, &d, j->err) < 0)
        return -1;
    memcpy(out, d.b, SNP_DIGEST);
    return 0;
}

/* One page: contents is the hash of its bytes, or zero for those whose bytes do not count. The permissions of
 * the lower privilege levels, and the bit for migration images, are zero with all hosts. */
static int add(struct job *j, enum page_type type, uint64_t gpa, const uint8_t contents[static SNP_DIGEST])
{
    uint8_t info[PAGE_INFO] = { 0 };
    memcpy(info, j->digest, SNP_DIGEST);
    memcpy(info + 48, contents, SNP_DIGEST);
    info[96] = PAGE_INFO;
    info[98] = (uint8_t)type;
    for (size_t i = 0; i < 8; i++)
        info[104 + i] = (uint8_t)(gpa >> 8 * i);
    return hash(j, bytes_of(info, sizeof(info)), j->digest);
}

static int add_bytes(struct job *j, enum page_type type, uint64_t gpa, struct bytes data)
{
    uint8_t contents[SNP_DIGEST];
    for (size_t at = 0; at < data.n; at += SEV_PAGE)
        if (hash(j, bytes_of(data.p + at, SEV_PAGE), contents) < 0 || add(j, type, gpa + at, contents) < 0)
            return -1;
    return 0;
}

static int add_blank(struct job *j, enum page_type type, const struct sev_section *s)
{
    static const uint8_t none[SNP_DIGEST];
    for (uint32_t at = 0; at < s->size; at += SEV_PAGE)
        if (add(j, type, (uint64_t)s->gpa + at, none) < 0)
            return -1;
    return 0;
}

/* The table as QEMU lays it out: names and SHA-256 values, the command line first. */
static void put_table(struct buf *out, const struct kernel_hashes *k)
{
    static const uint8_t guid_table[16] = { 0x06, 0xD6, 0x38, 0x94, 0x22, 0x4F, 0xC9, 0x4C,
                                            0xB4, 0x79, 0xA7, 0x93, 0xD4, 0x11, 0xFD, 0x21 };
    static const uint8_t guid[3][16] = {
        { 0xD8, 0x2D, 0xD0, 0x97, 0x20, 0xBD, 0x94, 0x4C, 0xAA, 0x78, 0xE7, 0x71, 0x4D, 0x36, 0xAB, 0x2A },
        { 0x31, 0xF7, 0xBA, 0x44, 0x2F, 0x3A, 0xD7, 0x4B, 0x9A, 0xF1, 0x41, 0xE2, 0x91, 0x69, 0x78, 0x1D },
        { 0x37, 0x94, 0xE7, 0x4D, 0xD2, 0xAB, 0x7F, 0x42, 0xB8, 0x35, 0xD5, 0xB1, 0x72, 0xD2, 0x04, 0x5B },
    };
    const uint8_t *const value[3] = { k->cmdline, k->initrd, k->kernel };
    buf_put(out, bytes_of(guid_table, 16));
    buf_u16le(out, TABLE_SIZE);
    for (size_t i = 0; i < 3; i++) {
        buf_put(out, bytes_of(guid[i], 16));
        buf_u16le(out, 16 + 2 + 32);
        buf_put(out, bytes_of(value[i], 32));
    }
}

static int add_hashes(struct job *j, const struct ovmf_sev *o, const struct sev_section *s,
                      const struct kernel_hashes *kernel)
{
    AUTO(buf_done) struct buf page = buf_new(SEV_MEMORY_MAX);
    if (!kernel)
        return add_blank(j, PAGE_ZERO, s);
    uint32_t offset = o->hashes_gpa - s->gpa;
    if (o->hashes_gpa < s->gpa || offset >= SEV_PAGE || offset + TABLE_ROOM > s->size
        || o->hashes_size < TABLE_ROOM)
        return err_set(j->err, ERR_INPUT, 0,
                       "the firmware's room for the kernel's hashes lies outside its page");
    buf_fill(&page, 0, offset);
    put_table(&page, kernel);
    buf_fill(&page, 0, s->size - page.n);
    if (buf_check(&page, "the page of the kernel's hashes", j->err) < 0)
        return -1;
    return add_bytes(j, PAGE_NORMAL, s->gpa, buf_bytes(&page));
}

static int add_section(struct job *j, const struct ovmf_sev *o, const struct sev_section *s,
                       const struct snp_launch *l)
{
    switch (s->type) {
    case SEV_SECTION_SECRETS:
        return add_blank(j, PAGE_SECRETS, s);
    case SEV_SECTION_CPUID:
        return add_blank(j, PAGE_CPUID, s);
    case SEV_SECTION_KERNEL_HASHES:
        return add_hashes(j, o, s, l->kernel);
    case SEV_SECTION_MEMORY:
        return add_blank(j, l->vmm == VMM_GCE ? PAGE_UNMEASURED : PAGE_ZERO, s);
    case SEV_SECTION_SVSM_CAA:
        break;
    }
    return add_blank(j, PAGE_ZERO, s);
}

static int add_sections(struct job *j, const struct ovmf_sev *o, const struct snp_launch *l)
{
    bool room = false;
    /* EC2 adds the CPUID page last. */
    for (unsigned pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < o->n; i++) {
            bool late = l->vmm == VMM_EC2 && o->section[i].type == SEV_SECTION_CPUID;
            room = room || o->section[i].type == SEV_SECTION_KERNEL_HASHES;
            if (late == (pass == 1) && add_section(j, o, &o->section[i], l) < 0)
                return -1;
        }
    if (l->kernel && !room)
        return err_set(
            j->err, ERR_INPUT, 0,
            "the firmware has no place for a kernel's hashes: take one built for direct boot (AmdSev)");
    return 0;
}

static int add_processors(struct job *j, const struct ovmf_sev *o, const struct snp_launch *l)
{
    uint8_t page[VMSA_SIZE], contents[SNP_DIGEST];
    for (unsigned i = 0; i < l->vcpus; i++) {
        if (i < 2) { /* the others are as the second */
            vmsa_page(l->vmm, i ? o->reset_eip : VMSA_RESET_EIP, l->signature, l->features, page);
            if (hash(j, bytes_of(page, sizeof(page)), contents) < 0)
                return -1;
        }
        if (add(j, PAGE_VMSA, VMSA_GPA, contents) < 0)
            return -1;
    }
    return 0;
}

int snp_launch_firmware(const struct ovmf_sev *ovmf, uint8_t digest[static SNP_DIGEST], struct err *err)
{
    AUTO(hasher_drop) struct hasher *hasher = NULL;
    if (hasher_new(ALG_SHA384, &hasher, err) < 0)
        return -1;
    struct job j = { hasher, digest, err };
    return add_bytes(&j, PAGE_NORMAL, (UINT64_C(1) << 32) - ovmf->file.n, ovmf->file);
}

int snp_launch_rest(const struct ovmf_sev *ovmf, const struct snp_launch *l,
                    uint8_t digest[static SNP_DIGEST], struct err *err)
{
    AUTO(hasher_drop) struct hasher *hasher = NULL;
    if (l->vcpus < 1 || l->vcpus > SNP_VCPUS_MAX)
        return err_set(err, ERR_INPUT, 0, "%u processors: not 1 to %u", l->vcpus, SNP_VCPUS_MAX);
    if (l->vcpus > 1 && !ovmf->reset_eip)
        return err_set(err, ERR_INPUT, 0, "the firmware does not say where processors but the first start");
    if (l->kernel && l->vmm != VMM_QEMU)
        return err_set(err, ERR_INPUT, 0, "only QEMU boots a kernel directly");
    if (hasher_new(ALG_SHA384, &hasher, err) < 0)
        return -1;
    struct job j = { hasher, digest, err };
    return add_sections(&j, ovmf, l) < 0 ? -1 : add_processors(&j, ovmf, l);
}

int snp_launch_digest(const struct ovmf_sev *ovmf, const struct snp_launch *l,
                      uint8_t digest[static SNP_DIGEST], struct err *err)
{
    memset(digest, 0, SNP_DIGEST);
    if (snp_launch_firmware(ovmf, digest, err) < 0 || snp_launch_rest(ovmf, l, digest, err) < 0)
        return err_while(err, "compute the launch digest");
    return 0;
}
