/* A sealed blob that parses is taken apart completely: its parts lie one behind the other and end where it
 * ends. */
#include "fuzz.h"

#include "tpm/sealed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sealed s;
    struct err err = { 0 };
    if (sealed_parse(bytes_of(data, size), &s, &err) < 0) {
        CHECK(err.kind == ERR_INPUT && err.cause[0]);
        return 0;
    }
    CHECK(s.public_area.p == data && s.private_area.p == s.public_area.p + s.public_area.n);
    CHECK(s.creation_data.p == s.private_area.p + s.private_area.n);
    CHECK(s.ticket.p == s.creation_data.p + s.creation_data.n && s.ticket.p + s.ticket.n == data + size);
    CHECK(s.policy.n == 32 && s.pcr_digest.n == 32 && s.mask <= TPM_PCRS_ALL);
    CHECK(s.policy.p > s.public_area.p && s.policy.p + 32 < s.private_area.p);
    CHECK(s.pcr_digest.p > s.creation_data.p && s.pcr_digest.p + 32 < s.ticket.p);
    return 0;
}
