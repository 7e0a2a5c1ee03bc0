#include "agent/verify_body.h"

#include "base/auto.h"
#include "base/chain.h"
#include "base/enc.h"
#include "base/folder.h"
#include "base/json_spans.h"
#include "base/json_wide.h"
#include "evidence/collect.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define BODY_MAX      (4u << 20)
#define FILE_READ_MAX (4u << 20)
/* Values in a body: reading one takes a hundred bytes of memory, whatever it is. */
#define VALUES_MAX 200000u

/* Members of the body. */
static const char *const members[] = {
    "collaterals",
    "golden_measurement",
    "collaterals_path",
    "golden_measurement_path",
    "nonce",
    "at",
    "accept_ak",
    "accept_binding",
    "accept_tcb",
    "accept_expired",
    "trust_roots",
    "policy",
    "snp_crl",
};

static int check_members(json_t *root, struct err *err)
{
    const char *key;
    json_t *v;
    if (!json_is_object(root))
        return err_set(err, ERR_INPUT, 0, "want a JSON object");
    json_object_foreach(root, key, v)
    {
        size_t i = 0;
        while (i < ARRAY_SIZE(members) && strcmp(members[i], key) != 0)
            i++;
        if (i == ARRAY_SIZE(members))
            return err_set(err, ERR_INPUT, 0, "%.60s: no such member", key);
    }
    return 0;
}

/* ---- documents, as text, object or file ---- */

/* Below the folder only, whatever links lie in it (openat2(2), RESOLVE_BENEATH); without openat2 through no
 * link. */
static int open_named(const char *folder, const char *path, struct err *err)
{
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/')
        n--;
    if (!strncmp(path, folder, n) && path[n] == '/')
        path += n;
    while (*path == '/')
        path++;
    AUTO(close_fd) int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                                  .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    long fd = dir < 0 ? -1 : syscall(SYS_openat2, dir, path, &how, sizeof(how));
    if (dir >= 0 && fd < 0 && errno == ENOSYS)
        fd = open_below(dir, path, O_RDONLY, 0);
    if (fd < 0) {
        int e = errno;
        enum err_kind kind = e == EXDEV || e == ELOOP || e == EACCES ? ERR_DENIED : ERR_INPUT;
        return err_set(err, kind, (uint32_t)e,
                       "\"%.100s\": no file that can be read below the verifier's folder", path);
    }
    return (int)fd;
}

static int read_below(const char *folder, const char *path, struct buf *out, struct err *err)
{
    struct stat st;
    AUTO(close_fd) int fd = open_named(folder, path, err);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_READ_MAX)
        return err_set(err, ERR_INPUT, 0, "\"%.100s\": want a file of at most %u bytes", path, FILE_READ_MAX);
    for (;;) {
        uint8_t piece[16384];
        ssize_t got = read(fd, piece, sizeof(piece));
        if (got < 0)
            return err_set(err, ERR_IO, (uint32_t)errno, "\"%.100s\": cannot be read: %s", path,
                           strerror(errno));
        if (got == 0)
            return buf_check(out, "file", err);
        buf_put(out, bytes_of(piece, (size_t)got));
    }
}

static int read_path(const json_t *v, const char *name, const char *folder, struct buf *out, struct err *err)
{
    if (!json_is_string(v))
        return err_set(err, ERR_INPUT, 0, "%s: want text", name);
    if (!folder || !*folder)
        return err_set(err, ERR_DENIED, 0,
                       "%s: off, agent.json names no verify_directory: send the text itself", name);
    return read_below(folder, json_string_value(v), out, err) < 0 ? err_while(err, "read the named file") : 0;
}

/* Clients write null for what they leave out. */
static json_t *member(const json_t *root, const char *name)
{
    json_t *v = json_object_get(root, name);
    return json_is_null(v) ? NULL : v;
}

static int put_document(const struct json_spans *spans, const char *name, const char *folder, struct buf *out,
                        struct err *err)
{
    char path_name[40];
    snprintf(path_name, sizeof(path_name), "%s_path", name);
    json_t *v = member(spans->root, name), *path = member(spans->root, path_name);
    if (v && path)
        return err_set(err, ERR_INPUT, 0, "%s and %s exclude each other", name, path_name);
    if (path)
        return read_path(path, path_name, folder, out, err);
    if (json_is_string(v))
        return json_spans_text(spans, v, out, err);
    if (json_is_object(v)) {
        AUTO(json_drop) json_t *whole = NULL;
        if (json_spans_whole(spans, v, &whole, err) < 0)
            return -1;
        json_put(out, whole, false);
    } else if (v)
        return err_set(err, ERR_INPUT, 0, "%s: want JSON inside text, or an object", name);
    return buf_check(out, name, err);
}

/* A document that came to nothing on the way must not pass for one that was not given: without a golden
 * measurement any machine matches. */
