#include "agent/handlers.h"

#include "agent/metrics.h"
#include "agent/openapi.h"
#include "agent/server.h"
#include "base/auto.h"
#include "base/json.h"
#include "evidence/service.h"

#include <errno.h>
#include <sys/random.h>

static const char magic_internal[] = "Internal/collaterals", magic_external[] = "External/collaterals";
_Static_assert(sizeof(magic_internal) - 1 == MAGIC_SIZE && sizeof(magic_external) - 1 == MAGIC_SIZE,
               "a verifier knows magics of 20 bytes only");

/* Contract section 4: registers that a golden measurement may name. */
#define PCR_LAST 23

static int shutting_down(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, 0, "the agent is shutting down: try again when it has restarted");
}

int platform_answer(struct request *r, struct buf *out, struct err *err)
{
    struct collector *c = server_collector_get(r->server);
    if (!c)
        return shutting_down(err);
    const struct shape *shape = collector_shape(c);
    buf_printf(
        out, "{\"tee_type\":%d,\"tee_name\":\"%s\",\"cloud_type\":%d,\"cloud_name\":\"%s\",\"emulated\":%s,",
        (int)shape->tee, tee_name(shape->tee), (int)collector_cloud(c), cloud_name(collector_cloud(c)),
        server_emulated(r->server) ? "true" : "false");
    buf_printf(out, "\"tpm\":\"%s\",\"tls_spki_sha256\":\"%s\"}\n", collector_tpm_kind(c),
               server_spki_sha256(r->server));
    server_collector_put(r->server);
    return 0;
}

int healthz_answer(struct request *r, struct buf *out, struct err *err)
{
    (void)r, (void)err;
    buf_str(out, "{\"status\":\"ok\"}\n");
    return 0;
}

int metrics_answer(struct request *r, struct buf *out, struct err *err)
{
    (void)err;
    server_metrics_put(r->server, out);
    return 0;
}

int openapi_answer(struct request *r, struct buf *out, struct err *err)
{
    (void)r, (void)err;
    openapi_write(out);
    return 0;
}

/* "1" or "0". */
static int read_flag(const struct request *r, const char *name, bool *out, struct err *err)
{
    const char *value = query_get(&r->query, name);
    if (value && strcmp(value, "1") != 0 && strcmp(value, "0") != 0)
        return err_set(err, ERR_INPUT, 0, "%s takes 1 or 0", name);
    *out = value && *value == '1';
    return 0;
}

/* Services share the queues' outside part: none of them can keep the machine from attesting itself. */
static int bind_nonce(struct request *r, struct err *err)
{
    bool outside = r->port == PORT_EXTERNAL;
    struct bytes nonce = buf_bytes(&r->nonce);
    if (r->service && service_nonce(r->service, nonce, r->service_nonce, err) < 0)
        return -1;
    r->collect = (struct collect_request){
        .magic = bytes_str(r->service ? SERVICE_MAGIC
                           : outside  ? magic_external
                                      : magic_internal),
        .nonce = r->service ? bytes_of(r->service_nonce, NONCE_MAX) : nonce,
        .shown_nonce = r->service ? nonce : bytes_of(NULL, 0),
        .service = r->service,
        .bank = ALG_SHA256,
        .outside = outside || r->service,
    };
    return 0;
}

int collaterals_prepare(struct request *r, struct err *err)
{
    const char *bank = query_get(&r->query, "pcr_bank");
    bool fresh;
    if (nonce_decode(r->segment, NONCE_MAX, &r->nonce, err) < 0 || read_flag(r, "fresh", &fresh, err) < 0)
        return -1;
    if (bank && strcmp(bank, "sha256") != 0 && strcmp(bank, "sha384") != 0)
        return err_set(err, ERR_INPUT, 0, "pcr_bank takes sha256 or sha384");
    if (fresh && server_cloud(r->server) != CLOUD_AZURE)
        return err_set(err, ERR_INPUT, 0,
                       "fresh=1 is for Azure: on this platform every report is made for its request already");
    if (bind_nonce(r, err) < 0)
        return -1;
    if (bank && !strcmp(bank, "sha384"))
        r->collect.bank = ALG_SHA384;
    r->collect.fresh = fresh;
    if (fresh)
        r->retry_after_s = COLLECT_FRESH_SECONDS; /* if it must wait at all */
    return 0;
}

