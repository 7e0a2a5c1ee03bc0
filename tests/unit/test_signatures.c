/* The signature policy, what the engine is told of it, signed statements, names of images, subordinate ids.
 */
#include "evidence.h"
#include "made_certs.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"
#include "workload/owner.h"
#include "workload/registry.h"
#include "workload/signature_policy.h"
#include "workload/sigstore.h"

#include <openssl/pem.h>
#include <sys/stat.h>

#define PEM  "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"
#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int give_key(void *ctx, const char *path, struct buf *out, struct err *err)
{
    if (strcmp(path, ctx) != 0)
        return err_set(err, ERR_NOT_FOUND, 0, "no key %s", path);
    buf_str(out, PEM);
    return 0;
}

static int read_policy(const char *text, struct signature_policy *out, struct err *err)
{
    return signature_policy_read(bytes_str(text), give_key, (void *)(uintptr_t) "config/key.pub", out, err);
}

static void check_engine_policy(const char *text, const char *want, bool archives)
{
    AUTO(signature_policy_done) struct signature_policy p = { 0 };
    AUTO(json_drop) json_t *have = NULL;
    AUTO(json_drop) json_t *wanted = NULL;
    struct err err = { 0 };
    if (read_policy(text, &p, &err) < 0)
        fail_msg("%s", err.cause);
    assert_int_equal(json_parse(buf_bytes(&p.json), 1 << 20, &have, NULL), 0);
    assert_int_equal(json_parse(bytes_str(want), 1 << 20, &wanted, NULL), 0);
    if (!json_equal(have, wanted))
        fail_msg("%.*s", (int)p.json.n, (const char *)p.json.p);
    assert_int_equal(p.accepts_docker_archive, archives);
    assert_false(p.accepts_oci_archive);
    assert_true(p.verifies);
}

#define REJECT  "[{\"type\":\"reject\"}]"
#define ACCEPT  "[{\"type\":\"insecureAcceptAnything\"}]"
#define NO1     "{\"type\":\"reject\"}"
#define YES1    "{\"type\":\"insecureAcceptAnything\"}"
#define SIGN1   "{\"type\":\"sigstoreSigned\",\"keyPath\":\"config/key.pub\"}"
#define SIGNED  "[" SIGN1 "]"
#define DEFAULT "{\"default\":" REJECT ",\"transports\":{"

static void the_engine_is_told_less(void **state)
{
    (void)state;
    check_engine_policy("", DEFAULT "\"docker\":{\"\":" REJECT "}}}", false);
    check_engine_policy("{}", DEFAULT "\"docker\":{\"\":" REJECT "}}}", false);
    check_engine_policy("{\"default\":" SIGNED "}", DEFAULT "\"docker\":{\"\":" ACCEPT "}}}", false);
    check_engine_policy("{\"transports\":{\"docker\":{\"a.example/b\":" SIGNED "}}}",
                        DEFAULT "\"docker\":{\"a.example/b\":" ACCEPT ",\"\":" REJECT "}}}", false);
    check_engine_policy("{\"transports\":{\"docker-archive\":{\"\":" ACCEPT "}}}",
                        DEFAULT "\"docker-archive\":{\"\":" ACCEPT "},\"docker\":{\"\":" REJECT "}}}", true);
    check_engine_policy("{\"transports\":{\"docker-archive\":{\"\":" REJECT "}}}",
                        DEFAULT "\"docker-archive\":{\"\":" REJECT "},\"docker\":{\"\":" REJECT "}}}", false);
    /* what is pulled is the digest that was judged, and all requirements of a list must hold */
    check_engine_policy("{\"transports\":{\"docker\":{\"a.example:5/b:1\":" SIGNED ",\"a.example:5\":" SIGNED
                        "}}}",
                        DEFAULT "\"docker\":{\"a.example:5/b:1\":" ACCEPT ",\"a.example:5/b\":" ACCEPT
                                ",\"a.example:5\":" ACCEPT ",\"\":" REJECT "}}}",
                        false);
    check_engine_policy("{\"default\":[" SIGN1 ",{\"type\":\"reject\"}]}",
                        DEFAULT "\"docker\":{\"\":" REJECT "}}}", false);
    check_engine_policy("{\"default\":" SIGNED ",\"transports\":{\"docker-archive\":{}}}",
                        DEFAULT "\"docker-archive\":{},\"docker\":{\"\":" ACCEPT "}}}", false);
    check_engine_policy("{\"default\":" SIGNED ",\"transports\":{\"docker-archive\":{\"\":[" YES1 "," YES1
                        "]}}}",
                        DEFAULT "\"docker-archive\":{\"\":[" YES1 "," YES1 "]},\"docker\":{\"\":" ACCEPT
                                "}}}",
                        true);
    for (int first = 0; first < 2; first++)
        check_engine_policy(first ? "{\"transports\":{\"docker-archive\":{\"\":[" NO1 "," YES1 "]}}}"
                                  : "{\"transports\":{\"docker-archive\":{\"\":[" YES1 "," NO1 "]}}}",
                            first ? DEFAULT "\"docker-archive\":{\"\":[" NO1 "," YES1
                                            "]},\"docker\":{\"\":" REJECT "}}}"
                                  : DEFAULT "\"docker-archive\":{\"\":[" YES1 "," NO1
                                            "]},\"docker\":{\"\":" REJECT "}}}",
                            false);
}

