/* The message tables of evidence/attestation.h; sources there. */
#include "base/auto.h"
#include "evidence/attestation.h"

#define BYTES(n, name)                                                                                       \
    {                                                                                                        \
        n, PB_KIND_BYTES, name, false, NULL, NULL                                                            \
    }
#define STRING(n, name)                                                                                      \
    {                                                                                                        \
        n, PB_KIND_STRING, name, false, NULL, NULL                                                           \
    }
#define U32(n, name)                                                                                         \
    {                                                                                                        \
        n, PB_KIND_U32, name, false, NULL, NULL                                                              \
    }
#define U64(n, name)                                                                                         \
    {                                                                                                        \
        n, PB_KIND_U64, name, false, NULL, NULL                                                              \
    }
#define MSG(n, name, of)                                                                                     \
    {                                                                                                        \
        n, PB_KIND_MESSAGE, name, false, of, NULL                                                            \
    }
#define MESSAGE(type, members)                                                                               \
    {                                                                                                        \
        type, members, ARRAY_SIZE(members)                                                                   \
    }

static const struct pb_enum_name hash_names[] = {
    { 0, "HASH_INVALID" },    { ALG_SHA1, "SHA1" },     { ALG_SHA256, "SHA256" },
    { ALG_SHA384, "SHA384" }, { ALG_SHA512, "SHA512" }, { 0, NULL },
};
static const struct pb_enum_name product_names[] = {
    { 0, "SEV_PRODUCT_UNKNOWN" },
    { 1, "SEV_PRODUCT_MILAN" },
    { 2, "SEV_PRODUCT_GENOA" },
    { 3, "SEV_PRODUCT_TURIN" },
    { 0, NULL },
};

/* tpm.proto */
static const struct pb_member pcrs_members[] = {
    { 1, PB_KIND_ENUM, "hash", false, NULL, hash_names },
    { 2, PB_KIND_MAP_U32, "pcrs", false, NULL, NULL },
};
static const struct pb_message pcrs_message = MESSAGE("tpm.PCRs", pcrs_members);
static const struct pb_member quote_members[] = { BYTES(1, "quote"), BYTES(2, "raw_sig"),
                                                  MSG(3, "pcrs", &pcrs_message) };
static const struct pb_message quote_message = MESSAGE("tpm.Quote", quote_members);

/* sevsnp.proto */
static const struct pb_member report_members[] = {
    U32(1, "version"),
    U32(2, "guest_svn"),
    U64(3, "policy"),
    BYTES(4, "family_id"),
    BYTES(5, "image_id"),
    U32(6, "vmpl"),
    U32(7, "signature_algo"),
    U64(8, "current_tcb"),
    U64(9, "platform_info"),
    U32(10, "signer_info"),
    BYTES(11, "report_data"),
    BYTES(12, "measurement"),
    BYTES(13, "host_data"),
    BYTES(14, "id_key_digest"),
    BYTES(15, "author_key_digest"),
    BYTES(16, "report_id"),
    BYTES(17, "report_id_ma"),
    U64(18, "reported_tcb"),
    BYTES(19, "chip_id"),
    U64(20, "committed_tcb"),
    U32(21, "current_build"),
    U32(22, "current_minor"),
    U32(23, "current_major"),
    U32(24, "committed_build"),
    U32(25, "committed_minor"),
    U32(26, "committed_major"),
    U64(27, "launch_tcb"),
    BYTES(28, "signature"),
    U32(29, "cpuid1eax_fms"),
    U64(30, "launch_mit_vector"),
    U64(31, "current_mit_vector"),
};
static const struct pb_message report_message = MESSAGE("sevsnp.Report", report_members);
static const struct pb_member chain_members[] = {
    BYTES(1, "vcek_cert"),     BYTES(2, "ask_cert"),  BYTES(3, "ark_cert"),
    BYTES(4, "firmware_cert"), BYTES(6, "vlek_cert"), { 7, PB_KIND_MAP_STRING, "extras", false, NULL, NULL },
};
static const struct pb_message chain_message = MESSAGE("sevsnp.CertificateChain", chain_members);
static const struct pb_member product_members[] = {
    { 1, PB_KIND_ENUM, "name", false, NULL, product_names },
    U32(2, "stepping"),
    { 3, PB_KIND_WRAPPED_U32, "machine_stepping", false, NULL, NULL },
};
static const struct pb_message product_message = MESSAGE("sevsnp.SevProduct", product_members);
static const struct pb_member snp_members[] = { MSG(1, "report", &report_message),
                                                MSG(2, "certificate_chain", &chain_message),
                                                MSG(3, "product", &product_message) };
