# Tests that start programs, a real TPM or servers on loopback.
if(CVM_EMULATOR)
    foreach(part emulator emulator_rules)
        cvm_test(test_${part} SOURCES integration/test_${part}.c integration/emulator_rig.c DEPENDS emulator
            LABELS integration)
        target_compile_definitions(test_${part} PRIVATE
            CHECK_EMULATOR="${CMAKE_SOURCE_DIR}/tests/interop/check_emulator.py")
    endforeach()
    cvm_test(test_tpm_device SOURCES integration/test_tpm_device.c support/rig.c DEPENDS tpm softtpm LABELS integration)
    cvm_test(test_soft_tpm SOURCES integration/test_soft_tpm.c support/machine.c DEPENDS tpm softtpm LABELS integration)
    cvm_test(test_tpm_line SOURCES integration/test_tpm_line.c support/machine.c DEPENDS tpm softtpm LABELS integration)
    cvm_test(test_tpm_seal SOURCES integration/test_tpm_seal.c support/rig.c DEPENDS tpm softtpm LABELS integration)
endif()

# cvm_script_test(NAME COMMAND ...): a script that starts built programs.
function(cvm_script_test name)
    add_test(NAME ${name} COMMAND ${ARGN})
    set_tests_properties(${name} PROPERTIES TIMEOUT 120 LABELS integration
        ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;TSAN_OPTIONS=atexit_sleep_ms=0;CVM_BIN=${CMAKE_BINARY_DIR}/bin;XDG_CACHE_HOME=${CMAKE_CURRENT_BINARY_DIR}/cache")
    if(CVM_SANITIZE) # memory and times are then not those of the program
        set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT CVM_SANITIZED=1)
    endif()
endfunction()

if(CVM_EMULATOR)
    foreach(shape snp tdx snp-vtpm tdx-vtpm azure-snp azure-tdx gcp-snp gcp-tdx aws-snp)
        cvm_script_test(shape_${shape} /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_shapes.py
            ${CMAKE_BINARY_DIR}/bin/cvm-agent ${shape})
        cvm_script_test(verify_${shape} /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_verify.py
            ${CMAKE_BINARY_DIR}/bin/cvm-cli ${CMAKE_BINARY_DIR}/bin/cvm-agent ${shape})
    endforeach()
endif()
cvm_test(test_sev_guest SOURCES integration/test_sev_guest.c DEPENDS tee LABELS integration)
cvm_test(test_report_tsm SOURCES integration/test_report_tsm.c support/fuse_tsm.c DEPENDS tee LIBS PkgConfig::FUSE3
    Threads::Threads LABELS integration)