/* Each kind of archive has its own scope. */
static void archives(void **state)
{
    static const struct {
        const char *text;
        bool docker, oci;
    } rows[] = {
        { "{}", false, false },
        { "{\"default\":" SIGNED "}", false, false },
        { "{\"transports\":{\"docker\":{\"\":" ACCEPT "}}}", false, false },
        { "{\"transports\":{\"docker-archive\":{\"\":" ACCEPT "}}}", true, false },
        { "{\"transports\":{\"oci-archive\":{\"\":" ACCEPT "}}}", false, true },
        { "{\"transports\":{\"oci-archive\":{\"\":" ACCEPT "},\"docker-archive\":{\"\":" REJECT "}}}", false,
          true },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(signature_policy_done) struct signature_policy p = { 0 };
        assert_int_equal(read_policy(rows[i].text, &p, NULL), 0);
        assert_int_equal(p.accepts_docker_archive, rows[i].docker);
        assert_int_equal(p.accepts_oci_archive, rows[i].oci);
    }
}

/* The engine lets in what belongs to a service that is not measured; what is judged stays the same. */
static void spared_images(void **state)
{
    static const struct {
        const char *text, *name;
        bool archive;
        const char *want;
    } rows[] = {
        { "{}", "a.example/b:1", false, DEFAULT "\"docker\":{\"\":" REJECT ",\"a.example/b\":" ACCEPT "}}}" },
        { "{}", "b@sha256:" HASH, false,
          DEFAULT "\"docker\":{\"\":" REJECT ",\"docker.io/library/b\":" ACCEPT "}}}" },
        { "{\"transports\":{\"docker\":{\"a.example/b:1\":" REJECT ",\"a.example/b:2\":" REJECT "}}}",
          "a.example/b:1", false,
          DEFAULT "\"docker\":{\"\":" REJECT ",\"a.example/b\":" ACCEPT ",\"a.example/b:1\":" ACCEPT
                  ",\"a.example/b:2\":" REJECT "}}}" },
        { "{}", "a.example/b:1", true,
          DEFAULT "\"docker\":{\"\":" REJECT "},\"docker-archive\":{\"\":" ACCEPT
                  "},\"oci-archive\":{\"\":" ACCEPT "}}}" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(signature_policy_done) struct signature_policy p = { 0 }, before = { 0 };
        AUTO(json_drop) json_t *have = NULL;
        AUTO(json_drop) json_t *wanted = NULL;
        assert_int_equal(read_policy(rows[i].text, &p, NULL), 0);
        assert_int_equal(read_policy(rows[i].text, &before, NULL), 0);
        assert_int_equal(signature_policy_spare(&p, rows[i].name, rows[i].archive, NULL), 0);
        assert_int_equal(json_parse(buf_bytes(&p.json), 1 << 20, &have, NULL), 0);
        assert_int_equal(json_parse(bytes_str(rows[i].want), 1 << 20, &wanted, NULL), 0);
        if (!json_equal(have, wanted))
            fail_msg("%.*s", (int)p.json.n, (const char *)p.json.p);
        assert_true(json_equal(p.rules, before.rules));
        assert_false(p.accepts_docker_archive || p.accepts_oci_archive);
        assert_false(signature_policy_same(&p, &before));
        assert_int_equal(signature_policy_spare(&p, "a b", false, NULL), -1);
    }
    AUTO(signature_policy_done) struct signature_policy off = { 0 };
    assert_int_equal(signature_policy_off(&off, NULL), 0);
    assert_int_equal(signature_policy_spare(&off, "a.example/b:1", true, NULL), 0);
}

static void refusals_name_the_member(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        { "[]", "must be an object" },
        { "{\"defaults\":[]}", "unknown member defaults" },
        { "{\"default\":[]}", "default: must be a list" },
        { "{\"default\":" ACCEPT "}", "default: must not be insecureAcceptAnything" },
        { "{\"default\":[{\"type\":\"signedBy\"}]}", "default: type must be" },
        { "{\"default\":[{\"type\":\"reject\",\"x\":1}]}", "unknown member x" },
        { "{\"default\":[{}]}", "a requirement is an object with a type" },
        { "{\"transports\":{\"atomic\":{}}}", "transports: unknown member atomic" },
        { "{\"transports\":{\"docker\":[]}}", "transports.docker: must be an object of scopes" },
        { "{\"transports\":{\"docker\":{\"x\":[{\"type\":\"sigstoreSigned\"}]}}}",
          "transports.docker.x: sigstoreSigned needs" },
        { "{\"default\":[{\"type\":\"sigstoreSigned\",\"keyPath\":\"config/other\"}]}",
          "no key config/other" },
        { "{\"default\":[{\"type\":\"sigstoreSigned\",\"keyData\":\"AAAA\"}]}", "not a PEM public key" },
        { "{\"default\":[{\"type\":\"sigstoreSigned\",\"keyData\":\"?\"}]}", "keyData is not base64" },
        { "{\"default\":[{\"type\":\"sigstoreSigned\",\"keyPath\":\"config/"
          "key.pub\",\"rekorPublicKeyPath\":\"x\"}]}",
          "unknown member rekorPublicKeyPath" },
        { "{\"default\":[{\"type\":\"sigstoreSigned\",\"keyPath\":\"config/"
          "key.pub\",\"signedIdentity\":{\"type\":\"x\"}}]}",
          "type must be matchExact" },
        { "{\"default\":[{\"type\":\"sigstoreSigned\",\"keyPath\":\"config/"
          "key.pub\",\"signedIdentity\":{\"type\":"
          "\"remapIdentity\",\"prefix\":\"a\"}}]}",
          "needs signedPrefix" },
        { "{\"transports\":{\"docker-archive\":{\"/x.tar\":" ACCEPT "}}}",
          "archives of the workload have one scope" },
        { "{\"default\":" REJECT ",\"default\":" ACCEPT "}", "duplicate" },
        { "{\"default\":" REJECT ",\"transports\":{\"docker-archive\":{\"\":" SIGNED "}}}",
          "transports.docker-archive.\"\": sigstoreSigned: only images of a registry carry signatures" },
        { "{\"transports\":{\"oci-archive\":{\"\":[" YES1 "," SIGN1 "]}}}",
          "transports.oci-archive.\"\": sigstoreSigned: only images of a registry" },
        { "{\"transports\":{\"oci\":{\"/x\":" SIGNED "}}}", "transports.oci./x: sigstoreSigned: only" },
        { "{\"transports\":{\"docker\":{\"a.example\":" SIGNED "},\"dir\":{\"\":" SIGNED "}}}",
          "write it below transports.docker, and here reject" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(signature_policy_done) struct signature_policy p = { 0 };
        struct err err = { 0 };
        if (read_policy(rows[i].text, &p, &err) == 0 || !strstr(err.cause, rows[i].says))
            fail_msg("%s: %s", rows[i].text, err.cause);
    }
}

static void off_lets_everything_pass(void **state)
{
    AUTO(signature_policy_done) struct signature_policy p = { 0 };
    char pinned[200];
    (void)state;
    assert_int_equal(signature_policy_off(&p, NULL), 0);
    assert_true(p.accepts_docker_archive && p.accepts_oci_archive);
    assert_false(p.verifies);
    struct http none = { 0 };
    assert_int_equal(signature_policy_judge(&p, &none, "a.example/b:1", NULL, NULL, pinned, sizeof(pinned),
                                            NULL),
                     0);
    assert_string_equal(pinned, "a.example/b:1");
}

static int give_another(void *ctx, const char *path, struct buf *out, struct err *err)
{
    (void)ctx, (void)path, (void)err;
    buf_str(out, "-----BEGIN PUBLIC KEY-----\nMFkx\n-----END PUBLIC KEY-----\n");
    return 0;
}

static void another_key_is_another_policy(void **state)
{
    static const char text[] = "{\"default\":" SIGNED "}";
    AUTO(signature_policy_done) struct signature_policy a = { 0 }, b = { 0 }, c = { 0 }, off = { 0 };
    (void)state;
    assert_int_equal(read_policy(text, &a, NULL), 0);
    assert_int_equal(read_policy(text, &b, NULL), 0);
    assert_int_equal(signature_policy_read(bytes_str(text), give_another, NULL, &c, NULL), 0);
    assert_int_equal(signature_policy_off(&off, NULL), 0);
    assert_true(signature_policy_same(&a, &b));
    assert_true(bytes_equal(buf_bytes(&a.json), buf_bytes(&c.json))); /* the engine is told the same */
    assert_false(signature_policy_same(&a, &c));
    assert_false(signature_policy_same(&a, &off));
    assert_true(signature_policy_same(&off, &off));
}

/* Which rules a name meets, without a registry: those that reject need none, those that accept neither. */
static void the_most_specific_scope_counts(void **state)
{
    static const char text[] =
        "{\"transports\":{\"docker\":{\"a.example/n/r:1\":" ACCEPT ",\"a.example/n/r\":" REJECT
        ",\"a.example\":" ACCEPT ",\"a.example/closed\":" REJECT ",\"*.b.example\":" ACCEPT
        ",\"d.example\":[" YES1 "," NO1 "],\"*.d.example\":" REJECT ",\"x.d.example:5000\":" ACCEPT
        ",\"e.example/r@sha256:" HASH "\":" ACCEPT "}}}";
    static const struct {
        const char *name;
        bool passes;
    } rows[] = {
        { "a.example/n/r:1", true },     { "a.example/n/r:2", false },
        { "a.example/n/x:1", true },     { "a.example/closed/x", false },
        { "a.example/closedx", true },   { "x.b.example/y", true },
        { "b.example/y", false },        { "c.example/y", false },
        { "a.example:1/y", false },      { "x.b.example:5/y", true },
        { "d.example/y", false },        { "x.d.example:5000/y", true },
        { "x.d.example:5001/y", false }, { "e.example/r@sha256:" HASH, true },
        { "e.example/r:1", false },
    };
    AUTO(signature_policy_done) struct signature_policy p = { 0 };
    struct http none = { 0 };
    char pinned[200];
    (void)state;
    assert_int_equal(read_policy(text, &p, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = { 0 };
        int rc = signature_policy_judge(&p, &none, rows[i].name, NULL, NULL, pinned, sizeof(pinned), &err);
        if ((rc == 0) != rows[i].passes || (rc < 0 && err.kind != ERR_DENIED))
            fail_msg("%s: %d %s", rows[i].name, rc, err.cause);
    }
}

struct signer {
    EVP_PKEY *key;
    struct buf pem;
};

static int make_signer(void **state)
{
    static struct signer s;
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    s = (struct signer){ made_ec_key("P-256"), buf_new(4096) };
    PEM_write_bio_PUBKEY(bio, s.key);
    long n = BIO_get_mem_data(bio, &data);
    buf_put(&s.pem, bytes_of(data, (size_t)n));
    BIO_free(bio);
    *state = &s;
    return 0;
}

static int drop_signer(void **state)
{
    struct signer *s = *state;
    EVP_PKEY_free(s->key);
    buf_done(&s->pem);
    return 0;
}

static void sign(const struct signer *s, struct bytes payload, struct buf *out)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = 0;
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, s->key), 1);
    assert_int_equal(EVP_DigestSign(ctx, NULL, &n, payload.p, payload.n), 1);
    uint8_t *room = buf_room(out, n);
    assert_int_equal(EVP_DigestSign(ctx, room, &n, payload.p, payload.n), 1);
    out->n = n;
    EVP_MD_CTX_free(ctx);
}

