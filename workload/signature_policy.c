#include "workload/signature_policy.h"

#include "base/auto.h"
#include "base/json.h"
#include "workload/compose.h"
#include "workload/signature_engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define KEY_MAX   16384u
#define PATH_SIZE 200 /* of a member, in messages */

struct walk {
    signature_key_reader *key;
    void *ctx;
    struct err *err;
    bool registry; /* what is checked is about images of registries: only they have signatures */
    char path[PATH_SIZE];
};

static int refuse(const struct walk *w, const char *why)
{
    return err_set(w->err, ERR_INPUT, 0, "signature policy, %.190s: %s", w->path, why);
}

/* Below a member; the caller restores the path with leave(). */
static size_t enter(struct walk *w, const char *name)
{
    size_t n = strlen(w->path);
    snprintf(w->path + n, sizeof(w->path) - n, "%s%.60s", n ? "." : "", name);
    return n;
}

static void leave(struct walk *w, size_t n)
{
    w->path[n] = '\0';
}

/* Every member must be one of names, a NULL-terminated list. */
static int only(const struct walk *w, json_t *object, const char *const *names)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return refuse(w, "must be an object");
    json_object_foreach(object, key, value)
    {
        size_t i = 0;
        while (names[i] && strcmp(names[i], key) != 0)
            i++;
        if (!names[i])
            return err_set(w->err, ERR_INPUT, 0, "signature policy, %.120s: unknown member %.60s", w->path,
                           key);
    }
    return 0;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* Source: containers-policy.json(5), "signedIdentity". */
static const struct {
    const char *type, *members[3]; /* required, all of them */
} identities[] = {
    { "matchExact", { NULL } },
    { "matchRepoDigestOrExact", { NULL } },
    { "matchRepository", { NULL } },
    { "exactReference", { "dockerReference", NULL } },
    { "exactRepository", { "dockerRepository", NULL } },
    { "remapIdentity", { "prefix", "signedPrefix", NULL } },
};

static int check_identity(struct walk *w, json_t *identity)
{
    const char *type = text_of(identity, "type");
    for (size_t i = 0; type && i < ARRAY_SIZE(identities); i++) {
        const char *names[4] = { "type" };
        if (strcmp(type, identities[i].type) != 0)
            continue;
        for (size_t k = 0; k < 3 && identities[i].members[k]; k++) {
            names[k + 1] = identities[i].members[k];
            if (!text_of(identity, identities[i].members[k]))
                return err_set(w->err, ERR_INPUT, 0, "signature policy, %.120s: %s needs %s", w->path, type,
                               identities[i].members[k]);
        }
        return only(w, identity, names);
    }
    return refuse(w, "type must be matchExact, matchRepoDigestOrExact, matchRepository, exactReference, "
                     "exactRepository or remapIdentity");
}

/* keyPath becomes keyData: base64 of the PEM text. */
static int put_key(struct walk *w, const json_t *in, json_t *out)
{
    const char *path = text_of(in, "keyPath"), *data = text_of(in, "keyData");
    AUTO(buf_done) struct buf pem = buf_new(KEY_MAX);
    if (!path == !data)
        return refuse(w, "sigstoreSigned needs one of keyPath and keyData");
    if (path && w->key(w->ctx, path, &pem, w->err) < 0)
        return err_while(w->err, "key of the signature policy");
    if (data && json_get_b64(in, "keyData", &pem, w->err) < 0)
        return refuse(w, "keyData is not base64");
    if (!memmem(pem.p, pem.n, "BEGIN PUBLIC KEY", 16))
        return refuse(w, "the key is not a PEM public key (cosign.pub)");
    json_object_set_new(out, "keyData", json_b64(buf_bytes(&pem)));
    return 0;
}

