#include "appraisal/appraise.h"

#include "base/auto.h"
#include "policy/trust.h"

int trust_load(struct verify_trust *out, struct err *err)
{
    static const enum verify_vendor vendors[] = {
        [TRUST_AMD] = VERIFY_AMD,
        [TRUST_INTEL] = VERIFY_INTEL,
        [TRUST_GOOGLE] = VERIFY_GOOGLE,
        [TRUST_MICROSOFT] = VERIFY_MICROSOFT,
    };
    AUTO(buf_done) struct buf storage = buf_new(TRUST_ROWS * CERT_MAX);
    struct bytes der[TRUST_ROWS];
    if (trust_der(&storage, der, err) < 0)
        return -1;
    for (size_t i = 0; i < TRUST_ROWS; i++) {
        const struct trust_row *row = &trust_rows()[i];
        if (verify_trust_add(out, vendors[row->vendor], row->anchor, der[i], err) < 0)
            return err_while(err, "load built-in certificates");
    }
    return 0;
}
