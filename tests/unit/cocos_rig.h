/** cocos_rig.h: the claims of two machines, and policies that they satisfy. */
#ifndef CVM_TEST_COCOS_RIG_H
#define CVM_TEST_COCOS_RIG_H

#include "evidence.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json_wide.h"
#include "base/x509.h"
#include "policy/cocos.h"

/* What the verifier says of two machines; each field has bytes of its own. */
extern char *snp_claims, *tdx_claims;
int load_claims(void **state);
int drop_claims(void **state);

/* The same byte n times, as hex. */
#define PCR_0B  "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
#define PCR_0C  "0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C"
#define PCR_384 PCR_0B "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
#define KEY_99                                                                                               \
    "999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999"

/* A policy that wants everything. */
json_t *snp_policy(void);
json_t *tdx_policy(void);
void set(json_t *root, const char *path, const char *text);
int parse(json_t *v, struct cocos_policy **out, struct err *err);

/* How many values fail; field: of the first. */
size_t failures_of(json_t *policy, const char *claims_text, char field[static 64]);

#define B64_48_00 "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\""
#define B64_32_00 "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""
#define B64_16_00 "\"AAAAAAAAAAAAAAAAAAAAAA==\""
#define B64_64_00                                                                                            \
    "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\""
#define B64_8_00 "\"AAAAAAAAAAA=\""

#endif
