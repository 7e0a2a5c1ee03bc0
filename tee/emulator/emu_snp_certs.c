/* The certificates of the software secure processor, field by field as AMD issues them: AMD 57230, chapters
 * on the VCEK and VLEK formats, and recorded ones. */
#include "tee/emulator/emu_snp_certs.h"

#include "base/auto.h"

#include <pthread.h>

#define CA_DAYS            9131 /* 25 years */
#define VCEK_DAYS          2555 /* 7 years */
#define VLEK_DAYS          365
#define CRL_DAYS           365
#define VEK_EXTENSIONS_MAX 14

struct ca_names {
    char ark[32], signer[32], crl[96];
};

static struct ca_names names_of(const struct snp_facts *f)
{
    struct ca_names n;
    snprintf(n.ark, sizeof(n.ark), "ARK-%s", f->product);
    snprintf(n.signer, sizeof(n.signer), "SEV-%s%s", f->csp_id ? "VLEK-" : "", f->product);
    snprintf(n.crl, sizeof(n.crl), "URI:https://kdsintf.amd.com/%s/v1/%s/crl", f->csp_id ? "vlek" : "vcek",
             f->product);
    return n;
}

/* The order of AMD's names. */
#define AMD_NAME(cn)                                                                                         \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        "OU", "Engineering", "C", "US", "L", "Santa Clara", "ST", "CA", "O", EMULATOR_ORGANISATION, "CN",    \
            (cn), NULL                                                                                       \
    }

static int ark_load(struct snp_certs *c, const struct store *s, const struct snp_facts *f, struct err *err)
{
    struct ca_names n = names_of(f);
    char file[64];
    snprintf(file, sizeof(file), "ca/ark-%s", f->product);
    const struct cert_extension ext[] = {
        { "keyUsage", "critical,keyCertSign,cRLSign", { 0 } },
        { "subjectKeyIdentifier", "hash", { 0 } },
        { "basicConstraints", "critical,CA:TRUE", { 0 } },
        { "crlDistributionPoints", n.crl, { 0 } },
    };
    const struct cert_spec spec = {
        AMD_NAME(n.ark), CA_DAYS, 0x20000, ext, ARRAY_SIZE(ext), SIGN_PSS_SHA384
    };
    return identity_load(&c->ark, s, file, KEY_RSA4096, &spec, NULL, err);
}

static int signer_load(struct snp_certs *c, const struct store *s, const struct snp_facts *f, struct err *err)
{
    struct ca_names n = names_of(f);
    char file[64];
    snprintf(file, sizeof(file), "ca/%s-%s", f->csp_id ? "asvk" : "ask", f->product);
    const struct cert_extension ext[] = {
        { "subjectKeyIdentifier", "hash", { 0 } },
        { "authorityKeyIdentifier", "keyid", { 0 } },
        { "basicConstraints", "critical,CA:TRUE,pathlen:0", { 0 } },
        { "keyUsage", "critical,keyCertSign", { 0 } },
        { "crlDistributionPoints", n.crl, { 0 } },
    };
    const struct cert_spec spec = { AMD_NAME(n.signer), CA_DAYS,        0x20002, ext,
                                    ARRAY_SIZE(ext),    SIGN_PSS_SHA384 };
    return identity_load(&c->signer, s, file, KEY_RSA4096, &spec, &c->ark, err);
}

/* One SPL extension; component: index into the TCB_VERSION, or 0xFF for a reserved SPL of zero. */
struct spl {
    const char *oid;
    uint8_t component;
};

static const struct spl spl_milan_genoa[] = {
    { "1.3.6.1.4.1.3704.1.3.1", 0 },    { "1.3.6.1.4.1.3704.1.3.2", 1 },
    { "1.3.6.1.4.1.3704.1.3.4", 0xFF }, { "1.3.6.1.4.1.3704.1.3.5", 0xFF },
    { "1.3.6.1.4.1.3704.1.3.6", 0xFF }, { "1.3.6.1.4.1.3704.1.3.7", 0xFF },
    { "1.3.6.1.4.1.3704.1.3.3", 6 },    { "1.3.6.1.4.1.3704.1.3.8", 7 },
};
static const struct spl spl_turin[] = {
    { "1.3.6.1.4.1.3704.1.3.9", 0 },    { "1.3.6.1.4.1.3704.1.3.1", 1 },
    { "1.3.6.1.4.1.3704.1.3.2", 2 },    { "1.3.6.1.4.1.3704.1.3.3", 3 },
    { "1.3.6.1.4.1.3704.1.3.5", 0xFF }, { "1.3.6.1.4.1.3704.1.3.6", 0xFF },
    { "1.3.6.1.4.1.3704.1.3.7", 0xFF }, { "1.3.6.1.4.1.3704.1.3.8", 7 },
};

