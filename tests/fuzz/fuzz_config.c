/* Settings: what is accepted stays inside its bounds. */
#include "fuzz.h"

#include "agent/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings s;
    struct err err = { 0 };
    if (settings_parse(bytes_of(data, size), &s, &err) == 0)
        CHECK(s.limits.head_seconds >= 1 && s.limits.connections >= 8 && s.limits.evidence_burst >= 1);
    return 0;
}
