#include "base/chain.h"

#include "base/auto.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/* ---- times ---- */

int asn1_time_value(const ASN1_TIME *t, time_t *out, struct err *err)
{
    struct tm tm;
    if (!t || ASN1_TIME_to_tm(t, &tm) != 1)
        return err_set(err, ERR_INPUT, 0, "a certificate time is not a date");
    *out = timegm(&tm);
    return 0;
}

/* Digits where the pattern has '0', the character itself elsewhere. */
static bool fits(const char *text, const char *pattern)
{
    for (; *pattern; text++, pattern++)
        if (*pattern == '0' ? *text < '0' || *text > '9' : *text != *pattern)
            return false;
    return true;
}

static int two(const char *digits)
{
    return (digits[0] - '0') * 10 + digits[1] - '0';
}

static int offset_seconds(const char *text, long *out)
{
    if (!strcmp(text, "Z") || !strcmp(text, "z")) {
        *out = 0;
        return 0;
    }
    if ((text[0] != '+' && text[0] != '-') || !fits(text + 1, "00:00") || text[6] || two(text + 1) > 23
        || two(text + 4) > 59)
        return -1;
    *out = (text[0] == '-' ? -1 : 1) * (two(text + 1) * 3600L + two(text + 4) * 60L);
    return 0;
}

/* timegm() would make the 3rd of March out of the 31st of February. */
static bool is_date(const struct tm *tm)
{
    struct tm back, in = *tm;
    time_t t = timegm(&in);
    return gmtime_r(&t, &back) && back.tm_mday == tm->tm_mday && back.tm_mon == tm->tm_mon
           && back.tm_hour == tm->tm_hour && back.tm_min == tm->tm_min;
}

int rfc3339_parse(const char *text, time_t *out, struct err *err)
{
    struct tm tm = { 0 };
    long offset;
    if (fits(text, "0000-00-00T00:00:00") || fits(text, "0000-00-00t00:00:00")) {
        const char *rest = text + 19;
        tm = (struct tm){ .tm_year = two(text) * 100 + two(text + 2) - 1900,
                          .tm_mon = two(text + 5) - 1,
                          .tm_mday = two(text + 8),
                          .tm_hour = two(text + 11),
                          .tm_min = two(text + 14),
                          .tm_sec = two(text + 17) };
        if (*rest == '.' && strspn(rest + 1, "0123456789"))
            rest += 1 + strspn(rest + 1, "0123456789");
        if (tm.tm_sec <= 59 && is_date(&tm) && offset_seconds(rest, &offset) == 0) {
            *out = timegm(&tm) - offset;
            return 0;
        }
    }
    return err_set(err, ERR_INPUT, 0, "\"%.40s\" is not a time like 2025-01-31T12:00:00Z", text);
}

