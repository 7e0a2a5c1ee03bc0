/** appraisal/policies.h: the attestation policies that a relying party brings, read before any evidence is
 * looked at and applied to its claims. Their language is recognised by content. */
#ifndef CVM_APPRAISAL_POLICIES_H
#define CVM_APPRAISAL_POLICIES_H

#include "base/checks.h"
#include "policy/cocos.h"
#include "policy/rego/policy.h"

#include <time.h>

#define POLICIES_MAX    16
#define POLICY_NAME_MAX 40

/** Begin with { 0 }; end with policies_done(). */
struct policies {
    size_t n;
    struct policy_entry {
        char name[POLICY_NAME_MAX + 1]; /* unique in the set */
        struct cocos_policy *cocos;     /* owned; or */
        struct rego *rego;              /* owned */
    } item[POLICIES_MAX];
};

/** Reads one more policy: JSON if its first character is an opening brace, else Rego.
 *  @param name   letters, digits, '.', '_' and '-' of it become its name; made unique by a number
 *  @param text   untrusted, any length
 *  @param files  for policies that name files; NULL: none are read
 *  @return 0, or -1: ERR_INPUT or ERR_TOO_LARGE with the place in the policy */
MUST_USE int policies_add(struct policies *p, const char *name, struct bytes text,
                          const struct cocos_files *files, struct err *err);

/** What they pin of a TDX machine's RTMR (contract, section 3, "Anchor"); no bytes: nothing. */
struct bytes policies_rtmr(const struct policies *p, unsigned i);

/** True if one of them wants AMD's revocation list. */
bool policies_check_crl(const struct policies *p);

/** Applies all: one check "policy.NAME" each.
 *  @param at     the clock that Rego sees
 *  @param facts  receives each {"name","kind","ok"} and, of JSON policies, "compared" and
 * "failures":[{"field","expected","found"}...], of Rego "policy_defined_claims" and, unless it matched,
 * "explain": [text...], or "error": it could not be evaluated, which is not a match
 *  @return 0, or -1 with ERR_IO */
MUST_USE int policies_apply(const struct policies *p, const json_t *claims, time_t at, struct checks *checks,
                            json_t *facts, struct err *err);

/** For AUTO(policies_done). */
void policies_done(struct policies *p);

#endif
