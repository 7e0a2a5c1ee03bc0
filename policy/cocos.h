/** policy/cocos.h: attestation policies of Cocos and Cube: the JSON form of check.Config as go-sev-guest
 * (SEV-SNP) and go-tdx-guest (TDX) have it, SNP's with pcr_values beside it. A policy is read strictly,
 * before any evidence is looked at, and applied to claims: nothing here sees evidence. Sources:
 * google/go-sev-guest proto/check.proto, validate/validate.go; google/go-tdx-guest proto/checkconfig.proto,
 * validate/validate.go; ultravioletrs/cocos pkg/attestation; docs/policies.md. */
#ifndef CVM_POLICY_COCOS_H
#define CVM_POLICY_COCOS_H

#include "base/buf.h"

#include <jansson.h>

#define COCOS_SIZE_MAX (1u << 20)

enum cocos_kind { COCOS_SNP, COCOS_TDX };

/** Never written after it is made: threads may share it. */
struct cocos_policy;

/** How the files that cabundle_paths names are read. */
struct cocos_files {
    /** Appends a file's bytes. @return 0, or -1 with the error */
    int (*read)(void *ctx, const char *path, struct buf *out, struct err *err);
    void *ctx;
};

/** True if text looks like a JSON policy: its first character is an opening brace. */
bool cocos_looks(struct bytes text);

/** Reads a policy: keys in snake_case or camelCase (not both), numbers bare or as decimal text, enumerations
 * by number or name, bytes in base64 of either alphabet, null as absent. Keys that are not known are passed
 * over in an SNP policy (not within pcr_values) and refused in a TDX policy.
 *  @param text   untrusted, any length
 *  @param files  NULL: a policy that names files is refused
 *  @return 0, or -1: ERR_INPUT (line and column, or the member's path and what is wrong), ERR_TOO_LARGE, or
 * what files->read says */
MUST_USE int cocos_parse(struct bytes text, const struct cocos_files *files, struct cocos_policy **out,
                         struct err *err);
void cocos_free(struct cocos_policy *p);

/** For AUTO(cocos_drop). */
static inline void cocos_drop(struct cocos_policy **p)
{
    cocos_free(*p);
}

enum cocos_kind cocos_kind_of(const struct cocos_policy *p);

/** True if it holds PCR values. */
bool cocos_uses_pcrs(const struct cocos_policy *p);

/** True if it is an SNP policy that wants AMD's revocation list checked. */
bool cocos_checks_crl(const struct cocos_policy *p);

/** The 48 bytes that a TDX policy wants in an RTMR; no bytes: not pinned. */
struct bytes cocos_rtmr(const struct cocos_policy *p, unsigned i);

/** Applies it. Every value that does not hold is appended to failures as
 * {"field":"policy.measurement","expected":text,"found":text}; a claim that is not there does not hold.
 *  @param claims    in the names of evidence/claims.h: {"sevsnp":{...},"tdx":{...},"tpm":{...}}
 *  @param failures  an array
 *  @return how many values were compared (0 for evidence of another TEE, which is a failure), or -1 with
 * ERR_IO: memory is short */
MUST_USE int cocos_apply(const struct cocos_policy *p, const json_t *claims, json_t *failures,
                         struct err *err);

#endif