static int read_document(const struct json_spans *spans, const char *name, const char *folder,
                         struct buf *out, struct err *err)
{
    char path_name[40];
    snprintf(path_name, sizeof(path_name), "%s_path", name);
    const json_t *v = member(spans->root, name), *path = member(spans->root, path_name);
    if (put_document(spans, name, folder, out, err) < 0)
        return -1;
    if (!out->n && (path || v))
        return err_set(err, ERR_INPUT, 0, "%s: empty: leave it out if there is none",
                       path ? path_name : name);
    return 0;
}

/* An object is judged as it was read with the body. */
static int read_collaterals(struct verify_body *b, const struct json_spans *spans, size_t text_n,
                            const char *folder, struct err *err)
{
    json_t *v = json_object_get(spans->root, "collaterals");
    if (json_is_object(v) && !member(spans->root, "collaterals_path"))
        return document_from_spans(spans, v, text_n, &b->document, err);
    if (read_document(spans, "collaterals", folder, &b->collaterals, err) < 0)
        return -1;
    return b->collaterals.n ? 0 : err_set(err, ERR_INPUT, 0, "collaterals: missing: the document to judge");
}

/* ---- the rest ---- */

static int get_text(const json_t *root, const char *name, const char **out, struct err *err)
{
    const json_t *v = json_object_get(root, name);
    *out = NULL;
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_string(v))
        return err_set(err, ERR_INPUT, 0, "%s: want text", name);
    *out = json_string_value(v);
    return 0;
}

/* Text, or a list of texts, to one list with commas. */
static int get_list(const json_t *root, const char *name, struct buf *out, struct err *err)
{
    const json_t *v = json_object_get(root, name), *item;
    size_t i;
    if (json_is_string(v))
        buf_str(out, json_string_value(v));
    else if (v && !json_is_null(v) && !json_is_array(v))
        return err_set(err, ERR_INPUT, 0, "%s: want text, or a list of texts", name);
    json_array_foreach(v, i, item)
    {
        if (!json_is_string(item))
            return err_set(err, ERR_INPUT, 0, "%s[%zu]: want text", name, i);
        buf_printf(out, "%s%s", i ? "," : "", json_string_value(item));
    }
    buf_u8(out, 0);
    return buf_check(out, name, err);
}

static int read_accepted(struct verify_body *b, struct err *err)
{
    AUTO(buf_done) struct buf tcb = buf_new(1024);
    struct verify_options *o = &b->request.verify;
    const char *ak;
    if (get_text(b->root, "accept_ak", &ak, err) < 0
        || get_list(b->root, "accept_binding", &b->accept_binding, err) < 0
        || get_list(b->root, "accept_tcb", &tcb, err) < 0)
        return -1;
    if (ak && strcmp(ak, "self-asserted") != 0)
        return err_set(err, ERR_INPUT, 0, "accept_ak: want \"self-asserted\"");
    const json_t *expired = json_object_get(b->root, "accept_expired");
    if (expired && !json_is_boolean(expired))
        return err_set(err, ERR_INPUT, 0, "accept_expired: want true or false");
    o->accept_expired = json_is_true(expired);
    o->accept_self_asserted_ak = ak != NULL;
    o->accept_binding = (const char *)b->accept_binding.p;
    if (verify_binding_names_check(o->accept_binding, err) < 0)
        return err_while(err, "accept_binding");
    o->accept_tcb = TDX_ACCEPT_DEFAULT;
    if (tcb.n > 1 && tdx_accept_parse((const char *)tcb.p, &o->accept_tcb, err) < 0)
        return err_while(err, "accept_tcb");
    return 0;
}

static int read_question(struct verify_body *b, time_t now, struct err *err)
{
    struct verify_options *o = &b->request.verify;
    const char *nonce, *at;
    if (get_text(b->root, "nonce", &nonce, err) < 0 || get_text(b->root, "at", &at, err) < 0)
        return -1;
    if (nonce && (!*nonce || strlen(nonce) > NONCE_MAX))
        return err_set(err, ERR_INPUT, 0, "nonce: want 1 to %d bytes", NONCE_MAX);
    o->nonce = bytes_str(nonce);
    o->at = now;
    return at && rfc3339_parse(at, &o->at, err) < 0 ? err_while(err, "at") : 0;
}

/* ---- policies ---- */

static int add_policy(struct verify_body *b, const json_t *v, size_t i, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(BODY_MAX);
    if (json_is_string(v))
        buf_put(&text, bytes_of(json_string_value(v), json_string_length(v)));
    else if (json_is_object(v))
        json_wide_put(&text, v);
    else
        return err_set(err, ERR_INPUT, 0, "policy: want a policy as an object or as text, or a list of them");
    struct err why = { 0 };
    char name[24], words[ERR_TEXT_MAX];
    snprintf(name, sizeof(name), "%zu", i);
    if (buf_check(&text, "policy", &why) < 0
        || policies_add(&b->policies, name, buf_bytes(&text), NULL, &why) < 0)
        return err_set(err, why.kind, 0, "policy[%zu]: %.280s", i, err_text(&why, words, sizeof(words)));
    return 0;
}

