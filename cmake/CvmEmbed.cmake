# cvm_embed(OUT_VAR SYMBOL FILE): a generated C file with the bytes of FILE as
#   const unsigned char SYMBOL[]; const size_t SYMBOL_size;
# OUT_VAR receives its path, to be listed among a target's sources.
function(cvm_embed out symbol file)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(READ ${file} hex HEX)
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
