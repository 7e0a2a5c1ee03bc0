/** base/fault.h: named places where a test may have the process die, as if the machine lost its power: what
 * is written must be whole, or healed at the next start. Only in builds with tests; elsewhere nothing is
 * left. */
#ifndef CVM_BASE_FAULT_H
#define CVM_BASE_FAULT_H

#ifdef CVM_FAULTS
/** Kills the process (SIGKILL) if the environment's CVM_FAULT is this name, or name:N at the Nth passing. */
void fault_point(const char *name);

/** The variable of the environment, for a child that gets no other; NULL: it is not set. */
const char *fault_environment(void);
#else
#define fault_point(name)   ((void)0)
#define fault_environment() NULL
#endif

#endif