static int read_policies(struct verify_body *b, struct err *err)
{
    const json_t *v = json_object_get(b->root, "policy"), *item;
    size_t i;
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_array(v))
        return add_policy(b, v, 0, err);
    if (!json_array_size(v))
        return err_set(err, ERR_INPUT, 0, "policy: an empty list: leave it out if there is none");
    json_array_foreach(v, i, item)
    {
        if (add_policy(b, item, i, err) < 0)
            return -1;
    }
    return 0;
}

/* AMD's CRL: whoever judges brings it, nothing is fetched here. */
static int read_crl(struct verify_body *b, struct err *err)
{
    AUTO(buf_done) struct buf der = buf_new(BODY_MAX);
    const char *text;
    if (get_text(b->root, "snp_crl", &text, err) < 0)
        return -1;
    if (!text)
        return 0;
    if (strncmp(text, "-----BEGIN", 10) == 0)
        buf_str(&der, text);
    else if (b64_decode(bytes_str(text), &der, err) < 0)
        return err_while(err, "snp_crl");
    if (crl_parse(buf_bytes(&der), &b->crl, err) < 0)
        return err_while(err, "snp_crl");
    b->material.snp_crl = b->crl;
    return 0;
}

static void spans_free(struct json_spans **s)
{
    if (*s)
        json_spans_done(*s);
    free(*s);
}

/* All members but the two documents, with their long strings. */
static int take_rest(const struct json_spans *spans, json_t **out, struct err *err)
{
    json_t *copy = json_copy(spans->root), *whole;
    int rc = copy ? 0 : err_set(err, ERR_IO, ENOMEM, "no memory for a body");
    if (rc == 0) {
        json_object_del(copy, "collaterals");
        json_object_del(copy, "golden_measurement");
        rc = json_spans_whole(spans, copy, &whole, err);
    }
    json_decref(copy);
    if (rc == 0)
        *out = whole;
    return rc;
}

static int read_body(struct verify_body *b, struct bytes given, const struct verify_body_options *options,
                     struct err *err)
{
    struct bytes text = given;
    AUTO(buf_done) struct buf wide = buf_new(2 * BODY_MAX); /* spans point into it */
    AUTO(spans_free) struct json_spans *spans = calloc(1, sizeof(*spans));
    if (!spans)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a body");
    if (given.n > BODY_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "%zu bytes, at most %u are read", given.n, BODY_MAX);
    if (json_count_check(given, VALUES_MAX, err) < 0 || json_wide_mark(given, &wide, &text, err) < 0
        || json_spans_parse(text, wide.n ? wide.max : BODY_MAX, spans, err) < 0
        || check_members(spans->root, err) < 0
        || read_collaterals(b, spans, text.n, options->directory, err) < 0
        || read_document(spans, "golden_measurement", options->directory, &b->golden, err) < 0
        || take_rest(spans, &b->root, err) < 0 || get_text(b->root, "trust_roots", &b->trust_roots, err) < 0
        || read_accepted(b, err) < 0 || read_question(b, options->now, err) < 0 || read_policies(b, err) < 0
        || read_crl(b, err) < 0)
        return -1;
    if (b->trust_roots && !options->allow_given_roots)
        return err_set(
            err, ERR_DENIED, 0,
            "trust_roots: this agent trusts the built-in roots only (--allow-emulated-roots changes it)");
    b->request.collaterals = buf_bytes(&b->collaterals);
    b->request.golden = buf_bytes(&b->golden);
    return 0;
}

int verify_body_parse(struct bytes text, const struct verify_body_options *options, struct verify_body *out,
                      struct err *err)
{
    struct verify_body b = { .collaterals = buf_new(BODY_MAX),
                             .golden = buf_new(BODY_MAX),
                             .accept_binding = buf_new(1024) };
    b.request.golden_key = bytes_of(NULL, 0);
    if (read_body(&b, text, options, err) < 0) {
        verify_body_done(&b);
        return err_while(err, "request body");
    }
    *out = b;
    out->request.document = out->document.root ? &out->document : NULL;
    out->request.policies = &out->policies;
    if (out->crl)
        out->request.verify.material = &out->material;
    return 0;
}

void verify_body_done(struct verify_body *b)
{
    json_decref(b->root);
    document_done(&b->document);
    policies_done(&b->policies);
    X509_CRL_free(b->crl);
    buf_done(&b->collaterals);
    buf_done(&b->golden);
    buf_done(&b->accept_binding);
}
