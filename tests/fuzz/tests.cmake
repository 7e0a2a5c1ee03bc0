#Fuzz targets, one line each.Seeds are files or folders below the evidence folder or tests / data.
cvm_fuzz(fuzz_snp_report DEPENDS tee SEEDS snp/genoa-v5-model-a0/report.bin snp/milan-v2-vlek-aws/report.bin
    snp/milan-v3-oak/report.bin snp/turin-v5-oak/report.bin)
cvm_fuzz(fuzz_cert_table DEPENDS tee SEEDS snp/genoa-v3-tsm-certtable/auxblob.bin)
cvm_fuzz(fuzz_vek_cert DEPENDS tee SEEDS snp/milan-v2-vlek-aws/vlek.der snp/turin-v5-oak/vcek.der
    snp/genoa-v3-tinfoil/vcek.der)
cvm_fuzz(fuzz_tdx_quote DEPENDS tee SEEDS tdx/v4-50806f-debug/quote.bin tdx/v5-90c06f-no-tcb-level/quote.bin
    gcp-tdx/prem-72a7/quote.bin)
cvm_fuzz(fuzz_tdreport DEPENDS tee SEEDS tdx/tdreport-google/tdreport.bin azure-tdx/hcl-only/tdreport.bin)
cvm_fuzz(fuzz_pck_cert DEPENDS tee SEEDS tdx/v4-50806f-debug/quote.bin tdx/v5-90c06f-no-tcb-level/quote.bin)
cvm_fuzz(fuzz_hcl_report DEPENDS tee SEEDS azure-snp/milan-v2-hcl-only-no-vcek/hcl_report.bin
    azure-snp/genoa-v3-report-vtpm/hcl_report.bin azure-tdx/hcl-only/hcl_report.bin)
cvm_fuzz(fuzz_gcp_instance DEPENDS tee SEEDS gcp-snp/vtpm-33-byte-nonce/ak_cert.der gcp-tdx/ak-cert-chain/ak_cert.der)
