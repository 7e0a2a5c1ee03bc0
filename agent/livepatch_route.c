#include "agent/livepatch_route.h"

#include "agent/kmodule.h"
#include "agent/measurements.h"
#include "agent/operate.h"
#include "agent/server.h"
#include "agent/workload.h"
#include "base/auto.h"
#include "base/enc.h"

#include <errno.h>
#include <sys/mman.h>

/* As published clients expect it. */
#define DONE_TEXT "Livepatch successfully applied and measured into PCR 16.\n"

/* Before the file is read. */
int livepatch_prepare(struct request *r, struct err *err)
{
    struct operate *o = server_operate(r->server);
    const struct workload_policy *policy = o ? operate_policy(o) : NULL;
    if (policy && policy->enable_livepatch)
        return 0;
    return err_set(
        err, ERR_DENIED, 0,
        "livepatches are off: the workload's policy would have to have cvm_config.enable_livepatch");
}

struct measuring {
    struct workload_log *log;
    const char *name;
    const uint8_t *sha384;
};

static int measure(struct tpm *tpm, void *arg, struct err *err)
{
    const struct measuring *m = arg;
    return workload_log_livepatch(m->log, tpm, m->name, m->sha384, err);
}

/* What the machine cannot do it says before the file is judged. */
static int ready(struct workload *w, struct workload_log **log, struct err *err)
{
    *log = w->measurements ? measurements_log(w->measurements) : NULL;
    if (!*log)
        return err_set(err, ERR_UNAVAILABLE, 0, "there is no workload log to measure a livepatch in");
    return priv_livepatch_ready(w->priv, err);
}

/* What the kernel says of a module is the caller's affair, what it says of the machine is ours. */
static void blame(struct err *err)
{
    switch (err->code) {
    case EKEYREJECTED:
    case ENOKEY:
    case EBADMSG:
        err->kind = ERR_DENIED;
        break;
    case ENOEXEC:
    case ENOENT:
    case EINVAL:
    case EEXIST:
        err->kind = ERR_INPUT;
        break;
    default:
        break;
    }
}

static int apply(struct workload *w, struct kmodule *m, struct bytes module, const uint8_t *sha384,
                 struct err *err)
{
    struct measuring measuring = { NULL, m->name, sha384 };
    if (ready(w, &measuring.log, err) < 0 || kmodule_parse(module, m, err) < 0)
        return -1;
    if (!m->livepatch)
        return err_set(err, ERR_DENIED, 0, "the module %s is no livepatch", m->name);
    if (collector_with_tpm(w->collector, measure, &measuring, err) < 0)
        return err_while(err, "measure the livepatch");
    if (priv_livepatch(w->priv, module, err) < 0) {
        blame(err);
        return err_while(err, "load the livepatch");
    }
    return 0;
}

static int apply_and_record(struct request *r, struct bytes module, const struct uploaded *u, struct err *err)
{
    struct kmodule m = { "", false };
    struct err why = { 0 };
    char hex[97];
    int rc = apply(operate_workload(server_operate(r->server)), &m, module, u->sha384, &why);
    AUTO(json_drop)
    json_t *what = json_pack("{s:s, s:s}", "module", m.name, "sha384", hex_to(hex, bytes_of(u->sha384, 48)));
    if (operate_record(r, "livepatch", what, rc < 0 ? &why : NULL, err) < 0)
        return -1;
    if (rc < 0)
        *err = why;
    return rc;
}

static int work(struct request *r, struct buf *out, struct err *err)
{
    struct operate *o = server_operate(r->server);
    struct uploaded u;
    if (upload_end(r->upload, &u, err) < 0)
        return -1;
    if (!operate_workload(o))
        return err_set(err, ERR_UNAVAILABLE, 0, "this agent has no workload: there is nothing to patch for");
    if (acts_ready(operate_acts(o), err) < 0)
        return -1;
    void *p = u.size ? mmap(NULL, (size_t)u.size, PROT_READ, MAP_PRIVATE, u.fd, 0) : NULL;
    if (p == MAP_FAILED)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot map the module: %s", strerror(errno));
    int rc = apply_and_record(r, bytes_of(p, p ? (size_t)u.size : 0), &u, err);
    if (p)
        munmap(p, (size_t)u.size);
    if (rc == 0)
        buf_str(out, DONE_TEXT);
    return rc;
}

int livepatch_begin(struct request *r, struct err *err)
{
    return operate_begin(r, work, err);
}
