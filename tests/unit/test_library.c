/* lib/cvm.h: what each call refuses, what an answer says, and that a verifier judges many documents alike. */
#include "evidence.h"

#include "base/auto.h"
#include "base/file.h"
#include "lib/cvm.h"

#include <stdlib.h>

#define DATA CVM_TEST_DATA "/collaterals/"

struct file {
    uint8_t *p;
    size_t n;
};

static struct file slurp(const char *path)
{
    struct file f = { NULL, 0 };
    struct err err = { 0 };
    assert_int_equal(file_read(path, 1 << 22, &f.p, &f.n, &err), 0);
    return f;
}

static struct cvm_verifier *ready(void)
{
    struct cvm_verifier *v = cvm_verifier_new();
    struct file roots = slurp(DATA "roots.pem");
    assert_non_null(v);
    assert_int_equal(cvm_trust_emulator(v, (const char *)roots.p, roots.n), CVM_VERIFIED);
    free(roots.p);
    return v;
}

/* The second is an emulated machine's under another root: what is refused leaves nothing behind. */
static void judges_many_documents(void **state)
{
    (void)state;
    struct cvm_verifier *v = ready();
    struct file good = slurp(DATA "gcp-snp.json"), other = slurp(DATA "azure-snp.json");
    assert_int_equal(cvm_set_nonce(v, "1234", 4), CVM_VERIFIED);
    for (size_t i = 0; i < 3; i++) {
        char *answer = NULL;
        assert_int_equal(cvm_verify(v, good.p, good.n, &answer), CVM_VERIFIED);
        assert_non_null(strstr(answer, "\"success\": true"));
        assert_non_null(strstr(answer, "\"freshness\": \"fresh\""));
        assert_string_equal(cvm_error(v), "");
        cvm_free(answer);
        assert_int_equal(cvm_verify(v, other.p, other.n, NULL), CVM_REFUSED);
        assert_true(strlen(cvm_error(v)) > 0);
    }
    free(good.p);
    free(other.p);
    cvm_verifier_free(v);
}

static void refuses_and_says_why(void **state)
{
    (void)state;
    struct cvm_verifier *v = ready();
    struct file f = slurp(DATA "gcp-snp.json");
    char *answer = NULL;
    assert_int_equal(cvm_add_policy(v, "never", "match if { false }", 18), CVM_MALFORMED); /* no rego.v1 */
    static const char policy[] = "import rego.v1\nmatch if input.sevsnp.sevsnp_is_debuggable == true\n";
    assert_int_equal(cvm_add_policy(v, "debug", policy, sizeof(policy) - 1), CVM_VERIFIED);
    assert_int_equal(cvm_verify(v, f.p, f.n, &answer), CVM_REFUSED);
    assert_non_null(strstr(answer, "\"policy.debug\""));
    assert_true(strlen(cvm_error(v)) > 0);
    cvm_free(answer);
    cvm_verifier_free(v);
    v = cvm_verifier_new(); /* without the emulator's root */
    assert_int_equal(cvm_verify(v, f.p, f.n, &answer), CVM_REFUSED);
    assert_non_null(strstr(answer, "\"success\": false"));
    cvm_free(answer);
    free(f.p);
    cvm_verifier_free(v);
}

static void cut_and_damaged_documents(void **state)
{
    (void)state;
    struct cvm_verifier *v = ready();
    struct file f = slurp(DATA "gcp-snp.json");
    for (size_t n = 0; n < f.n; n += 37) {
        char *answer = NULL;
        enum cvm_status status = cvm_verify(v, f.p, n, &answer);
        assert_true(status == CVM_MALFORMED && !answer);
        assert_true(strlen(cvm_error(v)) > 0);
    }
    free(f.p);
    cvm_verifier_free(v);
}

static void arguments_that_no_call_may_have(void **state)
{
    (void)state;
    struct cvm_verifier *v = cvm_verifier_new();
    static const char zeros[31] = "0";
    assert_int_equal(cvm_set_nonce(v, "", 0), CVM_USAGE);
    assert_int_equal(cvm_set_nonce(v, NULL, 4), CVM_USAGE);
    assert_int_equal(cvm_set_nonce(v, zeros, sizeof(zeros)), CVM_USAGE);
    assert_int_equal(cvm_set_time(v, "yesterday"), CVM_USAGE);
    assert_int_equal(cvm_set_time(v, NULL), CVM_USAGE);
    assert_int_equal(cvm_set_golden(v, "", 0), CVM_USAGE);
    assert_int_equal(cvm_set_golden_key(v, NULL, 9), CVM_USAGE);
    assert_int_equal(cvm_add_policy(v, NULL, "x", 1), CVM_USAGE);
    assert_int_equal(cvm_add_certificates(v, "none", 4), CVM_MALFORMED);
    assert_int_equal(cvm_set_snp_crl(v, "none", 4), CVM_MALFORMED);
    assert_int_equal(cvm_set_tdx_collateral(v, "{}", 2), CVM_MALFORMED);
    assert_int_equal(cvm_trust_emulator(v, "none", 4), CVM_MALFORMED);
    assert_int_equal(cvm_accept(v, 4), CVM_USAGE);
    assert_int_equal(cvm_accept(v, CVM_ACCEPT_EXPIRED), CVM_VERIFIED);
    assert_int_equal(cvm_accept_tcb(v, "Fine"), CVM_USAGE);
    assert_int_equal(cvm_accept_tcb(v, "none"), CVM_VERIFIED);
    assert_int_equal(cvm_accept_binding(v, "nobody"), CVM_USAGE);
    assert_int_equal(cvm_accept_binding(v, "automata-late"), CVM_VERIFIED);
    assert_int_equal(cvm_set_golden_key(v, "key", 3), CVM_VERIFIED);
    assert_int_equal(cvm_verify(v, "{}", 2, NULL), CVM_USAGE); /* a key, and nothing that it signs */
    cvm_verifier_free(v);
    cvm_verifier_free(NULL);
    assert_string_equal(cvm_version(), CVM_VERSION);
}

static void inspects(void **state)
{
    (void)state;
    struct file f = slurp(DATA "snp.json");
    char *out = NULL;
    assert_int_equal(cvm_inspect(f.p, f.n, NULL, &out), CVM_VERIFIED);
    assert_non_null(strstr(out, "\"type\": \"collaterals\""));
    cvm_free(out);
    assert_int_equal(cvm_inspect(f.p, f.n, "tdx_quote", &out), CVM_MALFORMED);
    cvm_free(out);
    assert_int_equal(cvm_inspect(f.p, f.n, "novel", &out), CVM_USAGE);
    cvm_free(out);
    assert_int_equal(cvm_inspect("", 0, NULL, &out), CVM_MALFORMED);
    cvm_free(out);
    free(f.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_many_documents),
        cmocka_unit_test(refuses_and_says_why),
        cmocka_unit_test(cut_and_damaged_documents),
        cmocka_unit_test(arguments_that_no_call_may_have),
        cmocka_unit_test(inspects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
