#include "fuzz.h"

#include "base/auto.h"
#include "base/json.h"
#include "tee/vek_cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(x509_drop) X509 *cert = NULL;
    AUTO(json_drop) json_t *json = NULL;
    struct vek_cert v;
    struct err err = { 0 };
    if (x509_parse(bytes_of(data, size), &cert, &err) < 0)
        return 0;
    if (vek_cert_parse(cert, &v, &err) < 0) {
        CHECK(err.kind == ERR_INPUT && err.cause[0]);
        return 0;
    }
    CHECK((v.hwid.n == 64 || v.hwid.n == 8) != (v.csp_id[0] != '\0'));
    CHECK(strlen(v.product_name) < VEK_TEXT_MAX && strlen(v.csp_id) < VEK_TEXT_MAX);
    CHECK(vek_cert_json(&v, &json, &err) == 0);
    return 0;
}
