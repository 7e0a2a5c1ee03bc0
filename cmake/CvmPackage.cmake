# Debian packages by CPack, one a component. A build with the emulator makes cvm-cli, libcvm-dev and
# cvm-agent-emulator, one without it cvm-agent, cvm-cli and libcvm-dev; scripts/package makes all four of both.
# cvm_component(NAME PACKAGE SUMMARY LONG DEPENDS...): the package of a component. LONG begins and ends without a
# line break; its lines are the description's.
# The part that the agent's programs belong to.
set(CVM_AGENT_COMPONENT agent)
if(CVM_EMULATOR)
    set(CVM_AGENT_COMPONENT emulator)
endif()

set(CVM_PACKAGE_RELEASE 1 CACHE STRING "Revision of the Debian packages")
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME cvm-agent)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CVM_PACKAGE_CONTACT "cvm-agent maintainers <maintainers@cvm-agent.invalid>" CACHE STRING "Maintainer of the packages")
set(CPACK_PACKAGE_CONTACT "${CVM_PACKAGE_CONTACT}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each has its own
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${CVM_PACKAGE_RELEASE})
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
    WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL)

set(package_dir ${CMAKE_BINARY_DIR}/package)
file(MAKE_DIRECTORY ${package_dir})
configure_file(${CMAKE_SOURCE_DIR}/packages/changelog.in ${package_dir}/changelog.Debian @ONLY)
configure_file(${CMAKE_SOURCE_DIR}/CHANGELOG.md ${package_dir}/changelog COPYONLY)

# A file as Debian has it: compressed, without a date. Done at every configuration, so that it is never stale.
function(cvm_gzip out file)
    get_filename_component(name ${file} NAME)
    execute_process(COMMAND gzip -9nc ${file} OUTPUT_FILE ${package_dir}/${name}.gz COMMAND_ERROR_IS_FATAL ANY)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    set(${out} ${package_dir}/${name}.gz PARENT_SCOPE)
endfunction()

cvm_gzip(changelog ${package_dir}/changelog)
cvm_gzip(changelog_debian ${package_dir}/changelog.Debian)

# Manual pages, compressed in packages: cvm_man(COMPONENT PAGE...)
function(cvm_man component)
    foreach(page ${ARGN})
        string(REGEX REPLACE ".*\\." "" section ${page})
        cvm_gzip(compressed ${CMAKE_SOURCE_DIR}/docs/man/${page})
        install(FILES ${compressed} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section} COMPONENT ${component})
    endforeach()
endfunction()

# Manual pages of programs that another one's page describes.
function(cvm_man_see component page)
    foreach(name ${ARGN})
        file(WRITE ${package_dir}/${name} ".so man8/${page}\n")
        cvm_gzip(compressed ${package_dir}/${name})
        install(FILES ${compressed} DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 COMPONENT ${component})
    endforeach()
endfunction()

macro(cvm_component name package summary long)
    string(TOUPPER ${name} upper)
    list(APPEND CPACK_COMPONENTS_ALL ${name})
    set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${package})
    set(CPACK_DEBIAN_${upper}_DESCRIPTION "${summary}\n${long}")
    string(REPLACE ";" ", " CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS "${ARGN}")
    install(FILES ${CMAKE_SOURCE_DIR}/packages/copyright ${changelog} ${changelog_debian}
        DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/${package} COMPONENT ${name})
    install(FILES ${CMAKE_SOURCE_DIR}/packages/${name}/lintian RENAME ${package}
        DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/lintian/overrides COMPONENT ${name})
endmacro()

# libcurl is loaded with the first request that is made (base/curl.h): no link says that it is needed.
set(curl "libcurl4" "ca-certificates")

cvm_component(cli cvm-cli "judges and makes evidence of confidential virtual machines"
"Verifies SEV-SNP reports, TDX quotes, TPM quotes and whole documents of
evidence against golden measurements and policies, decodes them, signs
golden measurements, measures workloads before they run, and speaks to
cvm-agent."
    ${curl})
set(CPACK_DEBIAN_CLI_PACKAGE_SECTION utils)
# What build-image puts into a disk, and the tools that it makes one with.
set(CPACK_DEBIAN_CLI_PACKAGE_SUGGESTS "cvm-agent, binutils, cpio, cryptsetup-bin, curl, dosfstools, e2fsprogs, erofs-utils, gdisk, \
jq, kmod, mtools, qemu-utils, xz-utils, zstd")

cvm_component(dev libcvm-dev "library that judges evidence of confidential virtual machines"
"One shared object with versioned symbols, its header and its pkg-config
file. It verifies documents of evidence against the vendors' roots, golden
measurements and policies, and makes no request of its own.")
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_DEV_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/packages/dev/triggers)
set(CPACK_DEBIAN_DEV_PACKAGE_PROVIDES "libcvm${PROJECT_VERSION_MAJOR} (= ${PROJECT_VERSION}-${CVM_PACKAGE_RELEASE})")

if(CVM_EMULATOR)
    cvm_component(emulator cvm-agent-emulator "attestation agent that emulates confidential virtual machines"
"The agent of the package cvm-agent with nine emulated platform shapes: a
TPM 2.0 in process, and SEV-SNP reports and TDX quotes below a root of its
own, which no verifier trusts unless told to. For laptops and tests: it
starts no service."
        ${curl})
    set(CPACK_DEBIAN_EMULATOR_PACKAGE_CONFLICTS cvm-agent)
    set(CPACK_DEBIAN_EMULATOR_PACKAGE_REPLACES cvm-agent)
    set(CPACK_DEBIAN_EMULATOR_PACKAGE_RECOMMENDS cvm-cli)
    set(CPACK_DEBIAN_EMULATOR_PACKAGE_SUGGESTS "podman, catatonit")
else()
    cvm_component(agent cvm-agent "attestation agent of a confidential virtual machine"
"Proves to others what the machine is and what it booted (AMD SEV-SNP, Intel
TDX, on Azure, Google Cloud, AWS or elsewhere), judges the evidence of other
machines, and measures a workload of containers before it runs it. Runs
without privileges; has no emulator."
        ${curl} procps "systemd | systemd-standalone-sysusers" "systemd | systemd-standalone-tmpfiles")
    set(CPACK_DEBIAN_AGENT_PACKAGE_RECOMMENDS podman catatonit nftables cvm-cli)
    string(REPLACE ";" ", " CPACK_DEBIAN_AGENT_PACKAGE_RECOMMENDS "${CPACK_DEBIAN_AGENT_PACKAGE_RECOMMENDS}")
    set(CPACK_DEBIAN_AGENT_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/packages/agent/postinst
        ${CMAKE_SOURCE_DIR}/packages/agent/prerm ${CMAKE_SOURCE_DIR}/packages/agent/postrm)
    install(FILES packages/agent/cvm-agent.tmpfiles RENAME cvm-agent.conf DESTINATION lib/tmpfiles.d COMPONENT agent)
endif()
