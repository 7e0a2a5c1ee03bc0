#include "policy/trust.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/x509.h"

#include <string.h>

#define EMBEDDED(symbol)                                                                                     \
    extern const unsigned char symbol[];                                                                     \
    extern const size_t symbol##_size
EMBEDDED(trust_amd_genoa_ark);
EMBEDDED(trust_amd_genoa_ask);
EMBEDDED(trust_amd_genoa_asvk);
EMBEDDED(trust_amd_milan_ark);
EMBEDDED(trust_amd_milan_ask);
EMBEDDED(trust_amd_milan_asvk);
EMBEDDED(trust_amd_turin_ark);
EMBEDDED(trust_amd_turin_ask);
EMBEDDED(trust_amd_turin_asvk);
EMBEDDED(trust_google_gcp_ek_ak_ca_intermediate_v3);
EMBEDDED(trust_google_gcp_ek_ak_ca_root);
EMBEDDED(trust_google_tpm_ek_intermediate_2);
EMBEDDED(trust_google_tpm_ek_intermediate_3);
EMBEDDED(trust_google_tpm_ek_root_1);
EMBEDDED(trust_intel_sgx_root);
EMBEDDED(trust_microsoft_azure_vtpm_ca_2025);
EMBEDDED(trust_microsoft_azure_vtpm_root_2023);

/* Sources and validity: policy/trust/README.md. */
static const struct trust_row rows[] = {
    { "amd-genoa-ark", TRUST_AMD, true, "Genoa",
      "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1" },
    { "amd-genoa-ask", TRUST_AMD, false, "Genoa",
      "5464738c1546aed5f2cecf1dc98c5c960a92e8913238a61711bc90ec6e828521" },
    { "amd-genoa-asvk", TRUST_AMD, false, "Genoa",
      "197e610743a917d6b9bb982a5a9226ccc0a15b611be0619e626aca9151457372" },
    { "amd-milan-ark", TRUST_AMD, true, "Milan",
      "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd" },
    { "amd-milan-ask", TRUST_AMD, false, "Milan",
      "67d303bd3905fd38db8b20e0793699870e7fa612eaad5dec358293fd8c0bac1b" },
    { "amd-milan-asvk", TRUST_AMD, false, "Milan",
      "c5e081f59b7efab1fe2f8b505e159704e72f29cab7ef7cf628a05a42439082f5" },
    { "amd-turin-ark", TRUST_AMD, true, "Turin",
      "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a" },
    { "amd-turin-ask", TRUST_AMD, false, "Turin",
      "5b77ef5fe7a7a004fd9032668fba9d0fda22f88c4442069a479636a6ae3b3185" },
    { "amd-turin-asvk", TRUST_AMD, false, "Turin",
      "104e10a8bd060a3c20a434261a57d0588fd65a88915b4f65b08bdecaf8df1a3c" },
    { "google-gcp-ek-ak-ca-intermediate-v3", TRUST_GOOGLE, false, NULL,
      "c84de8116dfaf5a908f21e810487791f5437e206d00ad8025050cca6bd2ff627" },
    { "google-gcp-ek-ak-ca-root", TRUST_GOOGLE, true, NULL,
      "594759594b9b61524f6c8ef668f7177f7b9066bc0674f2f49fe9e052be78beb2" },
    { "google-tpm-ek-intermediate-2", TRUST_GOOGLE, false, NULL,
      "5d8dbcf8c8053dd8ffad711b6219355032b7122c34cac0f90ccb49def69ec504" },
    { "google-tpm-ek-intermediate-3", TRUST_GOOGLE, false, NULL,
      "7132b6ea71101f6c51bb58f98c3798c19b65be510eca0344318900510b593178" },
    { "google-tpm-ek-root-1", TRUST_GOOGLE, true, NULL,
      "9bd5285f8fb18502a7947e621ffd470266f49fcd3b73e19a190f690ad32a7caf" },
    { "intel-sgx-root", TRUST_INTEL, true, NULL,
      "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3" },
    { "microsoft-azure-vtpm-ca-2025", TRUST_MICROSOFT, false, NULL,
      "41a1675dc1b7df8a5c59c8101c697ce500d0fa5f09bcdaa431bc4a3652363b14" },
    { "microsoft-azure-vtpm-root-2023", TRUST_MICROSOFT, true, NULL,
      "e6c596b17f8ffefba5c300f714cfb1260c6028704ecf7becc4ab5018efb00e95" },
};

