#include "golden_rig.h"

#include <stdlib.h>
#include <string.h>

struct digest digest_from(const char *hex)
{
    struct digest d = { .alg = ALG_SHA256, .n = 32 };
    assert_int_equal(hex_decode_fixed(bytes_str(hex), d.b, 32, NULL), 0);
    return d;
}

void set_hex(struct registers *r, enum register_id id, const char *hex)
{
    uint8_t raw[REGISTER_SIZE_MAX];
    assert_int_equal(hex_decode_fixed(bytes_str(hex), raw, strlen(hex) / 2, NULL), 0);
    assert_int_equal(registers_set(r, id, bytes_of(raw, strlen(hex) / 2), NULL), 0);
}

void set_pcr(struct registers *r, unsigned i, const char *hex)
{
    r->pcr[i] = digest_from(hex);
    r->pcr_mask |= 1u << i;
}

struct registers machine(void)
{
    struct registers r = { .tee = "sev_snp", .cloud = "gcp", .bank = ALG_SHA256 };
    set_hex(&r, REG_SNP_MEASUREMENT, H48);
    assert_int_equal(registers_set_number(&r, REG_SNP_POLICY, 0x30000, NULL), 0);
    assert_int_equal(registers_set_number(&r, REG_SNP_VMPL, 0, NULL), 0);
    set_hex(&r, REG_SNP_FAMILY_ID, H16);
    set_hex(&r, REG_SNP_IMAGE_ID, H16);
    set_hex(&r, REG_SNP_HOST_DATA, H32);
    set_hex(&r, REG_SNP_ID_KEY_DIGEST, Z48);
    set_hex(&r, REG_SNP_AUTHOR_KEY_DIGEST, Z48);
    r.tcb = (struct register_tcb){ .mask = 0x0F, .svn = { 4, 0, 8, 116 } };
    set_pcr(&r, 0, H32);
    set_pcr(&r, 1, X32);
    set_pcr(&r, 11, H32);
    set_pcr(&r, 23, Z32);
    return r;
}

void answer_done(struct answer *a)
{
    free(a->checks);
    json_decref(a->not_checked);
}

struct answer compare(const char *document, const struct registers *r)
{
    struct answer a = { calloc(1, sizeof(*a.checks)), json_array() };
    AUTO(golden_done) struct golden g = { 0 };
    struct err err = { 0 };
    if (golden_parse(bytes_str(document), &g, &err) < 0)
        fail_msg("%s", err.cause);
    golden_compare(&g, r, a.checks, a.not_checked);
    assert_int_equal(a.checks->n, 3);
    return a;
}

void expect(const char *document, const struct registers *r, const char *check, enum check_result result,
            const char *says)
{
    AUTO(answer_done) struct answer a = compare(document, r);
    const struct check *c = checks_find(a.checks, check);
    assert_non_null(c);
    if (c->result != result || !strstr(c->detail, says))
        fail_msg("%s is %d, \"%s\"; wanted %d, \"%s\"", check, c->result, c->detail, result, says);
}

bool lists(const struct answer *a, const char *name)
{
    size_t i;
    json_t *v;
    json_array_foreach(a->not_checked, i, v) if (strcmp(json_string_value(v), name) == 0) return true;
    return false;
}
