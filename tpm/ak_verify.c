#include "tpm/ak_verify.h"

#include "base/auto.h"
#include "base/chain.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/* tcg-kp-EKCertificate (Google's CA puts it into AK certificates too) and tcg-kp-AIKCertificate. */
static const char *const usages[] = { "2.23.133.8.1", "2.23.133.8.3" };

static bool tcg_usage(const EXTENDED_KEY_USAGE *eku)
{
    char oid[80];
    for (int i = 0; i < sk_ASN1_OBJECT_num(eku); i++) {
        OBJ_obj2txt(oid, sizeof(oid), sk_ASN1_OBJECT_value(eku, i), 1);
        for (size_t k = 0; k < ARRAY_SIZE(usages); k++)
            if (strcmp(oid, usages[k]) == 0)
                return true;
    }
    return false;
}

static int check_usage(X509 *cert, struct err *err)
{
    uint32_t flags = X509_get_extension_flags(cert);
    if (flags & EXFLAG_INVALID)
        return err_set(err, ERR_DENIED, 0, "the certificate has a malformed extension");
    if (flags & EXFLAG_CA)
        return err_set(err, ERR_DENIED, 0, "the certificate is a CA's, not a key's");
    if (flags & EXFLAG_KUSAGE && !(X509_get_key_usage(cert) & KU_DIGITAL_SIGNATURE))
        return err_set(err, ERR_DENIED, 0, "the certificate's key may not sign: it is no attestation key");
    if (!(flags & EXFLAG_XKUSAGE))
        return 0;
    EXTENDED_KEY_USAGE *eku = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
    bool good = eku && tcg_usage(eku);
    EXTENDED_KEY_USAGE_free(eku);
    return good
               ? 0
               : err_set(err, ERR_DENIED, 0, "the certificate's extended usages name no TPM attestation key");
}

static int judge(const struct ak_cert_request *rq, struct ak_judged *out, struct err *err)
{
    struct chain_result path;
    const struct chain_request chain = { .leaf = rq->cert,
                                         .pool = rq->pool,
                                         .pool_n = rq->pool_n,
                                         .anchors = rq->anchors,
                                         .anchors_n = rq->anchors_n };
    if (chain_verify(&chain, &path, err) < 0)
        return -1;
    if (path.n < 2)
        return err_set(err, ERR_DENIED, 0, "the certificate is a root, not a key's");
    if (check_usage(rq->cert, err) < 0 || chain_dates(&path, &out->from, &out->until, err) < 0)
        return -1;
    out->anchor = path.anchor;
    return 0;
}

void ak_cert_judge(const struct ak_cert_request *request, struct ak_judged *out)
{
    struct err err = { 0 };
    char text[ERR_TEXT_MAX];
    *out = (struct ak_judged){ 0 };
    out->ok = judge(request, out, &err) == 0;
    ERR_clear_error();
    if (out->ok)
        return;
    out->no_issuer = err.kind == ERR_NOT_FOUND;
    snprintf(out->why, sizeof(out->why), "%.200s", err_text(&err, text, sizeof(text)));
}

bool ak_cert_check(const struct ak_judged *judged, const X509 *cert, EVP_PKEY *ak, time_t at, bool optional,
                   struct checks *checks)
{
    char from[24], until[24], now[24];
    if (!judged->ok && judged->no_issuer && optional) {
        checks_add(checks, "tpm.ak_chain", CHECK_NOT_APPLICABLE, "not needed here: %.200s", judged->why);
        checks_warn(checks, "the AK certificate was not checked: %.200s", judged->why);
        return false;
    }
    if (!judged->ok) {
        checks_add(checks, "tpm.ak_chain", CHECK_FAILED, "%s", judged->why);
        return false;
    }
    if (!ak || EVP_PKEY_eq(X509_get0_pubkey(cert), ak) != 1) {
        ERR_clear_error();
        checks_add(checks, "tpm.ak_chain", CHECK_FAILED,
                   "the certificate is of another key than the one that signed");
        return false;
    }
    bool holds = judged->from <= at && at <= judged->until;
    checks_add(checks, "tpm.ak_chain", holds ? CHECK_OK : CHECK_FAILED,
               "to a pinned root, valid %s to %s, the clock says %s", rfc3339_text(judged->from, from),
               rfc3339_text(judged->until, until), rfc3339_text(at, now));
    return holds;
}
