/** agent/collateral.h: the agent's collateral service (tee/collateral.h): for the evidence of this machine
 * and for judging that of others, as the settings want it. */
#ifndef CVM_AGENT_COLLATERAL_H
#define CVM_AGENT_COLLATERAL_H

#include "tee/collateral.h"

#define COLLATERAL_SETTING_URL 256

/** Of agent.json: {"collateral":{"offline":false,"revocation":false,"kds_url":"...","pcs_url":"...",
 * "root_crl_url":"...","insecure":false}}. */
struct collateral_settings {
    bool offline;    /* no vendor is asked for anything; the cloud's metadata service is no vendor */
    bool revocation; /* verifications ask for AMD's CRL too */
    bool insecure;   /* https to these addresses without a check of the server: a PCCS of one's own */
    char kds_url[COLLATERAL_SETTING_URL], pcs_url[COLLATERAL_SETTING_URL],
        root_crl_url[COLLATERAL_SETTING_URL]; /* "": the vendor's own */
};

/** The service with what it borrows; stays where it is. */
struct agent_collateral {
    struct collateral_settings settings;
    struct http inner; /* of the machine */
    const char *metadata_url;
    struct buf roots; /* of the emulator */
    struct bytes der[CHAIN_POOL_MAX];
    struct chain_pool pool;
    struct collateral_service *service;
};

struct agent_collateral_options {
    const struct collateral_settings *settings;
    const char *state, *cache; /* cache: NULL: memory only */
    const struct chain_pool *pool;
};

/** Opens the service; makes no request.
 *  @param machine  its requests to vendors then go where the settings want them to, or nowhere
 *  @param out      agent_collateral_done() it, also after a failure
 *  @return 0, or -1: ERR_INPUT (a URL of the settings, the emulator's roots), ERR_IO */
MUST_USE int agent_collateral_open(const struct agent_collateral_options *options, struct lower *machine,
                                   struct agent_collateral *out, struct err *err);

/** No call may be under way. An empty struct is fine. */
void agent_collateral_done(struct agent_collateral *c);

#endif
