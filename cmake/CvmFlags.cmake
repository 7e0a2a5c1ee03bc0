# Compiler and linker flags shared by everything we build, on one interface target.
add_library(cvm_flags INTERFACE)
target_compile_features(cvm_flags INTERFACE c_std_11)
target_compile_definitions(cvm_flags INTERFACE _GNU_SOURCE CVM_VERSION="${PROJECT_VERSION}")
target_compile_options(cvm_flags INTERFACE
    -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
    -Wcast-qual -Wpointer-arith -Wwrite-strings -Wundef -fno-omit-frame-pointer -fno-strict-aliasing
    -ffile-prefix-map=${CMAKE_SOURCE_DIR}/= ${CVM_SANITIZE})
target_link_options(cvm_flags INTERFACE ${CVM_SANITIZE})
if(CVM_SANITIZE)
    target_compile_definitions(cvm_flags INTERFACE CVM_SANITIZED) # agent/priv/main.c
endif()
if(CVM_TESTS)
    target_compile_definitions(cvm_flags INTERFACE CVM_FAULTS) # base/fault.h
endif()

set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(CVM_FUZZ AND NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "CVM_FUZZ needs clang (preset fuzz)")
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
    set(CMAKE_C_FLAGS_RELEASE "-O2 -g1")
    target_compile_options(cvm_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong
        -fstack-clash-protection -fcf-protection=full -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables)
    target_link_options(cvm_flags INTERFACE $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie> -Wl,-z,relro,-z,now
        -Wl,-z,pack-relative-relocs -Wl,-z,noexecstack -Wl,--as-needed -Wl,--gc-sections)
    set(CMAKE_INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
endif()
