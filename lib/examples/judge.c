/* Judges a collaterals document with libcvm.
 *   cc judge.c $(pkg-config --cflags --libs libcvm) -o judge
 *   ./judge COLLATERALS.json NONCE [GOLDEN.json [EMULATOR-ROOTS.pem]]
 * Exit status: enum cvm_status. */
#include <cvm/cvm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A whole file; the caller frees. */
static char *slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    char *data = NULL;
    size_t cap = 0;
    *n = 0;
    if (!f) {
        perror(path);
        exit(CVM_MALFORMED);
    }
    for (size_t got = 1; got > 0; *n += got) {
        if (*n + 65536 > cap && !(data = realloc(data, cap = 2 * cap + 65536)))
            exit(CVM_ENVIRONMENT);
        got = fread(data + *n, 1, 65536, f);
    }
    fclose(f);
    return data;
}

static enum cvm_status judge(struct cvm_verifier *v, int argc, char **argv, char **answer)
{
    enum cvm_status status = cvm_set_nonce(v, argv[2], strlen(argv[2]));
    char *text;
    size_t n;
    if (status == CVM_VERIFIED && argc > 3) {
        text = slurp(argv[3], &n);
        status = cvm_set_golden(v, text, n);
        free(text);
    }
    if (status == CVM_VERIFIED && argc > 4) {
        text = slurp(argv[4], &n);
        status = cvm_trust_emulator(v, text, n);
        free(text);
    }
    if (status == CVM_VERIFIED) {
        text = slurp(argv[1], &n);
        status = cvm_verify(v, text, n, answer);
        free(text);
    }
    return status;
}

int main(int argc, char **argv)
{
    char *answer = NULL;
    if (argc < 3 || argc > 5) {
        fprintf(stderr, "usage: %s COLLATERALS.json NONCE [GOLDEN.json [EMULATOR-ROOTS.pem]]\n", argv[0]);
        return CVM_USAGE;
    }
    struct cvm_verifier *v = cvm_verifier_new();
    if (!v)
        return CVM_ENVIRONMENT;
    enum cvm_status status = judge(v, argc, argv, &answer);
    if (answer)
        fputs(answer, stdout);
    if (status != CVM_VERIFIED)
        fprintf(stderr, "not verified: %s\n", cvm_error(v));
    cvm_free(answer);
    cvm_verifier_free(v);
    return status;
}
