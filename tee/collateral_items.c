/* The kinds of collateral: names and addresses. Sources: AMD 57230, chapter 4 (KDS); Intel PCS API version 4;
 * Intel SGX PCCS design guide. */
#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "tee/collateral_internal.h"
#include "tee/tdx_tcb.h"

#include <ctype.h>
#include <string.h>

typedef int url_fn(const struct collateral_service *c, const struct collateral_id *id, char *out,
                   struct err *err);

const char *collateral_ca_name(enum collateral_ca ca)
{
    static const char *const names[COLLATERAL_CAS] = { "platform", "processor" };
    return names[ca];
}

static const char *amd_key(const struct collateral_id *id)
{
    return id->vlek ? "vlek" : "vcek";
}

/* ---- addresses ---- */

static char *fmspc_text(const struct collateral_id *id, char out[static 13])
{
    hex_to(out, bytes_of(id->fmspc, sizeof(id->fmspc)));
    for (char *p = out; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return out;
}

static int url_amd_chain(const struct collateral_service *c, const struct collateral_id *id, char *out,
                         struct err *err)
{
    return path_set(out, COLLATERAL_URL_MAX, err, "%s/%s/v1/%s/cert_chain", c->kds_url, amd_key(id),
                    snp_product_name(id->product));
}

static int url_amd_crl(const struct collateral_service *c, const struct collateral_id *id, char *out,
                       struct err *err)
{
    return path_set(out, COLLATERAL_URL_MAX, err, "%s/%s/v1/%s/crl", c->kds_url, amd_key(id),
                    snp_product_name(id->product));
}

static int url_tcb_info(const struct collateral_service *c, const struct collateral_id *id, char *out,
                        struct err *err)
{
    char fmspc[13];
    return path_set(out, COLLATERAL_URL_MAX, err, "%s/tdx/certification/v4/tcb?fmspc=%s", c->pcs_url,
                    fmspc_text(id, fmspc));
}

static int url_qe_identity(const struct collateral_service *c, const struct collateral_id *id, char *out,
                           struct err *err)
{
    (void)id;
    return path_set(out, COLLATERAL_URL_MAX, err, "%s/tdx/certification/v4/qe/identity", c->pcs_url);
}

static int url_pck_crl(const struct collateral_service *c, const struct collateral_id *id, char *out,
                       struct err *err)
{
    return path_set(out, COLLATERAL_URL_MAX, err, "%s/sgx/certification/v4/pckcrl?ca=%s&encoding=der",
                    c->pcs_url, collateral_ca_name(id->ca));
}

static int url_root_crl(const struct collateral_service *c, const struct collateral_id *id, char *out,
                        struct err *err)
{
    (void)id;
    return path_set(out, COLLATERAL_URL_MAX, err, "%s", c->root_crl_url);
}

/* ---- the kinds ---- */

/* Names: %1 and %2 are the parts of the id, see fill_name(). The first is ours, the others those of a folder
 * of PCS files and of the KDS' own downloads. */
static const struct {
    const char *data[COLLATERAL_NAMES_MAX], *chain[COLLATERAL_NAMES_MAX];
    size_t max;
    url_fn *url;
    const char *header[2];
} kinds[COLLATERAL_KINDS] = {
    [COLLATERAL_AMD_CHAIN] = { .data = { "chain-%1-%2.der", "cert_chain.pem", "cert_chain" },
                               .max = STORE_FILE_MAX,
                               .url = url_amd_chain },
    [COLLATERAL_AMD_CRL] = { .data = { "crl-%1-%2.der", "crl.der", "crl" },
                             .max = TDX_CRL_MAX,
                             .url = url_amd_crl },
    [COLLATERAL_TCB_INFO] = { .data = { "tcb_info-%1.json", "tcb_info.json" },
                              .chain = { "tcb_info-%1-chain.pem", "tcb_signing_chain.pem" },
                              .max = TDX_COLLATERAL_DOC_MAX,
                              .url = url_tcb_info,
                              .header = { "TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain" } },
    [COLLATERAL_QE_IDENTITY] = { .data = { "qe_identity.json", "qe_identity.json" },
                                 .chain = { "qe_identity-chain.pem", "tcb_signing_chain.pem" },
                                 .max = TDX_COLLATERAL_DOC_MAX,
                                 .url = url_qe_identity,
                                 .header = { "SGX-Enclave-Identity-Issuer-Chain" } },
    [COLLATERAL_PCK_CRL] = { .data = { "pck_crl-%1.der", "pck_crl.der" },
                             .chain = { "pck_crl-%1-chain.pem", "pck_crl_issuer_chain.pem" },
                             .max = (size_t)2 * TDX_CRL_MAX, /* in hexadecimal */
                             .url = url_pck_crl,
                             .header = { "SGX-PCK-CRL-Issuer-Chain" } },
    [COLLATERAL_ROOT_CRL] = { .data = { "root_ca_crl.der" },
                              .max = (size_t)2 * TDX_CRL_MAX,
                              .url = url_root_crl },
};

/* %1: key kind, FMSPC or CA; %2: product. */
static void fill_name(const struct collateral_id *id, const char *pattern, char out[COLLATERAL_NAME_MAX])
{
    char fmspc[13];
    const char *first = id->kind == COLLATERAL_TCB_INFO  ? fmspc_text(id, fmspc)
                        : id->kind == COLLATERAL_PCK_CRL ? collateral_ca_name(id->ca)
                                                         : amd_key(id);
    AUTO(buf_done) struct buf b = buf_new(COLLATERAL_NAME_MAX - 1);
    for (const char *p = pattern; p && *p; p++) {
        if (*p != '%')
            buf_u8(&b, (uint8_t)*p);
        else
            buf_str(&b, *++p == '1' ? first : snp_product_name(id->product));
    }
    snprintf(out, COLLATERAL_NAME_MAX, "%.*s", (int)b.n, b.n ? (const char *)b.p : "");
}

void collateral_names(const struct collateral_id *id, struct collateral_names *out)
{
    *out = (struct collateral_names){ 0 };
    for (; out->n < COLLATERAL_NAMES_MAX && kinds[id->kind].data[out->n]; out->n++) {
        fill_name(id, kinds[id->kind].data[out->n], out->file[out->n].data);
        fill_name(id, kinds[id->kind].chain[out->n], out->file[out->n].chain);
    }
}

char *collateral_name(const struct collateral_id *id, char out[static COLLATERAL_NAME_MAX])
{
    fill_name(id, kinds[id->kind].data[0], out);
    return out;
}

size_t collateral_max(enum collateral_kind kind)
{
    return kinds[kind].max;
}

int collateral_question(const struct collateral_service *c, const struct collateral_id *id,
                        struct collateral_question *out, struct err *err)
{
    memcpy(out->header, kinds[id->kind].header, sizeof(out->header));
    return kinds[id->kind].url(c, id, out->url, err);
}

/* Those of vek_cache.c and ak_chain.c too. Certificates with names of a user's own are found by their
 * contents. */
bool collateral_is_own_name(const char *file)
{
    static const struct {
        const char *start;
        size_t length; /* of the whole name; 0: any */
    } own[] = { { "vcek-", 0 },     { "vlek-", 0 },       { "chain-vcek-", 0 }, { "chain-vlek-", 0 },
                { "crl-vcek-", 0 }, { "crl-vlek-", 0 },   { "tcb_info-", 0 },   { "qe_identity-", 0 },
                { "pck_crl-", 0 },  { "ak-", 3 + 64 + 4 } };
    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        if (!strncmp(file, own[i].start, strlen(own[i].start))
            && (!own[i].length || strlen(file) == own[i].length))
            return true;
    return false;
}
