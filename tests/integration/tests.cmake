# Tests that start programs, a real TPM or servers on loopback.
if(CVM_EMULATOR)
    cvm_test(test_tpm_device SOURCES integration/test_tpm_device.c DEPENDS tpm softtpm LABELS integration)
    cvm_test(test_soft_tpm SOURCES integration/test_soft_tpm.c DEPENDS tpm softtpm LABELS integration)
endif()

# cvm_script_test(NAME COMMAND ...): a script that starts built programs.
function(cvm_script_test name)
    add_test(NAME ${name} COMMAND ${ARGN})
    set_tests_properties(${name} PROPERTIES TIMEOUT 120 LABELS integration
        ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;CVM_BIN=${CMAKE_BINARY_DIR}/bin")
endfunction()

if(CVM_EMULATOR)
    foreach(shape snp tdx snp-vtpm tdx-vtpm azure-snp azure-tdx gcp-snp gcp-tdx aws-snp)
        cvm_script_test(shape_${shape} /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_shapes.py
            ${CMAKE_BINARY_DIR}/bin/cvm-agent ${shape})
    endforeach()
endif()
cvm_test(test_sev_guest SOURCES integration/test_sev_guest.c DEPENDS tee LABELS integration)
cvm_test(test_report_tsm SOURCES integration/test_report_tsm.c support/fuse_tsm.c DEPENDS tee LIBS PkgConfig::FUSE3
    Threads::Threads LABELS integration)
