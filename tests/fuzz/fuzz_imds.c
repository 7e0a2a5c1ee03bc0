/* The JSON answers of Azure's metadata services. Promise: what is taken is certificates, or a quote for our
 * own TDREPORT; a refusal leaves the outputs alone. */
#include "fuzz.h"

#include "base/auto.h"
#include "base/x509.h"
#include "tee/azure.h"
#include "tee/tdreport.h"

#include <string.h>

static void make_tdreport(uint8_t out[static TDREPORT_SIZE])
{
    memset(out, 0, TDREPORT_SIZE);
    out[TDREPORT_OFF_TYPE] = TDREPORT_TYPE_TDX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t tdreport[TDREPORT_SIZE];
    struct bytes json = bytes_of(data, size);
    struct err err = { 0 };
    AUTO(azure_thim_done) struct azure_thim t = { 0 };
    AUTO(buf_done) struct buf quote = buf_new(1 << 16);
    make_tdreport(tdreport);
    if (azure_thim_parse(json, &t, &err) == 0) {
        AUTO(x509_drop) X509 *cert = NULL;
        CHECK(x509_parse(buf_bytes(&t.vcek), &cert, &err) == 0);
        CHECK(t.chain[0].n && t.chain[1].n);
    } else {
        CHECK(!t.vcek.p && (err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE));
    }
    if (azure_td_quote_parse(json, bytes_of(tdreport, sizeof(tdreport)), &quote, &err) == 0)
        CHECK(quote.n > 0);
    else
        CHECK(quote.n == 0 && (err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE || err.kind == ERR_IO));
    return 0;
}
