/* What the evidence is bound to: the question that was asked (magic and nonce), the attestation key, and on
 * Azure the runtime data. Contract, section 3, "Binding"; rules of older agents: automata's API documents and
 * their contracts, go-tpm-tools, Cocos. */
#include "evidence/verify_internal.h"

#include "base/auto.h"
#include "evidence/collect.h"
#include "evidence/service.h"
#include "tee/hcl_report.h"
#include "tpm/measured.h"

#define REPORT_DATA 64
#define HALF        32

static const char magic_service[] = SERVICE_MAGIC;
static const char *const magics[] = { "Internal/collaterals", "External/collaterals", magic_service };

/* ---- the question ---- */

/* The nonce that the machine binds. A service's is its own: contract, section 2. */
static int bound_nonce(const struct document *d, struct buf *out, struct err *err)
{
    uint8_t of_service[NONCE_MAX];
    if (d->service && service_nonce(d->service, d->nonce, of_service, err) < 0)
        return -1;
    buf_put(out, d->service ? bytes_of(of_service, NONCE_MAX) : d->nonce);
    return 0;
}

static int check_magic(const struct document *d, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
        if (!bytes_equal(d->magic, bytes_str(magics[i])))
            continue;
        if ((magics[i] == magic_service) != (d->service != NULL))
            return err_set(err, ERR_DENIED, 0, "the magic %s %s", magics[i],
                           d->service ? "is not that of a service"
                                      : "is that of a service, and none is named");
        return 0;
    }
    return err_set(err, ERR_DENIED, 0, "the magic is none that agents use");
}

/* ---- Azure's runtime data ---- */

static bool report_data_is(struct bytes report_data, uint16_t alg, struct bytes data)
{
    struct digest d;
    struct err err;
    if (report_data.n != REPORT_DATA || digest_of(alg, data, &d, &err) < 0)
        return false;
    return !memcmp(report_data.p, d.b, d.n) && bytes_zero(bytes_of(report_data.p + d.n, REPORT_DATA - d.n));
}

/* The document has no HCL header, which would say the hash. */
static bool hashed_by_report(struct bytes report_data, struct bytes var_data)
{
    static const uint16_t algs[] = { ALG_SHA256, ALG_SHA384, ALG_SHA512 };
    for (size_t i = 0; i < ARRAY_SIZE(algs); i++)
        if (report_data_is(report_data, algs[i], var_data))
            return true;
    return false;
}

static bool shows_nonce(const struct verification *v, const uint8_t user_data[static HCL_USER_DATA])
{
    return report_data_is(bytes_of(user_data, HCL_USER_DATA), ALG_SHA256, buf_bytes(&v->extra));
}

/* "fresh" is a claim that can be checked: the guest had written the question before the report was made. */
static void judge_user_data(const struct verification *v, const struct hcl_claims *claims)
{
    if (v->document->report && !strcmp(v->document->report, "fresh")
        && (!claims->has_user_data || !shows_nonce(v, claims->user_data)))
        checks_add(v->checks, "binding.nonce", CHECK_FAILED,
                   "the report is said to be fresh, and its user-data is not the hash of this question");
}