# The agent's own start, servers and stop over a collector that sleeps instead of asking devices.
get_target_property(agent_program cvm-agent SOURCES)
list(TRANSFORM agent_program PREPEND ${CMAKE_SOURCE_DIR}/agent/)
add_executable(agent_over_fake ${agent_program} integration/fake_collector.c)
target_link_libraries(agent_over_fake PRIVATE agent cvm_flags)
set_target_properties(agent_over_fake PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
foreach(part server http_errors load)
    cvm_script_test(test_${part} /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_${part}.py
        ${CMAKE_BINARY_DIR}/bin/agent_over_fake)
endforeach()
foreach(part vek vek_kds ak_chain)
    cvm_test(test_${part} SOURCES integration/test_${part}.c integration/vek_rig.c support/http_server.c DEPENDS tee
        LIBS PkgConfig::MHD Threads::Threads LABELS integration)
endforeach()
foreach(part Usage Inspect Eventlog)
    string(TOLOWER ${part} name)
    cvm_script_test(test_cli_${name} /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_cli.py
        ${CMAKE_BINARY_DIR}/bin/cvm-cli ${CVM_EVIDENCE_DEFAULT} ${part})
endforeach()
cvm_script_test(test_inspect_damage /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_inspect_damage.py
    ${CMAKE_BINARY_DIR}/bin/cvm-cli ${CVM_EVIDENCE_DEFAULT} ${CMAKE_SOURCE_DIR}/tests/data)
set_tests_properties(test_inspect_damage PROPERTIES SKIP_RETURN_CODE 77)
cvm_test(test_azure SOURCES integration/test_azure.c support/fake_nv.c support/http_server.c DEPENDS tee
    LIBS PkgConfig::MHD Threads::Threads LABELS integration)
cvm_test(test_detect SOURCES integration/test_detect.c support/fake_nv.c DEPENDS tee LABELS integration)

if(CVM_EMULATOR)
    cvm_test(test_collect SOURCES integration/test_collect.c DEPENDS evidence emulator LABELS integration)
endif()
cvm_script_test(test_cli_http /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_cli_http.py
    ${CMAKE_BINARY_DIR}/bin/cvm-cli ${CMAKE_BINARY_DIR}/bin/cvm-agent)
cvm_script_test(test_verify_tdx /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_verify_tdx.py
    ${CMAKE_BINARY_DIR}/bin/cvm-cli ${CVM_EVIDENCE_DEFAULT})
cvm_script_test(test_verify_raw /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_verify_raw.py
    ${CVM_EVIDENCE_DEFAULT})
set_tests_properties(test_verify_raw PROPERTIES SKIP_RETURN_CODE 77)
cvm_script_test(test_privileges /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/test_privileges.py
    ${CMAKE_BINARY_DIR}/bin)
cvm_script_test(test_units /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/test_units.py ${CMAKE_SOURCE_DIR}/systemd)
set_tests_properties(test_units PROPERTIES SKIP_RETURN_CODE 77)

cvm_script_test(test_trouble /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_trouble.py
    ${CMAKE_BINARY_DIR}/bin/cvm-agent)
set_tests_properties(test_trouble PROPERTIES SKIP_RETURN_CODE 77)
cvm_script_test(test_launch_cli /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_launch.py
    ${CMAKE_BINARY_DIR}/bin/cvm-cli ${CMAKE_SOURCE_DIR}/tests/interop)
cvm_script_test(test_golden_cli /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_golden_cli.py
    ${CMAKE_BINARY_DIR}/bin/cvm-cli ${CMAKE_BINARY_DIR}/bin/cvm-agent ${CVM_EVIDENCE_DEFAULT})
foreach(part collateral collateral_fetch)
    cvm_test(test_${part} SOURCES integration/test_${part}.c integration/collateral_rig.c support/http_server.c
        DEPENDS tee policy LIBS PkgConfig::MHD Threads::Threads LABELS integration)
endforeach()
if(CVM_EMULATOR)
    cvm_script_test(test_verify_emulated /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_verify_emulated.py
        ${CMAKE_BINARY_DIR}/bin/cvm-agent gcp-snp aws-snp snp)
endif()
cvm_script_test(test_collateral_cli /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_collateral_cli.py
    ${CMAKE_BINARY_DIR}/bin/cvm-cli ${CVM_EVIDENCE_DEFAULT})
cvm_test(test_collateral_certs SOURCES integration/test_collateral_certs.c support/http_server.c DEPENDS tee policy
    LIBS PkgConfig::MHD Threads::Threads LABELS integration)
cvm_script_test(test_verify_attestation /usr/bin/python3
    ${CMAKE_SOURCE_DIR}/tests/integration/test_verify_attestation.py ${CMAKE_BINARY_DIR}/bin/cvm-cli ${CVM_EVIDENCE_DEFAULT})

if(CVM_EMULATOR)
    cvm_script_test(test_walk /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_walk.py ${CMAKE_BINARY_DIR}/bin)
endif()
cvm_script_test(test_verify_route /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_verify_route.py
    ${CMAKE_BINARY_DIR}/bin/agent_over_fake ${CMAKE_SOURCE_DIR}/tests/data/collaterals)
if(CVM_EMULATOR)
    cvm_test(test_collateral_emulator SOURCES integration/test_collateral_emulator.c DEPENDS emulator LABELS integration)
endif()
cvm_script_test(test_verify_recorded /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_verify_recorded.py
    ${CMAKE_BINARY_DIR}/bin/cvm-cli ${CVM_EVIDENCE_DEFAULT})
cvm_script_test(test_manage /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_manage.py
    ${CMAKE_BINARY_DIR}/bin/agent_over_fake)
cvm_script_test(test_token_verify /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_token_verify.py
    ${CMAKE_BINARY_DIR}/bin/cvm-cli)
cvm_script_test(test_policy_lint /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_policy_lint.py
    ${CMAKE_BINARY_DIR}/bin/cvm-cli ${CMAKE_SOURCE_DIR}/tests/data/workload)
if(CVM_EMULATOR)
    cvm_script_test(test_manage_cli /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_manage_cli.py
        ${CMAKE_BINARY_DIR}/bin/cvm-cli ${CMAKE_BINARY_DIR}/bin/cvm-agent)
    cvm_script_test(test_measured_policy /usr/bin/python3
        ${CMAKE_SOURCE_DIR}/tests/integration/test_measured_policy.py ${CMAKE_BINARY_DIR}/bin/cvm-agent
        ${CMAKE_BINARY_DIR}/bin/cvm-cli)
    cvm_script_test(test_identity /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_identity.py
        ${CMAKE_BINARY_DIR}/bin/cvm-agent)
endif()
cvm_script_test(test_priv_verbs /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/test_priv_verbs.py
    ${CMAKE_BINARY_DIR}/bin)
set_tests_properties(test_priv_verbs PROPERTIES SKIP_RETURN_CODE 77)
cvm_script_test(test_store /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/test_store.py
    ${CMAKE_BINARY_DIR}/bin)
set_tests_properties(test_store PROPERTIES SKIP_RETURN_CODE 77)
cvm_test(test_log_stream SOURCES integration/test_log_stream.c DEPENDS agent LIBS PkgConfig::MHD Threads::Threads
    LABELS integration)
add_executable(engine_tool integration/engine_tool.c)
target_link_libraries(engine_tool PRIVATE agent cvm_flags)
set_target_properties(engine_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
cvm_script_test(test_policy_cli /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_policy_cli.py
    ${CMAKE_BINARY_DIR}/bin/cvm-cli ${CVM_EVIDENCE_DEFAULT})
foreach(part workload_log workload_log_killed)
    cvm_test(test_${part} SOURCES integration/test_${part}.c integration/workload_log_rig.c DEPENDS workload
        LABELS integration)
endforeach()
if(CVM_EMULATOR)
    cvm_test(test_service_sockets SOURCES integration/test_service_sockets.c integration/emulator_rig.c
        DEPENDS agent emulator LIBS PkgConfig::MHD Threads::Threads LABELS integration)
    target_compile_definitions(test_service_sockets PRIVATE
        CHECK_EMULATOR="${CMAKE_SOURCE_DIR}/tests/interop/check_emulator.py")
endif()
cvm_script_test(test_rego_cases /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_rego_cases.py
    ${CMAKE_BINARY_DIR}/bin/cvm-cli ${CMAKE_SOURCE_DIR}/../shared/reference/rego-examples)
set_tests_properties(test_rego_cases PROPERTIES SKIP_RETURN_CODE 77)
cvm_script_test(test_measure /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_measure.py
    ${CMAKE_BINARY_DIR}/bin/cvm-cli)
if(CVM_EMULATOR)
    cvm_test(test_workload_document SOURCES integration/test_workload_document.c DEPENDS evidence workload emulator
        LABELS integration)
endif()
if(CVM_EMULATOR)
    foreach(shape snp tdx snp-vtpm tdx-vtpm azure-snp azure-tdx gcp-snp gcp-tdx aws-snp)
        cvm_script_test(attestation_${shape} /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_attestation_route.py
            ${CMAKE_BINARY_DIR}/bin/cvm-cli ${CMAKE_BINARY_DIR}/bin/cvm-agent ${shape})
    endforeach()
endif()
if(CVM_EMULATOR)
    cvm_script_test(test_appraisal /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_appraisal.py
        ${CMAKE_BINARY_DIR}/bin/cvm-agent)
endif()
if(NOT CVM_SANITIZE)
    cvm_script_test(test_symbols /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_symbols.py
        $<TARGET_FILE:cvm-agent> $<TARGET_FILE:cvm-cli> $<TARGET_FILE:cvm-agent-priv> $<TARGET_FILE:cvm-agent-setup>)
endif()
# What runs containers, under one lock, for its times are those of the engine; ctest starts the longest first. Label by the
# engine: docker's are run with the sanitizers under scripts/test --full only.
function(cvm_engine_test name engine seconds limit)
    set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${limit} RESOURCE_LOCK engine COST ${seconds}
        LABELS "integration;${engine}")
endfunction()
if(CVM_EMULATOR)
    cvm_script_test(test_workload /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_workload.py
        ${CMAKE_BINARY_DIR}/bin)
    cvm_engine_test(test_workload podman 40 300)
    cvm_script_test(test_update /usr/bin/python3 -W ignore ${CMAKE_SOURCE_DIR}/tests/integration/test_update.py
        ${CMAKE_BINARY_DIR}/bin Updates)
    cvm_engine_test(test_update podman 120 600)
    foreach(part Killed Owner)
        string(TOLOWER test_update_${part} name)
        cvm_script_test(${name} /usr/bin/python3 -W ignore ${CMAKE_SOURCE_DIR}/tests/integration/test_update.py
            ${CMAKE_BINARY_DIR}/bin ${part})
        cvm_engine_test(${name} podman 120 600)
    endforeach()
    cvm_script_test(test_update_read_only /usr/bin/python3 -W ignore ${CMAKE_SOURCE_DIR}/tests/integration/test_update.py
        ${CMAKE_BINARY_DIR}/bin ReadOnly)
    cvm_engine_test(test_update_read_only podman 80 600)
    cvm_script_test(test_workload_docker /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_workload.py
        ${CMAKE_BINARY_DIR}/bin --docker)
    cvm_engine_test(test_workload_docker docker 40 300)
    cvm_script_test(test_update_docker /usr/bin/python3 -W ignore ${CMAKE_SOURCE_DIR}/tests/integration/test_update.py
        ${CMAKE_BINARY_DIR}/bin --docker Updates.test_what_changed_is_replaced_and_nothing_else
        Updates.test_images_that_nobody_uses_go Updates.test_a_service_that_does_not_come_up Updates.test_logs
        Updates.test_maintenance)
    cvm_engine_test(test_update_docker docker 110 300)
endif()
cvm_script_test(test_engine /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/test_engine.py ${CMAKE_BINARY_DIR}/bin)
cvm_engine_test(test_engine podman 90 300)
cvm_script_test(test_engine_docker /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/test_engine.py ${CMAKE_BINARY_DIR}/bin --docker)
cvm_engine_test(test_engine_docker docker 90 300)
cvm_script_test(test_rego_differential /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_rego_differential.py
    ${CMAKE_BINARY_DIR}/bin/cvm-cli 320)
if(CVM_EMULATOR)
    cvm_script_test(test_tour /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_tour.py ${CMAKE_BINARY_DIR}/bin)
    set_tests_properties(test_tour PROPERTIES SKIP_RETURN_CODE 77 RUN_SERIAL ON)
endif()
cvm_script_test(test_rego_cli /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_rego_cli.py
    ${CMAKE_BINARY_DIR}/bin/cvm-cli)
foreach(cloud azure gcp aws)
    cvm_script_test(test_clouds_${cloud} /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_clouds.py
        ${CMAKE_BINARY_DIR}/bin/cvm-cli ${cloud})
    set_tests_properties(test_clouds_${cloud} PROPERTIES TIMEOUT 600)
endforeach()
cvm_script_test(test_update_disk /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_update_disk.py ${CMAKE_BINARY_DIR}/bin/cvm-cli)
set_tests_properties(test_update_disk PROPERTIES SKIP_RETURN_CODE 77)
cvm_script_test(test_image_papers /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_image_papers.py ${CMAKE_BINARY_DIR}
    ${CMAKE_SOURCE_DIR}/tests/data)
set_tests_properties(test_image_papers PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)
cvm_script_test(test_predict /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_predict.py ${CMAKE_BINARY_DIR}
    ${CMAKE_SOURCE_DIR}/tests/data ${CVM_EVIDENCE_DEFAULT})
set_tests_properties(test_predict PROPERTIES SKIP_RETURN_CODE 77)
if(CVM_EMULATOR AND NOT CVM_SANITIZE)
    cvm_script_test(test_provenance /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_provenance.py ${CMAKE_BINARY_DIR})
    set_tests_properties(test_provenance PROPERTIES SKIP_RETURN_CODE 77)
    cvm_script_test(test_packages /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_packages.py ${CMAKE_BINARY_DIR})
    set_tests_properties(test_packages PROPERTIES SKIP_RETURN_CODE 77)
endif()
# Only with `ctest -C Package`, as scripts/test --full does: it builds the packages, and its chroot takes a network once.
add_test(NAME test_package CONFIGURATIONS Package
    COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_package.py ${CMAKE_SOURCE_DIR})
set_tests_properties(test_package PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 3600 RUN_SERIAL ON LABELS package
    ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
if(NOT CVM_SANITIZE)
    cvm_script_test(test_library /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_library.py
        ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR})
endif()
cvm_script_test(test_completion /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_completion.py
    ${CMAKE_BINARY_DIR}/bin/cvm-cli ${CMAKE_SOURCE_DIR}/cli/completion/cvm-cli.bash)
cvm_script_test(test_manual /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_manual.py
    ${CMAKE_BINARY_DIR}/bin ${CMAKE_SOURCE_DIR}/docs/man)
if(CVM_EMULATOR)
    foreach(page publisher workload-developer relying-party operator auditor)
        cvm_script_test(guide_${page} /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_guide.py
            ${CMAKE_BINARY_DIR}/bin ${CMAKE_SOURCE_DIR}/docs/guide/${page}.md)
        set_tests_properties(guide_${page} PROPERTIES SKIP_RETURN_CODE 77)
    endforeach()
endif()
cvm_script_test(test_kubernetes /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/integration/test_kubernetes.py
    ${CMAKE_BINARY_DIR}/bin ${CMAKE_SOURCE_DIR})
set_tests_properties(test_kubernetes PROPERTIES SKIP_RETURN_CODE 77)
