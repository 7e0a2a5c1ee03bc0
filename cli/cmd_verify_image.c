#include "cli/commands.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "image/disk.h"

#include <string.h>

#define PAPER_MAX (16u << 20)

/* ---- The papers beside the disk ---- */

struct papers {
    json_t *image, *sbom, *provenance; /* owned; NULL: not there */
};

static void papers_done(struct papers *p)
{
    json_decref(p->image);
    json_decref(p->sbom);
    json_decref(p->provenance);
}

static int read_paper(const char *base, const char *suffix, json_t **out)
{
    AUTO(free_u8) uint8_t *data = NULL;
    struct err err = { 0 };
    char path[4096];
    size_t n = 0;
    if (path_set(path, sizeof(path), &err, "%s%s", base, suffix) < 0)
        return fail_err(STATUS_INPUT, base, "name too long", &err);
    if (file_read(path, PAPER_MAX, &data, &n, &err) < 0)
        return err.kind == ERR_NOT_FOUND ? 0 : fail_err(STATUS_INPUT, path, "cannot be read", &err);
    return json_parse(bytes_of(data, n), PAPER_MAX, out, &err) < 0
               ? fail_err(STATUS_INPUT, path, "not JSON", &err)
               : 0;
}

static int read_papers(const char *disk, struct papers *out)
{
    char base[4096];
    snprintf(base, sizeof(base), "%s", disk);
    char *dot = strrchr(base, '.');
    if (dot && !strchr(dot, '/'))
        *dot = '\0';
    int rc = read_paper(base, ".json", &out->image);
    if (rc == 0)
        rc = read_paper(base, ".spdx.json", &out->sbom);
    return rc ? rc : read_paper(base, ".provenance.json", &out->provenance);
}

/* ---- Checks, one a line ---- */

struct checking {
    struct buf text;
    bool bad;
};

static void check(struct checking *c, const char *name, int ok, const char *detail)
{
    buf_printf(&c->text, "%-7s %-18s %s\n", ok < 0 ? "-" : ok ? "ok" : "FAILED", name, detail);
    c->bad = c->bad || ok == 0;
}

static bool says(const json_t *object, const char *key, struct bytes hash)
{
    char hex[2 * DIGEST_MAX + 1];
    const char *text = json_string_value(json_object_get(object, key));
    return text && strcmp(text, hex_to(hex, hash)) == 0;
}

static void check_image(struct checking *c, const struct papers *p, const struct disk *d,
                        const uint8_t root[static 32])
{
    uint8_t kernel[32], initrd[32];
    const char *line = json_string_value(json_object_get(p->image, "cmdline"));
    if (!p->image) {
        check(c, "image.json", -1, "not beside the disk");
        return;
    }
    sha256(buf_bytes(&d->kernel), kernel);
    sha256(d->uki.initrd, initrd);
    check(c, "image.root", says(json_object_get(p->image, "root"), "hash", bytes_of(root, 32)),
          "root hash as published");
    check(c, "image.kernel", says(p->image, "uki_sha256", bytes_of(kernel, 32)), "kernel image as published");
    check(c, "image.initrd", says(p->image, "initrd_sha256", bytes_of(initrd, 32)), "initrd as published");
    check(c, "image.cmdline", line && bytes_equal(bytes_str(line), d->uki.cmdline),
          "command line as published");
}

/* The SBOM is named by the root hash, the provenance by the kernel image's digest. */
static void check_papers(struct checking *c, const struct papers *p, const struct disk *d,
                         const uint8_t root[static 32])
{
    uint8_t kernel[32];
    char hex[65];
    if (!p->sbom) {
        check(c, "sbom", -1, "not beside the disk");
    } else {
        const char *name = json_string_value(json_object_get(p->sbom, "documentNamespace"));
        size_t n = json_array_size(json_object_get(p->sbom, "packages"));
        snprintf(hex, sizeof(hex), "%zu packages", n);
        bool right = name && n > 0;
        char want[65];
        hex_to(want, bytes_of(root, 32));
        right = right && strlen(name) > 64 && strcmp(name + strlen(name) - 64, want) == 0;
        check(c, "sbom", right, right ? hex : "of another root, or without packages");
    }
    if (!p->provenance) {
        check(c, "provenance", -1, "not beside the disk");
        return;
    }
    sha256(buf_bytes(&d->kernel), kernel);
    bool found = false;
    const json_t *subjects = json_object_get(p->provenance, "subject");
    for (size_t i = 0; i < json_array_size(subjects); i++)
        found =
            found
            || says(json_object_get(json_array_get(subjects, i), "digest"), "sha256", bytes_of(kernel, 32));
    check(c, "provenance", found, found ? "names this kernel image" : "of another kernel image");
}

static int verify(const char *path)
{
    AUTO(disk_close) struct disk d = { .fd = -1 };
    AUTO(papers_done) struct papers papers = { 0 };
    struct checking c = { .text = buf_new(65536) };
    struct verity_header header;
    struct err err = { 0 };
    uint8_t root[32];
    char text[ERR_TEXT_MAX], hex[65];
    if (disk_open(path, &d, &err) < 0)
        return fail_err(err.kind == ERR_IO ? STATUS_ENVIRONMENT : STATUS_INPUT, path, "cannot be verified",
                        &err);
    int rc = read_papers(path, &papers);
    if (rc)
        return rc;
    check(&c, "disk.layout", 1, "partition table, kernel image, command line");
    if (disk_check_root(&d, root, &header, &err) < 0) {
        if (err.kind != ERR_DENIED)
            return fail_err(status_of(&err), path, "cannot be verified", &err);
        check(&c, "disk.root", 0, err_text(&err, text, sizeof(text)));
    } else {
        check(&c, "disk.root", 1, hex_to(hex, bytes_of(root, 32)));
        check_image(&c, &papers, &d, root);
        check_papers(&c, &papers, &d, root);
    }
    check(&c, "disk.signature", -1,
          d.uki.pe.certificates.n ? "signed for Secure Boot; not judged here" : "not signed for Secure Boot");
    rc = write_out(&c.text, NULL);
    buf_done(&c.text);
    return rc ? rc : c.bad ? STATUS_NO : 0;
}

static int run(int argc, char **argv)
{
    const char *path = NULL;
    int rc = options_parse(&command_verify_image, argc, argv, NULL, 0, &path, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    return verify(path);
}

const struct command command_verify_image = {
    "verify-image",
    "DISK",
    "Checks a disk image: its root hash, its kernel image, and the papers beside it",
    "DISK is a raw disk that build-image made. Nothing is mounted, no root is needed. The root partition is\n"
    "hashed and compared with its hash tree and with the hash on the kernel's command line. Of the papers\n"
    "beside DISK (.json, .spdx.json, .provenance.json) those that are there must be of this image.\n"
    "\n"
    "The papers are not signed: who made the image is said by its golden measurement (see predict, sign).\n",
    run,
};
