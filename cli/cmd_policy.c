#include "cli/policy_make.h"

#include "base/auto.h"

#include <string.h>

static const struct command *const parts[] = {
    &policy_azure,    &policy_download,    &policy_extend,  &policy_gcp,
    &policy_hostdata, &policy_measurement, &policy_sev_snp, &policy_tdx,
};

static int list(void)
{
    AUTO(buf_done) struct buf text = buf_new(16384);
    buf_str(&text, "usage: cvm-cli policy ACTION ...\n       cvm-cli policy ACTION --help\n\n");
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        buf_printf(&text, "  %-20s %s\n", parts[i]->name, parts[i]->summary);
    return write_out(&text, NULL);
}

static int run(int argc, char **argv)
{
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return list();
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (!strcmp(parts[i]->name + strlen("policy "), argv[1]))
            return parts[i]->run(argc - 1, argv + 1);
    return fail(STATUS_USAGE, argv[1], "no such policy action", "cvm-cli policy lists them");
}

const struct command command_policy = {
    "policy",
    "azure|download|extend|gcp|hostdata|measurement|sev-snp|tdx ...",
    "Makes and edits attestation policies",
    "Policies as the Cocos CLI makes them, for cvm-cli verify --policy, for Cocos and for Cube. Each action "
    "has\n"
    "its own help: cvm-cli policy gcp --help.\n"
    "\n"
    "  azure TOKEN PRODUCT            from a token of Microsoft Azure Attestation\n"
    "  download REPORT                fetches the firmware image that Google endorses, as ovmf.fd\n"
    "  extend FILE MANIFEST...        adds what PCR 16 becomes with these manifests\n"
    "  gcp REPORT VCPUS               from Google's endorsement of the firmware\n"
    "  hostdata B64 FILE              sets host_data, 32 bytes\n"
    "  measurement B64 FILE           sets measurement, 48 bytes\n"
    "  sev-snp REPORT                 from a report of the machine itself\n"
    "  tdx REPORT                     from values given, or from the quote\n"
    "\n"
    "A file is written whole or, after any error, not at all.\n",
    run,
};
