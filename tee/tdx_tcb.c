#include "tee/tdx_tcb.h"

#include "base/auto.h"
#include "base/enc.h"

#include <strings.h>

#define QE_ATTRIBUTE_DEBUG 0x02 /* Intel SDM 3D, ATTRIBUTES structure, bit 1 */

enum { SVN_MODULE, SVN_MODULE_VERSION, SVN_MICROCODE }; /* indices in TEE_TCB_SVN */

/* ---- names ---- */

static const char *const names[TDX_TCB_STATUSES] = {
    [TDX_TCB_UP_TO_DATE] = "UpToDate",
    [TDX_TCB_SW_HARDENING_NEEDED] = "SWHardeningNeeded",
    [TDX_TCB_CONFIGURATION_NEEDED] = "ConfigurationNeeded",
    [TDX_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED] = "ConfigurationAndSWHardeningNeeded",
    [TDX_TCB_TD_RELAUNCH_ADVISED] = "TDRelaunchAdvised",
    [TDX_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED] = "TDRelaunchAdvisedConfigurationNeeded",
    [TDX_TCB_OUT_OF_DATE] = "OutOfDate",
    [TDX_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED] = "OutOfDateConfigurationNeeded",
    [TDX_TCB_REVOKED] = "Revoked",
    [TDX_TCB_NO_MATCHING_LEVEL] = "NoMatchingTcbLevel",
};

const char *tdx_tcb_status_name(enum tdx_tcb_status status)
{
    return names[status];
}

static int accept_word(struct bytes word, uint32_t *set, struct err *err)
{
    if (word.n == 4 && strncasecmp((const char *)word.p, "none", 4) == 0) {
        *set |= TDX_ACCEPT_NO_COLLATERAL;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!names[i] || strlen(names[i]) != word.n
            || strncasecmp((const char *)word.p, names[i], word.n) != 0)
            continue;
        if (i == TDX_TCB_REVOKED || i == TDX_TCB_NO_MATCHING_LEVEL)
            return err_set(err, ERR_INPUT, 0, "TCB status %s is never acceptable", names[i]);
        *set |= 1u << i;
        return 0;
    }
    return err_set(err, ERR_INPUT, 0,
                   "no TCB status \"%.*s\": want names as UpToDate or OutOfDate, or none, with commas",
                   (int)(word.n < 60 ? word.n : 60), (const char *)word.p);
}

int tdx_accept_parse(const char *list, uint32_t *out, struct err *err)
{
    uint32_t set = 0;
    for (const char *at = list;; at++) {
        size_t n = strcspn(at, ",");
        if (accept_word(bytes_of(at, n), &set, err) < 0)
            return -1;
        at += n;
        if (!*at)
            break;
    }
    if (set == TDX_ACCEPT_NO_COLLATERAL)
        set |= TDX_ACCEPT_DEFAULT;
    *out = set | 1u << TDX_TCB_UP_TO_DATE;
    return 0;
}

/* ---- identities ---- */

static const struct tdx_module *module_of_version(const struct tdx_tcb_info *info, uint8_t version)
{
    for (size_t i = 0; i < info->identities_n; i++)
        if (info->identities[i].version == version)
            return &info->identities[i];
    return NULL;
}

/* Equal where the mask says so; bits that it leaves out must be zero (where strict) or are free. */
static bool masked_equal(struct bytes is, const uint8_t *want, const uint8_t *mask, bool strict)
{
    uint8_t differs = 0;
    for (size_t i = 0; i < is.n; i++)
        differs |= (uint8_t)((is.p[i] ^ want[i]) & mask[i]) | (strict ? is.p[i] & (uint8_t)~mask[i] : 0);
    return differs == 0;
}

int tdx_module_identity_check(const struct tdx_tcb_info *info, const struct tdx_body *body,
                              const struct tdx_module **found, struct err *err)
{
    uint8_t version = body->tee_tcb_svn.p[SVN_MODULE_VERSION];
    const struct tdx_module *m = version            ? module_of_version(info, version)
                                 : info->has_module ? &info->module
                                                    : NULL;
    if (!m)
        return err_set(err, ERR_DENIED, 0, "the TCB info knows no TDX module of version %u (TDX_%02X)",
                       version, version);
    if (!bytes_equal(body->mr_signer_seam, bytes_of(m->mr_signer, sizeof(m->mr_signer))))
        return err_set(err, ERR_DENIED, 0, "the TDX module's signer is not that of TDX_%02X", version);
    if (!masked_equal(body->seam_attributes, m->attributes, m->attributes_mask, true))
        return err_set(err, ERR_DENIED, 0, "the TDX module's attributes are not those of TDX_%02X", version);
    *found = version ? m : NULL;
    return 0;
}

int tdx_qe_identity_check(const struct tdx_qe_identity *identity, const struct tdx_qe_report *report,
                          struct err *err)
{
    const char *why = NULL;
    if (report->attributes.p[0] & QE_ATTRIBUTE_DEBUG)
        why = "it is a debug enclave";
    else if (!bytes_equal(report->mr_signer, bytes_of(identity->mr_signer, sizeof(identity->mr_signer))))
        why = "another signer (MRSIGNER)";
    else if (report->isv_prod_id != identity->isv_prod_id)
        why = "another product (ISVPRODID)";
    else if (!masked_equal(report->attributes, identity->attributes, identity->attributes_mask, false))
        why = "other ATTRIBUTES";
    else if (!masked_equal(bytes_of(report->raw.p + TDX_QE_OFF_MISC_SELECT, sizeof(identity->misc_select)),
                           identity->misc_select, identity->misc_select_mask, false))
        why = "another MISCSELECT";
    return why ? err_set(err, ERR_DENIED, 0, "the quoting enclave is not Intel's for TDs: %s", why) : 0;
}

