/** tee/collateral.h: the vendors' material that evidence is judged with, behind one interface, for relying
 * parties: AMD's certificates, chains and CRLs (KDS), Intel's TCB info, quoting enclave identity and CRLs
 * (PCS or a PCCS), the issuers of Google's and Microsoft's attestation keys (AIA).
 *
 * Everything handed out is unverified material: the verifier judges it. What is obviously wrong is refused at
 * once and fetched again: another platform's, not signed by the chain that came with it, damaged.
 * A folder keeps it. Its layout is the one of docs/collateral.md, which `cvm-cli collateral preload` writes
 * and
 * `--certs DIR` reads; the cache folder of the agent has it too.
 *
 * Calls block for the network as long as the source allows, and are made from any thread: callers who want
 * the same thing share one request, and a service that failed is left alone for a growing while. Sources: AMD
 * 57230 (KDS), Intel PCS API version 4, Intel SGX PCCS design guide. */
#ifndef CVM_TEE_COLLATERAL_H
#define CVM_TEE_COLLATERAL_H

#include "tee/ak_chain.h"
#include "tee/snp_report.h"
#include "tee/tdx_collateral.h"
#include "tee/vek.h"

#include <stdatomic.h>
#include <time.h>

#define COLLATERAL_KDS_URL      "https://kdsintf.amd.com"
#define COLLATERAL_PCS_URL      "https://api.trustedservices.intel.com"
#define COLLATERAL_ROOT_CRL_URL "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
#define COLLATERAL_REQUEST_MS   8000 /* one HTTP request, unless the source says otherwise */
#define COLLATERAL_NAME_MAX     256

/** Where material comes from. Everything is borrowed for the life of the service. */
struct collateral_source {
    const char *dir;     /* the folder that keeps it; made if missing unless offline; NULL: memory only */
    bool offline;        /* never touches the network */
    bool allow_expired;  /* hands out what has expired if there is nothing better, marked as such */
    time_t at;           /* the verifier's clock; 0: the machine's */
    struct http http;    /* http_curl(); may be zero when offline */
    const char *kds_url; /* NULL: COLLATERAL_KDS_URL; a mirror otherwise */
    const char *pcs_url; /* NULL: COLLATERAL_PCS_URL; a mirror or a PCCS otherwise */
    const char *root_crl_url; /* NULL: COLLATERAL_ROOT_CRL_URL, or the PCCS' own with another pcs_url */
    const char *thim_url;     /* Azure's metadata service, asked for VCEKs before the KDS; NULL: not asked */
    const struct chain_pool *pool; /* built-in certificates (trust_der()), and roots that a user trusts:
                                      chains must end in them; NULL or empty: any chain is taken */
    unsigned request_ms;           /* 0: COLLATERAL_REQUEST_MS */
    unsigned wait_ms;              /* how long a call may wait and repeat after 429 or 5xx; 0: one attempt */
    unsigned
        total_ms;  /* for all requests of the service, from its opening on; 0: no end. For one-shot tools */
    bool insecure; /* https without a check of the server: a PCCS with a certificate of its own */
    const atomic_bool *cancel; /* set by another thread: give up soon; NULL: never */
};

struct collateral_service;

/** Opens the service; makes no request. A folder that cannot be made is not a failure unless offline:
 * material is then kept in memory alone.
 *  @return 0, or -1: ERR_NOT_FOUND (offline without that folder), ERR_INPUT (a URL), ERR_IO */
MUST_USE int collateral_new(const struct collateral_source *source, struct collateral_service **out,
                            struct err *err);

/** NULL is fine. No call may be under way; a fetch in the background is ended. */
void collateral_free(struct collateral_service *c);

/** Ends running requests within a second or so; later ones fail at once, and who waits for a fetch in the
 * background hears so before this returns. NULL is fine. */
void collateral_stop(struct collateral_service *c);

