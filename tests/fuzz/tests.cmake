#Fuzz targets, one line each.Seeds are files or folders below the evidence folder or tests / data.
cvm_fuzz(fuzz_tpm_attest DEPENDS tpm SEEDS azure-snp/milan-v2-report-vtpm/tpm_quote.msg gcp-snp/vtpm-33-byte-nonce/tpm_quote.msg
    gcp-vtpm/gce-cos-85-nonce9009/quote_sha1.msg)
cvm_fuzz(fuzz_tpm_signature DEPENDS tpm SEEDS gcp-snp/vtpm-33-byte-nonce/tpm_quote.sig
    gcp-vtpm/gce-cos-85-nonce9009/quote_sha256.sig)
cvm_fuzz(fuzz_tpm_public DEPENDS tpm SEEDS gcp-vtpm/gce-cos-85-nonce9009/ak_pub.tpmt tpm/ak_p256.tpmt)
cvm_fuzz(fuzz_tpm_pcrs DEPENDS tpm SEEDS gcp-vtpm/gce-cos-85-nonce9009/pcrs_sha1.json gcp-snp/vtpm-33-byte-nonce/pcrs.json)
cvm_fuzz(fuzz_tpm_eventlog DEPENDS tpm SEEDS eventlog-ccel/dstack-sample eventlog-ccel/go-eventlog-unpadded/ccel.bin
    eventlog-tpm/dstack-vtpm/eventlog.bin tdx/v4-90c06f-dstack-eventlog/event_log.json tpm/log_sha1.bin)
cvm_fuzz(fuzz_snp_report DEPENDS tee SEEDS snp/genoa-v5-model-a0/report.bin snp/milan-v2-vlek-aws/report.bin
    snp/milan-v3-oak/report.bin snp/turin-v5-oak/report.bin)
cvm_fuzz(fuzz_cert_table DEPENDS tee SEEDS snp/genoa-v3-tsm-certtable/auxblob.bin)
cvm_fuzz(fuzz_vek_cert DEPENDS tee SEEDS snp/milan-v2-vlek-aws/vlek.der snp/turin-v5-oak/vcek.der
    snp/genoa-v3-tinfoil/vcek.der)
cvm_fuzz(fuzz_tdx_quote DEPENDS tee SEEDS tdx/v4-50806f-debug/quote.bin tdx/v5-90c06f-no-tcb-level/quote.bin
    gcp-tdx/prem-72a7/quote.bin)
cvm_fuzz(fuzz_tdreport DEPENDS tee SEEDS tdx/tdreport-google/tdreport.bin azure-tdx/hcl-only/tdreport.bin)
cvm_fuzz(fuzz_pck_cert DEPENDS tee SEEDS tee/pck_extension.der tdx/v4-50806f-debug/quote.bin
    tdx/v5-90c06f-no-tcb-level/quote.bin)
cvm_fuzz(fuzz_imds DEPENDS tee SEEDS imds)
cvm_fuzz(fuzz_hcl_report DEPENDS tee SEEDS azure-snp/milan-v2-hcl-only-no-vcek/hcl_report.bin
    azure-snp/genoa-v3-report-vtpm/hcl_report.bin azure-tdx/hcl-only/hcl_report.bin)
cvm_fuzz(fuzz_gcp_instance DEPENDS tee SEEDS tee/gce_instance.der gcp-snp/vtpm-33-byte-nonce/ak_cert.der
    gcp-tdx/ak-cert-chain/ak_cert.der)
cvm_fuzz(fuzz_attestation DEPENDS evidence SEEDS gcp-vtpm/gce-cos-85-nonce9009/attestation.pb attestation)
cvm_fuzz(fuzz_inspect DEPENDS evidence SEEDS snp/milan-v3-oak/report.bin snp/milan-v3-oak/vcek.der
    snp/genoa-v3-tsm-certtable/auxblob.bin tdx/v4-b0c06f-uptodate tdx/tdreport-google/tdreport.bin
    azure-snp/milan-v3-report-vtpm azure-tdx/v4-90c06f-akcert/ak_cert_nv_padded.bin gcp-vtpm/gce-cos-85-nonce9009
    gcp-tdx/cos-113-quote-ccel/ccel_table.bin golden nvidia-gpu/hopper-590/report.bin token
    tdx/v4-90c06f-dstack-eventlog/event_log.json x509-crl attestation)
