#include "fuzz.h"

#include "image/predict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gpt gpt;
    static const uint8_t none[92];
    struct prediction p;
    struct digest d;
    struct bytes value;
    struct uki uki;
    struct pe pe;
    struct err err = { 0 };
    gpt.header = bytes_of(none, sizeof(none));
    if (pe_parse(bytes_of(data, size), &pe, &err) == 0)
        CHECK(pe_authenticode(&pe, ALG_SHA256, &d, &err) == 0);
    else
        CHECK(err.kind == ERR_INPUT);
    if (uki_parse(bytes_of(data, size), &uki, &err) < 0) {
        CHECK(err.kind == ERR_INPUT);
        return 0;
    }
    CHECK(uki.cmdline.n > 0 && uki.cmdline.n < UKI_CMDLINE_MAX);
    if (uki_option(&uki, "cvm.root", &value))
        CHECK(value.n < uki.cmdline.n);
    if (predict_boot(&gpt, &uki, PREDICT_GCE_SNP, NULL, NULL, ALG_SHA256, &p, &err) < 0)
        CHECK(err.kind == ERR_INPUT);
    return 0;
}
