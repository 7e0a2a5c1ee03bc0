/* Policy and settings: what is accepted names a known shape and stays inside its bounds. */
#include "fuzz.h"

#include "agent/config.h"
#include "tee/shape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy p = { 0 };
    struct settings s;
    struct err err = { 0 };
    if (policy_parse(bytes_of(data, size), &p, &err) == 0) {
        CHECK(!p.emulate || shape_by_name(p.emulate));
        CHECK(p.ignored_count <= POLICY_IGNORED_MAX);
    } else {
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
        CHECK(err.cause[0]);
    }
    if (settings_parse(bytes_of(data, size), &s, &err) == 0)
        CHECK(s.limits.head_seconds >= 1 && s.limits.connections >= 8 && s.limits.evidence_burst >= 1);
    return 0;
}
