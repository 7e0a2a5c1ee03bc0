# One boot of a disk image with this build's programs; the whole suite is run by scripts/test --full. Sanitized programs do
# not run in the image, and one compiler is enough.
if(CVM_EMULATOR AND NOT CVM_SANITIZE AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    add_executable(sev_guest_over_cuse image/sev_guest_over_cuse.c)
    target_link_libraries(sev_guest_over_cuse PRIVATE emulator PkgConfig::SYSTEMD cvm_flags)
    set_target_properties(sev_guest_over_cuse PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
    add_test(NAME image_boot COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/image/test_boot.py ${CMAKE_BINARY_DIR})
    set_tests_properties(image_boot PROPERTIES TIMEOUT 900 LABELS image SKIP_RETURN_CODE 77 RUN_SERIAL ON
        ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endif()