/** For AUTO(collateral_drop) struct collateral_service *c. */
static inline void collateral_drop(struct collateral_service **c)
{
    collateral_free(*c);
}

/** Kinds of material with a name of its own. */
enum collateral_kind {
    COLLATERAL_AMD_CHAIN,   /* concatenated DER: ASK or ASVK, ARK */
    COLLATERAL_AMD_CRL,     /* DER, by the ARK */
    COLLATERAL_TCB_INFO,    /* PCS JSON with its issuer chain */
    COLLATERAL_QE_IDENTITY, /* PCS JSON with its issuer chain */
    COLLATERAL_PCK_CRL,     /* DER with its issuer chain */
    COLLATERAL_ROOT_CRL,    /* DER, by Intel's root */
    COLLATERAL_KINDS
};

enum collateral_ca { COLLATERAL_CA_PLATFORM, COLLATERAL_CA_PROCESSOR, COLLATERAL_CAS };

struct collateral_id {
    enum collateral_kind kind;
    enum snp_product product; /* AMD */
    bool vlek;                /* AMD: the chain and CRL of VLEKs, else of VCEKs */
    uint8_t fmspc[6];         /* TCB info */
    enum collateral_ca ca;    /* PCK CRL */
};

struct collateral_item {
    struct buf data;
    struct buf chain;   /* PEM, issuer first; empty for kinds without */
    time_t next_update; /* 0: holds for ever */
    bool expired;       /* by the source's clock; only with allow_expired */
    bool fetched;       /* by this call; else it was kept */
};

/** For AUTO(collateral_item_done). */
void collateral_item_done(struct collateral_item *item);

/** Gets one item: what is kept and has not expired, else fetched.
 *  @return 0, or -1: ERR_NOT_FOUND (offline and not there, or the service knows of none), ERR_DENIED (there,
 *          but expired), ERR_UNAVAILABLE (the network, the service, or an answer that is refused), ERR_INPUT
 * (no such id), ERR_LIMITED, ERR_IO */
MUST_USE int collateral_get(struct collateral_service *c, const struct collateral_id *id,
                            struct collateral_item *out, struct err *err);

/** As collateral_get(), but fetches in any case; what is kept stays when that fails. */
MUST_USE int collateral_refresh(struct collateral_service *c, const struct collateral_id *id,
                                struct collateral_item *out, struct err *err);

/** The item's name for people, also its file's name in the folder: "crl-vcek-Milan.der". Returns out. */
char *collateral_name(const struct collateral_id *id, char out[static COLLATERAL_NAME_MAX]);

/** True for names of files that the service itself writes into its folder. */
bool collateral_is_own_name(const char *file);

/** The certificate over an SNP report's key with its chain (chain_n 0: not known). Also finds certificates
 * that a user has put into the folder under names of his own (*.der, *.crt, *.cer, *.pem).
 *  @return 0, or -1 as collateral_get() */
MUST_USE int collateral_vek(struct collateral_service *c, struct bytes report, struct vek_certs *out,
                            struct err *err);

/** The certificates above an attestation key's certificate (tee/ak_chain.h). */
MUST_USE int collateral_ak_chain(struct collateral_service *c, struct bytes leaf, struct ak_chain *out,
                                 struct err *err);

/** What a TDX quote is judged with. */
enum collateral_tdx_part {
    TDX_SET_TCB_INFO,
    TDX_SET_QE_IDENTITY,
    TDX_SET_PCK_CRL,
    TDX_SET_ROOT_CRL,
    TDX_SET
};

struct collateral_tdx {
    struct collateral_item item[TDX_SET]; /* PCS bytes; empty if it could not be had */
    struct err why[TDX_SET];              /* then the reason; else kind ERR_NONE */
    bool complete;
    bool expired; /* any of them */
};

/** For AUTO(collateral_tdx_done). Large: keep it on the heap or in a frame of its own. */
void collateral_tdx_done(struct collateral_tdx *t);

