/** evidence/verify.h: a collaterals document, judged (contract, sections 3 and 5). Pure: bytes, roots,
 * material and a clock in; checks, claims and coverage out. Signatures come first: what is not signed steers
 * nothing, and claims hold only what the evidence proves. */
#ifndef CVM_EVIDENCE_VERIFY_H
#define CVM_EVIDENCE_VERIFY_H

#include "base/checks.h"
#include "evidence/verify_cache.h"
#include "evidence/verify_document.h"
#include "evidence/verify_trust.h"
#include "tee/snp_verify.h"
#include "tee/tdx_verify.h"
#include "tpm/eventlog.h"

/** verify_absent.what of a certificate that a check needs the reason of. */
#define VERIFY_ABSENT_VEK "the VEK certificate"

/** Material that was due and could not be had. */
struct verify_absent {
    const char *what; /* for people: "the VEK certificate" */
    const char *why;
};

/** What may be at hand besides the document. Everything is borrowed. */
struct verify_material {
    X509 *const *certs; /* untrusted: VEKs, and certificates for building chains */
    size_t certs_n;
    X509_CRL *snp_crl;                         /* of the ARK; NULL: not asked for */
    const struct tdx_prepared_collateral *tdx; /* where the document has none; NULL: none */
    const uint8_t *id; /* 32 bytes that name certs and snp_crl: what they judge is cached; NULL: it is not */
    const struct verify_absent *absent; /* becomes warnings */
    size_t absent_n;
};

/** True if the certificates have the VEK that a report names: its TCB, its chip. */
bool verify_material_has_vek(const struct verify_material *m, struct bytes report);

struct verify_options {
    const struct verify_trust *trust;
    const struct verify_material *material; /* NULL: none */
    struct verify_cache *cache;             /* judged chains and collateral; NULL: none */
    time_t at;
    struct bytes nonce; /* that the caller asked with; no bytes: freshness is "unchecked" */
    bool accept_self_asserted_ak;
    bool accept_expired;                     /* collateral whose nextUpdate is over */
    const char *accept_binding;              /* names of older rules, separated by commas; NULL: none */
    uint32_t accept_tcb;                     /* TDX_ACCEPT_DEFAULT, or from tdx_accept_parse() */
    struct bytes pinned_rtmr1, pinned_rtmr2; /* by golden or a policy; no bytes: not pinned */
    const uint8_t *peer_spki_sha256, *peer_spki_sha384; /* of the connection's TLS key; NULL: none */
};

/** What a verification found. Views and pointers are valid as long as it. */
struct verify_result {
    struct document document;
    struct checks checks;
    json_t *claims;   /* in the names of Intel Trust Authority tokens, and "workload" */
    json_t *coverage; /* register: what it vouches for, and who could have forged it */
    json_t *not_checked;
    const char *freshness; /* "fresh", "unchecked", "stale" */
    const char *binding;   /* name of the rule that the evidence follows, or NULL */

    enum cloud_type cloud; /* as proven, else as the document says */
    bool cloud_proven;
    bool tee_authentic; /* the hardware evidence is signed, by whichever root was reached */
    bool emulated;      /* that root is a given one */
    struct snp_verdict snp;
    struct tdx_verdict tdx;
    bool pcrs_proven;             /* document.pcrs are what the quote signs */
    struct tpm_eventlog boot_log; /* if boot_explained is not zero */
    uint32_t boot_explained;      /* PCRs whose value that log's replay gives */
    bool workload_holds;          /* the workload log replays to signed registers; rooted: to a register */
    bool workload_rooted;
};

/** Judges a parsed document. Takes it over: *document is empty afterwards.
 *  @return 0 with a new result, whatever it says; or -1 with ERR_IO: memory is short, libcrypto refused */
MUST_USE int verify_document(struct document *document, const struct verify_options *options,
                             struct verify_result **out, struct err *err);

void verify_result_free(struct verify_result *r);

static inline void verify_result_drop(struct verify_result **r)
{
    verify_result_free(*r);
}

/** True if no check failed, the hardware evidence reaches a root, and AK and nonce are bound (or what is not
 * was accepted by name). Checks that were added to the result since count too. */
bool verify_success(const struct verify_result *r);

/** Names of the older binding rules that options.accept_binding may list.
 *  @return 0, or -1 with ERR_INPUT naming the word that is none */
MUST_USE int verify_binding_names_check(const char *list, struct err *err);

#endif
