#include "cli/commands.h"

#include "base/auto.h"
#include "policy/dsse.h"
#include "policy/golden.h"
#include "policy/golden_sign.h"

static int verify(const json_t *document, struct bytes pem, struct err *err)
{
    AUTO(buf_done) struct buf statement = buf_new(DSSE_SIZE_MAX);
    return dsse_is_envelope(document) ? dsse_verify(document, DSSE_IN_TOTO, pem, &statement, err)
                                      : golden_signature_verify(document, pem, err);
}

static int run(int argc, char **argv)
{
    AUTO(free_u8) uint8_t *text = NULL;
    AUTO(free_u8) uint8_t *pem = NULL;
    AUTO(json_drop) json_t *document = NULL;
    AUTO(buf_done) struct buf out = buf_new(4096);
    const char *args[2] = { 0 };
    struct err err = { 0 };
    size_t n = 0, pem_n = 0;
    int rc = options_parse(&command_verify_signature, argc, argv, NULL, 0, args, 2, 2);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if ((rc = read_input(args[0], GOLDEN_SIZE_MAX, &text, &n))
        || (rc = read_input(args[1], GOLDEN_KEY_MAX, &pem, &pem_n)))
        return rc;
    if (json_parse(bytes_of(text, n), GOLDEN_SIZE_MAX, &document, &err) < 0)
        return fail_err(STATUS_INPUT, args[0], "not a signed document", &err);
    if (verify(document, bytes_of(pem, pem_n), &err) < 0)
        return fail_err(status_of(&err), args[0], "not verified", &err);
    buf_str(&out, "the signature is valid");
    return write_out(&out, NULL);
}

const struct command command_verify_signature = {
    "verify-signature",
    "SIGNED.json PUB.pem",
    "Verifies the signature of a golden measurement, or of an in-toto statement",
    "PUB.pem is the publisher's public key: P-256 or RSA, for a statement P-256 or Ed25519. Exit status 0: "
    "the\n"
    "signature is valid; 1: it is not, or there is none; 3: the document or the key is malformed.\n"
    "\n"
    "Only the inner object is signed: members beside \"golden_measurement\" are not.\n",
    run,
};
