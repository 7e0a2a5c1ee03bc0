#include "evidence/service.h"

#include "base/auto.h"
#include "base/digest.h"

#define SERVICE_TAG "cvm-agent/service"

_Static_assert(sizeof(SERVICE_MAGIC) - 1 == MAGIC_SIZE, "a verifier knows magics of 20 bytes only");

int service_nonce(const char *service, struct bytes nonce, uint8_t out[static NONCE_MAX], struct err *err)
{
    struct digest digest;
    const struct bytes parts[] = {
        bytes_of(SERVICE_TAG, sizeof(SERVICE_TAG)), /* with its 0x00 */
        bytes_of(service, strlen(service) + 1),
        nonce,
    };
    if (digest_parts(ALG_SHA256, parts, ARRAY_SIZE(parts), &digest, err) < 0)
        return -1;
    memcpy(out, digest.b, NONCE_MAX);
    return 0;
}