static void judge_runtime_data(struct verification *v)
{
    AUTO(hcl_claims_done) struct hcl_claims claims = { .root = NULL };
    struct err err = { 0 };
    const struct document *d = v->document;
    int rc = hcl_claims_parse(d->var_data, &claims, &err);
    if (rc == 0)
        rc = hcl_key_spki(&claims, HCL_KEY_AK, &v->runtime_key, &err);
    checks_add_rc(v->checks, "azure.format", rc, "runtime data that name " HCL_KEY_AK, &err);
    v->runtime_data_bound = v->report_data.n && hashed_by_report(v->report_data, d->var_data);
    checks_add(v->checks, "azure.runtime_data_binding", v->runtime_data_bound ? CHECK_OK : CHECK_FAILED, "%s",
               v->runtime_data_bound ? "report_data is the hash of var_data"
               : v->report_data.n    ? "report_data is not the hash of var_data: one of them was changed"
                                     : "not made: no hardware report that holds");
    bool snp = d->tee == TEE_SEV_SNP, level0 = snp && v->report_data.n && v->result->snp.report.vmpl == 0;
    checks_add(
        v->checks, "azure.vmpl",
        !snp     ? CHECK_NOT_APPLICABLE
        : level0 ? CHECK_OK
                 : CHECK_FAILED,
        "%s",
        !snp ? "TDX has no VMPL"
        : level0
            ? "VMPL 0: the paravisor's report"
            : "the report was not asked for at VMPL 0: the guest itself could have made the runtime data");
    v->runtime_data_bound = v->runtime_data_bound && (!snp || level0);
    checks_add(v->checks, "azure.td_quote_binding", CHECK_NOT_APPLICABLE,
               "the document has no TDREPORT: %s is compared with var_data itself",
               snp ? "the report" : "the quote");
    if (rc == 0)
        judge_user_data(v, &claims);
}

int verify_question(struct verification *v, struct err *err)
{
    const struct document *d = v->document;
    struct err why = { 0 };
    v->extra = buf_new(256);
    v->runtime_key = buf_new(8192);
    buf_put(&v->extra, d->magic);
    if (bound_nonce(d, &v->extra, err) < 0 || buf_check(&v->extra, "magic and nonce", err) < 0)
        return -1;
    if (check_magic(d, &why) < 0)
        checks_add_rc(v->checks, "binding.nonce", -1, NULL, &why);
    if (d->var_data.n)
        judge_runtime_data(v);
    return 0;
}

/* ---- the rules ---- */

/* What a hardware report can bind. */
struct seen {
    struct bytes report_data;
    struct digest ak, question, replay; /* SHA-256; ak.n 0: no key */
    struct bytes uuid, nonce, ak_pub;
    unsigned tie; /* verify_tie() */
    bool has_tpm, runtime_data;
};

static struct bytes first(const struct seen *s)
{
    return bytes_of(s->report_data.p, HALF);
}

static struct bytes second(const struct seen *s)
{
    return bytes_of(s->report_data.p + HALF, HALF);
}

static bool of_ours(const struct seen *s)
{
    return s->has_tpm && s->ak.n && bytes_equal(first(s), digest_bytes(&s->ak))
           && bytes_equal(second(s), digest_bytes(&s->question));
}

static bool of_ours_bare(const struct seen *s)
{
    return !s->has_tpm && bytes_equal(first(s), digest_bytes(&s->replay))
           && bytes_equal(second(s), digest_bytes(&s->question));
}

static bool of_azure(const struct seen *s)
{
    return s->has_tpm && s->runtime_data;
}

static bool of_early_automata(const struct seen *s)
{
    return bytes_zero(first(s)) && bytes_equal(second(s), digest_bytes(&s->question));
}

static bool of_first_tie(const struct seen *s)
{
    return s->tie == 16 && bytes_zero(s->report_data);
}

static bool of_uuid_automata(const struct seen *s)
{
    return s->uuid.n == 16 && !memcmp(s->report_data.p, s->uuid.p, 16)
           && bytes_zero(bytes_of(s->report_data.p + 16, REPORT_DATA - 16));
}

static bool of_second_tie(const struct seen *s)
{
    return s->tie == 15 && (bytes_zero(s->report_data) || of_uuid_automata(s));
}

static bool of_late_automata(const struct seen *s)
{
    return bytes_zero(s->report_data);
}

static bool of_go_tpm_tools(const struct seen *s)
{
    return s->nonce.n && s->nonce.n <= REPORT_DATA && !memcmp(s->report_data.p, s->nonce.p, s->nonce.n)
           && bytes_zero(bytes_of(s->report_data.p + s->nonce.n, REPORT_DATA - s->nonce.n));
}

