/* Policies as text: what is refused is refused with a place inside the text; what is taken formats to a text
 * that is taken too and formats to itself. */
#include "fuzz.h"

#include "base/auto.h"
#include "policy/rego/policy.h"

static void check_refusal(struct bytes text, const struct rego_place *place, const struct err *err)
{
    uint32_t lines = 1;
    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n';
    CHECK((err->kind == ERR_INPUT || err->kind == ERR_TOO_LARGE) && err->cause[0]);
    CHECK(place->line <= lines && (place->line == 0 || place->column > 0));
    AUTO(buf_done) struct buf out = buf_new(1 << 20);
    rego_put_place(&out, text, place);
}

static void check_format(struct bytes text)
{
    AUTO(buf_done) struct buf once = buf_new((size_t)64 << 20);
    AUTO(buf_done) struct buf twice = buf_new((size_t)64 << 20);
    struct rego_place place = { 0 };
    struct err err = { 0 };
    const struct rego_source source = { "policy", text };
    if (rego_format(&source, &once, &place, &err) < 0) {
        check_refusal(text, &place, &err);
        return;
    }
    const struct rego_source again = { "policy", buf_bytes(&once) };
    if (once.n > REGO_MODULE_TEXT_MAX)
        return;
    CHECK(rego_format(&again, &twice, &place, &err) == 0);
    CHECK(bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct rego_source source = { "policy", bytes_of(data, size) };
    const struct rego_options how[] = { { .mode = REGO_POLICY },
                                        { .mode = REGO_POLICY, .strict = true },
                                        { .mode = REGO_QUERY, .query = "data" } };
    for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
        AUTO(rego_drop) struct rego *policy = NULL;
        struct rego_place place = { 0 };
        struct err err = { 0 };
        if (rego_compile(&source, 1, &how[i], &policy, &place, &err) < 0)
            check_refusal(source.text, &place, &err);
    }
    check_format(source.text);
    return 0;
}