cvm_fuzz(fuzz_config DEPENDS agent SEEDS agent/config)
cvm_fuzz(fuzz_policy DEPENDS workload SEEDS workload/policy)
cvm_fuzz(fuzz_compose DEPENDS workload SEEDS workload/compose)
cvm_fuzz(fuzz_route DEPENDS agent SEEDS agent/route)
cvm_fuzz(fuzz_tpm_device DEPENDS tpm SEEDS tpm/session.bin)
cvm_fuzz(fuzz_sealed DEPENDS tpm SEEDS tpm/sealed.bin)
cvm_fuzz(fuzz_volume_header DEPENDS volume SEEDS volume)
cvm_fuzz(fuzz_tdx_collateral DEPENDS tee policy SEEDS tdx/v4-20a06f-uptodate/tcb_info.json
    tdx/v4-20a06f-uptodate/qe_identity.json tdx/v4-20a06f-uptodate/pck_crl.der
    tdx/v4-20a06f-uptodate/tcb_signing_chain.pem tdx/v4-50806f-debug/tcb_info.json tdx_collateral.json)
cvm_fuzz(fuzz_tdx_verify DEPENDS tee policy SEEDS tdx/v4-20a06f-uptodate/quote.bin
    tdx/v5-90c06f-alibaba-uptodate/quote.bin gcp-tdx/automata-sdk-v4/quote.bin)
target_compile_definitions(fuzz_tdx_verify PRIVATE CVM_EVIDENCE_DEFAULT="${CVM_EVIDENCE_DEFAULT}")
cvm_fuzz(fuzz_snp_verify DEPENDS tee policy test_support SEEDS snp/milan-v3-oak/report.bin snp/milan-v3-oak/vcek.der
    snp/milan-v2-vlek-aws/vlek.der snp/turin-v5-oak/report.bin)
target_sources(fuzz_snp_verify PRIVATE support/made_certs.c support/made_snp.c)
cvm_fuzz(fuzz_quote_verify DEPENDS tpm policy SEEDS gcp-snp/vtpm-33-byte-nonce/tpm_quote.msg
    gcp-snp/vtpm-33-byte-nonce/tpm_quote.sig gcp-snp/vtpm-33-byte-nonce/ak_cert.der gcp-vtpm/gce-cos-85-nonce9009/quote_sha256.msg
    gcp-vtpm/gce-cos-85-nonce9009/quote_sha256.sig gcp-vtpm/gce-cos-85-nonce9009/eventlog.bin tpm/log_sha1.bin)
cvm_fuzz(fuzz_azure_verify DEPENDS tee SEEDS azure-snp/milan-v2-hcl-only-no-vcek/hcl_report.bin
    azure-snp/genoa-v3-report-vtpm/hcl_report.bin azure-tdx/hcl-only/hcl_report.bin)
cvm_fuzz(fuzz_golden DEPENDS policy SEEDS golden golden/automata-azure-snp/golden_measurement.json)
cvm_fuzz(fuzz_pcs_answer DEPENDS tee SEEDS pcs)
cvm_fuzz(fuzz_verify_document DEPENDS appraisal SEEDS collaterals_small collaterals)
cvm_fuzz(fuzz_measured_log DEPENDS workload SEEDS measured)
cvm_fuzz(fuzz_jwt DEPENDS base SEEDS jwt token/azure-maa-jwt/token.jwt)
cvm_fuzz(fuzz_zip DEPENDS workload SEEDS zip)
cvm_fuzz(fuzz_ita_request DEPENDS appraisal SEEDS ita)
cvm_fuzz(fuzz_cocos DEPENDS policy SEEDS cocos)
cvm_fuzz(fuzz_priv_message DEPENDS agent SEEDS agent/priv)
cvm_fuzz(fuzz_kmodule DEPENDS agent SEEDS kmodule)
cvm_fuzz(fuzz_gcp_endorsement DEPENDS tee SEEDS gcp_endorsement)
cvm_fuzz(fuzz_gpt DEPENDS image SEEDS image/gpt.bin)
cvm_fuzz(fuzz_fat DEPENDS image SEEDS image/esp.fat)
cvm_fuzz(fuzz_uki DEPENDS image SEEDS image/uki.efi)
cvm_fuzz(fuzz_authenticode DEPENDS image SEEDS image/signed.efi image/signed_two.efi image/signed_damaged.efi
    image/uki.efi)
target_compile_definitions(fuzz_authenticode PRIVATE CVM_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data")
cvm_fuzz(fuzz_varstore DEPENDS image SEEDS image/vars.fd)
cvm_fuzz(fuzz_dsse DEPENDS policy SEEDS dsse)
cvm_fuzz(fuzz_firmware DEPENDS image SEEDS image/firmware.fd)
cvm_fuzz(fuzz_launch DEPENDS image SEEDS image/launch.fd)
cvm_fuzz(fuzz_initrd_boot DEPENDS initrd SEEDS image/boot.txt)
cvm_fuzz(fuzz_image_tar DEPENDS workload SEEDS images/docker.tar images/oci.tar images/pax.tar)
cvm_fuzz(fuzz_engine_http DEPENDS workload SEEDS engine)
cvm_fuzz(fuzz_signature_policy DEPENDS workload SEEDS signature_policy)
cvm_fuzz(fuzz_rego_parse DEPENDS policy SEEDS rego)
cvm_fuzz(fuzz_rego_eval DEPENDS policy SEEDS rego)
