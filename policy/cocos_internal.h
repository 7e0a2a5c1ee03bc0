/** policy/cocos_internal.h: what policy/cocos*.c share; not for users. */
#ifndef CVM_POLICY_COCOS_INTERNAL_H
#define CVM_POLICY_COCOS_INTERNAL_H

#include "base/json.h"
#include "policy/cocos.h"

#define COCOS_PCRS      24
#define COCOS_BANKS     3
#define COCOS_VALUE_MAX 64
#define COCOS_LIST_MAX  256 /* hashes, certificates, measurements of one list */
#define COCOS_HEX_MAX   (2 * COCOS_VALUE_MAX + 1)

/** A byte string as claims spell it: lower-case hex; empty: unchecked. */
struct cocos_hex {
    char text[COCOS_HEX_MAX];
};

struct cocos_hex_list {
    size_t n;
    struct cocos_hex *item; /* owned */
};

/** A byte field that is compared for equality. */
struct cocos_field {
    const char *name, *claim;
    size_t size;
};

/* ---- SNP ---- */

enum {
    SNP_FAMILY_ID,
    SNP_IMAGE_ID,
    SNP_REPORT_DATA,
    SNP_HOST_DATA,
    SNP_MEASUREMENT,
    SNP_REPORT_ID,
    SNP_REPORT_ID_MA,
    SNP_CHIP_ID,
    COCOS_SNP_FIELDS
};
extern const struct cocos_field cocos_snp_fields[COCOS_SNP_FIELDS];

struct cocos_snp {
    uint64_t policy, minimum_tcb, minimum_launch_tcb, platform_info;
    uint32_t minimum_guest_svn, minimum_build, minimum_version, vmpl, stepping;
    struct cocos_hex field[COCOS_SNP_FIELDS];
    bool permit_provisional_firmware, require_author_key, require_id_block;
    bool has_platform_info, has_vmpl, has_stepping;
    struct cocos_hex_list author_keys, id_keys; /* SHA-384, of certificates too */
    const char *product;                        /* "Milan"; NULL: not named */
    bool check_crl;
};

/* ---- TDX ---- */

enum {
    TDX_MR_SEAM,
    TDX_TD_ATTRIBUTES,
    TDX_XFAM,
    TDX_MR_TD,
    TDX_MR_CONFIG_ID,
    TDX_MR_OWNER,
    TDX_MR_OWNER_CONFIG,
    TDX_REPORT_DATA,
    COCOS_TDX_FIELDS
};
extern const struct cocos_field cocos_tdx_fields[COCOS_TDX_FIELDS];

struct cocos_tdx {
    struct cocos_hex qe_vendor_id, field[COCOS_TDX_FIELDS], rtmr[4];
    uint8_t rtmr_raw[4][48], minimum_tee_tcb_svn[16];
    bool has_minimum_tee_tcb_svn, enable_td_debug_check, check_crl;
    uint32_t minimum_pce_svn, minimum_qe_svn;
    struct cocos_hex_list any_mr_td;
};

struct cocos_bank {
    bool named;
    size_t n;
    struct cocos_hex pcr[COCOS_PCRS];
};

struct cocos_policy {
    enum cocos_kind kind;
    struct cocos_snp snp;
    struct cocos_tdx tdx;
    struct cocos_hex_list roots;         /* SHA-256 of the certificates that evidence may end at; none: any */
    struct cocos_bank bank[COCOS_BANKS]; /* SHA-1, SHA-256, SHA-384 */
};

/* ---- cocos_read.c: members of an object at a path ("policy", "" for the whole) ---- */

struct cocos_object {
    const json_t *json; /* NULL: absent, and so are its members */
    const char *path;
};

/** A member in either spelling; *out is NULL if it is absent or null. -1: both spellings. */
MUST_USE int cocos_member(const struct cocos_object *o, const char *name, const json_t **out,
                          struct err *err);
/** A member that is an object (or absent). @param path  of the member; a literal */
MUST_USE int cocos_inner(const struct cocos_object *o, const char *name, const char *path,
                         struct cocos_object *out, struct err *err);
