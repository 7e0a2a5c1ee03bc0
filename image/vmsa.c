#include "image/vmsa.h"

#include <ctype.h>
#include <stdlib.h>

/* What differs between hosts; the rest is the processor's state at reset and KVM's. */
struct host {
    uint8_t cs_first, cs, ss, tr; /* attributes of segments */
    uint16_t x87_fcw;
    uint32_t mxcsr;
    uint32_t rdx; /* 0: the processor's signature */
    uint64_t g_pat;
};

static const struct host hosts[] = {
    [VMM_QEMU] = { 0x9B, 0x9B, 0x93, 0x8B, 0x037F, 0x1F80, 0, UINT64_C(0x0007040600070406) },
    [VMM_EC2] = { 0x9A, 0x9B, 0x92, 0x83, 0, 0, 0x600, UINT64_C(0x0007040600070406) },
    [VMM_GCE] = { 0x9B, 0x9B, 0x93, 0x8B, 0, 0, 0x600, UINT64_C(0x00070106) },
};

static void put(uint8_t *page, size_t at, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        page[at + i] = (uint8_t)(value >> 8 * i);
}

/* Segments are 16 bytes each: selector, attributes, limit, base. */
static void segment(uint8_t *page, size_t at, uint16_t selector, uint16_t attributes, uint64_t base)
{
    put(page, at, selector, 2);
    put(page, at + 2, attributes, 2);
    put(page, at + 4, 0xFFFF, 4);
    put(page, at + 8, base, 8);
}

void vmsa_page(enum vmm vmm, uint32_t eip, uint32_t signature, uint64_t features,
               uint8_t out[static VMSA_SIZE])
{
    const struct host *h = &hosts[vmm];
    memset(out, 0, VMSA_SIZE);
    segment(out, 0x00, 0, 0x93, 0); /* ES */
    segment(out, 0x10, 0xF000, eip == VMSA_RESET_EIP ? h->cs_first : h->cs, eip & 0xFFFF0000u);
    segment(out, 0x20, 0, h->ss, 0);
    segment(out, 0x30, 0, 0x93, 0); /* DS */
    segment(out, 0x40, 0, 0x93, 0); /* FS */
    segment(out, 0x50, 0, 0x93, 0); /* GS */
    segment(out, 0x60, 0, 0, 0);    /* GDTR */
    segment(out, 0x70, 0, 0x82, 0); /* LDTR */
    segment(out, 0x80, 0, 0, 0);    /* IDTR */
    segment(out, 0x90, 0, h->tr, 0);
    put(out, 0x0D0, 0x1000, 8);     /* EFER: KVM sets SVME */
    put(out, 0x148, 0x40, 8);       /* CR4: KVM sets MCE */
    put(out, 0x158, 0x10, 8);       /* CR0 */
    put(out, 0x160, 0x400, 8);      /* DR7 */
    put(out, 0x168, 0xFFFF0FF0, 8); /* DR6 */
    put(out, 0x170, 0x2, 8);        /* RFLAGS */
    put(out, 0x178, eip & 0xFFFF, 8);
    put(out, 0x268, h->g_pat, 8);
    put(out, 0x310, h->rdx ? h->rdx : signature, 8);
    put(out, 0x3B0, features, 8);
    put(out, 0x3E8, 0x1, 8); /* XCR0 */
    put(out, 0x408, h->mxcsr, 4);
    put(out, 0x410, h->x87_fcw, 2);
}

/* Family, model, stepping as CPUID packs them: AMD 25481, Fn0000_0001 EAX. */
static uint32_t pack(unsigned family, unsigned model, unsigned stepping)
{
    unsigned high = family > 15 ? family - 15 : 0;
    return high << 20 | (model >> 4) << 16 | (family - high) << 8 | (model & 15) << 4 | stepping;
}

bool vmsa_cpu_signature(const char *type, uint32_t *out)
{
    /* QEMU's versions of a type differ in features, not in the signature. */
    static const struct {
        const char *name;
        uint8_t versions, family, model, stepping;
    } types[] = {
        { "EPYC", 4, 23, 1, 2 },       { "EPYC-IBPB", 0, 23, 1, 2 },   { "EPYC-Rome", 3, 23, 49, 0 },
        { "EPYC-Milan", 2, 25, 1, 1 }, { "EPYC-Genoa", 1, 25, 17, 0 }, { "EPYC-Turin", 0, 26, 0, 0 },
    };
    if (type[0] == '0' && type[1] == 'x') {
        size_t digits = strspn(type + 2, "0123456789abcdefABCDEF");
        if (digits == 0 || digits > 8 || type[2 + digits])
            return false;
        *out = (uint32_t)strtoul(type + 2, NULL, 16);
        return true;
    }
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        size_t n = strlen(types[i].name);
        const char *rest = type + n;
        if (strncmp(type, types[i].name, n) != 0)
            continue;
        bool version = rest[0] == '-' && rest[1] == 'v' && isdigit((unsigned char)rest[2]) && !rest[3];
        if (rest[0] && !(version && rest[2] >= '1' && rest[2] - '0' <= types[i].versions))
            continue;
        *out = pack(types[i].family, types[i].model, types[i].stepping);
        return true;
    }
    return false;
}
