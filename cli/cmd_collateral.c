#include "cli/anchors.h"
#include "cli/commands.h"
#include "cli/preload.h"
#include "cli/verify_print.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "policy/trust.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define THIM_URL     "http://169.254.169.254"
#define WAIT_DEFAULT 60
#define WAIT_MAX     3600

struct arguments {
    const char *args[2]; /* "preload", DIR */
    struct option_list fmspcs, reports, products;
    const char *kds, *pcs, *root_crl, *only, *wait, *at, *roots;
    bool thim, insecure, allow_expired;
};

#define ROOTS_MAX 32 /* extra ones */

/* The certificates that chains must end in, and the source over them. */
struct origin {
    struct buf storage, extra;
    struct bytes der[TRUST_ROWS + ROOTS_MAX];
    struct chain_pool pool;
    struct collateral_source source;
};

static void origin_done(struct origin *o)
{
    buf_done(&o->storage);
    buf_done(&o->extra);
}

/* ---- what to fetch ---- */

static int add_amd(struct preload *p, const struct option_list *products)
{
    static const enum snp_product all[] = { SNP_MILAN, SNP_GENOA, SNP_TURIN };
    struct err err = { 0 };
    for (size_t i = 0; products->n == 0 && i < ARRAY_SIZE(all); i++)
        if (preload_add_product(p, all[i], &err) < 0)
            return fail_err(STATUS_INPUT, "collateral", "cannot fetch so much", &err);
    for (size_t i = 0; i < products->n; i++) {
        enum snp_product product = snp_product_by_name(bytes_str(products->item[i]));
        if (product == SNP_UNKNOWN)
            return fail(STATUS_USAGE, products->item[i], "no such product", "one of Milan, Genoa, Turin");
        if (preload_add_product(p, product, &err) < 0)
            return fail_err(STATUS_INPUT, "collateral", "cannot fetch so much", &err);
    }
    return 0;
}

static int add_intel(struct preload *p, const struct option_list *fmspcs)
{
    struct err err = { 0 };
    if (preload_add_intel(p, &err) < 0)
        return fail_err(STATUS_INPUT, "collateral", "cannot fetch so much", &err);
    for (size_t i = 0; i < fmspcs->n; i++) {
        struct collateral_id id = { .kind = COLLATERAL_TCB_INFO };
        if (hex_decode_fixed(bytes_str(fmspcs->item[i]), id.fmspc, sizeof(id.fmspc), &err) < 0)
            return fail(STATUS_USAGE, fmspcs->item[i], "no FMSPC", "12 hex digits, as 00806F050000");
        if (preload_add(p, &id, &err) < 0)
            return fail_err(STATUS_INPUT, "collateral", "cannot fetch so much", &err);
    }
    return 0;
}

static int plan(const struct arguments *a, struct preload *p)
{
    bool amd = !a->only || !strcmp(a->only, "amd"), intel = !a->only || !strcmp(a->only, "intel");
    int rc = 0;
    if (!amd && !intel)
        return fail(STATUS_USAGE, a->only, "no such vendor", "one of amd, intel");
    if ((amd && (rc = add_amd(p, &a->products))) || (intel && (rc = add_intel(p, &a->fmspcs))))
        return rc;
    for (size_t i = 0; i < a->reports.n; i++)
        if ((rc = preload_add_file(p, a->reports.item[i])))
            return rc;
    return 0;
}

static int add_roots(const char *path, struct origin *o)
{
    AUTO(cert_files_done) struct cert_files files = { 0 };
    struct err err = { 0 };
    size_t at[ROOTS_MAX + 1] = { 0 };
    int rc = cert_files_read(&files, path);
    if (rc)
        return rc;
    o->extra = buf_new((size_t)ROOTS_MAX * CERT_MAX);
    for (size_t i = 0; i < files.n && i < ROOTS_MAX; i++) {
        if (x509_put_der(files.list[i], &o->extra, &err) < 0)
            return fail_err(STATUS_INPUT, path, "cannot be used", &err);
        at[i + 1] = o->extra.n;
    }
    for (size_t i = 0; i < files.n && i < ROOTS_MAX; i++)
        o->der[o->pool.n++] = bytes_of(o->extra.p + at[i], at[i + 1] - at[i]);
    return 0;
}