/* Values of extensions, one behind the other; offsets become views once the buffer no longer moves. */
struct extensions {
    struct cert_extension list[VEK_EXTENSIONS_MAX];
    size_t start[VEK_EXTENSIONS_MAX + 1], n;
    struct buf values;
};

static void extension_begin(struct extensions *x, const char *oid)
{
    x->list[x->n] = (struct cert_extension){ .oid = oid };
    x->start[x->n++] = x->values.n;
}

static void extension_uint(struct extensions *x, const char *oid, uint64_t v)
{
    extension_begin(x, oid);
    der_put_uint(&x->values, DER_INTEGER, v);
}

static void vek_extensions(struct extensions *x, const struct snp_facts *f, struct bytes hwid)
{
    bool turin = f->chip_id_size == 8;
    const struct spl *spl = turin ? spl_turin : spl_milan_genoa;
    extension_uint(x, "1.3.6.1.4.1.3704.1.1", turin ? 1 : 0);
    extension_begin(x, "1.3.6.1.4.1.3704.1.2");
    der_put(&x->values, DER_IA5, bytes_str(f->product));
    for (size_t i = 0; i < ARRAY_SIZE(spl_turin); i++)
        extension_uint(x, spl[i].oid, spl[i].component == 0xFF ? 0 : f->tcb[spl[i].component]);
    if (f->csp_id) {
        extension_begin(x, "1.3.6.1.4.1.3704.1.5");
        der_put(&x->values, DER_IA5, bytes_str(f->csp_id));
    } else { /* raw octets, no tag inside extnValue */
        extension_begin(x, "1.3.6.1.4.1.3704.1.4");
        buf_put(&x->values, hwid);
    }
    x->start[x->n] = x->values.n;
    for (size_t i = 0; i < x->n; i++)
        x->list[i].raw = bytes_of(x->values.p + x->start[i], x->start[i + 1] - x->start[i]);
}

static int vek_load(struct snp_certs *c, const struct store *s, const char *shape, const struct snp_facts *f,
                    struct bytes hwid, struct err *err)
{
    struct extensions x = { .values = buf_new(1024) };
    char file[64];
    snprintf(file, sizeof(file), "%s/%s", shape, f->csp_id ? "vlek" : "vcek");
    vek_extensions(&x, f, hwid);
    const struct cert_spec spec = { AMD_NAME(f->csp_id ? "SEV-VLEK" : "SEV-VCEK"),
                                    f->csp_id ? VLEK_DAYS : VCEK_DAYS,
                                    0,
                                    x.list,
                                    x.n,
                                    SIGN_PSS_SHA384 };
    int rc = buf_check(&x.values, "the extensions of a VEK", err);
    if (rc == 0)
        rc = identity_load(&c->vek, s, file, KEY_P384, &spec, &c->signer, err);
    buf_done(&x.values);
    return rc;
}

/* Two RSA-4096 keys take seconds to find: the second core looks for one of them. */
struct key_search {
    const struct store *s;
    char file[64];
    EVP_PKEY *key;
    struct err err;
    int rc;
};

static void *key_search_run(void *arg)
{
    struct key_search *k = arg;
    k->rc = store_key(k->s, k->file, KEY_RSA4096, &k->key, &k->err);
    return NULL;
}

int snp_certs_load(struct snp_certs *c, const struct store *s, const char *shape, const struct snp_facts *f,
                   struct bytes hwid, struct err *err)
{
    struct key_search search = { .s = s };
    pthread_t thread;
    snprintf(search.file, sizeof(search.file), "ca/%s-%s.key.pem", f->csp_id ? "asvk" : "ask", f->product);
    if (pthread_create(&thread, NULL, key_search_run, &search) != 0)
        return err_set(err, ERR_IO, 0, "cannot start a thread");
    int rc = ark_load(c, s, f, err);
    pthread_join(thread, NULL);
    c->signer.key = search.key;
    if (rc < 0)
        return -1;
    if (search.rc < 0) {
        *err = search.err;
        return -1;
    }
    char crl[64];
    snprintf(crl, sizeof(crl), "collateral/ark-%s.crl", f->product);
    c->crl = buf_new(CERT_MAX_CRL);
    if (store_folder(s, "collateral", err) < 0 || signer_load(c, s, f, err) < 0
        || vek_load(c, s, shape, f, hwid, err) < 0)
        return -1;
    return crl_load(s, crl, &c->ark, SIGN_PSS_SHA384, CRL_DAYS, &c->crl, err);
}

void snp_certs_done(struct snp_certs *c)
{
    identity_done(&c->ark);
    identity_done(&c->signer);
    identity_done(&c->vek);
    buf_done(&c->crl);
}
