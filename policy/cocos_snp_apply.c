/* SNP policies: applying. The rules are those of go-sev-guest validate/validate.go. */
#include "base/auto.h"
#include "policy/cocos_internal.h"
#include "policy/cocos_snp_bits.h"

static const struct snp_bit permitted[] = SNP_PERMITTED, demanded[] = SNP_DEMANDED;
static const struct snp_bit platform_permitted[] = SNP_PLATFORM_PERMITTED,
                            platform_demanded[] = SNP_PLATFORM_DEMANDED;

static void compare_bits(struct cocos_run *r, const char *field, uint64_t want, uint64_t have,
                         const struct snp_bit *may, size_t may_n, const struct snp_bit *must, size_t must_n)
{
    char found[64];
    snprintf(found, sizeof(found), "%#" PRIx64, have);
    for (size_t i = 0; i < may_n; i++)
        if (have & ~want & SNP_BIT(may[i].bit))
            cocos_fail(r, field, found, "%s (bit %u) not set", may[i].name, may[i].bit);
    for (size_t i = 0; i < must_n; i++)
        if (want & ~have & SNP_BIT(must[i].bit))
            cocos_fail(r, field, found, "%s (bit %u) set", must[i].name, must[i].bit);
}

static void check_policy(struct cocos_run *r, const struct cocos_snp *s)
{
    static const char field[] = "policy.policy";
    uint64_t have;
    char found[24];
    r->compared++;
    if (!cocos_claim_number(r, field, "sevsnp_policy", &have))
        return;
    snprintf(found, sizeof(found), "%#" PRIx64, have);
    const char *why = snp_policy_malformed(have);
    if (why)
        cocos_fail(r, field, found, "a guest policy: %s", why);
    if ((have & 0xFFFF) < (s->policy & 0xFFFF)) /* major in bits 15:8, minor in 7:0 */
        cocos_fail(r, field, found, "ABI version %u.%u or later", (unsigned)(s->policy >> 8 & 0xFF),
                   (unsigned)(s->policy & 0xFF));
    compare_bits(r, field, s->policy, have, permitted, ARRAY_SIZE(permitted), demanded, ARRAY_SIZE(demanded));
}

static void check_platform(struct cocos_run *r, const struct cocos_snp *s)
{
    static const char field[] = "policy.platform_info";
    uint64_t have;
    char found[24];
    r->compared++;
    if (!cocos_claim_number(r, field, "sevsnp_platform_info", &have))
        return;
    snprintf(found, sizeof(found), "%#" PRIx64, have);
    const char *why = snp_platform_malformed(have);
    if (why)
        cocos_fail(r, field, found, "known platform info: %s", why);
    compare_bits(r, field, s->platform_info, have, platform_permitted, ARRAY_SIZE(platform_permitted),
                 platform_demanded, ARRAY_SIZE(platform_demanded));
}

/* ---- TCBs: each byte for itself ---- */

static bool bytes_at_most(uint64_t a, uint64_t b)
{
    for (unsigned i = 0; i < 64; i += 8)
        if ((a >> i & 0xFF) > (b >> i & 0xFF))
            return false;
    return true;
}

struct tcbs {
    uint64_t current, committed, reported, launch, vek;
    bool has_current, has_committed, has_reported, has_launch, has_vek;
};

static void fail_tcb(struct cocos_run *r, const char *field, uint64_t found, const char *relation,
                     uint64_t want)
{
    char text[24];
    snprintf(text, sizeof(text), "%#018" PRIx64, found);
    cocos_fail(r, field, text, "%s %#018" PRIx64, relation, want);
}

static void check_tcbs(struct cocos_run *r, const struct cocos_snp *s)
{
    struct tcbs t;
    t.has_current = cocos_claim_number(r, "current_tcb", "sevsnp_current_tcb", &t.current);
    t.has_committed = cocos_claim_number(r, "committed_tcb", "sevsnp_committed_tcb", &t.committed);
    t.has_reported = cocos_claim_number(r, "reported_tcb", "sevsnp_reported_tcb", &t.reported);
    t.has_launch = cocos_claim_number(r, "launch_tcb", "sevsnp_launch_tcb", &t.launch);
    t.has_vek = cocos_claim_number(r, "certificate's TCB", "sevsnp_vek_tcb", &t.vek);
    r->compared += 5;
    if (t.has_committed && t.has_current
        && (s->permit_provisional_firmware ? !bytes_at_most(t.committed, t.current)
                                           : t.committed != t.current))
        fail_tcb(r, "committed_tcb", t.committed,
                 s->permit_provisional_firmware ? "each byte at most that of the current TCB"
                                                : "the current TCB",
                 t.current);
    if (t.has_launch && !bytes_at_most(s->minimum_launch_tcb, t.launch))
        fail_tcb(r, "policy.minimum_launch_tcb", t.launch, "each byte at least that of",
                 s->minimum_launch_tcb);
    if (t.has_vek && t.has_reported && t.reported != t.vek)
        fail_tcb(r, "reported_tcb", t.reported, "the TCB of the certificate,", t.vek);
    if (t.has_vek && t.has_current && !bytes_at_most(t.vek, t.current))
        fail_tcb(r, "current_tcb", t.current, "each byte at least that of the certificate's TCB", t.vek);
    if (t.has_reported && !bytes_at_most(s->minimum_tcb, t.reported))
        fail_tcb(r, "policy.minimum_tcb", t.reported, "each byte at least that of", s->minimum_tcb);
}