static int check_requirement(struct walk *w, json_t *in, json_t **out)
{
    static const char *const plain[] = { "type", NULL };
    static const char *const sigstore[] = { "type", "keyPath", "keyData", "signedIdentity", NULL };
    const char *type = text_of(in, "type");
    if (!type)
        return refuse(w, "a requirement is an object with a type");
    AUTO(json_drop) json_t *one = json_pack("{s:s}", "type", type);
    if (!strcmp(type, "reject") || !strcmp(type, "insecureAcceptAnything")) {
        if (only(w, in, plain) < 0)
            return -1;
        *out = MOVE(one);
        return 0;
    }
    if (strcmp(type, "sigstoreSigned") != 0)
        return refuse(w, "type must be reject, insecureAcceptAnything or sigstoreSigned");
    if (!w->registry)
        return refuse(w, "sigstoreSigned: only images of a registry carry signatures: write it below "
                         "transports.docker, and here reject or insecureAcceptAnything");
    if (only(w, in, sigstore) < 0 || put_key(w, in, one) < 0)
        return -1;
    json_t *identity = json_object_get(in, "signedIdentity");
    if (identity && check_identity(w, identity) < 0)
        return -1;
    if (identity)
        json_object_set(one, "signedIdentity", identity);
    *out = MOVE(one);
    return 0;
}

static int check_list(struct walk *w, json_t *in, json_t **out)
{
    AUTO(json_drop) json_t *list = json_array();
    if (!json_is_array(in) || json_array_size(in) == 0)
        return refuse(w, "must be a list of at least one requirement");
    for (size_t i = 0; i < json_array_size(in); i++) {
        json_t *one = NULL;
        if (check_requirement(w, json_array_get(in, i), &one) < 0)
            return -1;
        json_array_append_new(list, one);
    }
    *out = MOVE(list);
    return 0;
}

/* {"transport": {"scope": [requirement…]}} */
static int check_transport(struct walk *w, json_t *in, json_t **out)
{
    AUTO(json_drop) json_t *scopes = json_object();
    const char *scope;
    json_t *value;
    if (!json_is_object(in))
        return refuse(w, "must be an object of scopes");
    json_object_foreach(in, scope, value)
    {
        json_t *list = NULL;
        size_t n = enter(w, *scope ? scope : "\"\"");
        if (check_list(w, value, &list) < 0)
            return -1;
        leave(w, n);
        json_object_set_new(scopes, scope, list);
    }
    *out = MOVE(scopes);
    return 0;
}

/* The engine loads archives from a temporary file, so that only the scope of the whole transport fits one.
 * All requirements of a list must hold: one that is not insecureAcceptAnything keeps archives out. */
static int check_archive_scopes(struct walk *w, const json_t *scopes, bool *passes)
{
    const json_t *whole = json_object_get(scopes, "");
    if (json_object_size(scopes) != (whole ? 1 : 0))
        return refuse(w, "archives of the workload have one scope: \"\"");
    *passes = whole != NULL;
    for (size_t i = 0; i < json_array_size(whole); i++)
        *passes = *passes && !strcmp(text_of(json_array_get(whole, i), "type"), "insecureAcceptAnything");
    return 0;
}

static int check_transports(struct walk *w, json_t *in, json_t *out, struct signature_policy *p)
{
    static const char *const known[] = { "docker", "docker-archive", "oci-archive", "oci", "dir", NULL };
    const char *name;
    json_t *value;
    if (!in)
        return 0;
    if (only(w, in, known) < 0)
        return -1;
    json_object_foreach(in, name, value)
    {
        json_t *scopes = NULL;
        size_t n = enter(w, name);
        bool *passes = !strcmp(name, "docker-archive") ? &p->accepts_docker_archive
                       : !strcmp(name, "oci-archive")  ? &p->accepts_oci_archive
                                                       : NULL;
        w->registry = !strcmp(name, "docker");
        if (check_transport(w, value, &scopes) < 0)
            return -1;
        json_object_set_new(out, name, scopes);
        if (passes && check_archive_scopes(w, scopes, passes) < 0)
            return -1;
        leave(w, n);
    }
    return 0;
}