static void make_statement(struct buf *out, const char *reference, const char *digest, const char *type)
{
    buf_printf(out,
               "{\"critical\":{\"identity\":{\"docker-reference\":\"%s\"},\"image\":{\"docker-manifest-"
               "digest\":\"%s\"},"
               "\"type\":\"%s\"},\"optional\":null}",
               reference, digest, type);
}

#define KIND "cosign container image signature"

static int check(const struct signer *s, const char *said, const char *name, const char *identity)
{
    AUTO(buf_done) struct buf payload = buf_new(4096), signature = buf_new(512);
    AUTO(json_drop) json_t *id = NULL;
    struct image_name image;
    assert_int_equal(image_name_parse(name, &image, NULL), 0);
    if (identity)
        assert_int_equal(json_parse(bytes_str(identity), 4096, &id, NULL), 0);
    make_statement(&payload, said, "sha256:" HASH, KIND);
    sign(s, buf_bytes(&payload), &signature);
    return sigstore_check_statement(buf_bytes(&payload), buf_bytes(&signature), buf_bytes(&s->pem),
                                    "sha256:" HASH, &image, id, NULL);
}

static void identities(void **state)
{
    static const struct {
        const char *said, *name, *identity;
        bool fits;
    } rows[] = {
        { "a.example/b:1", "a.example/b:1", NULL, true },
        { "a.example/b:2", "a.example/b:1", NULL, false },
        { "a.example/b", "a.example/b:1", NULL, false },
        { "a.example/b:9", "a.example/b@sha256:" HASH, NULL, true },
        { "a.example/c:9", "a.example/b@sha256:" HASH, NULL, false },
        { "a.example/b", "a.example/b:1", "{\"type\":\"matchRepository\"}", true },
        { "a.example/bb", "a.example/b:1", "{\"type\":\"matchRepository\"}", false },
        { "b.example/b", "a.example/b:1", "{\"type\":\"matchRepository\"}", false },
        { "a.example/b:1", "a.example/b:1", "{\"type\":\"matchExact\"}", true },
        { "a.example/b:1", "a.example/b@sha256:" HASH, "{\"type\":\"matchExact\"}", false },
        { "c.example/d:3", "a.example/b:1",
          "{\"type\":\"exactReference\",\"dockerReference\":\"c.example/d:3\"}", true },
        { "c.example/d:4", "a.example/b:1",
          "{\"type\":\"exactReference\",\"dockerReference\":\"c.example/d:3\"}", false },
        { "c.example/d:4", "a.example/b:1",
          "{\"type\":\"exactRepository\",\"dockerRepository\":\"c.example/d\"}", true },
        { "c.example/e:4", "a.example/b:1",
          "{\"type\":\"exactRepository\",\"dockerRepository\":\"c.example/d\"}", false },
        { "up.example/x/b:1", "a.example/m/b:1",
          "{\"type\":\"remapIdentity\",\"prefix\":\"a.example/m\",\"signedPrefix\":\"up.example/x\"}", true },
        { "up.example/x/b:1", "a.example/mm/b:1",
          "{\"type\":\"remapIdentity\",\"prefix\":\"a.example/m\",\"signedPrefix\":\"up.example/x\"}",
          false },
        { "", "a.example/b:1", NULL, false },
        { "a.example/b:1", "a.example/b:1", "{\"type\":\"unknown\"}", false },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if ((check(*state, rows[i].said, rows[i].name, rows[i].identity) == 0) != rows[i].fits)
            fail_msg("row %zu: %s for %s", i, rows[i].said, rows[i].name);
    }
}

