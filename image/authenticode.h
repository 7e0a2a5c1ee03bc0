/** image/authenticode.h: signatures over UEFI programs, as Secure Boot judges them.
 *  Source: Windows Authenticode Portable Executable Signature Format 1.0; UEFI 2.10, section 32.2; what is
 * accepted follows EDK II (SecurityPkg/Library/DxeImageVerificationLib): the trusted certificate may stand
 * anywhere in the chain, and dates do not count. SHA-1 is refused. */
#ifndef CVM_IMAGE_AUTHENTICODE_H
#define CVM_IMAGE_AUTHENTICODE_H

#include "base/buf.h"
#include "base/x509.h"
#include "image/pe.h"

#include <openssl/pkcs7.h>

/** Signatures that a program may carry, and the size of one. */
#define AUTHENTICODE_MAX      8
#define AUTHENTICODE_SIZE_MAX 65536

struct authenticode {
    PKCS7 *p7;
    struct bytes content; /* view into p7: what was signed */
    struct digest hash;   /* of the program, as the signer had it */
};

struct authenticode_list {
    struct authenticode item[AUTHENTICODE_MAX];
    size_t n; /* 0: the program is not signed */
};

/** Reads all signatures of a program and trusts none. Entries that are no PKCS #7 signature are refused, so
 * that none is overlooked.
 *  @param out  end it with authenticode_done(), also after a failure
 *  @return 0, or -1 with ERR_INPUT: a table that is cut short, damaged DER, another content, too many */
MUST_USE int authenticode_read(const struct pe *pe, struct authenticode_list *out, struct err *err);

/** For AUTO(authenticode_done). */
void authenticode_done(struct authenticode_list *list);

/** Does this signature vouch for the program under a trusted certificate?
 *  @return 0, or -1 with ERR_UNAUTHENTICATED: over another program, by another key, damaged; ERR_INPUT or
 * ERR_IO from hashing */
MUST_USE int authenticode_check(const struct pe *pe, const struct authenticode *signature, X509 *trusted,
                                struct err *err);

/** The certificate of a signature's signer, NULL if it is not in it. */
X509 *authenticode_signer(const struct authenticode *signature);

/** Signs a program: RSA PKCS #1 v1.5 with SHA-256 and no signing time, so that the same input gives the same
 * bytes. Signatures that it has are kept.
 *  @param chain  the signer's certificate first, then those above it
 *  @param out    the signed program is appended
 *  @return 0, or -1 with ERR_INPUT: no program, a key that firmware does not know (RSA of 2048 to 4096 bits
 * alone), or not the certificate's; ERR_IO (libcrypto) */
MUST_USE int authenticode_sign(struct bytes program, EVP_PKEY *key, X509 *const *chain, size_t chain_n,
                               struct buf *out, struct err *err);

#endif
