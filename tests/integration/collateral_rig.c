#include "collateral_rig.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

static char *percent_encoded(struct bytes text)
{
    struct buf b = buf_new(HTTP_HEADER_VALUE_MAX);
    for (size_t i = 0; i < text.n; i++) {
        if (strchr("\n =+/", text.p[i]))
            buf_printf(&b, "%%%02X", text.p[i]);
        else
            buf_u8(&b, text.p[i]);
    }
    char *s = buf_take_str(&b);
    assert_non_null(s);
    return s;
}

struct sample load(const char *folder, const char *file)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    return sample_load(path);
}

void recorded_load(struct recorded *r, const char *folder)
{
    r->tcb_info = load(folder, "tcb_info.json");
    r->qe_identity = load(folder, "qe_identity.json");
    r->pck_crl = load(folder, "pck_crl.der");
    r->root_crl = load(folder, "root_ca_crl.der");
    r->tcb_chain = load(folder, "tcb_signing_chain.pem");
    r->pck_chain = load(folder, "pck_crl_issuer_chain.pem");
    r->tcb_header = percent_encoded(sample_bytes(&r->tcb_chain));
    r->pck_header = percent_encoded(sample_bytes(&r->pck_chain));
}

void recorded_done(struct recorded *r)
{
    struct sample *all[] = { &r->tcb_info, &r->qe_identity, &r->pck_crl,
                             &r->root_crl, &r->tcb_chain,   &r->pck_chain };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        sample_done(all[i]);
    free(r->tcb_header);
    free(r->pck_header);
}

static void set_rules(struct party *p)
{
    const struct recorded *r = &p->recorded;
    const struct http_rule rules[RULES] = {
        [RULE_TCB] = { .path = "/tdx/certification/v4/tcb?fmspc=B0C06F000000",
                       .status = 200,
                       .body = sample_bytes(&r->tcb_info),
                       .header = "TCB-Info-Issuer-Chain",
                       .header_value = r->tcb_header },
        [RULE_QE] = { .path = "/tdx/certification/v4/qe/identity",
                      .status = 200,
                      .body = sample_bytes(&r->qe_identity),
                      .header = "sgx-enclave-identity-issuer-chain",
                      .header_value = r->tcb_header },
        [RULE_PCK_CRL] = { .path = "/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
                           .status = 200,
                           .body = sample_bytes(&r->pck_crl),
                           .header = "SGX-PCK-CRL-Issuer-Chain",
                           .header_value = r->pck_header },
        [RULE_ROOT_CRL] = { .path = "/sgx/certification/v4/rootcacrl",
                            .status = 200,
                            .body = sample_bytes(&r->root_crl) },
    };
    memcpy(p->rules, rules, sizeof(rules));
}

void party_new(struct party *p, const char *folder, time_t at)
{
    struct err err = { 0 };
    skip_without_evidence();
    *p = (struct party){ .dir = "/tmp/cvm-collateral-XXXXXX" };
    recorded_load(&p->recorded, folder);
    set_rules(p);
    assert_non_null(mkdtemp(p->dir));
    p->server = http_server_start(p->rules, RULES);
    p->storage = buf_new(TRUST_ROWS * CERT_MAX);
    assert_int_equal(trust_der(&p->storage, p->trust, &err), 0);
    p->pool = (struct chain_pool){ p->trust, TRUST_ROWS };
    p->source = (struct collateral_source){ .dir = p->dir,
                                            .at = at,
                                            .http = http_curl(),
                                            .kds_url = http_server_url(p->server),
                                            .pcs_url = http_server_url(p->server),
                                            .pool = &p->pool };
}

static unsigned files_seen;
static void count_file(const char *path)
{
    (void)path;
    files_seen++;
}

unsigned count_files(const struct party *p)
{
    files_seen = 0;
    each_file(p->dir, count_file);
    return files_seen;
}

void party_done(struct party *p)
{
    http_server_stop(p->server);
    recorded_done(&p->recorded);
    buf_done(&p->storage);
    each_file(p->dir, remove_file);
    assert_int_equal(rmdir(p->dir), 0);
}

struct collateral_service *open_source(const struct collateral_source *source)
{
    struct collateral_service *c = NULL;
    struct err err = { 0 };
    if (collateral_new(source, &c, &err) < 0)
        fail_msg("%s", err.cause);
    return c;
}

struct collateral_service *open_offline(const struct party *p)
{
    struct collateral_source source = p->source;
    source.offline = true;
    return open_source(&source);
}

void expect(struct collateral_service *c, const struct collateral_id *id, const struct sample *bytes)
{
    AUTO(collateral_item_done) struct collateral_item item = { 0 };
    struct err err = { 0 };
    if (collateral_get(c, id, &item, &err) < 0)
        fail_msg("%s", err.cause);
    assert_int_equal(item.data.n, bytes->n);
    assert_memory_equal(item.data.p, bytes->p, bytes->n);
}

void expect_refusal(struct collateral_service *c, const struct collateral_id *id, enum err_kind kind,
                    const char *says)
{
    struct collateral_item item = { 0 };
    struct err err = { 0 };
    char text[ERR_TEXT_MAX];
    assert_int_equal(collateral_get(c, id, &item, &err), -1);
    assert_null(item.data.p);
    err_text(&err, text, sizeof(text));
    if (!strstr(text, says))
        fail_msg("\"%s\" does not say \"%s\"", text, says);
    assert_int_equal(err.kind, kind);
}

void file_path(const struct party *p, const char *file, char out[static 512])
{
    snprintf(out, 512, "%s/%s", p->dir, file);
}
