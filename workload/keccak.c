#include "workload/keccak.h"

#define ROUNDS 24

/* Keccak reference 1.2: constants of iota; rho's offsets and pi's walk in the order in which one lane
 * replaces the next. */
static const uint64_t iota[ROUNDS] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000, 0x000000000000808B,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008A, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000A, 0x000000008000808B, 0x800000000000008B, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};
static const unsigned rho[24] = { 1,  3,  6,  10, 15, 21, 28, 36, 45, 55, 2,  14,
                                  27, 41, 56, 8,  25, 43, 62, 18, 39, 61, 20, 44 };
static const unsigned pi[24] = { 10, 7,  11, 17, 18, 3, 5,  16, 8,  21, 24, 4,
                                 15, 23, 19, 13, 12, 2, 20, 14, 22, 9,  6,  1 };

static uint64_t rotate(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

static void permute(uint64_t a[static 25])
{
    for (size_t round = 0; round < ROUNDS; round++) {
        uint64_t c[5], carried;
        for (size_t x = 0; x < 5; x++)
            c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        for (size_t x = 0; x < 5; x++) {
            uint64_t d = c[(x + 4) % 5] ^ rotate(c[(x + 1) % 5], 1);
            for (size_t y = 0; y < 25; y += 5)
                a[y + x] ^= d;
        }
        carried = a[1];
        for (size_t i = 0; i < 24; i++) {
            uint64_t next = a[pi[i]];
            a[pi[i]] = rotate(carried, rho[i]);
            carried = next;
        }
        for (size_t y = 0; y < 25; y += 5) {
            for (size_t x = 0; x < 5; x++)
                c[x] = a[y + x];
            for (size_t x = 0; x < 5; x++)
                a[y + x] = c[x] ^ (~c[(x + 1) % 5] & c[(x + 2) % 5]);
        }
        a[0] ^= iota[round];
    }
}

static void absorb(struct keccak256 *k, const uint8_t *block)
{
    for (size_t i = 0; i < KECCAK256_RATE / 8; i++)
        k->lane[i] ^= le_uint(block + 8 * i, 8);
    permute(k->lane);
}

void keccak256_init(struct keccak256 *k)
{
    memset(k, 0, sizeof(*k));
}

void keccak256_add(struct keccak256 *k, struct bytes data)
{
    while (data.n) {
        size_t take = KECCAK256_RATE - k->n < data.n ? KECCAK256_RATE - k->n : data.n;
        memcpy(k->part + k->n, data.p, take);
        k->n += take;
        data = bytes_of(data.p + take, data.n - take);
        if (k->n == KECCAK256_RATE) {
            absorb(k, k->part);
            k->n = 0;
        }
    }
}

void keccak256_end(struct keccak256 *k, uint8_t out[static KECCAK256_SIZE])
{
    memset(k->part + k->n, 0, KECCAK256_RATE - k->n);
    k->part[k->n] ^= 0x01;
    k->part[KECCAK256_RATE - 1] ^= 0x80;
    absorb(k, k->part);
    for (size_t i = 0; i < KECCAK256_SIZE; i++)
        out[i] = (uint8_t)(k->lane[i / 8] >> 8 * (i % 8));
}

void keccak256(struct bytes data, uint8_t out[static KECCAK256_SIZE])
{
    struct keccak256 k;
    keccak256_init(&k);
    keccak256_add(&k, data);
    keccak256_end(&k, out);
}