static int set_source(const struct arguments *a, struct origin *o)
{
    struct err err = { 0 };
    char *end = NULL;
    unsigned long wait = a->wait ? strtoul(a->wait, &end, 10) : WAIT_DEFAULT;
    time_t at = 0;
    int rc;
    if (a->wait && (!*a->wait || *end || *a->wait == '-' || wait > WAIT_MAX))
        return fail(STATUS_USAGE, a->wait, "no time to wait", "seconds, at most 3600");
    if (a->at && (rc = verify_clock(a->at, &at)))
        return rc;
    o->storage = buf_new((size_t)TRUST_ROWS * CERT_MAX);
    if (trust_der(&o->storage, o->der, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, "collateral", "cannot load the built-in certificates", &err);
    o->pool = (struct chain_pool){ o->der, TRUST_ROWS };
    if (a->roots && (rc = add_roots(a->roots, o)))
        return rc;
    o->source = (struct collateral_source){ .dir = a->args[1],
                                            .allow_expired = a->allow_expired,
                                            .at = at,
                                            .http = http_curl(),
                                            .kds_url = a->kds,
                                            .pcs_url = a->pcs,
                                            .root_crl_url = a->root_crl,
                                            .thim_url = a->thim ? THIM_URL : NULL,
                                            .pool = &o->pool,
                                            .wait_ms = (unsigned)wait * 1000,
                                            .insecure = a->insecure };
    return 0;
}

/* ---- fetching ---- */

/* Gets a wish from a service; a certificate without its chain is not complete. */
static int get_wish(struct collateral_service *c, const struct preload_wish *w, bool anew,
                    struct collateral_item *item, struct err *err)
{
    AUTO(vek_certs_done) struct vek_certs certs = { 0 };
    AUTO(ak_chain_done) struct ak_chain chain = { 0 };
    switch (w->kind) {
    case PRELOAD_ITEM:
        return anew ? collateral_refresh(c, &w->id, item, err) : collateral_get(c, &w->id, item, err);
    case PRELOAD_VEK:
        if (collateral_vek(c, buf_bytes(&w->evidence), &certs, err) < 0)
            return -1;
        return certs.chain_n ? 0 : err_set(err, ERR_NOT_FOUND, 0, "there is no chain above the certificate");
    default:
        return collateral_ak_chain(c, buf_bytes(&w->evidence), &chain, err);
    }
}

static void say(const char *name, const struct preload_wish *w, const struct collateral_item *item)
{
    AUTO(buf_done) struct buf line = buf_new(4096);
    char until[24];
    const char *how = w->kind != PRELOAD_ITEM ? "there" : item->fetched ? "fetched" : "kept";
    buf_printf(&line, "%-8s %s", how, name);
    if (item->next_update)
        buf_printf(&line, item->expired ? "  EXPIRED %s" : "  until %s",
                   rfc3339_text(item->next_update, until));
    write_out(&line, NULL); /* progress: what counts is said at the end */
}

static void fetch_all(struct collateral_service *c, struct preload *p)
{
    char name[512];
    for (size_t i = 0; i < p->n; i++) {
        const struct preload_wish *w = &p->wish[i];
        AUTO(collateral_item_done) struct collateral_item item = { 0 };
        struct err err = { 0 };
        preload_name(w, name, sizeof(name));
        if (get_wish(c, w, true, &item, &err) < 0)
            fail_err(STATUS_ENVIRONMENT, name, "cannot fetch", &err);
        else
            say(name, w, &item);
    }
}

/* What counts is what a verifier without a network finds in the folder afterwards. */
static int look_again(const struct origin *o, struct preload *p)
{
    AUTO(collateral_drop) struct collateral_service *c = NULL;
    AUTO(buf_done) struct buf text = buf_new((size_t)PRELOAD_MAX * 512);
    struct collateral_source source = o->source;
    struct err err = { 0 };
    char name[512];
    size_t missing = 0;
    source.offline = true;
    if (collateral_new(&source, &c, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, source.dir, "cannot read what was written", &err);
    for (size_t i = 0; i < p->n; i++) {
        AUTO(collateral_item_done) struct collateral_item item = { 0 };
        if (get_wish(c, &p->wish[i], false, &item, &err) == 0)
            continue;
        buf_printf(&text, "%s%s", missing++ ? ", " : "missing ",
                   preload_name(&p->wish[i], name, sizeof(name)));
    }
    AUTO(free_str) char *list = buf_take_str(&text);
    if (missing)
        return fail(STATUS_ENVIRONMENT, source.dir, "incomplete", list ? list : "out of memory");
    AUTO(buf_done) struct buf line = buf_new(PATH_MAX + 64);
    buf_printf(&line, "%s: complete, %zu items", source.dir, p->n);
    return write_out(&line, NULL);
}

static int preload(const struct arguments *a)
{
    AUTO(preload_drop) struct preload *p = calloc(1, sizeof(*p));
    AUTO(origin_done) struct origin o = { 0 };
    AUTO(collateral_drop) struct collateral_service *c = NULL;
    struct err err = { 0 };
    int rc;
    if (!p)
        return fail(STATUS_ENVIRONMENT, "collateral", "cannot start", "out of memory");
    if ((rc = plan(a, p)) || (rc = set_source(a, &o)))
        return rc;
    if (dir_make(a->args[1], 0755, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, a->args[1], "cannot be used", &err);
    if (access(a->args[1], W_OK | X_OK) < 0)
        return fail(STATUS_ENVIRONMENT, a->args[1], "cannot be written", strerror(errno));
    if (collateral_new(&o.source, &c, &err) < 0)
        return fail_err(err.kind == ERR_INPUT ? STATUS_USAGE : STATUS_ENVIRONMENT, a->args[1], "cannot start",
                        &err);
    fetch_all(c, p);
    return look_again(&o, p);
}

static int run(int argc, char **argv)
{
    struct arguments a = { 0 };
    const struct option_row rows[] = {
        { "fmspc", OPTION_LIST, &a.fmspcs },
        { "report", OPTION_LIST, &a.reports },
        { "product", OPTION_LIST, &a.products },
        { "kds", OPTION_TEXT, &a.kds },
        { "pcs", OPTION_TEXT, &a.pcs },
        { "root-crl", OPTION_TEXT, &a.root_crl },
        { "only", OPTION_TEXT, &a.only },
        { "wait", OPTION_TEXT, &a.wait },
        { "at", OPTION_TEXT, &a.at },
        { "trust-emulator", OPTION_TEXT, &a.roots },
        { "thim", OPTION_FLAG, &a.thim },
        { "insecure", OPTION_FLAG, &a.insecure },
        { "allow-expired", OPTION_FLAG, &a.allow_expired },
    };
    int rc = options_parse(&command_collateral, argc, argv, rows, ARRAY_SIZE(rows), a.args, 2, 2);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (strcmp(a.args[0], "preload") != 0)
        return fail(STATUS_USAGE, a.args[0], "no such action", "the only one is preload");
    return preload(&a);
}

const struct command command_collateral = {
    "collateral",
    "preload DIR [--fmspc HEX]... [--report FILE]... [--product P]... [--only VENDOR] [--kds URL]\n"
    "       [--pcs URL] [--root-crl URL] [--thim] [--wait SECONDS] [--insecure] [--at TIME] "
    "[--allow-expired]",
    "Fetches the vendors' collateral for offline use",
    "Fills DIR with what verify --certs DIR reads, so that evidence is judged without a network: AMD's\n"
    "certificate chains and revocation lists, Intel's quoting enclave identity and revocation lists, and "
    "what\n"
    "the options below ask for. Everything that can run out is fetched anew, and what is there stays if "
    "that\n"
    "fails. Built-in certificates of Google and Microsoft need no fetching.\n"
    "\n"
    "  --fmspc HEX     Intel's TCB info of this platform, 12 hex digits (cvm-cli inspect shows a quote's)\n"
    "  --report FILE   what this evidence needs: an SNP report, TDX quote, Azure HCL report or collaterals\n"
    "                  document; or the issuers of an AK certificate, or the platform of a PCK certificate\n"
    "  --product P     Milan, Genoa or Turin; else all\n"
    "  --only VENDOR   amd or intel; evidence of the other is fetched for all the same\n"
    "  --kds URL       a mirror of https://kdsintf.amd.com\n"
    "  --pcs URL       a PCCS, or a mirror of https://api.trustedservices.intel.com\n"
    "  --root-crl URL  Intel's root CRL; else Intel's own address, or the one of the PCCS\n"
    "  --thim          asks Azure's metadata service for VCEK certificates first: inside an Azure VM\n"
    "  --wait SECONDS  how long to wait, for each item, for a service that says \"too many requests\" (60)\n"
    "  --insecure      takes any certificate of an https server; the signatures inside are still checked\n"
    "  --at TIME       the clock, as 2025-01-31T12:00:00Z; else now\n"
    "  --trust-emulator ROOTS.pem\n"
    "                  material below these roots is kept too; else only what is below built-in ones\n"
    "  --allow-expired keeps what has expired if a service has nothing newer\n"
    "\n"
    "Prints a line an item. Exit status 4: something is missing in DIR, and the last line names it; nothing "
    "is\n"
    "ever half written, and the next call fetches only what is missing or can run out.\n",
    run,
};
