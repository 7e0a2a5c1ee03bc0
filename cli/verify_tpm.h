/** cli/verify_tpm.h: the TPM part that verify-tpm and verify-azure share: quote, key, PCR values and log from
 * files, and the quote judged with them. */
#ifndef CVM_CLI_VERIFY_TPM_H
#define CVM_CLI_VERIFY_TPM_H

#include "cli/anchors.h"
#include "cli/commands.h"
#include "tpm/ak_verify.h"
#include "tpm/quote_verify.h"

/** Options; paths are NULL when not given. */
struct tpm_files {
    const char *quote, *signature, *ak, *ak_cert, *extra_data, *eventlog;
    struct option_list ak_chain, pcrs;
};

/** A file's bytes. */
struct input {
    uint8_t *p;
    size_t n;
};

/** What was read. Large: keep it on the heap. */
struct tpm_material {
    struct input quote, signature, ak_file, log_file;
    EVP_PKEY *ak; /* of --ak, else of the certificate; NULL: neither */
    bool has_public;
    struct tpm_public ak_public; /* if --ak was a TPMT_PUBLIC; views into ak_file */
    struct cert_files cert;      /* the AK's certificate */
    struct cert_files pool;      /* the chain that was given, and the built-in intermediates */
    struct anchors anchors;      /* Google's and Microsoft's roots */
    struct tpm_pcrs banks[TPM_BANKS_MAX];
    size_t bank_count;
    bool extra_data_asked;
    struct buf extra_data;
    bool has_log;
    struct tpm_eventlog log;
    struct tpm_replay replay;
};

/** Reads the files that are given.
 *  @param out  zero; free with tpm_material_free()
 *  @return 0, or the exit status with the message printed */
int tpm_material_read(const struct tpm_files *files, struct tpm_material *out);

/** Frees it and what it holds; for AUTO(tpm_material_free) struct tpm_material *m = calloc(...). */
void tpm_material_free(struct tpm_material **m);

/** What came of it. */
struct tpm_answer {
    struct tpm_quote_verdict quote;
    bool malformed;   /* quote or signature cannot be read */
    bool chain_holds; /* tpm.ak_chain */
};

/** Judges quote, AK certificate and log.
 *  @param ak             who must have signed
 *  @param cert_optional  something else anchors the key, see ak_cert_check()
 *  @param facts          receives "quote", "registers" and "instance" of what is proven */
void tpm_material_verify(const struct tpm_material *m, EVP_PKEY *ak, bool cert_optional, time_t at,
                         struct checks *checks, struct tpm_answer *out, json_t *facts);

/** Judges the AK certificate alone: tpm.ak_chain, or null if there is no certificate. @return whether it
 * holds */
bool tpm_material_check_cert(const struct tpm_material *m, EVP_PKEY *ak, bool cert_optional, time_t at,
                             struct checks *checks, json_t *facts);

#endif
