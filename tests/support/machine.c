#include "machine.h"

#include <stdio.h>
#include <stdlib.h>

char machine_folder[64], state_path[96], boot_path[96];

int machine_dir(void **state)
{
    (void)state;
    snprintf(machine_folder, sizeof(machine_folder), "/tmp/soft-tpm.XXXXXX");
    assert_non_null(mkdtemp(machine_folder));
    snprintf(state_path, sizeof(state_path), "%s/tpm2-state", machine_folder);
    snprintf(boot_path, sizeof(boot_path), "%s/tpm2-boot", machine_folder);
    return 0;
}

int machine_remove(void **state)
{
    char command[96];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", machine_folder);
    return system(command);
}

void check(int rc, const struct err *err)
{
    if (rc < 0)
        fail_msg("%s", err->cause);
}

struct machine machine_on(void)
{
    struct machine m = { NULL, NULL };
    struct err err = { 0 };
    check(soft_tpm_new(machine_folder, &m.s, &err), &err);
    check(tpm_open_tcti(soft_tpm_tcti(m.s), &m.t, &err), &err);
    return m;
}

void machine_off(struct machine *m)
{
    tpm_close(m->t);
    soft_tpm_free(m->s);
}

void machine_extend(struct tpm *t, unsigned pcr)
{
    struct err err = { 0 };
    const struct digest digests[] = { { .alg = ALG_SHA256, .n = 32, .b = { 1, 2 } },
                                      { .alg = ALG_SHA384, .n = 48, .b = { 3 } } };
    check(tpm_pcr_extend(t, pcr, digests, 2, &err), &err);
}

struct tpm_pcrs machine_pcrs(struct tpm *t, uint16_t alg)
{
    struct err err = { 0 };
    struct tpm_pcrs pcrs;
    check(tpm_pcr_read(t, alg, TPM_PCRS_ALL, &pcrs, &err), &err);
    return pcrs;
}

struct machine machine_on_through(struct tcti_filter *f)
{
    struct machine m = { NULL, NULL };
    struct err err = { 0 };
    check(soft_tpm_new(machine_folder, &m.s, &err), &err);
    *f = tcti_filter_over(soft_tpm_tcti(m.s));
    check(tpm_open_tcti(tcti_filter_context(f), &m.t, &err), &err);
    return m;
}
