#include "cli/verify_snp.h"

#include "base/auto.h"
#include "base/chain.h"
#include "tee/cert_table.h"

#define CERT_TABLE_MAX (1u << 20)

static int add_entry(struct cert_files *out, struct bytes data, const char *path, const char *what)
{
    struct err err = { 0 };
    int n = x509_parse_chain(data, out->list + out->n, CERT_FILES_MAX - out->n, &err);
    if (n < 0)
        return fail_err(STATUS_INPUT, path, what, &err);
    out->n += (size_t)n;
    return 0;
}

/* The VEK that the report's signing key asks for, and all that may be above it. */
static int read_table(const char *path, uint8_t signing_key, struct snp_material *out)
{
    static const enum cert_kind above[] = { CERT_ASK, CERT_ARK };
    AUTO(free_u8) uint8_t *data = NULL;
    size_t n = 0;
    struct cert_table table;
    struct bytes entry;
    struct err err = { 0 };
    int rc = read_input(path, CERT_TABLE_MAX, &data, &n);
    if (rc)
        return rc;
    if (cert_table_parse(bytes_of(data, n), &table, &err) < 0)
        return fail_err(STATUS_INPUT, path, "not a certificate table", &err);
    enum cert_kind vek = signing_key == SNP_KEY_VLEK ? CERT_VLEK : CERT_VCEK;
    if (cert_table_find(&table, vek, &entry)
        && (rc = add_entry(&out->vek, entry, path, "the table's VEK is no certificate")))
        return rc;
    for (size_t i = 0; i < ARRAY_SIZE(above); i++)
        if (cert_table_find(&table, above[i], &entry)
            && (rc = add_entry(&out->pool, entry, path, "the table's ASK or ARK is no certificate")))
            return rc;
    return 0;
}

static int read_crl(const char *path, X509_CRL **out)
{
    AUTO(free_u8) uint8_t *data = NULL;
    size_t n = 0;
    struct err err = { 0 };
    int rc = read_input(path, CRL_MAX, &data, &n);
    if (rc)
        return rc;
    if (crl_parse(bytes_of(data, n), out, &err) < 0)
        return fail_err(STATUS_INPUT, path, "not a CRL", &err);
    return 0;
}

/* A bundle may have the chain in either order; of AMD's certificates only a VEK has a key on a curve. */
static void put_vek_first(struct cert_files *bundle)
{
    size_t i = 0;
    while (i < bundle->n && !EVP_PKEY_is_a(X509_get0_pubkey(bundle->list[i]), "EC"))
        i++;
    if (i == 0 || i == bundle->n)
        return;
    X509 *vek = bundle->list[i];
    bundle->list[i] = bundle->list[0];
    bundle->list[0] = vek;
}

/* A root alone is no chain: some tables have it beside the VEK. */
static bool has_intermediate(const struct cert_files *pool)
{
    for (size_t i = 0; i < pool->n; i++)
        if (X509_NAME_cmp(X509_get_issuer_name(pool->list[i]), X509_get_subject_name(pool->list[i])) != 0)
            return true;
    return false;
}

static void judge_vek(struct snp_material *m)
{
    struct err err = { 0 };
    char text[ERR_TEXT_MAX];
    if (m->vek.n == 0) {
        snprintf(m->no_vek, sizeof(m->no_vek), "there is no VEK certificate: give --vek or --certtable");
        return;
    }
    put_vek_first(&m->vek);
    cert_files_add(&m->pool, m->vek.list + 1, m->vek.n - 1);
    const size_t given = m->pool.n;
    if (!has_intermediate(&m->pool)) /* a chain that was given is judged as it is, not mended */
        cert_files_add(&m->pool, m->anchors.pool, m->anchors.pool_n);
    const struct snp_vek_request rq = { .vek = m->vek.list[0],
                                        .pool = m->pool.list,
                                        .pool_n = m->pool.n,
                                        .given = given,
                                        .anchors = m->anchors.list,
                                        .anchors_n = m->anchors.n,
                                        .crl = m->crl };
    if (snp_vek_new(&rq, &m->judged, &err) < 0)
        snprintf(m->no_vek, sizeof(m->no_vek), "%.190s", err_text(&err, text, sizeof(text)));
}

int snp_material_read(const struct snp_files *files, uint8_t signing_key, struct snp_material *out)
{
    struct err err = { 0 };
    int rc = 0;
    if (files->vek && (rc = cert_files_read(&out->vek, files->vek)))
        return rc;
    for (size_t i = 0; i < files->chain.n; i++)
        if ((rc = cert_files_read(&out->pool, files->chain.item[i])))
            return rc;
    if (files->certtable && (rc = read_table(files->certtable, signing_key, out)))
        return rc;
    if (files->crl && (rc = read_crl(files->crl, &out->crl)))
        return rc;
    if (anchors_add(&out->anchors, TRUST_AMD, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, "cvm-cli", "cannot start", &err);
    judge_vek(out);
    return 0;
}

void snp_material_done(struct snp_material *m)
{
    snp_vek_free(m->judged);
    cert_files_done(&m->vek);
    cert_files_done(&m->pool);
    anchors_done(&m->anchors);
    X509_CRL_free(m->crl);
}

void snp_material_verify(const struct snp_material *m, struct bytes report, time_t at, struct checks *checks,
                         struct snp_verdict *out)
{
    snp_verify(report, m->judged, at, checks, out);
    if (m->judged)
        return;
    if (out->parsed)
        checks_warn(checks, "%s", m->no_vek);
    if (m->crl)
        checks_add(checks, "snp.crl", CHECK_FAILED, "not made: there is no VEK certificate");
}

json_t *snp_verdict_json(const struct snp_verdict *v)
{
    const struct snp_report *r = &v->report;
    return json_pack("{s:s, s:i, s:s, s:s, s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "product",
                     snp_product_name(v->product), "version", (int)r->version, "signing_key",
                     snp_signing_key_name(r->signing_key), "csp_id", v->csp_id, "reported_tcb",
                     snp_tcb_json(&v->reported), "policy", json_hex_u64(r->policy), "vmpl", (int)r->vmpl,
                     "measurement", json_hex(r->measurement), "report_data", json_hex(r->report_data),
                     "host_data", json_hex(r->host_data), "id_key_digest", json_hex(r->id_key_digest),
                     "author_key_digest", json_hex(r->author_key_digest), "chip_id", json_hex(r->chip_id));
}