/* What each rule leaves unbound makes its check false unless the rule is accepted by name. */
static const struct rule {
    const char *name;
    bool (*follows)(const struct seen *s);
    bool ak, question;
    const char *what;
} rules[] = {
    { "cvm-agent-v1", of_ours, true, true, "report_data is SHA-256(ak_pub) and SHA-256(magic, nonce)" },
    { "cvm-agent-bare-v1", of_ours_bare, true, true,
      "report_data is the workload log's replay and SHA-256(magic, nonce)" },
    { "azure", of_azure, true, false, "report_data is the hash of the runtime data" },
    { "automata-early", of_early_automata, false, true, "report_data is 32 zeros and SHA-256(magic, nonce)" },
    { "automata-v1", of_first_tie, false, false,
      "report_data is zero, and PCR 16 holds the report's id, or as RTMR3 the document's uuid" },
    { "automata-v2", of_second_tie, false, false,
      "report_data is zero or the uuid, and PCR 15 holds the report's id, or as RTMR3 the document's uuid" },
    { "automata-late", of_late_automata, false, false, "report_data is zero" },
    { "automata-uuid", of_uuid_automata, false, false, "report_data is the document's uuid" },
    { "go-tpm-tools", of_go_tpm_tools, false, true, "report_data is the nonce and zeros" },
};

static const struct rule *rule_of(const struct seen *s)
{
    for (size_t i = 0; s->report_data.n == REPORT_DATA && i < ARRAY_SIZE(rules); i++)
        if (rules[i].follows(s))
            return &rules[i];
    return NULL;
}

int verify_binding_names_check(const char *list, struct err *err)
{
    AUTO(buf_done) struct buf known = buf_new(1024);
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        if (!rules[i].ak || !rules[i].question)
            buf_printf(&known, "%s%s", known.n ? ", " : "", rules[i].name);
    while (*list) {
        size_t n = strcspn(list, ","), i = 0;
        while (i < ARRAY_SIZE(rules) && (strlen(rules[i].name) != n || memcmp(rules[i].name, list, n) != 0))
            i++;
        if (i == ARRAY_SIZE(rules))
            return err_set(err, ERR_INPUT, 0, "no binding rule \"%.*s\": want %.*s", (int)(n < 40 ? n : 40),
                           list, (int)known.n, (const char *)buf_bytes(&known).p);
        list += n + (list[n] == ',');
    }
    return 0;
}

/* ---- judging ---- */

static void judge_ak(struct verification *v, const struct rule *rule)
{
    static const char name[] = "binding.ak";
    if (!v->document->has_tpm) {
        checks_add(v->checks, name, CHECK_NOT_APPLICABLE, "no TPM, hence no attestation key");
    } else if (!rule) {
        checks_add(v->checks, name, CHECK_FAILED,
                   "report_data follows no rule that was published: the key is not bound");
    } else if (rule->follows == of_azure) {
        bool same = v->runtime_data_bound && v->ak_is_runtime_key;
        checks_add(v->checks, "azure.ak_binding", v->ak_is_runtime_key ? CHECK_OK : CHECK_FAILED,
                   v->ak_is_runtime_key ? "the quote's key is " HCL_KEY_AK
                                        : "the quote's key is another one than " HCL_KEY_AK);
        checks_add(v->checks, name, same ? CHECK_OK : CHECK_FAILED, "azure: the key is %s of %s", HCL_KEY_AK,
                   same ? "signed runtime data" : "no runtime data that hold");
        v->ak_bound = same;
    } else if (rule->ak) {
        v->ak_bound = true;
        checks_add(v->checks, name, CHECK_OK, "%s: %s", rule->name, rule->what);
    } else if (verify_listed(v->options->accept_binding, rule->name)) {
        checks_add(v->checks, name, CHECK_NOT_APPLICABLE, "%s does not bind the key: accepted by name",
                   rule->name);
        checks_warn(v->checks,
                    "the hardware report does not name the attestation key (%s): any TPM could stand "
                    "beside it",
                    rule->name);
    } else {
        checks_add(v->checks, name, CHECK_FAILED,
                   "%s (%s) does not bind the key; --accept-binding %s takes it", rule->name, rule->what,
                   rule->name);
    }
}

