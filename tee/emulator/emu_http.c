/* The network of the emulated machine: the vendors' services that it could reach, answered from its own
 * certificates. Sources: AMD 57230 (KDS); Intel PCS API version 4; Azure instance metadata (THIM, tdquote).
 */
#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"
#include "base/x509.h"
#include "tee/emulator/emu.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define URL_MAX 1024

/* One request: what follows the prefix in the URL is path (with query). */
struct visit {
    struct emulator *e;
    const struct http_request *request;
    const char *rest;
    struct buf *body;
    struct http_response *response; /* for headers */
    struct err *err;
};

typedef unsigned serve_fn(struct visit *v); /* the HTTP status */

static unsigned put_cert(struct visit *v, X509 *cert)
{
    return cert && x509_put_der(cert, v->body, v->err) == 0 ? 200 : 404;
}

static unsigned put_bytes(struct visit *v, struct bytes data)
{
    buf_put(v->body, data);
    return 200;
}

/* ---- AMD KDS: {vcek,vlek}/v1/PRODUCT/... ---- */

/* The value of a query parameter as a number, or -1. */
static long query_number(const char *query, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = query; p && *p; p = strchr(p, '&'), p = p ? p + 1 : NULL)
        if (!strncmp(p, name, n) && p[n] == '=')
            return strtol(p + n + 1, NULL, 10);
    return -1;
}

/* The KDS answers for any TCB; this one has a certificate for the platform's only. */
static bool tcb_matches(const struct snp_facts *f, const char *query)
{
    static const struct {
        const char *name;
        uint8_t other, turin; /* index into the TCB; 0xFF: not for this family */
    } parameters[] = {
        { "fmcSPL", 0xFF, 0 }, { "blSPL", 0, 1 }, { "teeSPL", 1, 2 }, { "snpSPL", 6, 3 }, { "ucodeSPL", 7, 7 }
    };
    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
        uint8_t at = f->chip_id_size == 8 ? parameters[i].turin : parameters[i].other;
        if (at != 0xFF && query_number(query, parameters[i].name) != f->tcb[at])
            return false;
    }
    return true;
}

static unsigned kds_leaf(struct visit *v, const struct snp_public *p, const char *path)
{
    size_t digits = strcspn(path, "?");
    uint8_t hwid[64];
    struct err ignored = { 0 };
    if (p->facts->csp_id || path[digits] != '?' || digits != 2 * p->hwid.n
        || hex_decode_fixed(bytes_of(path, digits), hwid, p->hwid.n, &ignored) < 0
        || memcmp(hwid, p->hwid.p, p->hwid.n) != 0 || !tcb_matches(p->facts, path + digits + 1))
        return 404;
    return put_cert(v, p->vek);
}

static unsigned kds(struct visit *v)
{
    if (!v->e->snp)
        return 404;
    struct snp_public p = snp_machine_public(v->e->snp);
    char prefix[64];
    snprintf(prefix, sizeof(prefix), "%s/v1/%s/", p.facts->csp_id ? "vlek" : "vcek", p.facts->product);
    if (strncmp(v->rest, prefix, strlen(prefix)) != 0)
        return 404;
    const char *path = v->rest + strlen(prefix);
    if (!strcmp(path, "crl"))
        return put_bytes(v, p.crl);
    if (strcmp(path, "cert_chain") != 0)
        return kds_leaf(v, &p, path);
    pem_put(v->body, p.signer);
    pem_put(v->body, p.ark);
    return 200;
}

/* ---- Intel ---- */

/* The issuer chain as a header, percent-encoded, if the request wants it. */
static unsigned put_chain(struct visit *v, const char *name, enum tdx_collateral which)
{
    AUTO(buf_done) struct buf value = buf_new(HTTP_HEADER_VALUE_MAX);
    struct bytes pem = tdx_machine_collateral(v->e->tdx, which);
    for (size_t i = 0; i < pem.n; i++) {
        if (isalnum(pem.p[i]) || pem.p[i] == '-')
            buf_u8(&value, pem.p[i]);
        else
            buf_printf(&value, "%%%02X", pem.p[i]);
    }
    for (size_t i = 0; i < HTTP_WANTED_MAX && v->request->wanted[i]; i++)
        if (!strcasecmp(v->request->wanted[i], name) && !v->response->header[i])
            v->response->header[i] = buf_take_str(&value);
    return 200;
}

static unsigned pcs_tcb(struct visit *v)
{
    if (!v->e->tdx || strncmp(v->rest, "fmspc=", 6) != 0)
        return 404;
    const char *fmspc = v->rest + 6;
    if (!tdx_fmspc_is(bytes_of(fmspc, strcspn(fmspc, "&"))))
        return 404;
    put_bytes(v, tdx_machine_collateral(v->e->tdx, TDX_TCB_INFO));
    return put_chain(v, "TCB-Info-Issuer-Chain", TDX_TCB_SIGNING_CHAIN);
}

static unsigned pcs_qe(struct visit *v)
{
    if (!v->e->tdx)
        return 404;
    put_bytes(v, tdx_machine_collateral(v->e->tdx, TDX_QE_IDENTITY));
    return put_chain(v, "SGX-Enclave-Identity-Issuer-Chain", TDX_TCB_SIGNING_CHAIN);
}

