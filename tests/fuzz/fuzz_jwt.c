/* Tokens and key sets: a token verifies only under an algorithm and key of the set, and the signed text is
 * what it says; a set that is read has keys. The input is a key set, a 0xFF byte, and a token. */
#include "fuzz.h"

#include "base/auto.h"
#include "base/jwt.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *mark = size ? memchr(data, 0xFF, size) : NULL;
    size_t n = mark ? (size_t)(mark - data) : size;
    AUTO(jwks_done) struct jwks keys = { 0, NULL };
    AUTO(jwt_done) struct jwt peeked = { .header = NULL };
    AUTO(jwt_done) struct jwt t = { .header = NULL };
    struct bytes token = mark ? bytes_of(mark + 1, size - n - 1) : bytes_of(data, size);
    struct err err = { 0 };
    const struct jwt_rules rules = { .algs = JWT_ANY, .now = 1700000000, .leeway_s = 60 };
    int parsed = jwks_parse(bytes_of(data, n), JWKS_KEYS, &keys, &err);
    CHECK(parsed == 0 ? keys.n > 0 && keys.n <= JWKS_MAX
                      : err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
    for (size_t i = 0; i < keys.n; i++)
        CHECK(keys.key[i].key && keys.key[i].algs);
    bool whole = jwt_peek(token, &peeked, &err) == 0;
    CHECK(whole ? json_is_object(peeked.claims) : err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
    if (jwt_verify(token, &keys, &rules, &t, &err) == 0) {
        CHECK(whole && t.key < keys.n && (keys.key[t.key].algs & JWT_BIT(t.alg)));
        CHECK(json_equal(t.claims, peeked.claims));
    }
    return 0;
}