/* "0,4,9" → mask. */
static int read_pcrs(const char *text, uint32_t *out, struct err *err)
{
    uint32_t mask = 0;
    for (const char *at = text;;) {
        char *end = NULL;
        unsigned long pcr = *at >= '0' && *at <= '9' ? strtoul(at, &end, 10) : PCR_LAST + 1;
        if (pcr > PCR_LAST || !end || (*end && *end != ','))
            return err_set(err, ERR_INPUT, 0,
                           "pcrs takes register numbers from 0 to %d with commas between them", PCR_LAST);
        mask |= 1u << pcr;
        if (!*end)
            break;
        at = end + 1;
    }
    *out = mask;
    return 0;
}

int golden_prepare(struct request *r, struct err *err)
{
    const char *pcrs = query_get(&r->query, "pcrs");
    uint8_t *nonce = buf_room(&r->nonce, NONCE_MAX);
    if (read_flag(r, "all", &r->all_pcrs, err) < 0 || (pcrs && read_pcrs(pcrs, &r->pcrs, err) < 0))
        return -1;
    if (pcrs && r->all_pcrs)
        return err_set(err, ERR_INPUT, 0, "pcrs and all exclude each other: give one of them");
    if (!nonce || getrandom(nonce, NONCE_MAX, 0) != NONCE_MAX) /* nobody asked for a nonce: ours is fresh */
        return err_set(err, ERR_IO, (uint32_t)errno, "no random nonce");
    return bind_nonce(r, err);
}

static void collected(void *arg, struct evidence *evidence, const struct err *err)
{
    struct request *r = arg;
    r->evidence = evidence;
    if (!evidence) {
        r->failed = true;
        r->err = *err;
        if (r->err.kind == ERR_NOT_FOUND) /* a device or register, not the route that was asked for */
            r->err.kind = ERR_UNAVAILABLE;
    }
    request_resume(r);
}

int evidence_begin(struct request *r, struct err *err)
{
    struct collector *c = server_collector_get(r->server);
    if (!c)
        return shutting_down(err);
    int rc = collector_submit(c, &r->collect, collected, r, err);
    server_collector_put(r->server);
    return rc;
}

int collaterals_answer(struct request *r, struct buf *out, struct err *err)
{
    struct collector *c = server_collector_get(r->server);
    if (!c)
        return shutting_down(err);
    const struct log_marks *marks = evidence_log_marks(r->evidence);
    struct measurements *m = server_measurements(r->server);
    AUTO(free_str) char *journal = server_journal(r->server, marks->journal);
    AUTO(free_str) char *workload = server_workload_log(r->server, marks->workload);
    struct document_extras extras = { .workload_log = workload,
                                      .journal_log = journal,
                                      .no_mirror = m ? measurements_no_mirror(m) : NULL,
                                      .no_rtmr3 = m ? measurements_no_rtmr3(m) : NULL,
                                      .tls_spki_sha256 = server_spki_sha256(r->server) };
    int rc = evidence_document(c, r->evidence, &extras, out, err);
    server_collector_put(r->server);
    return rc;
}

int golden_answer(struct request *r, struct buf *out, struct err *err)
{
    struct collector *c = server_collector_get(r->server);
    if (!c)
        return shutting_down(err);
    size_t mark = evidence_log_marks(r->evidence)->workload;
    struct measurements *m = server_measurements(r->server);
    AUTO(buf_done) struct buf events = buf_new(ANSWER_MAX);
    AUTO(free_str) char *text = NULL;
    int rc = m && mark != LOG_MARK_NONE ? measurements_golden(m, mark, &events, err) : 0;
    if (rc > 0 && !(text = buf_take_str(&events)))
        rc = err_set(err, ERR_IO, ENOMEM, "no memory for the workload's events");
    if (rc >= 0)
        rc = evidence_golden(c, r->evidence, r->pcrs, r->all_pcrs, text, out, err);
    server_collector_put(r->server);
    return rc;
}
