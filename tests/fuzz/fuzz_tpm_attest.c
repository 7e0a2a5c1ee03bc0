/* A TPMS_ATTEST that parses is taken apart completely: its views lie in the input and end where it ends. */
#include "fuzz.h"

#include "base/json.h"
#include "tpm/attest.h"

static const uint8_t *end_of(struct bytes b)
{
    return b.p + b.n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tpm_attest a;
    struct err err = { 0 };
    const struct bytes input = bytes_of(data, size);
    if (tpm_attest_parse(input, &a, &err) < 0) {
        CHECK(err.kind == ERR_INPUT && err.cause[0]);
        return 0;
    }
    CHECK(a.raw.p == input.p || (a.raw.p == input.p + 2 && be_uint(input.p, 2) == a.raw.n));
    CHECK(end_of(a.raw) == end_of(input) && end_of(a.attested) == end_of(input));
    CHECK(a.extra_data.p == end_of(a.qualified_signer) + 2);
    CHECK(a.attested.p == end_of(a.extra_data) + 25);
    CHECK(a.type != TPM_ATTEST_QUOTE || end_of(a.quote.pcr_digest) == end_of(input));
    CHECK(a.quote.n <= TPM_SELECTIONS_MAX);
    struct buf text = buf_new(1 << 20);
    json_t *v = tpm_attest_json(&a);
    json_put(&text, v, false);
    CHECK(v && !text.failed);
    json_decref(v);
    buf_done(&text);
    return 0;
}
