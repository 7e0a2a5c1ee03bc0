#include "fuzz.h"

#include "base/auto.h"
#include "base/json.h"
#include "tee/snp_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes raw = bytes_of(data, size);
    struct snp_report r, again;
    struct err err = { 0 };
    AUTO(json_drop) json_t *json = NULL;
    AUTO(buf_done) struct buf der = buf_new(256);
    if (snp_report_parse(raw, &r, &err) < 0) {
        CHECK(err.kind == ERR_INPUT && err.cause[0]);
        return 0;
    }
    CHECK(r.raw.n == SNP_REPORT_SIZE && r.raw.p >= data && r.raw.p + r.raw.n <= data + size);
    CHECK(r.signature_s.p + r.signature_s.n <= r.raw.p + r.raw.n);
    CHECK(snp_report_parse(r.raw, &again, &err) == 0 && again.policy == r.policy
          && again.product == r.product);
    CHECK(snp_report_json(&r, &json, &err) == 0);
    struct snp_tcb tcb = snp_tcb_decode(r.product, r.reported_tcb);
    CHECK(snp_tcb_at_least(&tcb, &tcb));
    if (snp_report_signature_der(&r, &der, &err) == 0)
        CHECK(der.n >= 8 && der.n <= 104 && r.signature_algo == SNP_ALGO_P384_SHA384);
    else
        CHECK(err.kind == ERR_INPUT && der.n == 0);
    return 0;
}
