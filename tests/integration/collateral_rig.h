/** collateral_rig.h: recorded collateral, a server that hands it out by rules, and a relying party with a
 * folder. */
#ifndef CVM_TEST_COLLATERAL_RIG_H
#define CVM_TEST_COLLATERAL_RIG_H

#include "evidence.h"
#include "http_server.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/file.h"
#include "policy/trust.h"
#include "tee/collateral.h"

#define OLD        "tdx/v4-b0c06f-uptodate"     /* June to July 2025 */
#define NEW        "tdx/v4-b0c06f-mpc-uptodate" /* the same platform, August to September 2026 */
#define OTHER      "tdx/v5-90c06f-alibaba-uptodate"
#define IN_2025    1751328000 /* 2025-07-01 */
#define AFTER_2025 1756684800 /* 2025-09-01: the old documents have expired, the root's CRL has not */
#define IN_2026    1787745600 /* 2026-08-26 */
#define NOWHERE    "http://127.0.0.1:1" /* nobody listens there */
static const uint8_t platform[6] = { 0xB0, 0xC0, 0x6F };
static const struct collateral_id tcb_info = { .kind = COLLATERAL_TCB_INFO, .fmspc = { 0xB0, 0xC0, 0x6F } };
static const struct collateral_id qe_identity = { .kind = COLLATERAL_QE_IDENTITY };
static const struct collateral_id pck_crl = { .kind = COLLATERAL_PCK_CRL, .ca = COLLATERAL_CA_PLATFORM };
static const struct collateral_id root_crl = { .kind = COLLATERAL_ROOT_CRL };

/* ---- what is served ---- */

/* A recorded set as the PCS would answer it. */
struct recorded {
    struct sample tcb_info, qe_identity, pck_crl, root_crl, tcb_chain, pck_chain;
    char *tcb_header, *pck_header; /* percent-encoded */
};
struct sample load(const char *folder, const char *file);
void recorded_load(struct recorded *r, const char *folder);
void recorded_done(struct recorded *r);
enum { RULE_TCB, RULE_QE, RULE_PCK_CRL, RULE_ROOT_CRL, RULES };

/* ---- a relying party: folder, source, server ---- */

struct party {
    char dir[32];
    struct recorded recorded;
    struct http_rule rules[RULES];
    struct http_server *server;
    struct collateral_source source;
    struct buf storage;
    struct bytes trust[TRUST_ROWS];
    struct chain_pool pool;
};
void party_new(struct party *p, const char *folder, time_t at);

unsigned count_files(const struct party *p);
void party_done(struct party *p);
struct collateral_service *open_source(const struct collateral_source *source);
struct collateral_service *open_offline(const struct party *p);

/* The item is there, and its bytes are these. */
void expect(struct collateral_service *c, const struct collateral_id *id, const struct sample *bytes);

/* The item cannot be had, for a reason of that kind that says so. */
void expect_refusal(struct collateral_service *c, const struct collateral_id *id, enum err_kind kind,
                    const char *says);
void file_path(const struct party *p, const char *file, char out[static 512]);

#endif
