#include "fuzz.h"

#include "base/file.h"
#include "image/secure_boot.h"

#include "image/authenticode.h"

static X509 *trusted;
static struct digest original; /* of the program that the seeds have signed */

/* The key that signed the seeds is nobody's here: a program that is accepted under it is the seeds' own. */
static void prepare(void)
{
    uint8_t *data = NULL;
    size_t n = 0;
    struct err err = { 0 };
    struct pe pe;
    if (trusted)
        return;
    CHECK(file_read(CVM_TEST_DATA "/image/signer.pem", CERT_MAX, &data, &n, &err) == 0);
    CHECK(x509_parse(bytes_of(data, n), &trusted, &err) == 0);
    free(data);
    CHECK(file_read(CVM_TEST_DATA "/image/signed.efi", PE_FILE_MAX, &data, &n, &err) == 0);
    CHECK(pe_parse(bytes_of(data, n), &pe, &err) == 0);
    CHECK(pe_authenticode(&pe, ALG_SHA256, &original, &err) == 0);
    free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct authenticode_list list = { .n = 0 };
    struct digest hash;
    struct pe pe;
    struct err err = { 0 };
    prepare();
    if (pe_parse(bytes_of(data, size), &pe, &err) < 0)
        return 0;
    if (authenticode_read(&pe, &list, &err) < 0)
        CHECK(err.kind == ERR_INPUT);
    else
        for (size_t i = 0; i < list.n; i++) {
            (void)authenticode_signer(&list.item[i]);
            if (authenticode_check(&pe, &list.item[i], trusted, &err) < 0) {
                CHECK(err.kind == ERR_UNAUTHENTICATED);
                continue;
            }
            CHECK(pe_authenticode(&pe, ALG_SHA256, &hash, &err) == 0);
            CHECK(bytes_equal(digest_bytes(&hash), digest_bytes(&original)));
        }
    authenticode_done(&list);
    return 0;
}
