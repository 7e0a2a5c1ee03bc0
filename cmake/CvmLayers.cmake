# cvm_layer(NAME FOLDER [SMALL] SOURCES ... DEPENDS layers ... LIBS libraries ...)
#
# SMALL: what waits for devices, disks or libcrypto, and gains nothing by being larger.
#
# One folder, one static library. A layer's public include directory holds a link to its own folder and nothing else,
# and reaches users through target_link_libraries(... PUBLIC ...). "#include "agent/x.h"" in a lower layer therefore
# finds no file and fails the build: the order of the house is enforced by the compiler, not by review.
function(cvm_layer name folder)
    cmake_parse_arguments(L "SMALL" "" "SOURCES;DEPENDS;LIBS;DEFINES" ${ARGN})
    set(surface ${CMAKE_BINARY_DIR}/surface/${name})
    get_filename_component(parent ${folder} DIRECTORY)
    file(MAKE_DIRECTORY ${surface}/${parent})
    if(NOT EXISTS ${surface}/${folder})
        file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${folder} ${surface}/${folder} SYMBOLIC)
    endif()
    add_library(${name} STATIC ${L_SOURCES})
    target_include_directories(${name} PUBLIC ${surface})
    target_compile_definitions(${name} PRIVATE ${L_DEFINES})
    if(L_SMALL)
        target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-Os>)
    endif()
    target_link_libraries(${name} PUBLIC ${L_DEPENDS} ${L_LIBS} PRIVATE cvm_flags)
endfunction()

# cvm_program(NAME SOURCES ... DEPENDS layers ... COMPONENT package part): an installed program.
function(cvm_program name)
    cmake_parse_arguments(P "" "COMPONENT" "SOURCES;DEPENDS;LIBS;DEFINES" ${ARGN})
    add_executable(${name} ${P_SOURCES})
    target_compile_definitions(${name} PRIVATE ${P_DEFINES})
    target_link_libraries(${name} PRIVATE ${P_DEPENDS} ${P_LIBS} cvm_flags)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
    install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT ${P_COMPONENT})
endfunction()
