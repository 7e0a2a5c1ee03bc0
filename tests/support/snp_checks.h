/** snp_checks.h: a report is verified, and exactly these checks are false. */
#ifndef CVM_TESTS_SNP_CHECKS_H
#define CVM_TESTS_SNP_CHECKS_H

#include "evidence.h"

#include "base/checks.h"
#include "tee/snp_verify.h"

#include <string.h>

static struct checks checks; /* of the last holds() */

static bool holds(struct bytes report, const struct snp_vek *vek, time_t at, struct snp_verdict *out)
{
    memset(&checks, 0, sizeof(checks));
    snp_verify(report, vek, at, &checks, out);
    return checks_all_hold(&checks);
}

static void expect_failed(const char *const *names)
{
    for (; *names; names++) {
        const struct check *c = checks_find(&checks, *names);
        if (!c || c->result != CHECK_FAILED)
            fail_msg("%s is %s", *names, c ? "not false" : "missing");
    }
}

/* Exactly these checks are false. */
#define ONLY_FAILED(...)                                                                                     \
    do {                                                                                                     \
        const char *const names_[] = { __VA_ARGS__, NULL };                                                  \
        size_t false_n_ = 0;                                                                                 \
        for (size_t i_ = 0; i_ < checks.n; i_++)                                                             \
            false_n_ += checks.list[i_].result == CHECK_FAILED;                                              \
        expect_failed(names_);                                                                               \
        assert_int_equal(false_n_, ARRAY_SIZE(names_) - 1);                                                  \
    } while (0)

#endif
