/** tests/support/swtpm.h: a real swtpm in a folder of its own, on Unix sockets, stopped by its pid. */
#ifndef CVM_TESTS_SWTPM_H
#define CVM_TESTS_SWTPM_H

#include <stdbool.h>
#include <sys/types.h>

struct swtpm {
    pid_t pid;      /* 0 when not running */
    char dir[64];   /* state and sockets; a folder below $TMPDIR or /tmp */
    char tcti[128]; /* for tpm_open() and TPM2TOOLS_TCTI */
};

/** False, saying so on standard error, when the program is not installed. */
bool swtpm_available(void);

/** Makes the folder and starts a TPM that nobody has sent TPM2_Startup to. Fails the test if it cannot. */
void swtpm_new(struct swtpm *s);

/** SIGKILL, as when a host loses its TPM. State and folder stay. */
void swtpm_kill(struct swtpm *s);

/** Starts it again over the same state. */
void swtpm_start(struct swtpm *s);

/** Kills it and removes its folder. */
void swtpm_done(struct swtpm *s);

/** Runs a shell command with TPM2TOOLS_TCTI set to tcti, output to standard error.
 *  @return its exit status */
__attribute__((format(printf, 2, 3))) int tpm2_tool(const char *tcti, const char *fmt, ...);

#endif
