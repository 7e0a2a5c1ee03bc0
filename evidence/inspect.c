#include "evidence/inspect.h"

#include "base/auto.h"
#include "evidence/attestation.h"
#include "evidence/inspect_types.h"

/* In the order of recognition: what a magic number tells first, then what a structure tells, then JSON by its
 * members (documents that carry others before what they carry). */
static const struct inspect_type types[] = {
    { "hcl_report", "Azure's HCL report (NV 0x01400001)", looks_hcl_report, inspect_hcl_report },
    { "tpm_attest", "TPMS_ATTEST, a TPM quote", looks_tpm_attest, inspect_tpm_attest },
    { "ccel_table", "ACPI CCEL table", looks_ccel_table, inspect_ccel_table },
    { "certificate", "X.509 certificate or chain, DER or PEM", looks_certificate, inspect_certificate },
    { "crl", "X.509 revocation list, DER or PEM", looks_crl, inspect_crl },
    { "public_key", "SubjectPublicKeyInfo, DER or PEM", looks_public_key, inspect_public_key },
    { "cert_table", "certificate table of an SNP host (auxblob)", looks_cert_table, inspect_cert_table },
    { "snp_report", "SEV-SNP attestation report, or the ioctl's response", looks_snp_report,
      inspect_snp_report },
    { "tdx_quote", "TDX quote, version 4 or 5", looks_tdx_quote, inspect_tdx_quote },
    { "tdreport", "TDREPORT of the TDX module", looks_tdreport, inspect_tdreport },
    { "nvidia_report", "NVIDIA GPU report: SPDM request and response", looks_nvidia_report,
      inspect_nvidia_report },
    { "tpm_signature", "TPMT_SIGNATURE", looks_tpm_signature, inspect_tpm_signature },
    { "tpm_public", "TPMT_PUBLIC", looks_tpm_public, inspect_tpm_public },
    { "attestation", "attest.Attestation of go-tpm-tools, protobuf or JSON", attestation_looks,
      inspect_attestation },
    { "collaterals", "collaterals document", looks_collaterals, inspect_collaterals },
    { "runtime_data", "Azure runtime data JSON", looks_runtime_data, inspect_json_members },
    { "tcb_info", "Intel TCB info JSON", looks_tcb_info, inspect_json_members },
    { "qe_identity", "Intel QE identity JSON", looks_qe_identity, inspect_json_members },
    { "tcb_evaluation_numbers", "Intel TCB evaluation data numbers JSON", looks_tcb_evaluation_numbers,
      inspect_json_members },
    { "golden_measurement", "golden measurement document", looks_golden, inspect_golden },
    { "pcrs", "PCR values JSON", looks_pcrs, inspect_pcrs },
    { "eventlog_json", "runtime event log of dstack, JSON", looks_eventlog_json, inspect_eventlog },
    { "jwt", "JSON Web Token; decoded, never verified here", looks_jwt, inspect_jwt },
    { "eventlog", "TPM or CCEL event log", looks_eventlog, inspect_eventlog },
    { "tdreport", "TDREPORT, told by its size alone", looks_tdreport_by_size, inspect_tdreport },
    { "tpm_signature", "RSA signature value alone, 256, 384 or 512 bytes", looks_bare_rsa_signature,
      inspect_tpm_signature },
};

const struct inspect_type *inspect_types(size_t *n)
{
    *n = ARRAY_SIZE(types);
    return types;
}

const struct inspect_type *inspect_type_by_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

const struct inspect_type *inspect_recognise(struct bytes data)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (types[i].looks && types[i].looks(data))
            return &types[i];
    return NULL;
}

int inspect_decode(const struct inspect_type *type, struct bytes data, json_t **out, struct err *err)
{
    AUTO(json_drop) json_t *object = json_object();
    json_object_set_new(object, "type", json_string(type->name));
    if (type->decode(data, object, err) < 0)
        return -1;
    if (!json_object_get(object, "type"))
        return err_set(err, ERR_IO, 0, "no memory");
    *out = MOVE(object);
    return 0;
}
