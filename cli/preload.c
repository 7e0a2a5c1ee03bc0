#include "cli/preload.h"

#include "base/auto.h"
#include "cli/commands.h"
#include "evidence/verify_document.h"
#include "tee/hcl_report.h"
#include "tee/pck_cert.h"
#include "tee/tdx_quote.h"

#include <string.h>

void preload_drop(struct preload **p)
{
    for (size_t i = 0; *p && i < (*p)->n; i++)
        buf_done(&(*p)->wish[i].evidence);
    free(*p);
}

static int too_many(struct err *err)
{
    return err_set(err, ERR_TOO_LARGE, 0, "more than %d things to fetch: use several calls", PRELOAD_MAX);
}

int preload_add(struct preload *p, const struct collateral_id *id, struct err *err)
{
    char name[COLLATERAL_NAME_MAX], other[COLLATERAL_NAME_MAX];
    collateral_name(id, name);
    for (size_t i = 0; i < p->n; i++)
        if (p->wish[i].kind == PRELOAD_ITEM && !strcmp(collateral_name(&p->wish[i].id, other), name))
            return 0;
    if (p->n == PRELOAD_MAX)
        return too_many(err);
    p->wish[p->n++] = (struct preload_wish){ .kind = PRELOAD_ITEM, .id = *id };
    return 0;
}

int preload_add_product(struct preload *p, enum snp_product product, struct err *err)
{
    for (int vlek = 0; vlek < 2; vlek++) {
        const struct collateral_id chain = { .kind = COLLATERAL_AMD_CHAIN, .product = product, .vlek = vlek },
                                   crl = { .kind = COLLATERAL_AMD_CRL, .product = product, .vlek = vlek };
        if (preload_add(p, &chain, err) < 0 || preload_add(p, &crl, err) < 0)
            return -1;
    }
    return 0;
}

int preload_add_intel(struct preload *p, struct err *err)
{
    static const struct collateral_id all[] = {
        { .kind = COLLATERAL_ROOT_CRL },
        { .kind = COLLATERAL_QE_IDENTITY },
        { .kind = COLLATERAL_PCK_CRL, .ca = COLLATERAL_CA_PLATFORM },
        { .kind = COLLATERAL_PCK_CRL, .ca = COLLATERAL_CA_PROCESSOR },
    };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (preload_add(p, &all[i], err) < 0)
            return -1;
    return 0;
}

/* ---- evidence ---- */

static int add_evidence(struct preload *p, enum preload_kind kind, struct bytes data, const char *path,
                        struct err *err)
{
    if (p->n == PRELOAD_MAX)
        return too_many(err);
    struct preload_wish w = { .kind = kind, .evidence = buf_new(data.n), .path = path };
    buf_put(&w.evidence, data);
    if (buf_check(&w.evidence, "the evidence", err) < 0)
        return -1;
    p->wish[p->n++] = w;
    return 0;
}

/* Each of these: 1 if the bytes are of that kind, with what they need added; 0 if they are not; -1. */
typedef int try_fn(struct preload *p, struct bytes data, const char *path, struct err *err);

static int try_snp(struct preload *p, struct bytes data, const char *path, struct err *err)
{
    struct snp_report r;
    struct err ignored = { 0 };
    if (snp_report_parse(data, &r, &ignored) < 0)
        return 0;
    return add_evidence(p, PRELOAD_VEK, r.raw, path, err) < 0
                   || (r.product != SNP_UNKNOWN && preload_add_product(p, r.product, err) < 0)
               ? -1
               : 1;
}

static int add_platform(struct preload *p, struct bytes pck_chain, struct err *err)
{
    struct collateral_id id = { .kind = COLLATERAL_TCB_INFO };
    if (collateral_of_pck(pck_chain, id.fmspc, &id.ca, err) < 0)
        return -1;
    return preload_add(p, &id, err) < 0 || preload_add_intel(p, err) < 0 ? -1 : 1;
}

static int try_tdx(struct preload *p, struct bytes data, const char *path, struct err *err)
{
    struct tdx_quote q;
    struct err ignored = { 0 };
    (void)path;
    return tdx_quote_parse(data, &q, &ignored) < 0 ? 0 : add_platform(p, q.pck_chain, err);
}

static int try_hcl(struct preload *p, struct bytes data, const char *path, struct err *err)
{
    struct hcl_report r;
    struct err ignored = { 0 };
    return hcl_report_parse(data, &r, &ignored) < 0 ? 0 : try_snp(p, hcl_report_hw(&r), path, err);
}

static int try_certificate(struct preload *p, struct bytes data, const char *path, struct err *err)
{
    struct bytes extension;
    X509 *chain[TDX_CHAIN_MAX] = { 0 };
    struct err ignored = { 0 };
    int n = x509_parse_chain(data, chain, TDX_CHAIN_MAX, &ignored);
    if (n <= 0 && x509_parse(data, &chain[0], &ignored) == 0) /* padded as NV indices are */
        n = 1;
    if (n <= 0)
        return 0;
    int rc = x509_extension(chain[0], PCK_OID_SGX, &extension)  ? add_platform(p, data, err)
             : add_evidence(p, PRELOAD_AK, data, path, err) < 0 ? -1
                                                                : 1;
    while (n > 0)
        X509_free(chain[--n]);
    return rc;
}

static int try_document(struct preload *p, struct bytes data, const char *path, struct err *err)
{
    AUTO(document_done) struct document d = { 0 };
    struct err ignored = { 0 };
    int tee = 0, ak = 0;
    if (document_parse(data, &d, &ignored) < 0)
        return 0;
    if (d.tee == TEE_SEV_SNP)
        tee = try_snp(p, d.tee_report, path, err);
    if (d.tee == TEE_TDX)
        tee = try_tdx(p, d.tee_report, path, err);
    if (tee >= 0 && d.ak_cert.n)
        ak = try_certificate(p, d.ak_cert, path, err);
    return tee < 0 || ak < 0 ? -1 : tee | ak;
}

int preload_add_file(struct preload *p, const char *path)
{
    static try_fn *const tries[] = { try_snp, try_tdx, try_hcl, try_document, try_certificate };
    AUTO(free_u8) uint8_t *data = NULL;
    struct err err = { 0 };
    size_t n = 0;
    int rc = read_input(path, PRELOAD_FILE_MAX, &data, &n);
    if (rc)
        return rc;
    for (size_t i = 0; i < ARRAY_SIZE(tries) && rc == 0; i++)
        rc = tries[i](p, bytes_of(data, n), path, &err);
    if (rc < 0)
        return fail_err(STATUS_INPUT, path, "nothing can be fetched for it", &err);
    return rc ? 0
              : fail(STATUS_INPUT, path, "nothing can be fetched for it",
                     "neither an SNP report, TDX quote, HCL report, collaterals document nor certificate");
}

char *preload_name(const struct preload_wish *wish, char *out, size_t size)
{
    char name[COLLATERAL_NAME_MAX];
    if (wish->kind == PRELOAD_ITEM)
        snprintf(out, size, "%s", collateral_name(&wish->id, name));
    else
        snprintf(out, size, "%s of %s", wish->kind == PRELOAD_VEK ? "VEK certificate" : "AK issuers",
                 wish->path);
    return out;
}
