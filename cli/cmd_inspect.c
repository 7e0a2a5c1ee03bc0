#include "cli/commands.h"

#include "base/auto.h"
#include "base/file.h"
#include "evidence/inspect.h"

static int unknown(const char *path, size_t n)
{
    AUTO(buf_done) struct buf why = buf_new(4096);
    size_t count;
    const struct inspect_type *types = inspect_types(&count);
    buf_printf(&why, "%zu bytes that begin like none of ", n);
    for (size_t i = 0; i < count; i++)
        buf_printf(&why, "%s%s", i ? ", " : "", types[i].name);
    buf_str(&why, "; --type T says what it is");
    AUTO(free_str) char *text = buf_take_str(&why);
    return fail(STATUS_INPUT, path, "not recognised", text);
}

static int run(int argc, char **argv)
{
    const char *path = NULL, *name = NULL;
    const struct option_row rows[] = { { "type", OPTION_TEXT, &name } };
    int rc = options_parse(&command_inspect, argc, argv, rows, ARRAY_SIZE(rows), &path, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    const struct inspect_type *type = name ? inspect_type_by_name(name) : NULL;
    if (name && !type)
        return fail(STATUS_USAGE, name, "no such type", "see cvm-cli help inspect");
    AUTO(free_u8) uint8_t *data = NULL;
    AUTO(json_drop) json_t *out = NULL;
    size_t n = 0;
    struct err err = { 0 };
    rc = read_input(path, FILE_MAX_DEFAULT, &data, &n);
    if (rc)
        return rc;
    if (!type)
        type = inspect_recognise(bytes_of(data, n));
    if (!type)
        return unknown(path, n);
    if (inspect_decode(type, bytes_of(data, n), &out, &err) < 0)
        return fail_err(status_of(&err), path, type->name, &err);
    return write_json(out);
}

const struct command command_inspect = {
    "inspect",
    "FILE [--type T]",
    "Decodes a file of evidence to JSON",
    "FILE may be - for standard input. The type is told from the content; --type T says it, and then no\n"
    "other is tried. Nothing is verified here: what is printed is what the bytes say.\n"
    "\n"
    "Types: hcl_report, tpm_attest, ccel_table, certificate, crl, public_key, cert_table, snp_report,\n"
    "tdx_quote, tdreport, nvidia_report, tpm_signature, tpm_public, attestation, collaterals, runtime_data,\n"
    "tcb_info, qe_identity, tcb_evaluation_numbers, golden_measurement, pcrs, eventlog_json, jwt, eventlog.\n"
    "A bare RSA signature looks like any other bytes: it is read only with --type tpm_signature.\n"
    "\n"
    "Exit status 3: not recognised, or damaged; the message says where parsing stopped.\n",
    run,
};
