/** tpm/quote_verify.h: a TPM quote, judged, and a boot log against the registers that it proves. Pure: bytes
 * and keys in, checks and a verdict out. Signatures come first: what the quote says counts only after.
 *  Sources: TCG TPM 2.0 Library Part 1, sections 16 and 31, Part 3, TPM2_Quote; TCG PC Client Platform
 * Firmware Profile 1.05, section 3.3 (which software extends which PCR). */
#ifndef CVM_TPM_QUOTE_VERIFY_H
#define CVM_TPM_QUOTE_VERIFY_H

#include "base/checks.h"
#include "tpm/attest.h"
#include "tpm/eventlog.h"
#include "tpm/public.h"

struct tpm_quote_request {
    struct bytes quote;     /* TPMS_ATTEST, with or without its size prefix; untrusted */
    struct bytes signature; /* TPMT_SIGNATURE, or a bare RSA signature of the key's size; untrusted */
    EVP_PKEY *ak;           /* who must have signed; NULL: nobody knows */
    const struct tpm_public *ak_public; /* the key's public area, NULL: not at hand */
    bool public_due;                    /* without a public area tpm.ak_attributes is false, else null */
    const struct tpm_pcrs *banks;       /* the PCR values claimed, one entry a bank */
    size_t bank_count;
    bool pcrs_due; /* without values tpm.pcr_digest is false, else null */
    bool extra_data_asked;
    struct bytes extra_data; /* what the quote must carry, if asked */
};

struct tpm_quote_verdict {
    bool parsed;              /* attest is filled in */
    struct tpm_attest attest; /* views into the quote */
    bool authentic;           /* signed by the AK; what the AK is worth is for others to say */
    bool pcrs_hold;           /* the values of the selected PCRs are the quote's */
};

/** Makes the checks tpm.quote_format, tpm.quote_signature, tpm.extra_data, tpm.pcr_digest and
 * tpm.ak_attributes. Each name is recorded whatever happens; a check that an earlier failure made impossible
 * is false. SHA-1 is refused as the signature's hash; a SHA-1 bank gives a warning. */
void tpm_quote_verify(const struct tpm_quote_request *rq, struct checks *checks,
                      struct tpm_quote_verdict *out);

/** The PCRs of a bank that an authentic quote covers; 0 if it is not authentic or has not this bank. */
uint32_t tpm_quote_covers(const struct tpm_quote_verdict *verdict, uint16_t bank);

/** What a log is worth, register by register. */
struct tpm_log_verdict {
    uint32_t explained; /* its replay gives the register's value */
    uint32_t extended;  /* it has events, and the register another value */
    uint32_t unknown;   /* the register is extended, and the log has no event for it */
};

/** Makes the check tpm.eventlog_replay. It fails when a register that firmware and boot loader alone extend
 * (PCR 0 to 9) does not have the value that the log gives, when one of PCR 0 to 7 is extended without an
 * event, or when an event plays a separator. The running system goes on extending PCRs from 10 up: those that
 * differ are named in a warning and are not in explained.
 *  @param replay  of this log
 *  @param values  of the bank to compare, and covered: those that an authentic quote covers
 *  @param out     all zero if the check fails */
void tpm_log_verify(const struct tpm_eventlog *log, const struct tpm_replay *replay,
                    const struct tpm_pcrs *values, uint32_t covered, struct checks *checks,
                    struct tpm_log_verdict *out);

#endif