static unsigned pcs_pckcrl(struct visit *v)
{
    if (!v->e->tdx || !strstr(v->rest, "ca=platform") || !strstr(v->rest, "encoding=der"))
        return 404;
    put_bytes(v, tdx_machine_collateral(v->e->tdx, TDX_PCK_CRL));
    return put_chain(v, "SGX-PCK-CRL-Issuer-Chain", TDX_PCK_CRL_ISSUER_CHAIN);
}

static unsigned root_crl(struct visit *v)
{
    return v->e->tdx ? put_bytes(v, tdx_machine_collateral(v->e->tdx, TDX_ROOT_CA_CRL)) : 404;
}

/* ---- Azure's metadata service ---- */

static bool has_metadata_header(const struct http_request *r)
{
    for (size_t i = 0; i < HTTP_HEADERS_MAX && r->headers[i]; i++)
        if (!strcasecmp(r->headers[i], "Metadata: true"))
            return true;
    return false;
}

static unsigned thim(struct visit *v)
{
    AUTO(buf_done) struct buf vcek = buf_new(CERT_MAX), chain = buf_new(2 * CERT_MAX);
    char tcbm[17];
    uint8_t newest_first[8];
    if (v->e->shape->cloud != CLOUD_AZURE || !v->e->snp)
        return 404;
    if (!has_metadata_header(v->request))
        return 400;
    struct snp_public p = snp_machine_public(v->e->snp);
    pem_put(&vcek, p.vek);
    pem_put(&chain, p.signer);
    pem_put(&chain, p.ark);
    for (size_t i = 0; i < sizeof(newest_first); i++)
        newest_first[i] = p.facts->tcb[7 - i];
    hex_to(tcbm, bytes_of(newest_first, sizeof(newest_first)));
    for (char *c = tcbm; *c; c++)
        *c = (char)toupper((unsigned char)*c);
    buf_str(v->body, "{");
    json_put_key(v->body, "vcekCert");
    json_put_string(v->body, buf_bytes(&vcek));
    json_put_key(v->body, "tcbm");
    json_put_string(v->body, bytes_str(tcbm));
    json_put_key(v->body, "certificateChain");
    json_put_string(v->body, buf_bytes(&chain));
    json_put_key(v->body, "cacheControl");
    json_put_string(v->body, bytes_str("86400"));
    buf_str(v->body, "}");
    return vcek.failed || chain.failed ? 500 : 200;
}

static unsigned tdquote(struct visit *v)
{
    AUTO(json_drop) json_t *body = NULL;
    AUTO(buf_done) struct buf report = buf_new(TDREPORT_SIZE), quote = buf_new(32768);
    struct err ignored = { 0 };
    if (v->e->shape->cloud != CLOUD_AZURE || !v->e->tdx)
        return 404;
    if (strcmp(v->request->method, "POST") != 0)
        return 405;
    if (json_parse(v->request->body, 65536, &body, &ignored) < 0
        || json_get_b64(body, "report", &report, &ignored) < 0
        || tdx_machine_quote_tdreport(v->e->tdx, buf_bytes(&report), &quote, &ignored) < 0)
        return 400;
    buf_str(v->body, "{\"quote\":\"");
    b64url_put(v->body, buf_bytes(&quote));
    buf_str(v->body, "\"}");
    return 200;
}

/* ---- Issuers of AK certificates ---- */

static unsigned google_intermediate(struct visit *v)
{
    return put_cert(v, v->e->ca.intermediate.cert);
}

static unsigned cloud_root(struct visit *v)
{
    return put_cert(v, v->e->ca.root.cert);
}

static const struct {
    const char *prefix;
    serve_fn *serve;
} sites[] = {
    { "https://kdsintf.amd.com/", kds },
    { "https://api.trustedservices.intel.com/tdx/certification/v4/tcb?", pcs_tcb },
    { "https://api.trustedservices.intel.com/tdx/certification/v4/qe/identity", pcs_qe },
    { "https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?", pcs_pckcrl },
    { "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der", root_crl },
    { "http://169.254.169.254/metadata/THIM/amd/certification", thim },
    { "http://169.254.169.254/acc/tdquote", tdquote },
    { GOOGLE_INTERMEDIATE_URL, google_intermediate },
    { GOOGLE_ROOT_URL, cloud_root },
    { AZURE_CA_URL, cloud_root },
};

static int perform(void *ctx, const struct http_request *request, struct http_response *out, struct err *err)
{
    struct http_response r = { .status = 404, .body = buf_new(request->max_body) };
    if (request->deadline_ms == 0)
        return err_set(err, ERR_INPUT, 0, "%.200s: a request without a deadline", request->url);
    for (size_t i = 0; i < ARRAY_SIZE(sites); i++) {
        size_t n = strlen(sites[i].prefix);
        if (strncmp(request->url, sites[i].prefix, n) != 0)
            continue;
        struct visit v = { ctx, request, request->url + n, &r.body, &r, err };
        r.status = sites[i].serve(&v);
        if (buf_check(&r.body, "the answer", err) < 0) {
            http_response_done(&r);
            return -1;
        }
        *out = r;
        return 0;
    }
    return err_set(err, ERR_UNAVAILABLE, 0, "the emulated network has no route to %.150s", request->url);
}

struct http emulator_http(struct emulator *e)
{
    return (struct http){ perform, e };
}
