#include "cli/image_papers.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "cli/commands.h"
#include "policy/dsse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PAPER_MAX (16u << 20)
#define LINES_MAX 64

void image_check(struct image_checks *c, const char *name, int ok, const char *fmt, ...)
{
    char detail[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(detail, sizeof(detail), fmt, args);
    va_end(args);
    json_t *judged = ok < 0 ? json_null() : json_boolean(ok);
    json_array_append_new(c->list, json_pack("{s:s, s:o, s:o}", "check", name, "ok", judged, "detail",
                                             json_text(bytes_str(detail))));
    c->bad = c->bad || ok == 0;
}

/* ---- Reading ---- */

static void paper_done(struct paper *p)
{
    free(p->text);
    json_decref(p->json);
}

void papers_done(struct papers *p)
{
    paper_done(&p->image);
    paper_done(&p->sbom);
    paper_done(&p->provenance);
    paper_done(&p->signature);
    buf_done(&p->statement);
    json_decref(p->signed_);
}

static int read_paper(const char *base, const char *suffix, bool is_json, struct paper *out)
{
    struct err err = { 0 };
    char path[4096];
    if (path_set(path, sizeof(path), &err, "%s%s", base, suffix) < 0)
        return fail_err(STATUS_INPUT, base, "name too long", &err);
    if (file_read(path, PAPER_MAX, &out->text, &out->n, &err) < 0)
        return err.kind == ERR_NOT_FOUND ? 0 : fail_err(STATUS_INPUT, path, "cannot be read", &err);
    if (is_json && json_parse(bytes_of(out->text, out->n), PAPER_MAX, &out->json, &err) < 0)
        return fail_err(STATUS_INPUT, path, "not JSON", &err);
    return 0;
}

int papers_read(const char *disk, struct papers *out)
{
    char base[4096];
    snprintf(base, sizeof(base), "%s", disk);
    char *dot = strrchr(base, '.');
    if (dot && !strchr(dot, '/'))
        *dot = '\0';
    out->statement = buf_new(PAPER_MAX);
    int rc = read_paper(base, ".json", true, &out->image);
    if (rc == 0)
        rc = read_paper(base, ".spdx.json", true, &out->sbom);
    if (rc == 0)
        rc = read_paper(base, ".provenance.json", true, &out->provenance);
    return rc ? rc : read_paper(base, ".intoto.jsonl", false, &out->signature);
}

/* ---- The signature ---- */

/* One line of the bundle. @return 0 verified, 1 another key's, -1 malformed */
static int try_line(struct bytes line, struct bytes key, struct papers *p, struct err *err)
{
    AUTO(json_drop) json_t *envelope = NULL;
    if (json_parse(line, PAPER_MAX, &envelope, err) < 0)
        return -1;
    if (dsse_verify(envelope, DSSE_IN_TOTO, key, &p->statement, err) == 0)
        return json_parse(buf_bytes(&p->statement), PAPER_MAX, &p->signed_, err);
    return err->kind == ERR_UNAUTHENTICATED ? 1 : -1;
}

static int try_lines(struct bytes text, struct bytes key, struct papers *p, struct err *err)
{
    size_t lines = 0;
    while (text.n > 0) {
        const uint8_t *end = memchr(text.p, '\n', text.n);
        struct bytes line = bytes_of(text.p, end ? (size_t)(end - text.p) : text.n);
        size_t step = line.n + (end ? 1 : 0);
        text = bytes_of(text.p + step, text.n - step);
        if (line.n == 0)
            continue;
        if (++lines > LINES_MAX)
            return err_set(err, ERR_INPUT, 0, "more than %d lines", LINES_MAX);
        int rc = try_line(line, key, p, err);
        if (rc <= 0)
            return rc;
    }
    return lines ? 1 : err_set(err, ERR_INPUT, 0, "there is no line in it");
}

int papers_check_signature(struct image_checks *c, struct papers *p, const struct papers_options *options)
{
    static const char name[] = "papers.signature";
    AUTO(free_u8) uint8_t *key = NULL;
    struct err err = { 0 };
    char text[ERR_TEXT_MAX];
    size_t n = 0;
    if (!options->key) {
        image_check(c, name, -1,
                    p->signature.text ? "not judged: name the publisher's key with --key" : "not signed");
        return 0;
    }
    int rc = read_input(options->key, PEM_KEY_MAX, &key, &n);
    if (rc)
        return rc;
    if (!p->signature.text) {
        image_check(c, name, 0, "not signed: there is no .intoto.jsonl beside the disk");
        return 0;
    }
    rc = try_lines(bytes_of(p->signature.text, p->signature.n), bytes_of(key, n), p, &err);
    if (rc < 0 && status_of(&err) != STATUS_INPUT)
        return fail_err(status_of(&err), options->key, "cannot verify", &err);
    if (rc < 0)
        image_check(c, name, 0, "%s", err_text(&err, text, sizeof(text)));
    else
        image_check(c, name, rc == 0,
                    rc == 0 ? "by the given key" : "by another key, or of another statement");
    return 0;
}

/* ---- What they say ---- */

static bool says(const json_t *object, const char *key, struct bytes hash)
{
    char hex[2 * DIGEST_MAX + 1];
    const char *text = json_string_value(json_object_get(object, key));
    return text && strcmp(text, hex_to(hex, hash)) == 0;
}

static bool is_subject(const json_t *statement, const char *name, struct bytes hash)
{
    const json_t *subjects = json_object_get(statement, "subject");
    for (size_t i = 0; i < json_array_size(subjects); i++) {
        const json_t *subject = json_array_get(subjects, i);
        const char *has = json_string_value(json_object_get(subject, "name"));
        if (has && strcmp(has, name) == 0)
            return says(json_object_get(subject, "digest"), "sha256", hash);
    }
    return false;
}

static bool has_subject(const json_t *statement, const char *name)
{
    const json_t *subjects = json_object_get(statement, "subject");
    for (size_t i = 0; i < json_array_size(subjects); i++) {
        const char *has = json_string_value(json_object_get(json_array_get(subjects, i), "name"));
        if (has && strcmp(has, name) == 0)
            return true;
    }
    return false;
}

static void check_image(struct image_checks *c, const struct papers *p, const struct disk *d,
                        const uint8_t root[static 32], bool due)
{
    const json_t *image = p->image.json;
    uint8_t kernel[32], initrd[32];
    const char *line = json_string_value(json_object_get(image, "cmdline"));
    if (!image) {
        image_check(c, "image.json", due ? 0 : -1, "not beside the disk");
        return;
    }
    sha256(buf_bytes(&d->kernel), kernel);
    sha256(d->uki.initrd, initrd);
    image_check(c, "image.root", says(json_object_get(image, "root"), "hash", bytes_of(root, 32)),
                "root hash as published");
    image_check(c, "image.kernel", says(image, "uki_sha256", bytes_of(kernel, 32)),
                "kernel image as published");
    image_check(c, "image.initrd", says(image, "initrd_sha256", bytes_of(initrd, 32)), "initrd as published");
    image_check(c, "image.cmdline", line && bytes_equal(bytes_str(line), d->uki.cmdline),
                "command line as published");
}

/* The SBOM is named by the root hash. */
static void check_sbom(struct image_checks *c, const struct papers *p, const uint8_t root[static 32],
                       bool due)
{
    const char *name = json_string_value(json_object_get(p->sbom.json, "documentNamespace"));
    size_t n = json_array_size(json_object_get(p->sbom.json, "packages"));
    char want[65];
    if (!p->sbom.json) {
        image_check(c, "sbom", due ? 0 : -1, "not beside the disk");
        return;
    }
    hex_to(want, bytes_of(root, 32));
    bool right = name && n > 0 && strlen(name) > 64 && strcmp(name + strlen(name) - 64, want) == 0;
    if (right)
        image_check(c, "sbom", 1, "%zu packages", n);
    else
        image_check(c, "sbom", 0, "of another root, or without packages");
}

static void check_paper(struct image_checks *c, const char *check, const json_t *statement,
                        const char *subject, const struct paper *paper, bool due)
{
    uint8_t hash[32];
    if (!paper->text)
        return; /* said already */
    sha256(bytes_of(paper->text, paper->n), hash);
    if (is_subject(statement, subject, bytes_of(hash, 32)))
        image_check(c, check, 1, "as the provenance names it");
    else if (has_subject(statement, subject))
        image_check(c, check, 0, "another file than the provenance names");
    else
        image_check(c, check, due ? 0 : -1, "the provenance does not name it");
}

/* The host may write the data partition: what runs from it is said by PCR 23. But the publisher's word is for
 * the disk as it was made. */
static int check_disk(struct image_checks *c, const json_t *statement, const struct disk *d,
                      const struct papers_options *options)
{
    static const char name[] = "provenance.disk";
    uint8_t whole[32], outside[32];
    struct err err = { 0 };
    if (disk_digests(d, whole, outside, &err) < 0)
        return fail_err(status_of(&err), "the disk", "cannot be read", &err);
    if (is_subject(statement, "disk.raw", bytes_of(whole, 32)))
        image_check(c, name, 1, "the disk as it was built");
    else if (!is_subject(statement, "disk.raw without data", bytes_of(outside, 32)))
        image_check(c, name, 0, "of another disk");
    else if (options->key && !options->other_data)
        image_check(c, name, 0,
                    "the data partition, or the volume, is another one: --other-data accepts that");
    else
        image_check(c, name, -1,
                    "all but the data partition and the volume as it was built: PCR 23 says what runs");
    return 0;
}

static int check_provenance(struct image_checks *c, const struct papers *p, const struct disk *d,
                            const struct papers_options *options)
{
    const json_t *statement = options->key ? p->signed_ : p->provenance.json;
    const char *type = json_string_value(json_object_get(statement, "predicateType"));
    uint8_t kernel[32];
    if (!statement) {
        image_check(c, "provenance", options->key ? 0 : -1,
                    options->key ? "not signed" : "not beside the disk");
        return 0;
    }
    sha256(buf_bytes(&d->kernel), kernel);
    bool found = is_subject(statement, "BOOTX64.EFI", bytes_of(kernel, 32));
    bool same = !options->key || !p->provenance.text
                || bytes_equal(bytes_of(p->provenance.text, p->provenance.n), buf_bytes(&p->statement));
    image_check(c, "provenance", found && same && type && strcmp(type, "https://slsa.dev/provenance/v1") == 0,
                !same    ? "the .provenance.json beside the disk is not the one that was signed"
                : !found ? "of another kernel image"
                         : "names this kernel image");
    check_paper(c, "provenance.image", statement, "disk.json", &p->image, options->key);
    check_paper(c, "provenance.sbom", statement, "disk.spdx.json", &p->sbom, options->key);
    return check_disk(c, statement, d, options);
}

int papers_check(struct image_checks *c, const struct papers *p, const struct disk *d,
                 const uint8_t root[static 32], const struct papers_options *options)
{
    check_image(c, p, d, root, options->key);
    check_sbom(c, p, root, options->key);
    return check_provenance(c, p, d, options);
}
