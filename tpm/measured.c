#include "tpm/measured.h"

#include "base/auto.h"

int measured_digest(uint16_t alg, const char *type, const char *name, const uint8_t content_sha384[static 48],
                    struct digest *out, struct err *err)
{
    const struct bytes parts[] = {
        bytes_of(MEASURED_SCHEME, sizeof(MEASURED_SCHEME)), /* with its 0x00 */
        bytes_of(type, strlen(type) + 1),                   /* with its 0x00 */
        bytes_of(name, strlen(name) + 1),                   /* with its 0x00 */
        bytes_of(content_sha384, 48),
    };
    return digest_parts(alg, parts, ARRAY_SIZE(parts), out, err);
}
