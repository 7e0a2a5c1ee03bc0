#include "cli/commands.h"

#include "base/auto.h"
#include "base/file.h"
#include "policy/dsse.h"
#include "policy/golden.h"
#include "policy/golden_sign.h"

#include <string.h>
#include <sys/stat.h>

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int read_document(const char *path, json_t **out, uint8_t **data, size_t *n)
{
    struct err err = { 0 };
    int rc = read_input(path, GOLDEN_SIZE_MAX, data, n);
    if (rc)
        return rc;
    if (json_parse(bytes_of(*data, *n), GOLDEN_SIZE_MAX, out, &err) < 0)
        return fail_err(STATUS_INPUT, path, "not a golden measurement", &err);
    if (!json_is_object(*out))
        return fail(STATUS_INPUT, path, "not a golden measurement", "not a JSON object");
    return 0;
}

/* The inner object alone is put where it belongs; what a verifier would refuse is said now. */
static int prepare(const char *path, json_t **document)
{
    AUTO(golden_done) struct golden golden = { 0 };
    struct err err = { 0 };
    bool fine = golden_parse_json(*document, &golden, &err) == 0;
    if (!json_object_get(*document, "golden_measurement")) {
        json_t *wrapped = fine ? json_pack("{s:O}", "golden_measurement", *document) : NULL;
        if (!wrapped)
            return fail_err(STATUS_INPUT, path, "not a golden measurement", &err);
        json_decref(*document);
        *document = wrapped;
    } else if (!fine) {
        fail_err(0, path, "note: no verifier of ours will accept this document", &err);
    }
    if (json_object_get(*document, "signature"))
        fail(0, path, "note: an older signature is replaced", NULL);
    return 0;
}

static bool is_statement(const json_t *document)
{
    const char *type = json_string_value(json_object_get(document, "_type"));
    return type && strncmp(type, "https://in-toto.io/Statement/", 29) == 0;
}

/* The bytes of the file are signed as they are. One line: a file of such lines is a bundle of in-toto. */
static int sign_statement(struct bytes statement, struct bytes key, struct buf *text, struct err *err)
{
    AUTO(json_drop) json_t *envelope = NULL;
    if (dsse_sign(DSSE_IN_TOTO, statement, key, &envelope, err) < 0)
        return -1;
    json_put(text, envelope, false);
    return 0;
}

static int sign_golden(json_t *document, struct bytes key, struct buf *text, struct err *err)
{
    if (golden_sign(document, key, err) < 0)
        return -1;
    json_put(text, document, true);
    return 0;
}

static int sign(const char *path, const char *key_path, const char *out_path)
{
    AUTO(free_u8) uint8_t *data = NULL;
    AUTO(json_drop) json_t *document = NULL;
    AUTO(buf_wipe) struct buf pem = buf_new(GOLDEN_KEY_MAX);
    AUTO(buf_done) struct buf text = buf_new(SIZE_MAX / 2);
    struct err err = { 0 };
    size_t n = 0;
    int rc = read_document(path, &document, &data, &n);
    bool statement = rc == 0 && is_statement(document);
    if (rc || (!statement && (rc = prepare(path, &document))))
        return rc;
    if ((rc = read_input(key_path, GOLDEN_KEY_MAX, &pem.p, &pem.n)))
        return rc;
    pem.cap = pem.n;
    if ((statement ? sign_statement(bytes_of(data, n), buf_bytes(&pem), &text, &err)
                   : sign_golden(document, buf_bytes(&pem), &text, &err))
        < 0)
        return fail_err(status_of(&err), err.kind == ERR_INPUT ? key_path : path, "cannot sign", &err);
    return write_out(&text, out_path);
}

static int run(int argc, char **argv)
{
    const char *args[2] = { 0 }, *out = NULL;
    const struct option_row rows[] = { { "o", OPTION_TEXT, &out } };
    int rc = options_parse(&command_sign, argc, argv, rows, ARRAY_SIZE(rows), args, 2, 2);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (strcmp(args[0], "-") == 0 && strcmp(args[1], "-") == 0)
        return fail(STATUS_USAGE, "-", "standard input cannot be both the document and the key", NULL);
    if (out && (same_file(out, args[0]) || same_file(out, args[1])))
        return fail(STATUS_USAGE, out, "would be overwritten, and is an input", "name another file with -o");
    return sign(args[0], args[1], out);
}

const struct command command_sign = {
    "sign",
    "IN.json KEY.pem -o OUT.json",
    "Signs a golden measurement, or an in-toto statement",
    "IN.json is {\"golden_measurement\":{...}}, or the inner object alone. KEY.pem is a private key without "
    "a\n"
    "passphrase: P-256, or RSA of 2048 to 8192 bits. The output is the document with member \"signature\":\n"
    "base64 of an ECDSA (DER) or RSA PKCS#1 v1.5 signature with SHA-256 over the inner object, serialised\n"
    "with sorted members, without spaces and in ASCII. An older signature is replaced, and standard error\n"
    "says so.\n"
    "\n"
    "If IN.json is an in-toto statement (build-image's .provenance.json), the output is a DSSE envelope "
    "around\n"
    "it, the form of in-toto's and cosign's attestations; KEY.pem is then P-256 or Ed25519.\n"
    "\n"
    "  -o FILE  writes FILE, whole or not at all, instead of standard output; never one of the inputs\n"
    "\n"
    "A signature says who published the values, not that they are good: see verify and diff.\n",
    run,
};
