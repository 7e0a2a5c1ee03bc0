/* Kernel modules: a name that is accepted is one that the kernel could have. */
#include "fuzz.h"

#include "agent/kmodule.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kmodule m;
    struct err err = { 0 };
    if (kmodule_parse(bytes_of(data, size), &m, &err) == 0)
        CHECK(*m.name && strlen(m.name) <= KMODULE_NAME_MAX && !strpbrk(m.name, "/. \n"));
    else
        CHECK(err.kind == ERR_INPUT);
    return 0;
}
