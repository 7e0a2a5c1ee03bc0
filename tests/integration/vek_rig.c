#include "vek_rig.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sample load(const char *folder, const char *file)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    return sample_load(path);
}

struct sample load_chain(const char *folder, const char *ask_name)
{
    return sample_join(load(folder, ask_name), load(folder, "ark.pem"));
}

/* The KDS address of a report, by offsets of the vendor's tables. */
static void expect_paths(struct machine *m, const char *product)
{
    const uint8_t *r = m->report.p, *t = r + 0x180;
    bool turin = !strcmp(product, "Turin");
    char chip[129];
    hex_to(chip, bytes_of(r + 0x1A0, turin ? 8 : 64));
    if (turin)
        snprintf(m->leaf_path, sizeof(m->leaf_path),
                 "/vcek/v1/Turin/%s?blSPL=%02d&teeSPL=%02d&snpSPL=%02d&ucodeSPL=%02d&fmcSPL=%02d", chip, t[1],
                 t[2], t[3], t[7], t[0]);
    else
        snprintf(m->leaf_path, sizeof(m->leaf_path),
                 "/vcek/v1/%s/%s?blSPL=%02d&teeSPL=%02d&snpSPL=%02d&ucodeSPL=%02d", product, chip, t[0], t[1],
                 t[6], t[7]);
    snprintf(m->chain_path, sizeof(m->chain_path), "/vcek/v1/%s/cert_chain", product);
}

void machine_new(struct machine *m, const char *folder, const char *product)
{
    skip_without_evidence();
    *m = (struct machine){ .lower = { .sys = "/nonexistent", .dev = "/nonexistent", .proc = "/proc" },
                           .cache = "/tmp/cvm-vek-XXXXXX" };
    bool vlek = !strcmp(folder, VLEK);
    m->report = load(folder, "report.bin");
    m->vek = load(folder, vlek ? "vlek.der" : "vcek.der");
    m->chain = load_chain(folder, vlek ? "asvk.pem" : "ask.pem");
    m->lower.http = http_curl();
    m->lower.kds_url = m->lower.imds_url = "http://127.0.0.1:1"; /* nobody listens there */
    assert_non_null(mkdtemp(m->cache));
    expect_paths(m, product);
}

void serve(struct machine *m, struct http_rule *rules, size_t n)
{
    m->server = http_server_start(rules, n);
    m->lower.kds_url = m->lower.imds_url = http_server_url(m->server);
}

void damage_file(const char *path)
{
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    fputs("damaged", f);
    fclose(f);
}

void machine_done(struct machine *m)
{
    if (m->server)
        http_server_stop(m->server);
    each_file(m->cache, remove_file);
    assert_int_equal(rmdir(m->cache), 0);
    sample_done(&m->report);
    sample_done(&m->vek);
    sample_done(&m->chain);
}

struct vek_store *open_store(struct machine *m, const struct chain_pool *pool)
{
    struct vek_store *s = NULL;
    struct err err = { 0 };
    if (vek_store_new(&m->lower, m->cache, pool, &s, &err) < 0)
        fail_msg("%s", err.cause);
    return s;
}

void hear(void *arg, const struct err *err)
{
    struct heard *h = arg;
    if (err) {
        snprintf(h->cause, sizeof(h->cause), "%s", err->cause);
        atomic_fetch_add(&h->failures, 1);
    }
    atomic_fetch_add(&h->calls, 1);
}

void wait_for(struct heard *h, unsigned calls)
{
    for (int i = 0; i < 1000 && atomic_load(&h->calls) < calls; i++)
        usleep(10000);
    assert_int_equal(atomic_load(&h->calls), calls);
}

void fetch(struct vek_store *s, const struct machine *m, bool thim, unsigned deadline_ms, struct heard *h)
{
    struct err err = { 0 };
    unsigned before = atomic_load(&h->calls);
    if (vek_fetch(s, sample_bytes(&m->report), thim, deadline_ms, hear, h, &err) < 0)
        fail_msg("%s", err.cause);
    wait_for(h, before + 1);
}

bool found(struct vek_store *s, const struct machine *m, size_t chain_n)
{
    AUTO(vek_certs_done) struct vek_certs c = { 0 };
    struct err why = { 0 };
    if (vek_lookup(s, sample_bytes(&m->report), bytes_of(NULL, 0), &c, &why) < 0) {
        assert_int_equal(why.kind, ERR_NOT_FOUND);
        return false;
    }
    assert_true(bytes_equal(buf_bytes(&c.vek), sample_bytes(&m->vek)));
    assert_int_equal(c.chain_n, chain_n);
    return true;
}

bool found_later(struct vek_store *s, const struct machine *m)
{
    for (int i = 0; i < 800; i++) {
        if (found(s, m, 2))
            return true;
        usleep(10000);
    }
    return false;
}