static const struct {
    const unsigned char *p;
    const size_t *n;
} files[] = {
    { trust_amd_genoa_ark, &trust_amd_genoa_ark_size },
    { trust_amd_genoa_ask, &trust_amd_genoa_ask_size },
    { trust_amd_genoa_asvk, &trust_amd_genoa_asvk_size },
    { trust_amd_milan_ark, &trust_amd_milan_ark_size },
    { trust_amd_milan_ask, &trust_amd_milan_ask_size },
    { trust_amd_milan_asvk, &trust_amd_milan_asvk_size },
    { trust_amd_turin_ark, &trust_amd_turin_ark_size },
    { trust_amd_turin_ask, &trust_amd_turin_ask_size },
    { trust_amd_turin_asvk, &trust_amd_turin_asvk_size },
    { trust_google_gcp_ek_ak_ca_intermediate_v3, &trust_google_gcp_ek_ak_ca_intermediate_v3_size },
    { trust_google_gcp_ek_ak_ca_root, &trust_google_gcp_ek_ak_ca_root_size },
    { trust_google_tpm_ek_intermediate_2, &trust_google_tpm_ek_intermediate_2_size },
    { trust_google_tpm_ek_intermediate_3, &trust_google_tpm_ek_intermediate_3_size },
    { trust_google_tpm_ek_root_1, &trust_google_tpm_ek_root_1_size },
    { trust_intel_sgx_root, &trust_intel_sgx_root_size },
    { trust_microsoft_azure_vtpm_ca_2025, &trust_microsoft_azure_vtpm_ca_2025_size },
    { trust_microsoft_azure_vtpm_root_2023, &trust_microsoft_azure_vtpm_root_2023_size },
};

_Static_assert(ARRAY_SIZE(rows) == TRUST_ROWS && ARRAY_SIZE(files) == TRUST_ROWS, "one file a row");

const struct trust_row *trust_rows(void)
{
    return rows;
}

struct bytes trust_pem(size_t row)
{
    return bytes_of(files[row].p, *files[row].n);
}

/* The fingerprint says that these are the bytes: nobody has to read the certificate for that. */
static int one_der(size_t i, struct buf *storage, struct err *err)
{
    AUTO(buf_done) struct buf der = buf_new(CERT_MAX);
    uint8_t seen[32];
    char hex[65];
    if (x509_pem_der(trust_pem(i), &der, err) < 0)
        return err_while(err, rows[i].name);
    sha256(buf_bytes(&der), seen);
    if (strcmp(hex_to(hex, bytes_of(seen, sizeof(seen))), rows[i].sha256) != 0)
        return err_set(err, ERR_INPUT, 0, "built-in certificate %s has another fingerprint: %s", rows[i].name,
                       hex);
    buf_put(storage, buf_bytes(&der));
    return buf_check(storage, "built-in certificates", err);
}

int trust_der(struct buf *storage, struct bytes out[static TRUST_ROWS], struct err *err)
{
    size_t ends[TRUST_ROWS], start = storage->n;
    for (size_t i = 0; i < TRUST_ROWS; i++) {
        if (one_der(i, storage, err) < 0)
            return -1;
        ends[i] = storage->n;
    }
    for (size_t i = 0; i < TRUST_ROWS; i++) /* only now the memory stays where it is */
        out[i] = bytes_of(storage->p + (i ? ends[i - 1] : start), ends[i] - (i ? ends[i - 1] : start));
    return 0;
}
