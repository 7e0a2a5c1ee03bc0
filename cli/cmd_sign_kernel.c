#include "cli/commands.h"

#include "base/auto.h"
#include "image/authenticode.h"
#include "policy/pem_key.h"

#define CHAIN_MAX 8

struct chain {
    X509 *cert[CHAIN_MAX];
    int n;
};

static void chain_done(struct chain *c)
{
    for (int i = 0; i < c->n; i++)
        X509_free(c->cert[i]);
}

static int read_signer(const char *key_path, const char *cert_path, EVP_PKEY **key, struct chain *chain)
{
    AUTO(buf_wipe) struct buf pem = buf_new(PEM_KEY_MAX);
    AUTO(free_u8) uint8_t *certs = NULL;
    struct err err = { 0 };
    size_t n = 0;
    int rc = read_input(key_path, PEM_KEY_MAX, &pem.p, &pem.n);
    if (rc)
        return rc;
    pem.cap = pem.n;
    if (pem_private_key(buf_bytes(&pem), key, &err) < 0)
        return fail_err(STATUS_INPUT, key_path, "cannot sign", &err);
    if ((rc = read_input(cert_path, CERT_MAX * CHAIN_MAX, &certs, &n)))
        return rc;
    chain->n = x509_parse_chain(bytes_of(certs, n), chain->cert, CHAIN_MAX, &err);
    if (chain->n > 0)
        return 0;
    chain->n = 0;
    return fail_err(STATUS_INPUT, cert_path, "not a certificate", &err);
}

static int sign(const char *path, const char *key_path, const char *cert_path, const char *out_path)
{
    AUTO(free_u8) uint8_t *program = NULL;
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    AUTO(chain_done) struct chain chain = { .n = 0 };
    AUTO(buf_done) struct buf out = buf_new(PE_FILE_MAX);
    struct err err = { 0 };
    size_t n = 0;
    int rc = read_input(path, PE_FILE_MAX, &program, &n);
    if (rc || (rc = read_signer(key_path, cert_path, &key, &chain)))
        return rc;
    if (authenticode_sign(bytes_of(program, n), key, chain.cert, (size_t)chain.n, &out, &err) < 0)
        return fail_err(status_of(&err), path, "cannot sign", &err);
    return write_bytes(buf_bytes(&out), out_path);
}

static int run(int argc, char **argv)
{
    const char *args[3] = { 0 }, *out = NULL;
    const struct option_row rows[] = { { "o", OPTION_TEXT, &out } };
    int rc = options_parse(&command_sign_kernel, argc, argv, rows, ARRAY_SIZE(rows), args, 3, 3);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (!out)
        return fail(STATUS_USAGE, "sign-kernel", "no file to write", "name it with -o");
    return sign(args[0], args[1], args[2], out);
}

const struct command command_sign_kernel = {
    "sign-kernel",
    "IN.efi KEY.pem CERT.pem -o OUT.efi",
    "Signs a kernel image, or another UEFI program, for Secure Boot",
    "KEY.pem is an RSA key of 2048 to 4096 bits without a passphrase, CERT.pem its certificate, and those "
    "above\n"
    "it if the firmware knows only them. The signature is Authenticode: PKCS #7, RSA PKCS #1 v1.5, SHA-256. "
    "It\n"
    "has no signing time: the same input gives the same bytes. Signatures that IN.efi has are kept.\n"
    "\n"
    "  -o FILE  writes FILE, whole or not at all; it may be IN.efi\n"
    "\n"
    "build-image calls this with --secure-boot-key. See verify-image and predict for what becomes of it.\n",
    run,
};
