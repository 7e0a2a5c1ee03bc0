/* Inputs are certificates or the bare extension. */
#include "fuzz.h"

#include "base/auto.h"
#include "base/json.h"
#include "tee/gcp_instance.h"

static void check(int rc, const struct gcp_instance *g, const struct err *why)
{
    AUTO(json_drop) json_t *json = NULL;
    struct err err = { 0 };
    if (rc < 0) {
        CHECK(why->kind == ERR_INPUT || why->kind == ERR_NOT_FOUND);
        return;
    }
    CHECK(g->has_security || !g->is_production);
    CHECK(gcp_instance_json(g, &json, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(x509_drop) X509 *cert = NULL;
    struct gcp_instance g;
    struct err err = { 0 };
    check(gcp_extension_parse(bytes_of(data, size), &g, &err), &g, &err);
    if (x509_parse(bytes_of(data, size), &cert, &err) == 0)
        check(gcp_instance_parse(cert, &g, &err), &g, &err);
    return 0;
}