static void one_bit_and_every_cut(void **state)
{
    const struct signer *s = *state;
    AUTO(buf_done) struct buf payload = buf_new(4096), signature = buf_new(512);
    struct image_name name;
    const char *digest = "sha256:" HASH;
    assert_int_equal(image_name_parse("a.example/b:1", &name, NULL), 0);
    make_statement(&payload, "a.example/b:1", digest, KIND);
    sign(s, buf_bytes(&payload), &signature);
    struct bytes p = buf_bytes(&payload), g = buf_bytes(&signature), k = buf_bytes(&s->pem);
    assert_int_equal(sigstore_check_statement(p, g, k, digest, &name, NULL, NULL), 0);
    for (size_t bit = 0; bit < 8 * payload.n; bit += 5) {
        payload.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(sigstore_check_statement(p, g, k, digest, &name, NULL, NULL), -1);
        payload.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * signature.n; bit++) {
        signature.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(sigstore_check_statement(p, g, k, digest, &name, NULL, NULL), -1);
        signature.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t n = 0; n < signature.n; n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(signature.p, n);
        assert_int_equal(sigstore_check_statement(p, bytes_of(cut, n), k, digest, &name, NULL, NULL), -1);
    }
    for (size_t n = 0; n < 120; n += 7)
        assert_int_equal(sigstore_check_statement(p, g, bytes_of(k.p, n), digest, &name, NULL, NULL), -1);
}

