# Unit tests, one line each.
cvm_test(test_base SOURCES unit/test_base.c DEPENDS base LABELS unit)
cvm_test(test_trust SOURCES unit/test_trust.c DEPENDS policy LABELS unit)
cvm_test(test_tpm_quote SOURCES unit/test_tpm_quote.c DEPENDS tpm LABELS unit)
cvm_test(test_tpm_public SOURCES unit/test_tpm_public.c DEPENDS tpm LABELS unit)
if(CVM_EMULATOR)
    cvm_test(test_measured_log SOURCES unit/test_measured_log.c DEPENDS workload softtpm LABELS unit)
endif()
cvm_test(test_tee_manifest SOURCES unit/test_tee_manifest.c DEPENDS tee LABELS unit)