/** Gets the set for a platform. What cannot be had is left empty with the reason: the checks that need it
 * fail.
 *  @param fmspc  6 bytes
 *  @return 0 with at least one item in *out, or -1 with the first item's reason */
MUST_USE int collateral_tdx(struct collateral_service *c, struct bytes fmspc, enum collateral_ca ca,
                            struct collateral_tdx *out, struct err *err);

/** As collateral_tdx(), of what is in memory or in the folder alone: does not wait for the network. */
MUST_USE int collateral_tdx_kept(struct collateral_service *c, struct bytes fmspc, enum collateral_ca ca,
                                 struct collateral_tdx *out, struct err *err);

/** Fetches what collateral_tdx_kept() lacks in the background, as vek_fetch() does: one flight a platform.
 *  @return 0 and done will be called; or -1 and it will not: ERR_NOT_FOUND (offline), ERR_INPUT, ERR_LIMITED
 */
MUST_USE int collateral_tdx_fetch(struct collateral_service *c, struct bytes fmspc, enum collateral_ca ca,
                                  unsigned deadline_ms, vek_done_fn *done, void *arg, struct err *err);

/** Appends the set as one JSON object in the names that DCAP tools use: tdx_collateral_parse() reads it. */
void collateral_tdx_json(const struct collateral_tdx *t, struct buf *out);

/** The set as the verifier takes it. @return 0 with a new object, or -1 as tdx_collateral_set() */
MUST_USE int collateral_tdx_open(const struct collateral_tdx *t, struct tdx_collateral **out,
                                 struct err *err);

/** FMSPC and CA of a PCK certificate chain (a quote's pck_chain): unverified, good for asking.
 *  @return 0, or -1 with ERR_INPUT: no PCK certificate */
MUST_USE int collateral_of_pck(struct bytes pck_chain, uint8_t fmspc[static 6], enum collateral_ca *ca,
                               struct err *err);

/* ---- for /metrics ---- */

struct collateral_stats {
    uint64_t requests, failures; /* made; without the answer that was wanted */
};
void collateral_stats_get(struct collateral_service *c, struct collateral_stats *out);

/** Calls each with the name and nextUpdate (0: none) of what is in memory. Must not call the service. */
void collateral_each(struct collateral_service *c,
                     void (*each)(void *arg, const char *name, time_t next_update), void *arg);

/* ---- one folder, no network: what `--certs DIR --offline` needs ---- */

/** As collateral_vek() from a folder alone; expired material does not exist for VEKs.
 *  @param pool  built-in certificates, for the chain; may be NULL */
MUST_USE int collateral_dir_vek(const char *dir, const struct chain_pool *pool, struct bytes report,
                                struct vek_certs *out, struct err *err);

/** As collateral_ak_chain() from a folder alone. */
MUST_USE int collateral_dir_ak_chain(const char *dir, const struct chain_pool *pool, struct bytes leaf,
                                     struct ak_chain *out, struct err *err);

/** The CRL of a product's ARK; vlek: the one served for VLEKs. DER into out. at: the clock, 0: the machine's
 */
MUST_USE int collateral_dir_crl(const char *dir, enum snp_product product, bool vlek, time_t at,
                                struct buf *out, struct err *err);

/** As collateral_tdx() from a folder alone, expired material included: the verifier's dates check says so.
 * Also reads a folder of PCS files (tcb_info.json, tcb_signing_chain.pem, qe_identity.json, pck_crl.der,
 * pck_crl_issuer_chain.pem, root_ca_crl.der) if they are this platform's.
 *  @return 0 with a new object in *out, what is missing left empty; or -1 with ERR_NOT_FOUND: nothing there
 */
MUST_USE int collateral_dir_tdx(const char *dir, struct bytes fmspc, enum collateral_ca ca,
                                struct tdx_collateral **out, struct err *err);

#endif
