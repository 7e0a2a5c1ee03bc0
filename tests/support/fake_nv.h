/** tests/support/fake_nv.h: the NV calls of tpm/tpm.h over a paravisor in a struct, instead of the TPM
 * library's. Link the file before the library. Real TPMs of this machine cannot hold an HCL report (2048
 * bytes an index). */
#ifndef CVM_TESTS_FAKE_NV_H
#define CVM_TESTS_FAKE_NV_H

#include "evidence.h"

#include "tpm/tpm.h"

struct tpm {
    struct sample hcl;     /* NV 0x01400001; no bytes: not there */
    size_t user_data_size; /* NV 0x01400002; 0: not defined */
    uint8_t user_data[64]; /* what was written last ... */
    unsigned lag;          /* ... and so many reads later the report holds it */
    bool deaf;             /* it never does */
    unsigned reads, writes, defined, undefined;
};

#endif