/* ---- evaluation ---- */

static bool at_least(const uint8_t *is, const uint8_t *want, size_t from)
{
    for (size_t i = from; i < TDX_TCB_COMPONENTS; i++)
        if (is[i] < want[i])
            return false;
    return true;
}

/* The first level whose SGX part the platform meets, and the first whose TDX part it meets as well. With a
 * module version, components 0 and 1 are the module's own and judged by its identity. */
static void find_levels(const struct tdx_tcb_request *rq, const struct tdx_tcb_level **sgx,
                        const struct tdx_tcb_level **tdx)
{
    const uint8_t *svn = rq->body->tee_tcb_svn.p;
    size_t from = svn[SVN_MODULE_VERSION] ? SVN_MICROCODE : 0;
    *sgx = *tdx = NULL;
    for (size_t i = 0; i < rq->info->levels_n && !*tdx; i++) {
        const struct tdx_tcb_level *level = &rq->info->levels[i];
        if (!at_least(rq->pck->component_svn, level->sgx, 0) || rq->pck->pcesvn < level->pcesvn)
            continue;
        if (!*sgx)
            *sgx = level;
        if (at_least(svn, level->tdx, from))
            *tdx = level;
    }
}

static const struct tdx_isv_level *isv_level(const struct tdx_isv_levels *levels, uint16_t isvsvn)
{
    for (size_t i = 0; i < levels->n; i++)
        if (isvsvn >= levels->list[i].isvsvn)
            return &levels->list[i];
    return NULL;
}

static bool needs_configuration(enum tdx_tcb_status s)
{
    return s == TDX_TCB_CONFIGURATION_NEEDED || s == TDX_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED
           || s == TDX_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED;
}

/* Intel's rule where it has one (a part that is OutOfDate or Revoked), else the worse of the two. */
static enum tdx_tcb_status converge(enum tdx_tcb_status a, enum tdx_tcb_status b)
{
    enum tdx_tcb_status worse = a > b ? a : b;
    if (worse == TDX_TCB_OUT_OF_DATE && (needs_configuration(a) || needs_configuration(b)))
        return TDX_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED;
    return worse;
}

/* A TD of TD 1.5 that started under an outdated module, on a platform that has been patched since: only the
 * start of the TD is outdated. */
static enum tdx_tcb_status relaunch(const struct tdx_tcb_request *rq, const struct tdx_tcb_result *r,
                                    enum tdx_tcb_status sgx, enum tdx_tcb_status tdx)
{
    const struct bytes svn2 = rq->body->tee_tcb_svn_2;
    const struct tdx_tcb_level *newest = &rq->info->levels[0];
    uint16_t module_svn = newest->tdx[SVN_MODULE];
    if (svn2.n == 0 || r->qe >= TDX_TCB_OUT_OF_DATE || sgx > TDX_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED
        || (tdx != TDX_TCB_OUT_OF_DATE && tdx != TDX_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED)
        || r->module != TDX_TCB_OUT_OF_DATE)
        return tdx;
    if (svn2.p[SVN_MODULE_VERSION]) {
        const struct tdx_module *m = module_of_version(rq->info, svn2.p[SVN_MODULE_VERSION]);
        if (!m || m->levels.n == 0)
            return TDX_TCB_NO_MATCHING_LEVEL;
        module_svn = m->levels.list[0].isvsvn;
    }
    if (svn2.p[SVN_MODULE] < module_svn || svn2.p[SVN_MICROCODE] < newest->tdx[SVN_MICROCODE])
        return tdx;
    return needs_configuration(sgx) || needs_configuration(tdx)
               ? TDX_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED
               : TDX_TCB_TD_RELAUNCH_ADVISED;
}

static void add_advisories(struct tdx_advisories *set, const json_t *names_of_level)
{
    for (size_t i = 0; i < json_array_size(names_of_level) && set->n < TDX_ADVISORIES_MAX; i++) {
        const char *id = json_string_value(json_array_get(names_of_level, i));
        size_t at = 0;
        while (at < set->n && strcmp(set->id[at], id) != 0)
            at++;
        if (at == set->n)
            snprintf(set->id[set->n++], TDX_ADVISORY_SIZE, "%s", id);
    }
}

void tdx_tcb_evaluate(const struct tdx_tcb_request *rq, struct tdx_tcb_result *out)
{
    const struct tdx_isv_level *qe = isv_level(&rq->qe_identity->levels, rq->qe_isv_svn);
    const struct tdx_isv_level *module =
        rq->module ? isv_level(&rq->module->levels, rq->body->tee_tcb_svn.p[SVN_MODULE]) : NULL;
    const struct tdx_tcb_level *sgx, *tdx;
    *out = (struct tdx_tcb_result){
        .status = TDX_TCB_NO_MATCHING_LEVEL,
        .platform = TDX_TCB_NO_MATCHING_LEVEL,
        .module = module       ? module->status
                  : rq->module ? TDX_TCB_NO_MATCHING_LEVEL
                               : TDX_TCB_UNKNOWN,
        .qe = qe ? qe->status : TDX_TCB_NO_MATCHING_LEVEL,
    };
    find_levels(rq, &sgx, &tdx);
    if (!tdx)
        return;
    out->platform = tdx->status;
    out->status = relaunch(rq, out, sgx->status, converge(tdx->status, out->module));
    out->status = converge(out->status, out->qe);
    memcpy(out->date, tdx->date, sizeof(out->date));
    add_advisories(&out->advisories, tdx->advisories);
    add_advisories(&out->advisories, module ? module->advisories : NULL);
    add_advisories(&out->advisories, qe ? qe->advisories : NULL);
}
