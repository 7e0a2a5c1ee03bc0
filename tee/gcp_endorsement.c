#include "tee/gcp_endorsement.h"

#include "base/auto.h"
#include "base/chain.h"
#include "base/enc.h"
#include "base/pb_json.h"

#include <openssl/err.h>
#include <openssl/rsa.h>

#define BUNDLE_MAX 8
#define FOLDER     "gce_tcb_integrity/ovmf_x64_csm/"

static const struct pb_member timestamp_members[] = { { 1, PB_KIND_U64, "seconds", false, NULL, NULL },
                                                      { 2, PB_KIND_U64, "nanos", false, NULL, NULL } };
static const struct pb_message timestamp_message = { "Timestamp", timestamp_members,
                                                     ARRAY_SIZE(timestamp_members) };
static const struct pb_member snp_members[] = {
    { 1, PB_KIND_U32, "svn", false, NULL, NULL },
    { 2, PB_KIND_MAP_U32, "measurements", false, NULL, NULL },
    { 3, PB_KIND_BYTES, "family_id", false, NULL, NULL },
    { 4, PB_KIND_BYTES, "image_id", false, NULL, NULL },
    { 5, PB_KIND_U64, "policy", false, NULL, NULL },
    { 6, PB_KIND_BYTES, "ca_bundle", false, NULL, NULL },
};
static const struct pb_message snp_message = { "VMSevSnp", snp_members, ARRAY_SIZE(snp_members) };
static const struct pb_member golden_members[] = {
    { 1, PB_KIND_MESSAGE, "timestamp", false, &timestamp_message, NULL },
    { 2, PB_KIND_U64, "cl_spec", false, NULL, NULL },
    { 3, PB_KIND_BYTES, "commit", false, NULL, NULL },
    { 4, PB_KIND_BYTES, "cert", false, NULL, NULL },
    { 5, PB_KIND_BYTES, "digest", false, NULL, NULL },
    { 6, PB_KIND_BYTES, "ca_bundle", false, NULL, NULL },
    { 7, PB_KIND_MESSAGE, "sev_snp", false, &snp_message, NULL },
    { 8, PB_KIND_BYTES, "tdx", false, NULL, NULL },
};
static const struct pb_message golden_message = { "VMGoldenMeasurement", golden_members,
                                                  ARRAY_SIZE(golden_members) };
static const struct pb_member launch_members[] = {
    { 1, PB_KIND_BYTES, "serialized_uefi_golden", false, NULL, NULL },
    { 2, PB_KIND_BYTES, "signature", false, NULL, NULL },
};
static const struct pb_message launch_message = { "VMLaunchEndorsement", launch_members,
                                                  ARRAY_SIZE(launch_members) };

static int read_measurements(struct bytes snp, struct gcp_endorsement *e, struct err *err)
{
    struct reader r = reader_of(snp);
    struct pb_field f;
    while (pb_next(&r, &f, err) > 0) {
        if (f.number != 2)
            continue;
        struct gcp_measurement m = { (uint32_t)pb_get_uint(f.data, 1), pb_get_bytes(f.data, 2) };
        if (e->measurements == GCP_VCPUS_MAX)
            return err_set(err, ERR_TOO_LARGE, 0, "more than %d measurements", GCP_VCPUS_MAX);
        if (m.value.n != GCP_MEASUREMENT || gcp_endorsement_snp(e, m.vcpus).n)
            return err_set(err, ERR_INPUT, 0, "the measurement for %u vCPUs has %zu bytes, or is there twice",
                           m.vcpus, m.value.n);
        e->measurement[e->measurements++] = m;
    }
    return 0;
}

