/* tee/emulator/emulator.h: the life of each platform. What it gives out is judged by check_emulator.py, which
 * knows none of our code; here are detection and restarts. */
#include "emulator_rig.h"

#include <stdio.h>

/* First start, everything shown and judged; second start: the same machine in the same boot. */
static void whole_life(const char *shape)
{
    struct tpm_pcrs before, after;
    char boot_id[64];
    folder_new(&rig);
    power_on(&rig, shape, NULL, START_FIRST_MS);
    detects_itself(&rig);
    show(&rig, shape);
    judge(&rig);
    struct sample roots = state_file(&rig, "roots.pem");
    snprintf(boot_id, sizeof(boot_id), "%s", rig.l.boot_id);
    if (rig.tpm)
        OK(tpm_pcr_read(rig.tpm, ALG_SHA256, TPM_PCRS_ALL, &before, &err));
    power_off(&rig);

    power_on(&rig, shape, NULL, START_LATER_MS);
    struct sample again = state_file(&rig, "roots.pem");
    assert_true(bytes_equal(sample_bytes(&roots), sample_bytes(&again)));
    assert_string_equal(rig.l.boot_id, boot_id);
    if (rig.tpm) {
        OK(tpm_pcr_read(rig.tpm, ALG_SHA256, TPM_PCRS_ALL, &after, &err));
        for (size_t i = 0; i < TPM_PCRS; i++)
            assert_true(bytes_equal(digest_bytes(&before.pcr[i]), digest_bytes(&after.pcr[i])));
    }
    detects_itself(&rig);
    if (emulator_shape(rig.e)->report == REPORT_KERNEL) {
        show(&rig, shape);
        judge(&rig);
    }
    power_off(&rig);
    sample_done(&roots);
    sample_done(&again);
    folder_drop(&rig);
}

#define LIFE(name, shape)                                                                                    \
    static void name(void **state)                                                                           \
    {                                                                                                        \
        (void)state;                                                                                         \
        whole_life(shape);                                                                                   \
    }
LIFE(life_of_snp, "snp")
LIFE(life_of_tdx, "tdx")
LIFE(life_of_snp_vtpm, "snp-vtpm")
LIFE(life_of_tdx_vtpm, "tdx-vtpm")
LIFE(life_of_azure_snp, "azure-snp")
LIFE(life_of_azure_tdx, "azure-tdx")
LIFE(life_of_gcp_snp, "gcp-snp")
LIFE(life_of_gcp_tdx, "gcp-tdx")
LIFE(life_of_aws_snp, "aws-snp")

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(life_of_gcp_snp, switch_off),
        cmocka_unit_test_teardown(life_of_snp, switch_off),
        cmocka_unit_test_teardown(life_of_tdx, switch_off),
        cmocka_unit_test_teardown(life_of_snp_vtpm, switch_off),
        cmocka_unit_test_teardown(life_of_tdx_vtpm, switch_off),
        cmocka_unit_test_teardown(life_of_azure_snp, switch_off),
        cmocka_unit_test_teardown(life_of_azure_tdx, switch_off),
        cmocka_unit_test_teardown(life_of_gcp_tdx, switch_off),
        cmocka_unit_test_teardown(life_of_aws_snp, switch_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