/** Bytes of exactly size; *has is false for absent and "". */
MUST_USE int cocos_bytes(const struct cocos_object *o, const char *name, size_t size, uint8_t *out, bool *has,
                         struct err *err);
/** The same as hex. */
MUST_USE int cocos_hex(const struct cocos_object *o, const char *name, size_t size, struct cocos_hex *out,
                       struct err *err);
MUST_USE int cocos_hexes(const struct cocos_object *o, const char *name, size_t size,
                         struct cocos_hex_list *out, struct err *err);
/** A number of at most max; *has (may be NULL) is false if it is absent, *out unchanged then. */
MUST_USE int cocos_number(const struct cocos_object *o, const char *name, uint64_t max, uint64_t *out,
                          bool *has, struct err *err);
MUST_USE int cocos_number32(const struct cocos_object *o, const char *name, uint64_t max, uint32_t *out,
                            struct err *err);
MUST_USE int cocos_bool(const struct cocos_object *o, const char *name, bool *out, struct err *err);
/** Text; NULL if absent or "". */
MUST_USE int cocos_text(const struct cocos_object *o, const char *name, const char **out, struct err *err);
/** A list; *out NULL if absent. */
MUST_USE int cocos_list(const struct cocos_object *o, const char *name, const json_t **out, struct err *err);
/** Fails if the object has a member that none of the names is. */
MUST_USE int cocos_only(const struct cocos_object *o, const char *const *names, struct err *err);
/** "policy.measurement: what" as ERR_INPUT. */
__attribute__((format(printf, 4, 5))) int cocos_bad(struct err *err, const struct cocos_object *o,
                                                    const char *name, const char *fmt, ...);
MUST_USE int cocos_add_hex(struct cocos_hex_list *list, struct bytes value, struct err *err);
/** Decodes one element of a list. */
MUST_USE int cocos_element(const struct cocos_object *o, const char *name, size_t at, const json_t *v,
                           struct buf *out, struct err *err);
bool cocos_listed(const struct cocos_hex_list *list, const char *hex);

/* ---- the parts ---- */

MUST_USE int cocos_snp_parse(const json_t *root, const struct cocos_files *files, struct cocos_policy *out,
                             struct err *err);
MUST_USE int cocos_tdx_parse(const json_t *root, const struct cocos_files *files, struct cocos_policy *out,
                             struct err *err);
MUST_USE int cocos_pcrs_parse(const json_t *root, struct cocos_bank bank[static COCOS_BANKS],
                              struct err *err);
/** cabundles and cabundle_paths of root_of_trust: fingerprints of their self-signed certificates. */
MUST_USE int cocos_roots_parse(const struct cocos_object *trust, const struct cocos_files *files,
                               struct cocos_hex_list *out, struct err *err);
/** SHA-384 of the P-384 keys of DER certificates, in AMD's form; other keys are passed over. */
MUST_USE int cocos_amd_keys(const struct cocos_object *o, const char *name, struct cocos_hex_list *out,
                            struct err *err);

/* ---- applying: one run ---- */

struct cocos_run {
    const struct cocos_policy *policy;
    const json_t *claims; /* of the TEE */
    json_t *failures;
    int compared;
    bool no_memory;
};

__attribute__((format(printf, 4, 5))) void cocos_fail(struct cocos_run *r, const char *field,
                                                      const char *found, const char *expected, ...);
/** Compares a claim of text. @return true if it holds */
bool cocos_same(struct cocos_run *r, const char *field, const char *claim, const char *want);
/** The text, or number, of a claim; false (and a failure of the field) if it is not there. */
const char *cocos_claim_text(struct cocos_run *r, const char *field, const char *claim);
bool cocos_claim_number(struct cocos_run *r, const char *field, const char *claim, uint64_t *out);
/** A claim that must be at least so much. */
void cocos_at_least(struct cocos_run *r, const char *field, const char *claim, uint64_t want);
bool cocos_claim_true(const struct cocos_run *r, const char *claim);

void cocos_snp_apply(struct cocos_run *r);
void cocos_tdx_apply(struct cocos_run *r);
void cocos_pcrs_apply(struct cocos_run *r, const json_t *tpm);

#endif
