/** evidence/verify_internal.h: what the parts of a verification share; not for users. */
#ifndef CVM_EVIDENCE_VERIFY_INTERNAL_H
#define CVM_EVIDENCE_VERIFY_INTERNAL_H

#include "evidence/verify.h"
#include "tpm/ak_verify.h"
#include "tpm/quote_verify.h"

/** A verification under way. */
struct verification {
    const struct verify_options *options;
    struct verify_result *result;
    const struct document *document; /* the result's */
    struct checks *checks;           /* the result's */

    /* verify_tee.c */
    struct bytes report_data;  /* 64 bytes that authentic hardware signed; empty: none */
    const struct tdx_body *td; /* of an authentic quote, or NULL */

    /* verify_binding.c, before the TPM's part: what the machine had to bind */
    struct buf extra;        /* magic and nonce; of a service, the nonce that it binds */
    struct buf runtime_key;  /* SubjectPublicKeyInfo of HCLAkPub, if var_data names one */
    bool runtime_data_bound; /* authentic hardware signed var_data */

    /* verify_tpm.c */
    struct buf ak_spki; /* of the key that must have signed the quote, as the document has it */
    struct verify_held ak_held, cert_held; /* own what follows */
    EVP_PKEY *ak;
    X509 *cert; /* of the key; NULL: none that can be read */
    struct tpm_quote_verdict quote;
    uint32_t covered;       /* PCRs of the document's bank that the quote proves */
    bool ak_certified;      /* by a cloud's certificate */
    bool ak_is_runtime_key; /* HCLAkPub, and runtime_data_bound */
    bool ak_bound;          /* the hardware report names the key, whoever chose it */

    /* verify_boot.c */
    const struct tpm_pcrs *boot; /* replay of the TPM's boot log in the document's bank, or NULL */
    struct tpm_pcrs boot_storage;
    const struct tpm_pcrs *ccel; /* replay of the CCEL; register i is RTMR i - 1 */
    struct tpm_pcrs ccel_storage;
    json_t *boot_events; /* claims: tcg_event_logs, or NULL */
};

/* verify_tee.c */
MUST_USE int verify_tee(struct verification *v, struct err *err);

/* verify_binding.c */
MUST_USE int verify_question(struct verification *v,
                             struct err *err); /* magic, nonce, service, runtime data */
MUST_USE int verify_binding(struct verification *v, struct err *err); /* after verify_tpm() */

/* verify_tie.c: after verify_tpm() */

/** The PCR that holds the TEE report's id (SNP), or the document's uuid as RTMR3 does (TDX): 16 as automata's
 * first form has it, 15 as the second; 0: neither. */
unsigned verify_tie(const struct verification *v);

/* verify_tpm.c */
MUST_USE int verify_tpm(struct verification *v, struct err *err);
void verify_anchor(struct verification *v); /* after verify_binding() */

/* verify_boot.c */
void verify_boot_logs(struct verification *v);

/* verify_logs.c: after the boot logs */
void verify_measured_logs(struct verification *v);

/** SHA-256 replay of the document's whole workload log from zero: what a machine without TPM binds.
 *  @return 0, or -1 with ERR_INPUT: an event is none */
MUST_USE int verify_workload_replay(const struct document *d, struct digest *out, struct err *err);

/* verify.c */

/** The key of what was made from data under this trust; kind keeps kinds apart. */
void verify_cache_key(const struct verification *v, const char *kind, struct bytes data,
                      uint8_t out[static 32]);

/** True if name is in a list with commas between names. */
bool verify_listed(const char *list, const char *name);

#endif
