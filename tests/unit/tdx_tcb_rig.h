/** tdx_tcb_rig.h: TCB infos and QE identities of any levels. */
#ifndef CVM_TEST_TDX_TCB_RIG_H
#define CVM_TEST_TDX_TCB_RIG_H

#include "evidence.h"

#include "base/auto.h"
#include "base/json.h"
#include "tee/json_range.h"
#include "tee/tdx_tcb.h"

/* ---- documents ---- */

struct level {
    unsigned sgx, pcesvn, tdx[3];
    const char *status, *advisories;
};
struct isv {
    unsigned version, isvsvn;
    const char *status, *advisories;
};
void put_info(struct buf *out, const struct level *levels, size_t n, const struct isv *modules, size_t m);
void put_identity(struct buf *out, const struct isv *levels, size_t n);

/* ---- evaluation ---- */

struct platform {
    unsigned sgx, pcesvn;
    uint8_t svn[16], svn2[16];
    bool td15;
    unsigned qe;
};
struct expected {
    enum tdx_tcb_status status, platform, module, qe;
    const char *advisories;
};
void evaluate(struct buf *info_text, struct buf *qe_text, const struct platform *p,
              struct tdx_tcb_result *out);
void expect(const struct level *levels, size_t n, const struct isv *modules, size_t m, const char *qe_status,
            const struct platform *p, const struct expected *want);

#define UP   TDX_TCB_UP_TO_DATE
#define OOD  TDX_TCB_OUT_OF_DATE
#define OODC TDX_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED
#define CONF TDX_TCB_CONFIGURATION_NEEDED
#define NONE TDX_TCB_NO_MATCHING_LEVEL

static const struct level two_levels[] = {
    { 5, 13, { 5, 0, 7 }, "UpToDate", NULL },
    { 5, 11, { 3, 0, 5 }, "ConfigurationNeeded", "\"SA-1\",\"SA-2\"" },
    { 3, 5, { 1, 0, 1 }, "OutOfDate", "\"SA-1\",\"SA-3\"" },
};
static const struct isv two_modules[] = {
    { 3, 3, "UpToDate", NULL },
    { 1, 5, "UpToDate", NULL },
    { 1, 2, "OutOfDate", "\"SA-M\"" },
};

#endif