char *rfc3339_text(time_t t, char out[static 24])
{
    struct tm tm;
    if (!gmtime_r(&t, &tm) || !strftime(out, 24, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(out, 24, "?");
    return out;
}

/* ---- one link ---- */

/* Critical extensions that the path walk understands, or that say something about uses which are not made
 * here. */
static bool understood(const ASN1_OBJECT *oid)
{
    static const int known[] = { NID_basic_constraints,    NID_key_usage,
                                 NID_ext_key_usage,        NID_subject_alt_name,
                                 NID_certificate_policies, NID_crl_distribution_points };
    int nid = OBJ_obj2nid(oid);
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (nid == known[i])
            return true;
    return false;
}

static const char *unknown_critical(const X509 *cert, char *out, size_t size)
{
    for (int i = 0; i < X509_get_ext_count(cert); i++) {
        X509_EXTENSION *ext = X509_get_ext(cert, i);
        if (X509_EXTENSION_get_critical(ext) && !understood(X509_EXTENSION_get_object(ext))) {
            OBJ_obj2txt(out, (int)size, X509_EXTENSION_get_object(ext), 1);
            return out;
        }
    }
    return NULL;
}

static bool weak_digest(int digest)
{
    return digest == NID_undef || digest == NID_md4 || digest == NID_md5 || digest == NID_sha1;
}

static bool weak_signature(X509 *cert)
{
    int digest = NID_undef; /* of RSA-PSS too: from its parameters */
    return X509_get_signature_info(cert, &digest, NULL, NULL, NULL) != 1 || weak_digest(digest);
}

static const char *may_issue(X509 *issuer, size_t below)
{
    uint32_t flags = X509_get_extension_flags(issuer);
    if (flags & EXFLAG_INVALID)
        return "the issuer has a malformed extension";
    if (!(flags & EXFLAG_CA))
        return "the issuer is not a CA";
    if ((flags & EXFLAG_KUSAGE) && !(X509_get_key_usage(issuer) & KU_KEY_CERT_SIGN))
        return "the issuer may not sign certificates";
    long pathlen = X509_get_pathlen(issuer);
    return pathlen >= 0 && (size_t)pathlen < below ? "the issuer's path length is exceeded" : NULL;
}

/* NULL if issuer, which has the right name, signed cert and may do so; below: CA certificates between the
 * leaf and this issuer. */
static const char *why_no_link(X509 *cert, X509 *issuer, size_t below)
{
    if (X509_verify(cert, X509_get0_pubkey(issuer)) != 1) {
        ERR_clear_error();
        return "its signature is not by the issuer's key";
    }
    return may_issue(issuer, below);
}

/* ---- the path ---- */

static int anchor_index(const struct chain_request *r, const X509 *cert)
{
    for (size_t i = 0; i < r->anchors_n; i++)
        if (X509_cmp(cert, r->anchors[i]) == 0)
            return (int)i;
    return -1;
}

static bool on_path(const struct chain_result *out, const X509 *cert)
{
    for (size_t i = 0; i < out->n; i++)
        if (X509_cmp(out->path[i], cert) == 0)
            return true;
    return false;
}

static const char no_issuer[] = "no certificate of its issuer's name";

/* The next certificate up: an anchor if one signed, else one of the pool. */
static X509 *issuer_of(const struct chain_request *r, const struct chain_result *out, const char **why)
{
    X509 *cert = out->path[out->n - 1];
    *why = no_issuer;
    for (size_t i = 0; i < r->anchors_n + r->pool_n; i++) {
        X509 *candidate = i < r->anchors_n ? r->anchors[i] : r->pool[i - r->anchors_n];
        if (on_path(out, candidate)
            || X509_NAME_cmp(X509_get_issuer_name(cert), X509_get_subject_name(candidate)) != 0)
            continue;
        *why = why_no_link(cert, candidate, out->n - 1);
        if (!*why)
            return candidate;
    }
    return NULL;
}

static int refuse(const X509 *cert, const char *why, struct err *err)
{
    AUTO(free_str) char *name = x509_name_text(X509_get_subject_name(cert));
    return err_set(err, why == no_issuer ? ERR_NOT_FOUND : ERR_DENIED, 0, "the chain ends at %.90s: %s",
                   name ? name : "?", why);
}

static const char *why_refused(X509 *cert, char *room, size_t size)
{
    char oid[80];
    const char *critical = unknown_critical(cert, oid, sizeof(oid));
    if (critical) {
        snprintf(room, size, "critical extension %s is not understood", critical);
        return room;
    }
    return weak_signature(cert) ? "it is signed over a weak hash" : NULL;
}

static void judge_dates(const struct chain_request *r, struct chain_result *out)
{
    out->dates_hold = true;
    for (size_t i = 0; i < out->n && out->dates_hold; i++) {
        time_t from = 0, to = 0;
        char a[24], b[24], now[24];
        struct err ignored = { 0 };
        if (asn1_time_value(X509_get0_notBefore(out->path[i]), &from, &ignored) == 0
            && asn1_time_value(X509_get0_notAfter(out->path[i]), &to, &ignored) == 0 && from <= r->at
            && r->at <= to)
            continue;
        out->dates_hold = false;
        snprintf(out->dates_why, sizeof(out->dates_why),
                 "certificate %zu of the path is valid %s to %s, the clock says %s", i, rfc3339_text(from, a),
                 rfc3339_text(to, b), rfc3339_text(r->at, now));
    }
}

int chain_dates(const struct chain_result *path, time_t *from, time_t *until, struct err *err)
{
    time_t latest = 0, earliest = INT64_MAX, a = 0, b = 0;
    for (size_t i = 0; i < path->n; i++) {
        if (asn1_time_value(X509_get0_notBefore(path->path[i]), &a, err) < 0
            || asn1_time_value(X509_get0_notAfter(path->path[i]), &b, err) < 0)
            return -1;
        latest = a > latest ? a : latest;
        earliest = b < earliest ? b : earliest;
    }
    *from = latest;
    *until = earliest;
    return 0;
}

int chain_verify(const struct chain_request *request, struct chain_result *out, struct err *err)
{
    struct chain_result path = { .path = { request->leaf }, .n = 1 };
    char room[128];
    for (;;) {
        X509 *cert = path.path[path.n - 1];
        int anchor = anchor_index(request, cert);
        const char *why = anchor >= 0 ? NULL : why_refused(cert, room, sizeof(room));
        if (why)
            return refuse(cert, why, err);
        if (anchor >= 0) {
            path.anchor = (size_t)anchor;
            break;
        }
        if (path.n == CHAIN_DEPTH_MAX)
            return refuse(cert, "the path is too long", err);
        X509 *issuer = issuer_of(request, &path, &why);
        if (!issuer)
            return refuse(cert, why, err);
        path.path[path.n++] = issuer;
    }
    judge_dates(request, &path);
    *out = path;
    return 0;
}

/* ---- CRLs ---- */

/* Else libcrypto would ask the terminal for one. */
int crl_parse(struct bytes data, X509_CRL **out, struct err *err)
{
    const unsigned char *p = data.p;
    X509_CRL *crl = NULL;
    if (data.n > CRL_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "CRL of %zu bytes, at most %u are read", data.n, CRL_MAX);
    if (memmem(data.p, data.n, "-----BEGIN ", 11)) {
        BIO *bio = BIO_new_mem_buf(data.p, (int)data.n);
        crl = bio ? PEM_read_bio_X509_CRL(bio, NULL, x509_no_passphrase, NULL) : NULL;
        BIO_free(bio);
    } else {
        crl = d2i_X509_CRL(NULL, &p, (long)data.n);
        if (crl && p != data.p + data.n) {
            X509_CRL_free(crl);
            crl = NULL;
        }
    }
    ERR_clear_error();
    if (!crl)
        return err_set(err, ERR_INPUT, 0, "no CRL in %zu bytes", data.n);
    *out = crl;
    return 0;
}

int crl_times(const X509_CRL *crl, time_t *this_update, time_t *next_update, struct err *err)
{
    time_t from = 0, to = 0;
    if (asn1_time_value(X509_CRL_get0_lastUpdate(crl), &from, err) < 0
        || (X509_CRL_get0_nextUpdate(crl) && asn1_time_value(X509_CRL_get0_nextUpdate(crl), &to, err) < 0))
        return -1;
    *this_update = from;
    *next_update = to;
    return 0;
}

/* True for an issuing distribution point that says nothing but where the CRL is found. */
static bool whole_scope(X509_EXTENSION *ext)
{
    ISSUING_DIST_POINT *idp = X509V3_EXT_d2i(ext);
    bool whole = idp && idp->onlyuser <= 0 && idp->onlyCA <= 0 && idp->onlyattr <= 0 && idp->indirectCRL <= 0
                 && !idp->onlysomereasons;
    ISSUING_DIST_POINT_free(idp);
    ERR_clear_error();
    return whole;
}

/* A CRL that covers only some certificates or reasons, or is a difference to another, says so in a critical
 * extension (RFC 5280, sections 5.2.4 and 5.2.5); absence from such a list proves nothing. */
static bool partial_crl(const X509_CRL *crl)
{
    for (int i = 0; i < X509_CRL_get_ext_count(crl); i++) {
        X509_EXTENSION *ext = X509_CRL_get_ext(crl, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(ext));
        if (X509_EXTENSION_get_critical(ext) && (nid != NID_issuing_distribution_point || !whole_scope(ext)))
            return true;
    }
    return false;
}

/* The hash of a CRL's signature; RSA-PSS has it in its parameters, SHA-1 if absent (RFC 4055, section 3.1).
 */
static int crl_digest(const X509_CRL *crl)
{
    const X509_ALGOR *alg;
    const void *params;
    const ASN1_OBJECT *oid;
    int type, digest = NID_undef, nid = X509_CRL_get_signature_nid(crl);
    if (nid != NID_rsassaPss)
        return OBJ_find_sigid_algs(nid, &digest, NULL) == 1 ? digest : NID_undef;
    X509_CRL_get0_signature(crl, NULL, &alg);
    X509_ALGOR_get0(NULL, &type, &params, alg);
    const ASN1_STRING *der = type == V_ASN1_SEQUENCE ? params : NULL;
    const unsigned char *p = der ? ASN1_STRING_get0_data(der) : NULL;
    RSA_PSS_PARAMS *pss = der ? d2i_RSA_PSS_PARAMS(NULL, &p, ASN1_STRING_length(der)) : NULL;
    if (pss && pss->hashAlgorithm) {
        X509_ALGOR_get0(&oid, NULL, NULL, pss->hashAlgorithm);
        digest = OBJ_obj2nid(oid);
    }
    RSA_PSS_PARAMS_free(pss);
    ERR_clear_error();
    return digest;
}

static bool may_sign_crls(X509 *issuer)
{
    return !(X509_get_extension_flags(issuer) & EXFLAG_KUSAGE) || X509_get_key_usage(issuer) & KU_CRL_SIGN;
}

int crl_verify(X509_CRL *crl, X509 *issuer, time_t at, struct err *err)
{
    time_t from, to;
    char a[24], b[24], now[24];
    if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(issuer)) != 0)
        return err_set(err, ERR_DENIED, 0, "the CRL is of another issuer");
    if (weak_digest(crl_digest(crl)))
        return err_set(err, ERR_DENIED, 0, "the CRL is signed over a weak hash");
    if (!may_sign_crls(issuer))
        return err_set(err, ERR_DENIED, 0, "the issuer may not sign CRLs");
    if (partial_crl(crl))
        return err_set(err, ERR_DENIED, 0, "the CRL has a critical extension: it may not cover everything");
    if (X509_CRL_verify(crl, X509_get0_pubkey(issuer)) != 1) {
        ERR_clear_error();
        return err_set(err, ERR_DENIED, 0, "the CRL's signature is not by its issuer");
    }
    if (crl_times(crl, &from, &to, err) < 0)
        return -1;
    if (at < from || (to && at > to))
        return err_set(err, ERR_DENIED, 0, "the CRL is for %s to %s, the clock says %s",
                       rfc3339_text(from, a), to ? rfc3339_text(to, b) : "ever", rfc3339_text(at, now));
    return 0;
}

bool crl_revokes(X509_CRL *crl, const X509 *cert)
{
    X509_REVOKED *entry = NULL;
    return X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(cert)) == 0
           && X509_CRL_get0_by_serial(crl, &entry, X509_get0_serialNumber(cert)) == 1;
}