/* extraData of an authentic quote: magic and nonce, or what older agents put there. */
static const char *quote_rule(const struct verification *v)
{
    struct bytes extra = v->quote.attest.extra_data;
    if (!v->quote.authentic)
        return NULL;
    if (bytes_equal(extra, buf_bytes(&v->extra)))
        return "magic and nonce";
    if (bytes_equal(extra, v->document->nonce))
        return "the nonce alone";
    return NULL;
}

static int check_nonce(const struct verification *v, const struct rule *rule, struct err *err)
{
    const struct document *d = v->document;
    const char *quote = d->has_tpm ? quote_rule(v) : NULL;
    bool ours = rule && (rule->follows == of_ours || rule->follows == of_azure);
    if (v->options->nonce.n && !bytes_equal(v->options->nonce, d->nonce))
        return err_set(err, ERR_DENIED, 0,
                       "the document answers another nonce than the one that was asked with");
    if (!rule)
        return err_set(err, ERR_DENIED, 0,
                       "report_data follows no rule that was published: the nonce is not bound");
    if (d->has_tpm && !quote)
        return err_set(err, ERR_DENIED, 0, "the TPM quote does not carry this magic and nonce");
    if (ours && quote && strcmp(quote, "magic and nonce") != 0)
        return err_set(err, ERR_DENIED, 0, "the TPM quote carries the nonce without the magic");
    return 0;
}

static void judge_nonce(struct verification *v, const struct rule *rule)
{
    static const char name[] = "binding.nonce";
    struct err err = { 0 };
    if (check_nonce(v, rule, &err) < 0) {
        checks_add_rc(v->checks, name, -1, NULL, &err);
        return;
    }
    bool by_key = v->ak_bound; /* a bound key's quote carries the nonce */
    if (rule->question || by_key) {
        checks_add(v->checks, name, CHECK_OK, "%s: %s%s", rule->name, rule->question ? rule->what : "",
                   rule->question ? "" : "the bound key's quote carries magic and nonce");
    } else if (verify_listed(v->options->accept_binding, rule->name)) {
        checks_add(v->checks, name, CHECK_NOT_APPLICABLE, "%s does not bind the nonce: accepted by name",
                   rule->name);
        checks_warn(v->checks, "the hardware report may be of any age (%s)", rule->name);
    } else {
        checks_add(v->checks, name, CHECK_FAILED,
                   "%s (%s) does not bind the nonce; --accept-binding %s takes it", rule->name, rule->what,
                   rule->name);
    }
}

int verify_binding(struct verification *v, struct err *err)
{
    const struct document *d = v->document;
    struct err why = { 0 };
    struct seen s = {
        .report_data = v->report_data, .uuid = d->uuid, .nonce = d->nonce, .has_tpm = d->has_tpm
    };
    s.runtime_data = d->var_data.n > 0;
    s.tie = d->has_tpm ? verify_tie(v) : 0;
    if (digest_of(ALG_SHA256, buf_bytes(&v->extra), &s.question, err) < 0
        || (v->ak_spki.n && digest_of(ALG_SHA256, buf_bytes(&v->ak_spki), &s.ak, err) < 0))
        return -1;
    if (verify_workload_replay(d, &s.replay, &why) < 0)
        s.replay = (struct digest){ .n = 0 };
    const struct rule *rule = rule_of(&s);
    v->result->binding = rule ? rule->name : NULL;
    judge_ak(v, rule);
    judge_nonce(v, rule);
    return 0;
}
