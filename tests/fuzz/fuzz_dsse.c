#include "fuzz.h"

#include "policy/dsse.h"

/* The public half of a key whose private half signed the seed and was thrown away. */
static const char key[] = "-----BEGIN PUBLIC KEY-----\n"
                          "MCowBQYDK2VwAyEAeRwSxKhkozX2qyqj5c8J3DqiOz0O/kKO7YAA+0kXbtQ=\n"
                          "-----END PUBLIC KEY-----\n";
static const char statement[] = "{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out = buf_new(DSSE_SIZE_MAX);
    json_t *value = NULL;
    struct err err = { 0 };
    if (json_parse(bytes_of(data, size), DSSE_SIZE_MAX, &value, &err) < 0)
        return 0;
    if (dsse_verify(value, DSSE_IN_TOTO, bytes_str(key), &out, &err) == 0)
        CHECK(bytes_equal(buf_bytes(&out), bytes_str(statement)));
    else
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_UNAUTHENTICATED || err.kind == ERR_TOO_LARGE);
    buf_done(&out);
    json_decref(value);
    return 0;
}