static int check_default(struct walk *w, json_t *in, json_t **out)
{
    size_t n = enter(w, "default");
    w->registry = true;
    if (check_list(w, in, out) < 0)
        return -1;
    if (signature_rules_have(*out, "insecureAcceptAnything")) {
        json_decref(*out);
        return refuse(w, "must not be insecureAcceptAnything while verification is on: name the scopes that "
                         "need no signature");
    }
    leave(w, n);
    return 0;
}

static int write_out(const json_t *value, struct signature_policy *out, struct err *err)
{
    out->json = buf_new(SIGNATURE_POLICY_MAX);
    json_put(&out->json, value, false);
    if (buf_check(&out->json, "signature policy", err) == 0)
        return 0;
    buf_done(&out->json);
    return -1;
}

int signature_policy_off(struct signature_policy *out, struct err *err)
{
    AUTO(json_drop) json_t *all = json_pack("{s:[{s:s}]}", "default", "type", "insecureAcceptAnything");
    struct signature_policy p = { .accepts_docker_archive = true, .accepts_oci_archive = true };
    if (write_out(all, &p, err) < 0)
        return -1;
    *out = p;
    return 0;
}

int signature_policy_read(struct bytes text, signature_key_reader *key, void *ctx,
                          struct signature_policy *out, struct err *err)
{
    static const char *const members[] = { "default", "transports", NULL };
    struct walk w = { .key = key, .ctx = ctx, .err = err };
    AUTO(json_drop) json_t *in = NULL;
    AUTO(json_drop) json_t *transports = json_object();
    json_t *fallback = json_pack("[{s:s}]", "type", "reject");
    if (text.n > 0 && json_parse(text, SIGNATURE_POLICY_MAX, &in, err) < 0) {
        json_decref(fallback);
        return err_while(err, "signature policy");
    }
    AUTO(json_drop) json_t *all = json_pack("{s:o, s:O}", "default", fallback, "transports", transports);
    if (!all)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the signature policy");
    json_t *given = json_object_get(in, "default"), *checked = NULL;
    if (in && only(&w, in, members) < 0)
        return -1;
    if (given && check_default(&w, given, &checked) < 0)
        return -1;
    if (checked)
        json_object_set_new(all, "default", checked);
    (void)enter(&w, "transports");
    struct signature_policy p = { .verifies = true };
    if (check_transports(&w, json_object_get(in, "transports"), transports, &p) < 0)
        return -1;
    AUTO(json_drop) json_t *for_engine = signature_engine_policy(all);
    if (write_out(for_engine, &p, err) < 0)
        return -1;
    p.rules = MOVE(all);
    *out = p;
    return 0;
}

int signature_policy_spare(struct signature_policy *p, const char *reference, bool archive, struct err *err)
{
    char full[512];
    bool whole;
    AUTO(json_drop) json_t *policy = NULL;
    struct signature_policy changed = { .verifies = false };
    if (!p->verifies)
        return 0;
    if (compose_image_reference(reference, full, sizeof(full), &whole, err) < 0
        || json_parse(buf_bytes(&p->json), SIGNATURE_POLICY_MAX, &policy, err) < 0)
        return -1;
    if (archive)
        signature_engine_let_archives(policy);
    else
        signature_engine_let_image(policy, full);
    if (write_out(policy, &changed, err) < 0)
        return -1;
    buf_done(&p->json);
    p->json = changed.json;
    return 0;
}

bool signature_policy_same(const struct signature_policy *a, const struct signature_policy *b)
{
    bool rules = a->rules && b->rules ? json_equal(a->rules, b->rules) == 1 : a->rules == b->rules;
    return rules && a->verifies == b->verifies && bytes_equal(buf_bytes(&a->json), buf_bytes(&b->json));
}

void signature_policy_done(struct signature_policy *p)
{
    buf_done(&p->json);
    json_decref(p->rules);
    p->rules = NULL;
}
