/** workload/keccak.h: Keccak-256 as chains use it: the submission's padding (0x01), not SHA-3's (0x06).
 *  Source: "The Keccak reference", version 3.0, with rate 1088 and capacity 512. */
#ifndef CVM_WORKLOAD_KECCAK_H
#define CVM_WORKLOAD_KECCAK_H

#include "base/bytes.h"

#define KECCAK256_SIZE 32
#define KECCAK256_RATE 136 /* bytes absorbed by one permutation */

struct keccak256 {
    uint64_t lane[25];
    uint8_t part[KECCAK256_RATE]; /* bytes that do not fill a block yet */
    size_t n;                     /* of them */
};

void keccak256_init(struct keccak256 *k);

/** Adds bytes: for contents that come in pieces. */
void keccak256_add(struct keccak256 *k, struct bytes data);

/** Writes the 32 bytes; the state is used up. */
void keccak256_end(struct keccak256 *k, uint8_t out[static KECCAK256_SIZE]);

/** All at once. */
void keccak256(struct bytes data, uint8_t out[static KECCAK256_SIZE]);

#endif