int gcp_endorsement_parse(struct bytes raw, struct gcp_endorsement *out, struct err *err)
{
    struct gcp_endorsement e = { .measurements = 0 };
    struct pb_field snp;
    if (raw.n > GCP_ENDORSEMENT_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "an endorsement of %zu bytes, at most %u are read", raw.n,
                       GCP_ENDORSEMENT_MAX);
    if (pb_check(&launch_message, reader_of(raw), err) < 0)
        return -1;
    e.golden = pb_get_bytes(raw, 1);
    e.signature = pb_get_bytes(raw, 2);
    if (!e.golden.n)
        return err_set(err, ERR_INPUT, 0, "not a launch endorsement: serialized_uefi_golden is empty");
    if (pb_check(&golden_message, reader_of(e.golden), err) < 0)
        return -1;
    e.cert = pb_get_bytes(e.golden, 4);
    e.digest = pb_get_bytes(e.golden, 5);
    e.ca_bundle = pb_get_bytes(e.golden, 6);
    e.has_snp = pb_find(e.golden, 7, &snp);
    e.family_id = e.image_id = bytes_of(NULL, 0);
    if (e.has_snp) {
        e.svn = (uint32_t)pb_get_uint(snp.data, 1);
        e.family_id = pb_get_bytes(snp.data, 3);
        e.image_id = pb_get_bytes(snp.data, 4);
        e.policy = pb_get_uint(snp.data, 5);
        if (read_measurements(snp.data, &e, err) < 0)
            return -1;
    }
    if (e.digest.n && e.digest.n != 48)
        return err_set(err, ERR_INPUT, 0, "the firmware's digest has %zu bytes, want 48", e.digest.n);
    *out = e;
    return 0;
}

struct bytes gcp_endorsement_snp(const struct gcp_endorsement *e, uint32_t vcpus)
{
    for (size_t i = 0; i < e->measurements; i++)
        if (e->measurement[i].vcpus == vcpus)
            return e->measurement[i].value;
    return bytes_of(NULL, 0);
}

/* ---- judging ---- */

static int check_signature(const struct gcp_endorsement *e, X509 *cert, struct err *err)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);
    EVP_PKEY_CTX *how = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = key && ctx && EVP_PKEY_is_a(key, "RSA") == 1
                && EVP_DigestVerifyInit_ex(ctx, &how, "SHA256", NULL, NULL, key, NULL) == 1
                && EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1
                && EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) == 1
                && EVP_DigestVerify(ctx, e->signature.p, e->signature.n, e->golden.p, e->golden.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good ? 0
                : err_set(err, ERR_DENIED, 0,
                          "the endorsement is not signed by its certificate's key (RSA-PSS)");
}

static int check_chain(X509 *cert, X509 *const *pool, size_t pool_n, X509 *const *roots, size_t roots_n,
                       time_t at, struct err *err)
{
    X509 *own[BUNDLE_MAX];
    size_t own_n = 0;
    struct chain_result path;
    for (size_t i = 0; i < pool_n; i++)
        if (X509_NAME_cmp(X509_get_subject_name(pool[i]), X509_get_issuer_name(pool[i])) == 0)
            own[own_n++] = pool[i];
    if (!roots_n && !own_n)
        return 0;
    const struct chain_request rq = { .leaf = cert,
                                      .pool = pool,
                                      .pool_n = pool_n,
                                      .anchors = roots_n ? roots : own,
                                      .anchors_n = roots_n ? roots_n : own_n,
                                      .at = at };
    if (chain_verify(&rq, &path, err) < 0) {
        if (err->kind == ERR_NOT_FOUND)
            err->kind = ERR_DENIED;
        return err_while(err, "endorsement's certificate");
    }
    return path.dates_hold ? 0 : err_set(err, ERR_DENIED, 0, "endorsement's certificate: %s", path.dates_why);
}

int gcp_endorsement_verify(const struct gcp_endorsement *e, X509 *const *roots, size_t roots_n, time_t at,
                           struct err *err)
{
    AUTO(x509_drop) X509 *cert = NULL;
    X509 *pool[BUNDLE_MAX];
    int n = 0;
    if (!e->cert.n || !e->signature.n)
        return err_set(err, ERR_DENIED, 0, "the endorsement has no %s",
                       e->cert.n ? "signature" : "certificate");
    if (x509_parse(e->cert, &cert, err) < 0)
        return err_while(err, "endorsement's certificate");
    if (e->ca_bundle.n && (n = x509_parse_chain(e->ca_bundle, pool, BUNDLE_MAX, err)) < 0)
        return err_while(err, "endorsement's CA bundle");
    int rc = check_chain(cert, pool, (size_t)n, roots, roots_n, at, err);
    while (n)
        X509_free(pool[--n]);
    return rc < 0 ? -1 : check_signature(e, cert, err);
}

/* ---- where it is ---- */

void gcp_endorsement_object(struct bytes measurement, struct buf *out)
{
    buf_str(out, FOLDER "sevsnp/");
    hex_put(out, measurement);
    buf_str(out, ".binarypb");
}

void gcp_firmware_object(struct bytes digest, struct buf *out)
{
    buf_str(out, FOLDER);
    hex_put(out, digest);
    buf_str(out, ".fd");
}
