#include "cli/material.h"

#include "base/auto.h"
#include "base/file.h"
#include "cli/collateral_files.h"
#include "cli/commands.h"
#include "tee/collateral.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <strings.h>

#define CRL_FILE_MAX (16u << 20)

static bool ends_with(const char *name, const char *tail)
{
    size_t n = strlen(name), t = strlen(tail);
    return n > t && !strcasecmp(name + n - t, tail);
}

static bool is_certificate(const char *name)
{
    static const char *const tails[] = { ".der", ".cer", ".crt", ".pem" };
    for (size_t i = 0; i < ARRAY_SIZE(tails); i++)
        if (ends_with(name, tails[i]))
            return true;
    return false;
}

/* Intel's CRLs are DER files too: read with the PCS files. */
static bool is_intel_part(const char *name)
{
    return ends_with(name, "_crl.der") || ends_with(name, "_crl_issuer_chain.pem")
           || !strcasecmp(name, "tcb_signing_chain.pem");
}

static int read_crl(const char *path, struct material *out)
{
    AUTO(free_u8) uint8_t *data = NULL;
    struct err err = { 0 };
    size_t n = 0;
    int rc = read_input(path, CRL_FILE_MAX, &data, &n);
    if (rc)
        return rc;
    if (out->crl)
        return fail(STATUS_INPUT, path, "a second CRL: give the one of the report's product", NULL);
    if (crl_parse(bytes_of(data, n), &out->crl, &err) < 0)
        return fail_err(STATUS_INPUT, path, "not a CRL", &err);
    return 0;
}

/* A file that is no certificate counts as absent: a folder of evidence has public keys and lists as PEM too.
 */
static int read_certificates(const char *path, struct material *out)
{
    AUTO(free_u8) uint8_t *data = NULL;
    struct cert_files *certs = &out->certs;
    struct err err = { 0 };
    size_t n = 0;
    int rc = read_input(path, (size_t)CERT_FILES_MAX * CERT_MAX, &data, &n);
    if (rc)
        return rc;
    int got = x509_parse_chain(bytes_of(data, n), certs->list + certs->n, CERT_FILES_MAX - certs->n, &err);
    if (got < 0 && err.kind != ERR_INPUT)
        return fail_err(status_of(&err), path, "cannot be used", &err);
    certs->n += got > 0 ? (size_t)got : 0;
    return 0;
}

static int read_entry(const char *folder, const char *name, bool *intel, struct material *out)
{
    char path[PATH_MAX];
    struct err err = { 0 };
    if (path_set(path, sizeof(path), &err, "%s/%s", folder, name) < 0)
        return fail_err(STATUS_INPUT, folder, "cannot read", &err);
    if (!strcasecmp(name, "tcb_info.json") || !strcasecmp(name, "qe_identity.json"))
        *intel = true;
    if (is_intel_part(name) || collateral_is_own_name(name))
        return 0;
    if (ends_with(name, ".crl"))
        return read_crl(path, out);
    return is_certificate(name) ? read_certificates(path, out) : 0;
}

static int read_intel(const char *folder, const struct verify_trust *trust, struct material *out)
{
    AUTO(tdx_collateral_drop) struct tdx_collateral *parts = NULL;
    const struct verify_vendor_trust *intel = &trust->vendor[VERIFY_INTEL];
    const struct tdx_anchors anchors = { intel->anchor, intel->anchors };
    struct err err = { 0 };
    int rc = collateral_read(folder, &parts);
    if (!rc && tdx_prepare_collateral(parts, &anchors, &out->tdx, &err) < 0)
        rc = fail_err(status_of(&err), folder, "cannot use the collateral", &err);
    return rc;
}

int material_read(const char *folder, const struct verify_trust *trust, struct material *out)
{
    DIR *dir = opendir(folder);
    bool intel = false;
    int rc = 0;
    if (!dir)
        return fail(STATUS_INPUT, folder, "cannot open the folder", strerror(errno));
    for (const struct dirent *e; !rc && (e = readdir(dir));)
        rc = e->d_name[0] == '.' ? 0 : read_entry(folder, e->d_name, &intel, out);
    closedir(dir);
    if (!rc && intel)
        rc = read_intel(folder, trust, out);
    out->view = (struct verify_material){
        .certs = out->certs.list, .certs_n = out->certs.n, .snp_crl = out->crl, .tdx = out->tdx
    };
    return rc;
}

void material_done(struct material *m)
{
    cert_files_done(&m->certs);
    X509_CRL_free(m->crl);
    tdx_prepared_collateral_free(m->tdx);
    supply_done(&m->kept);
    supply_done(&m->found);
}
