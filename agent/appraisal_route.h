/** agent/appraisal_route.h: appraisal as Intel Trust Authority answers it: evidence verified, named policies
 * asked, a signed token with the claims (contract, section 2). POST /appraisal/v2/attest and its kin, GET
 * /certs, PUT and GET /policies. */
#ifndef CVM_AGENT_APPRAISAL_ROUTE_H
#define CVM_AGENT_APPRAISAL_ROUTE_H

#include "agent/request.h"

#define APPRAISAL_BODY_MAX (4u << 20)
#define POLICY_BODY_MAX    (64u << 10)

struct appraiser;
struct verifier;

struct appraiser_options {
    struct verifier *verifier;    /* whose threads, roots and collateral are used; outlives the appraiser */
    const char *state;            /* policies are kept below it */
    const char *policy_directory; /* policies of the verified root; "": none */
    const char *gpu_jwks;         /* file with the keys of NVIDIA's service; "": none */
    const char *token_key;        /* file with the RSA key of tokens, PEM; "": one is made */
};

/** Opens the policies, and reads the token key or begins to make one (RSA-3072) on a thread of its own.
 *  @return 0, or -1: ERR_INPUT (a policy, key or key set of the verified root), ERR_IO */
MUST_USE int appraiser_new(const struct appraiser_options *options, struct appraiser **out, struct err *err);

/** Whether the measured security policy opens appraisal outside; it does not before this is called. From any
 * thread. */
void appraiser_open_outside(struct appraiser *a, bool open);

/** @param a  NULL: false */
bool appraiser_is_outside(struct appraiser *a);

/** After the verifier's threads have ended. NULL is fine. */
void appraiser_free(struct appraiser *a);

struct appraisal_job;
void appraisal_job_free(struct appraisal_job *job);

/* Rows of the route table. */
int appraise_v2_begin(struct request *r, struct err *err);
int appraise_azure_begin(struct request *r, struct err *err);
int appraise_snp_begin(struct request *r, struct err *err);
int certs_begin(struct request *r, struct err *err);
int appraisal_answer(struct request *r, struct buf *out, struct err *err);

int policies_prepare(struct request *r, struct err *err);
int policy_put_begin(struct request *r, struct err *err);
int policies_list_answer(struct request *r, struct buf *out, struct err *err);
int policy_text_answer(struct request *r, struct buf *out, struct err *err);

#endif
