import rego.v1

default match := false

allowed_svn := {2, 3, 5}

match if {
	input.tdx.tdx_mrtd == "456def"
	input.tdx.tdx_is_debuggable == false
	allowed_svn[input.tdx.tdx_seamsvn]
	time.parse_rfc3339_ns(input.tdx.attester_tcb_date) >= time.parse_rfc3339_ns("2024-01-01T00:00:00Z")
	every x in input.tdx.attester_advisory_ids {
		startswith(x, "INTEL-SA-")
	}
}

export := {"mrtd": input.tdx.tdx_mrtd, "ids": {x | some x in input.tdx.attester_advisory_ids}}

exportOnMatch := {"svn": input.tdx.tdx_seamsvn + 1}