static void another_kind_another_image(void **state)
{
    const struct signer *s = *state;
    struct image_name name;
    assert_int_equal(image_name_parse("a.example/b:1", &name, NULL), 0);
    static const struct {
        const char *digest, *type;
    } rows[] = { { "sha256:" HASH, "atomic container signature" }, { "sha256:00", KIND }, { "", KIND } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(buf_done) struct buf payload = buf_new(4096), signature = buf_new(512);
        struct err err = { 0 };
        make_statement(&payload, "a.example/b:1", rows[i].digest, rows[i].type);
        sign(s, buf_bytes(&payload), &signature);
        assert_int_equal(sigstore_check_statement(buf_bytes(&payload), buf_bytes(&signature),
                                                  buf_bytes(&s->pem), "sha256:" HASH, &name, NULL, &err),
                         -1);
        assert_int_equal(err.kind, ERR_DENIED);
    }
}

static void names(void **state)
{
    struct image_name n;
    (void)state;
    assert_int_equal(image_name_parse("busybox", &n, NULL), 0);
    assert_string_equal(n.host, "docker.io");
    assert_string_equal(n.repository, "library/busybox");
    assert_string_equal(n.tag, "latest");
    assert_int_equal(image_name_parse("127.0.0.1:5000/a/b@sha256:" HASH, &n, NULL), 0);
    assert_string_equal(n.host, "127.0.0.1:5000");
    assert_string_equal(n.repository, "a/b");
    assert_string_equal(n.tag, "");
    assert_string_equal(n.digest, "sha256:" HASH);
    assert_int_equal(image_name_parse("", &n, NULL), -1);
    assert_int_equal(image_name_parse("a b", &n, NULL), -1);
    assert_true(registry_on_loopback("127.0.0.1:5000/x"));
    assert_true(registry_on_loopback("localhost"));
    assert_false(registry_on_loopback("127.0.0.1.example.com/x"));
    assert_false(registry_on_loopback("localhost.example/x"));
}

