#include "base/fault.h"

#ifdef CVM_FAULTS
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fault_point(const char *name)
{
    static atomic_ulong passed;
    const char *wanted = getenv("CVM_FAULT");
    size_t n = strlen(name);
    if (!wanted || strncmp(wanted, name, n) != 0 || (wanted[n] && wanted[n] != ':'))
        return;
    unsigned long at = wanted[n] ? strtoul(wanted + n + 1, NULL, 10) : 1;
    if (atomic_fetch_add(&passed, 1) + 1 == at)
        raise(SIGKILL);
}

const char *fault_environment(void)
{
    static char text[128];
    const char *wanted = getenv("CVM_FAULT");
    return wanted && snprintf(text, sizeof(text), "CVM_FAULT=%s", wanted) < (int)sizeof(text) ? text : NULL;
}
#else
typedef int fault_points_are_left_out; /* a file needs something in it */
#endif
