/* Inputs are quotes (whose PCK leaf is read), certificates, or the bare extension. */
#include "fuzz.h"

#include "base/auto.h"
#include "base/json.h"
#include "tee/pck_cert.h"
#include "tee/tdx_quote.h"

#define CHAIN_MAX 8

static void check_leaf(const X509 *cert)
{
    AUTO(json_drop) json_t *json = NULL;
    struct pck_cert p;
    struct err err = { 0 };
    if (pck_cert_parse(cert, &p, &err) < 0)
        CHECK(err.kind == ERR_INPUT && err.cause[0]);
    else
        CHECK(pck_cert_json(&p, cert, &json, &err) == 0 && json_object_get(json, "fmspc"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes raw = bytes_of(data, size);
    X509 *chain[CHAIN_MAX];
    struct tdx_quote q;
    struct pck_cert p;
    struct err err = { 0 };
    if (pck_extension_parse(raw, &p, &err) == 0)
        CHECK(p.fmspc.n == 6 && p.pceid.n == 2 && p.ppid.n == 16 && p.cpusvn.n == 16);
    else
        CHECK(err.kind == ERR_INPUT);
    if (tdx_quote_parse(raw, &q, &err) == 0)
        raw = q.pck_chain;
    int n = x509_parse_chain(raw, chain, CHAIN_MAX, &err);
    if (n > 0)
        check_leaf(chain[0]);
    while (n-- > 0)
        X509_free(chain[n]);
    return 0;
}
