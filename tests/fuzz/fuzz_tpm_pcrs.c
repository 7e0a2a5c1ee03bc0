/* A PCR file that parses is written and read back the same; a digest exists for exactly the PCRs that are
 * there. */
#include "fuzz.h"

#include "base/json.h"
#include "tpm/pcrs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tpm_pcrs p, q;
    struct err err = { 0 };
    struct digest d;
    if (tpm_pcrs_parse(bytes_of(data, size), &p, &err) < 0) {
        CHECK(err.kind == ERR_INPUT || (err.kind == ERR_TOO_LARGE && size > TPM_PCRS_FILE_MAX));
        return 0;
    }
    struct buf text = buf_new(TPM_PCRS_FILE_MAX);
    json_t *v = tpm_pcrs_json(&p);
    json_put(&text, v, size & 1);
    CHECK(v && tpm_pcrs_parse(buf_bytes(&text), &q, NULL) == 0);
    CHECK(p.alg == q.alg && p.mask == q.mask && (p.mask & ~TPM_PCRS_ALL) == 0);
    for (int i = 0; i < TPM_PCRS; i++)
        CHECK(bytes_equal(digest_bytes(&p.pcr[i]), digest_bytes(&q.pcr[i])));
    const struct tpm_selection all = { p.alg, TPM_PCRS_ALL, TPM_PCRS }, some = { p.alg, p.mask, 0 };
    CHECK(tpm_pcr_digest(&some, 1, &p, 1, ALG_SHA256, &d, NULL) == 0 && d.n == 32);
    CHECK((tpm_pcr_digest(&all, 1, &p, 1, ALG_SHA256, &d, NULL) == 0) == (p.mask == TPM_PCRS_ALL));
    json_decref(v);
    buf_done(&text);
    return 0;
}