/* ---- firmware versions ---- */

static void check_committed(struct cocos_run *r, const struct cocos_snp *s, const char *field,
                            uint64_t current, uint64_t committed)
{
    char found[24];
    r->compared++;
    if (s->permit_provisional_firmware ? committed <= current : committed == current)
        return;
    snprintf(found, sizeof(found), "%" PRIu64, committed);
    cocos_fail(r, field, found, "%s %" PRIu64,
               s->permit_provisional_firmware ? "at most the current" : "the current", current);
}

static void check_firmware(struct cocos_run *r, const struct cocos_snp *s)
{
    uint64_t build, version, c_build, c_version;
    char found[24];
    if (!cocos_claim_number(r, "current_build", "sevsnp_current_build", &build)
        || !cocos_claim_number(r, "current_version", "sevsnp_current_version", &version)
        || !cocos_claim_number(r, "committed_build", "sevsnp_committed_build", &c_build)
        || !cocos_claim_number(r, "committed_version", "sevsnp_committed_version", &c_version))
        return;
    r->compared += 2;
    if (build < s->minimum_build) {
        snprintf(found, sizeof(found), "%" PRIu64, build);
        cocos_fail(r, "policy.minimum_build", found, "at least %u", s->minimum_build);
    }
    if (version < s->minimum_version) {
        snprintf(found, sizeof(found), "%u.%u", (unsigned)(version >> 8), (unsigned)(version & 0xFF));
        cocos_fail(r, "policy.minimum_version", found, "at least %u.%u", s->minimum_version >> 8,
                   s->minimum_version & 0xFF);
    }
    check_committed(r, s, "committed_build", build, c_build);
    check_committed(r, s, "committed_version", version, c_version);
}

/* ---- keys that signed the ID block ---- */

static void check_keys(struct cocos_run *r, const struct cocos_snp *s)
{
    bool enabled = cocos_claim_true(r, "sevsnp_author_key_en");
    if (!s->require_author_key && !s->require_id_block)
        return;
    r->compared++;
    const char *author = cocos_claim_text(r, "author_key_digest", "sevsnp_authorkeydigest");
    const char *id = cocos_claim_text(r, "id_key_digest", "sevsnp_idkeydigest");
    if (!author || !id)
        return;
    bool author_trusted = enabled && cocos_listed(&s->author_keys, author);
    if (s->require_author_key && !enabled)
        cocos_fail(r, "policy.require_author_key", "no author key", "an author key (AUTHOR_KEY_EN)");
    else if (s->require_author_key && !author_trusted)
        cocos_fail(r, "policy.trusted_author_key_hashes", author, "one of the %zu trusted author keys",
                   s->author_keys.n);
    else if (!author_trusted && !cocos_listed(&s->id_keys, id))
        cocos_fail(r, "policy.trusted_id_key_hashes", id,
                   "one of the %zu trusted ID keys, or a trusted author key", s->id_keys.n);
}

static void check_product(struct cocos_run *r, const struct cocos_snp *s)
{
    uint64_t stepping;
    char found[24];
    if (s->product)
        cocos_same(r, "policy.product.name", "sevsnp_product", s->product);
    if (!s->has_stepping)
        return;
    r->compared++;
    if (!cocos_claim_number(r, "policy.product.machine_stepping", "sevsnp_stepping", &stepping)
        || stepping == s->stepping)
        return;
    snprintf(found, sizeof(found), "%" PRIu64, stepping);
    cocos_fail(r, "policy.product.machine_stepping", found, "%u", s->stepping);
}

void cocos_snp_apply(struct cocos_run *r)
{
    const struct cocos_snp *s = &r->policy->snp;
    uint64_t vmpl;
    cocos_at_least(r, "policy.minimum_guest_svn", "sevsnp_guestsvn", s->minimum_guest_svn);
    check_policy(r, s);
    for (size_t i = 0; i < COCOS_SNP_FIELDS; i++) {
        char field[40];
        if (!s->field[i].text[0])
            continue;
        snprintf(field, sizeof(field), "policy.%s", cocos_snp_fields[i].name);
        cocos_same(r, field, cocos_snp_fields[i].claim, s->field[i].text);
    }
    if (s->has_vmpl && cocos_claim_number(r, "policy.vmpl", "sevsnp_vmpl", &vmpl) && vmpl != s->vmpl) {
        char found[24];
        snprintf(found, sizeof(found), "%" PRIu64, vmpl);
        cocos_fail(r, "policy.vmpl", found, "%u", s->vmpl);
    }
    r->compared += s->has_vmpl;
    if (s->has_platform_info)
        check_platform(r, s);
    check_tcbs(r, s);
    check_firmware(r, s);
    check_keys(r, s);
    check_product(r, s);
    r->compared += s->check_crl;
    if (s->check_crl && !cocos_claim_true(r, "sevsnp_crl_checked"))
        cocos_fail(r, "root_of_trust.check_crl", "no CRL was at hand",
                   "a CRL of AMD that does not list the certificates");
}
