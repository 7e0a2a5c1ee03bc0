/** vek_rig.h: a machine with the report and the certificates of a recording, and those who wait for a
 * certificate. */
#ifndef CVM_TEST_VEK_RIG_H
#define CVM_TEST_VEK_RIG_H

#include "evidence.h"
#include "http_server.h"

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/x509.h"
#include "tee/ak_chain.h"
#include "tee/cert_table.h"
#include "tee/vek.h"

#include <stdatomic.h>

#define GENOA "snp/genoa-v3-tinfoil"
#define OTHER "snp/genoa-v3-tsm-certtable" /* another Genoa chip */
#define MILAN "snp/milan-v2-nodebug"
#define TURIN "snp/turin-v5-oak"
#define VLEK  "snp/milan-v2-vlek-aws"

/* ---- a machine: lower interfaces, cache folder, files of one recording ---- */

struct machine {
    struct lower lower;
    char cache[32];
    struct sample report, vek, chain; /* chain: PEM, ASK then ARK */
    struct http_server *server;
    char leaf_path[512], chain_path[64];
};
struct sample load(const char *folder, const char *file);
struct sample load_chain(const char *folder, const char *ask_name);
void machine_new(struct machine *m, const char *folder, const char *product);
void serve(struct machine *m, struct http_rule *rules, size_t n);
void damage_file(const char *path);
void machine_done(struct machine *m);
struct vek_store *open_store(struct machine *m, const struct chain_pool *pool);

/* ---- asking and waiting ---- */

struct heard {
    atomic_uint calls, failures;
    char cause[sizeof(((struct err *)0)->cause)];
};
void hear(void *arg, const struct err *err);
void wait_for(struct heard *h, unsigned calls);
void fetch(struct vek_store *s, const struct machine *m, bool thim, unsigned deadline_ms, struct heard *h);
bool found(struct vek_store *s, const struct machine *m, size_t chain_n);
bool found_later(struct vek_store *s, const struct machine *m);

#endif
