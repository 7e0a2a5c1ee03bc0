# Tests that start programs, a real TPM or servers on loopback.
if(CVM_EMULATOR)
    cvm_test(test_tpm_device SOURCES integration/test_tpm_device.c DEPENDS tpm softtpm LABELS integration)
endif()
