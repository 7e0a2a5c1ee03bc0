/* Google's endorsements: what is read lies within the bytes, each vCPU count has one measurement, and nothing
 * that is not signed verifies. */
#include "fuzz.h"

#include "tee/gcp_endorsement.h"

static void within(struct bytes part, const uint8_t *data, size_t size)
{
    CHECK(part.n == 0 || (part.p >= data && part.n <= size && part.p - data <= (ptrdiff_t)(size - part.n)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gcp_endorsement e;
    struct err err = { 0 };
    if (gcp_endorsement_parse(bytes_of(data, size), &e, &err) < 0) {
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
        return 0;
    }
    within(e.golden, data, size);
    within(e.signature, data, size);
    within(e.cert, data, size);
    within(e.ca_bundle, data, size);
    within(e.digest, data, size);
    for (size_t i = 0; i < e.measurements; i++) {
        within(e.measurement[i].value, data, size);
        CHECK(e.measurement[i].value.n == GCP_MEASUREMENT);
        CHECK(gcp_endorsement_snp(&e, e.measurement[i].vcpus).p == e.measurement[i].value.p);
    }
    CHECK(gcp_endorsement_verify(&e, NULL, 0, 1700000000, &err) < 0); /* the seeds' signatures are none */
    return 0;
}
