#include "cli/commands.h"

#include "base/auto.h"
#include "base/enc.h"
#include "cli/image_papers.h"
#include "image/authenticode.h"

#include <string.h>
#include <time.h>

struct verifying {
    const char *path, *certificate;
    bool json;
    struct papers_options papers;
    struct image_checks checks;
};

static const char signature[] = "secure_boot.signature";

/* Firmware does not look at dates; people may want to. */
static void check_dates(struct image_checks *c, X509 *cert)
{
    char until[24] = "";
    struct err err = { 0 };
    if (asn1_time_text(X509_get0_notAfter(cert), until, &err) < 0)
        until[0] = '\0';
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0)
        image_check(c, "secure_boot.dates", -1,
                    "warning: the certificate expired at %s; firmware starts the image all the same", until);
    else if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
        image_check(c, "secure_boot.dates", -1, "warning: the certificate is not valid yet");
    else
        image_check(c, "secure_boot.dates", 1, "the certificate is valid until %s", until);
}

static int judge_signatures(struct image_checks *c, const struct pe *pe, const struct authenticode_list *list,
                            const char *path)
{
    AUTO(free_u8) uint8_t *file = NULL;
    AUTO(x509_drop) X509 *cert = NULL;
    struct err err = { 0 }, why = { 0 };
    size_t n = 0, good = 0;
    int rc = read_input(path, 4 * CERT_MAX, &file, &n);
    if (rc)
        return rc;
    if (x509_parse(bytes_of(file, n), &cert, &err) < 0)
        return fail_err(STATUS_INPUT, path, "not a certificate", &err);
    for (size_t i = 0; i < list->n; i++) {
        if (authenticode_check(pe, &list->item[i], cert, &why) == 0)
            good++;
        else if (why.kind != ERR_UNAUTHENTICATED)
            return fail_err(status_of(&why), path, "cannot verify", &why);
    }
    if (good == 0) {
        image_check(c, signature, 0, "%s", list->n ? why.cause : "not signed for Secure Boot");
        return 0;
    }
    image_check(c, signature, 1, "%zu of %zu signatures by this certificate", good, list->n);
    check_dates(c, cert);
    return 0;
}

static int check_secure_boot(struct verifying *v, const struct disk *d)
{
    AUTO(authenticode_done) struct authenticode_list list = { .n = 0 };
    struct err err = { 0 };
    if (authenticode_read(&d->uki.pe, &list, &err) < 0) {
        image_check(&v->checks, signature, 0, "%s", err.cause);
        return 0;
    }
    if (v->certificate)
        return judge_signatures(&v->checks, &d->uki.pe, &list, v->certificate);
    if (list.n == 0)
        image_check(&v->checks, signature, -1, "not signed for Secure Boot");
    else
        image_check(&v->checks, signature, -1,
                    "%zu signatures, not judged: name a certificate with --secure-boot-cert", list.n);
    return 0;
}

static int print_lines(const struct image_checks *c)
{
    AUTO(buf_done) struct buf text = buf_new(1u << 20);
    for (size_t i = 0; i < json_array_size(c->list); i++) {
        const json_t *row = json_array_get(c->list, i), *ok = json_object_get(row, "ok");
        buf_printf(&text, "%-7s %-21s %s\n",
                   json_is_null(ok)   ? "-"
                   : json_is_true(ok) ? "ok"
                                      : "FAILED",
                   json_string_value(json_object_get(row, "check")),
                   json_string_value(json_object_get(row, "detail")));
    }
    return write_out(&text, NULL);
}

static int print_json(const struct image_checks *c)
{
    AUTO(json_drop) json_t *value = json_pack("{s:b, s:O}", "verified", !c->bad, "checks", c->list);
    return value ? write_json(value) : fail(STATUS_ENVIRONMENT, "verify-image", "out of memory", NULL);
}

static int check_all(struct verifying *v)
{
    AUTO(disk_close) struct disk d = { .fd = -1 };
    AUTO(papers_done) struct papers papers = { .statement = buf_new(0) };
    struct verity_header header;
    struct err err = { 0 };
    uint8_t root[32];
    char text[ERR_TEXT_MAX], hex[65];
    if (disk_open(v->path, &d, &err) < 0)
        return fail_err(err.kind == ERR_IO ? STATUS_ENVIRONMENT : STATUS_INPUT, v->path, "cannot be verified",
                        &err);
    int rc = papers_read(v->path, &papers);
    if (rc)
        return rc;
    image_check(&v->checks, "disk.layout", 1, "partition table, kernel image, command line");
    if (disk_check_root(&d, root, &header, &err) < 0) {
        if (err.kind != ERR_DENIED)
            return fail_err(status_of(&err), v->path, "cannot be verified", &err);
        image_check(&v->checks, "disk.root", 0, "%s", err_text(&err, text, sizeof(text)));
        return check_secure_boot(v, &d);
    }
    image_check(&v->checks, "disk.root", 1, "%s", hex_to(hex, bytes_of(root, 32)));
    if ((rc = papers_check_signature(&v->checks, &papers, &v->papers))
        || (rc = papers_check(&v->checks, &papers, &d, root, &v->papers)))
        return rc;
    return check_secure_boot(v, &d);
}

static int verify(struct verifying *v)
{
    v->checks.list = json_array();
    int rc = v->checks.list ? check_all(v) : fail(STATUS_ENVIRONMENT, v->path, "out of memory", NULL);
    if (rc == 0)
        rc = v->json ? print_json(&v->checks) : print_lines(&v->checks);
    json_decref(v->checks.list);
    return rc ? rc : v->checks.bad ? STATUS_NO : 0;
}

static int run(int argc, char **argv)
{
    struct verifying v = { 0 };
    const struct option_row rows[] = {
        { "key", OPTION_TEXT, &v.papers.key },
        { "other-data", OPTION_FLAG, &v.papers.other_data },
        { "secure-boot-cert", OPTION_TEXT, &v.certificate },
        { "json", OPTION_FLAG, &v.json },
    };
    int rc = options_parse(&command_verify_image, argc, argv, rows, ARRAY_SIZE(rows), &v.path, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    return verify(&v);
}

const struct command command_verify_image = {
    "verify-image",
    "DISK [--key PUB.pem [--other-data]] [--secure-boot-cert CERT.pem] [--json]",
    "Checks a disk image: its root hash, its kernel image, its signatures, and the papers beside it",
    "DISK is a raw disk that build-image made. Nothing is mounted, no root is needed. The root partition is\n"
    "hashed and compared with its hash tree and with the hash on the kernel's command line. Of the papers\n"
    "beside DISK (.json, .spdx.json, .provenance.json, .intoto.jsonl) those that are there must be of this "
    "image.\n"
    "\n"
    "  --key PUB.pem   the publisher's key, P-256 or Ed25519: all papers must be there, and be the ones "
    "that\n"
    "                  .intoto.jsonl, a DSSE envelope, signs; the disk must be the one that they name\n"
    "  --other-data    the data partition and the volume may be other ones (update-disk, a machine that "
    "ran)\n"
    "  --secure-boot-cert CERT.pem  the kernel image must be signed for Secure Boot, under this "
    "certificate.\n"
    "                  As firmware does, dates are not judged; one that is over is a warning\n"
    "  --json          prints {\"verified\",\"checks\":[{\"check\",\"ok\",\"detail\"}]}\n"
    "\n"
    "Exit status 0: no check failed; 1: one did; 3: a disk of another layout or format, or a malformed "
    "input.\n"
    "Without --key nobody is held to the papers: they are only compared with the disk.\n",
    run,
};
