/** policy/cocos_snp_bits.h: the bits of an SNP guest policy and of PLATFORM_INFO, as policies compare them.
 *  Source: AMD 56860, guest policy and PLATFORM_INFO; go-sev-guest abi/abi.go for which way each is compared.
 */
#ifndef CVM_POLICY_COCOS_SNP_BITS_H
#define CVM_POLICY_COCOS_SNP_BITS_H

#include <stddef.h>
#include <stdint.h>

#define SNP_BIT(n) (UINT64_C(1) << (n))

struct snp_bit {
    unsigned bit;
    const char *name;
};

/** The guest, or the platform, may have these only where the policy has them: the most that is permitted. */
#define SNP_PERMITTED                                                                                        \
    {                                                                                                        \
        { 16, "SMT" }, { 18, "MIGRATE_MA" }, { 19, "DEBUG" }, { 21, "CXL_ALLOW" },                           \
    }
/** It must have these where the policy has them: the least that is demanded. */
#define SNP_DEMANDED                                                                                         \
    {                                                                                                        \
        { 20, "SINGLE_SOCKET" }, { 22, "MEM_AES_256_XTS" }, { 23, "RAPL_DIS" },                              \
            { 24, "CIPHERTEXT_HIDING_DRAM" }, { 25, "PAGE_SWAP_DISABLE" },                                   \
    }
#define SNP_PLATFORM_PERMITTED                                                                               \
    {                                                                                                        \
        { 0, "SMT_EN" }, { 1, "TSME_EN" }, { 7, "TIO_EN" },                                                  \
    }
#define SNP_PLATFORM_DEMANDED                                                                                \
    {                                                                                                        \
        { 2, "ECC_EN" }, { 3, "RAPL_DIS" }, { 4, "CIPHERTEXT_HIDING_DRAM" }, { 5, "ALIAS_CHECK_COMPLETE" },  \
    }

/** Why a value is no guest policy, or NULL: bit 17 is always one, 26 to 63 always zero. */
static inline const char *snp_policy_malformed(uint64_t v)
{
    return !(v & SNP_BIT(17)) ? "bit 17 must be 1" : v >> 26 ? "bits 26 to 63 must be 0" : NULL;
}

/** Likewise for PLATFORM_INFO: bit 6 and those above 7 are zero. */
static inline const char *snp_platform_malformed(uint64_t v)
{
    return v & SNP_BIT(6) ? "bit 6 must be 0" : v >> 8 ? "bits 8 to 63 must be 0" : NULL;
}

#endif