static void subordinate_ids(void **state)
{
    static const struct {
        const char *text;
        enum err_kind kind; /* ERR_NONE: found */
        uint32_t first;
    } rows[] = { { "me:100000:65536\n", ERR_NONE, 100000 },
                 { "you:1:1\nme:5000:10\nme:200000:70000", ERR_NONE, 200000 },
                 { "", ERR_NOT_FOUND, 0 },
                 { "mee:100000:65536\n", ERR_NOT_FOUND, 0 },
                 { "me:100000:65535\n", ERR_NOT_FOUND, 0 },
                 { "me:0:65536\n", ERR_INPUT, 0 },
                 { "me:4294967295:65536\n", ERR_INPUT, 0 },
                 { "me:x:65536\n", ERR_INPUT, 0 },
                 { "me:100000\n", ERR_INPUT, 0 },
                 { "me:100000:65536:1\n", ERR_INPUT, 0 } };
    (void)state;
    char folder[] = "/tmp/test_signatures.XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct owner owner;
        struct err err = { 0 };
        for (int k = 0; k < 2; k++) {
            snprintf(path, sizeof(path), "%s/%s", folder, k ? "subgid" : "subuid");
            FILE *f = fopen(path, "w");
            assert_non_null(f);
            fputs(rows[i].text, f);
            fclose(f);
        }
        int rc = owner_find(folder, "me", &owner, &err);
        assert_int_equal(err.kind, rows[i].kind);
        assert_int_equal(rc, rows[i].kind == ERR_NONE ? 0 : -1);
        if (rc == 0)
            assert_int_equal(owner.uid, rows[i].first);
        unlink(path);
        snprintf(path, sizeof(path), "%s/subuid", folder);
        unlink(path);
    }
    rmdir(folder);
    assert_int_equal(owner_find("/tmp", "a:b", &(struct owner){ 0 }, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_engine_is_told_less),
        cmocka_unit_test(archives),
        cmocka_unit_test(spared_images),
        cmocka_unit_test(refusals_name_the_member),
        cmocka_unit_test(off_lets_everything_pass),
        cmocka_unit_test(the_most_specific_scope_counts),
        cmocka_unit_test(identities),
        cmocka_unit_test(one_bit_and_every_cut),
        cmocka_unit_test(another_kind_another_image),
        cmocka_unit_test(names),
        cmocka_unit_test(subordinate_ids),
        cmocka_unit_test(another_key_is_another_policy),
    };
    return cmocka_run_group_tests(tests, make_signer, drop_signer);
}
