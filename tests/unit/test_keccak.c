/* workload/keccak: published values, and the same bytes in any pieces. */
#include "evidence.h"

#include "base/auto.h"
#include "base/enc.h"
#include "workload/keccak.h"

/* Ethereum: the hash of no bytes (yellow paper, KEC(())), of an empty RLP list, of two event signatures
 * (ERC-20). */
static const struct {
    const char *text;
    size_t n;
    const char *hex;
} rows[] = {
    { "", 0, "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470" },
    { "\xC0", 1, "1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347" },
    { "abc", 3, "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45" },
    { "Transfer(address,address,uint256)", 33,
      "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef" },
    { "transfer(address,uint256)", 25, "a9059cbb2ab09eb219583f4a59a5d0623ade346d962bcd4e46b11da047c9049b" },
};

static void published_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint8_t out[KECCAK256_SIZE];
        char hex[2 * KECCAK256_SIZE + 1];
        keccak256(bytes_of(rows[i].text, rows[i].n), out);
        assert_string_equal(hex_to(hex, bytes_of(out, sizeof(out))), rows[i].hex);
    }
}

/* 135, 136 and 137 bytes are the edges of a block; every split of each gives the same. */
static void any_pieces(void **state)
{
    (void)state;
    uint8_t data[2 * KECCAK256_RATE + 1];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t n = KECCAK256_RATE - 1; n <= sizeof(data);
         n += n == KECCAK256_RATE + 1 ? KECCAK256_RATE - 2 : 1) {
        uint8_t whole[KECCAK256_SIZE], parts[KECCAK256_SIZE];
        keccak256(bytes_of(data, n), whole);
        for (size_t cut = 0; cut <= n; cut++) {
            struct keccak256 k;
            keccak256_init(&k);
            keccak256_add(&k, bytes_of(data, cut));
            keccak256_add(&k, bytes_of(data + cut, n - cut));
            keccak256_end(&k, parts);
            assert_memory_equal(whole, parts, sizeof(whole));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(published_values), cmocka_unit_test(any_pieces) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
