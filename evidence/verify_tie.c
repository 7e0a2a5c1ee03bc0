/* How older agents tied a TPM to the TEE beside it: both registers hold the same name of this boot. Sources:
 * automata's registry contracts, LibTEE, and their session document. */
#include "evidence/verify_internal.h"

#include "base/auto.h"

#define UUID 16

/* A register that was extended once, with this, from zero. */
static bool extended_by(uint16_t alg, struct bytes value, struct bytes with)
{
    struct digest want = { .alg = alg, .n = (uint8_t)digest_size(alg) };
    struct err ignored;
    return value.n && digest_extend(&want, with, &ignored) == 0 && bytes_equal(digest_bytes(&want), value);
}

/* What a uuid becomes before it is extended: its hash, or padded with zeros in front to a hash's length. */
static struct digest form_of(uint16_t alg, struct bytes uuid, bool hashed)
{
    struct digest d = { .alg = alg, .n = (uint8_t)digest_size(alg) };
    struct err ignored;
    if (hashed && digest_of(alg, uuid, &d, &ignored) == 0)
        return d;
    memcpy(d.b + d.n - UUID, uuid.p, UUID);
    return d;
}

/* Only what the quote proves counts. */
static struct bytes quoted(const struct verification *v, unsigned pcr)
{
    return v->covered >> pcr & 1 ? digest_bytes(&v->document->pcrs.pcr[pcr]) : bytes_of(NULL, 0);
}

static bool tied_by(const struct verification *v, unsigned pcr, bool hashed)
{
    struct bytes value = quoted(v, pcr), uuid = v->document->uuid;
    if (v->document->pcrs.alg != ALG_SHA256 || !v->result->tee_authentic)
        return false;
    if (!v->td)
        return extended_by(ALG_SHA256, value, v->result->snp.report.report_id);
    if (uuid.n != UUID)
        return false;
    struct digest of_pcr = form_of(ALG_SHA256, uuid, hashed), of_rtmr = form_of(ALG_SHA384, uuid, hashed);
    return extended_by(ALG_SHA256, value, digest_bytes(&of_pcr))
           && extended_by(ALG_SHA384, v->td->rtmr[3], digest_bytes(&of_rtmr));
}

unsigned verify_tie(const struct verification *v)
{
    return tied_by(v, 16, true) ? 16 : tied_by(v, 15, false) ? 15 : 0;
}