const struct pb_message snp_attestation_message = MESSAGE("sevsnp.Attestation", snp_members);

/* tdx.proto */
static const struct pb_member header_members[] = {
    U32(1, "version"),   U32(2, "attestation_key_type"), U32(3, "tee_type"),    BYTES(4, "qe_svn"),
    BYTES(5, "pce_svn"), BYTES(6, "qe_vendor_id"),       BYTES(7, "user_data"),
};
static const struct pb_message header_message = MESSAGE("tdx.Header", header_members);
static const struct pb_member body_members[] = {
    BYTES(1, "tee_tcb_svn"),
    BYTES(2, "mr_seam"),
    BYTES(3, "mr_signer_seam"),
    BYTES(4, "seam_attributes"),
    BYTES(5, "td_attributes"),
    BYTES(6, "xfam"),
    BYTES(7, "mr_td"),
    BYTES(8, "mr_config_id"),
    BYTES(9, "mr_owner"),
    BYTES(10, "mr_owner_config"),
    { 11, PB_KIND_BYTES, "rtmrs", true, NULL, NULL },
    BYTES(12, "report_data"),
};
static const struct pb_message body_message = MESSAGE("tdx.TDQuoteBody", body_members);
static const struct pb_member enclave_members[] = {
    BYTES(1, "cpu_svn"),    U32(2, "misc_select"), BYTES(3, "reserved1"),  BYTES(4, "attributes"),
    BYTES(5, "mr_enclave"), BYTES(6, "reserved2"), BYTES(7, "mr_signer"),  BYTES(8, "reserved3"),
    U32(9, "isv_prod_id"),  U32(10, "isv_svn"),    BYTES(11, "reserved4"), BYTES(12, "report_data"),
};
static const struct pb_message enclave_message = MESSAGE("tdx.EnclaveReport", enclave_members);
static const struct pb_member auth_data_members[] = { U32(1, "parsed_data_size"), BYTES(2, "data") };
static const struct pb_message auth_data_message = MESSAGE("tdx.QeAuthData", auth_data_members);
static const struct pb_member pck_members[] = { U32(1, "certificate_data_type"), U32(2, "size"),
                                                BYTES(3, "pck_cert_chain") };
static const struct pb_message pck_message = MESSAGE("tdx.PCKCertificateChainData", pck_members);
static const struct pb_member qe_members[] = {
    MSG(1, "qe_report", &enclave_message),
    BYTES(2, "qe_report_signature"),
    MSG(3, "qe_auth_data", &auth_data_message),
    MSG(4, "pck_certificate_chain_data", &pck_message),
};
static const struct pb_message qe_message = MESSAGE("tdx.QEReportCertificationData", qe_members);
static const struct pb_member certification_members[] = {
    U32(1, "certificate_data_type"),
    U32(2, "size"),
    MSG(3, "qe_report_certification_data", &qe_message),
};
static const struct pb_message certification_message =
    MESSAGE("tdx.CertificationData", certification_members);
static const struct pb_member signed_members[] = {
    BYTES(1, "signature"),
    BYTES(2, "ecdsa_attestation_key"),
    MSG(3, "certification_data", &certification_message),
};
static const struct pb_message signed_message = MESSAGE("tdx.Ecdsa256BitQuoteV4AuthData", signed_members);
static const struct pb_member tdx_members[] = {
    MSG(1, "header", &header_message), MSG(2, "td_quote_body", &body_message),
    U32(3, "signed_data_size"),        MSG(4, "signed_data", &signed_message),
    BYTES(5, "extra_bytes"),
};
const struct pb_message tdx_quote_message = MESSAGE("tdx.QuoteV4", tdx_members);

/* attest.proto */
static const struct pb_member instance_members[] = {
    STRING(1, "zone"),          STRING(2, "project_id"), U64(3, "project_number"),
    STRING(4, "instance_name"), U64(5, "instance_id"),
};
static const struct pb_message instance_message = MESSAGE("attest.GCEInstanceInfo", instance_members);
static const struct pb_member attestation_members[] = {
    BYTES(1, "ak_pub"),
    { 2, PB_KIND_MESSAGE, "quotes", true, &quote_message, NULL },
    BYTES(3, "event_log"),
    MSG(4, "instance_info", &instance_message),
    BYTES(5, "canonical_event_log"),
    BYTES(6, "ak_cert"),
    { 7, PB_KIND_BYTES, "intermediate_certs", true, NULL, NULL },
    MSG(8, "sev_snp_attestation", &snp_attestation_message),
    MSG(9, "tdx_attestation", &tdx_quote_message),
};
const struct pb_message attestation_message = MESSAGE("attest.Attestation", attestation_members);
