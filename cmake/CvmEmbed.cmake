# cvm_embed(OUT_VAR SYMBOL FILE [COMPRESS]): a generated C file with the bytes of FILE, or of FILE in gzip's form, as
#   const unsigned char SYMBOL[]; const size_t SYMBOL_size;
# OUT_VAR receives its path, to be listed among a target's sources.
function(cvm_embed out symbol file)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    if("COMPRESS" IN_LIST ARGN)
        set(packed ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.gz)
        file(ARCHIVE_CREATE OUTPUT ${packed} PATHS ${file} FORMAT raw COMPRESSION GZip COMPRESSION_LEVEL 9)
        file(READ ${packed} hex HEX)
        string(SUBSTRING "${hex}" 0 8 magic)
        string(SUBSTRING "${hex}" 16 -1 rest)
        set(hex "${magic}00000000${rest}") # without the time: two builds are the same
    else()
        file(READ ${file} hex HEX)
    endif()
    string(REGEX REPLACE "(..)" "0x\\1," body "${hex}")
    set(source ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c)
    file(CONFIGURE OUTPUT ${source} @ONLY CONTENT
"#include <stddef.h>
extern const unsigned char ${symbol}[];
extern const size_t ${symbol}_size;
const unsigned char ${symbol}[] = { ${body} };
const size_t ${symbol}_size = sizeof(${symbol});
")
    set(${out} ${source} PARENT_SCOPE)
endfunction()
