/* A public area that parses has a Name, and if it holds a key, an SPKI that libcrypto reads back; a key that
 * passes as an AK has the attributes of one. */
#include "fuzz.h"

#include "base/digest.h"
#include "base/json.h"
#include "tpm/public.h"

static void check_spki(const struct tpm_public *pub)
{
    struct buf spki = buf_new(4096);
    struct err err = { 0 };
    if (tpm_public_spki(pub, &spki, &err) == 0) {
        const uint8_t *p = spki.p;
        EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)spki.n);
        CHECK(key && p == spki.p + spki.n);
        EVP_PKEY_free(key);
    } else {
        CHECK(err.kind == ERR_INPUT && spki.n == 0);
    }
    buf_done(&spki);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tpm_public pub;
    struct err err = { 0 };
    if (tpm_public_parse(bytes_of(data, size), &pub, &err) < 0) {
        CHECK(err.kind == ERR_INPUT);
        return 0;
    }
    const struct bytes last = pub.type == TPM_KEY_RSA ? pub.modulus : pub.y;
    CHECK(pub.raw.p + pub.raw.n == data + size && last.p + last.n == data + size);
    struct buf name = buf_new(2 + DIGEST_MAX);
    CHECK(tpm_public_name(&pub, &name, NULL) == 0 && name.n == 2 + digest_size(pub.name_alg));
    buf_done(&name);
    const uint32_t must = TPM_ATTR_FIXED_TPM | TPM_ATTR_RESTRICTED | TPM_ATTR_SIGN;
    if (tpm_public_check_ak(&pub, &err) == 0)
        CHECK((pub.attributes & (must | TPM_ATTR_DECRYPT)) == must && pub.scheme != 0x0010);
    else
        CHECK(err.kind == ERR_DENIED);
    check_spki(&pub);
    json_t *v = tpm_public_json(&pub);
    CHECK(v);
    json_decref(v);
    return 0;
}
