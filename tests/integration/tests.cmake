# Tests that start programs, a real TPM or servers on loopback.
