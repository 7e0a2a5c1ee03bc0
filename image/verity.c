#include "image/verity.h"

#include "base/auto.h"

#define DIGEST          32u
#define PER_BLOCK       (VERITY_BLOCK / DIGEST)
#define LEVELS_MAX      10u
#define DATA_BLOCKS_MAX (1u << 26) /* 256 GiB: the tree's lowest level is then 2 GiB */
#define CHUNK_BLOCKS    256u

int verity_header_parse(struct bytes block, struct verity_header *out, struct err *err)
{
    struct reader r = reader_of(block);
    struct bytes signature, algorithm, salt;
    uint32_t version, type, data_size, hash_size;
    uint16_t salt_size;
    if (!rd_take(&r, 8, &signature) || memcmp(signature.p, "verity\0\0", 8) != 0 || !rd_u32le(&r, &version)
        || !rd_u32le(&r, &type) || !rd_skip(&r, 16) || !rd_take(&r, 32, &algorithm)
        || !rd_u32le(&r, &data_size) || !rd_u32le(&r, &hash_size) || !rd_u64le(&r, &out->data_blocks)
        || !rd_u16le(&r, &salt_size) || !rd_skip(&r, 6) || !rd_take(&r, VERITY_SALT_MAX, &salt))
        return err_set(err, ERR_INPUT, 0, "the hash partition has no dm-verity header");
    if (version != 1 || type != 1 || memcmp(algorithm.p, "sha256", 7) != 0 || data_size != VERITY_BLOCK
        || hash_size != VERITY_BLOCK || salt_size > VERITY_SALT_MAX)
        return err_set(err, ERR_INPUT, 0,
                       "dm-verity version %u, type %u, blocks of %u and %u: want 1, 1, SHA-256, 4096",
                       version, type, data_size, hash_size);
    if (out->data_blocks == 0 || out->data_blocks > DATA_BLOCKS_MAX)
        return err_set(err, ERR_INPUT, 0, "dm-verity over %" PRIu64 " blocks: want 1 to %u", out->data_blocks,
                       DATA_BLOCKS_MAX);
    out->salt_size = salt_size;
    memcpy(out->salt, salt.p, salt_size);
    return 0;
}

static int hash_block(struct hasher *h, const struct verity_header *header, const uint8_t *block,
                      uint8_t out[static DIGEST], struct err *err)
{
    const struct bytes parts[] = { bytes_of(header->salt, header->salt_size), bytes_of(block, VERITY_BLOCK) };
    struct digest d;
    if (hasher_parts(h, parts, 2, &d, err) < 0)
        return -1;
    memcpy(out, d.b, DIGEST);
    return 0;
}

/* One level: the hashes of all blocks of the level below, zero-filled to whole blocks. */
static int hash_data(const struct verity_source *data, const struct verity_header *header, struct hasher *h,
                     uint8_t *level, struct err *err)
{
    AUTO(free_u8) uint8_t *chunk = malloc((size_t)CHUNK_BLOCKS * VERITY_BLOCK);
    if (!chunk)
        return err_set(err, ERR_IO, 0, "out of memory");
    for (uint64_t i = 0; i < header->data_blocks; i += CHUNK_BLOCKS) {
        size_t n = (size_t)(header->data_blocks - i < CHUNK_BLOCKS ? header->data_blocks - i : CHUNK_BLOCKS);
        if (data->read(data->ctx, data->offset + i * VERITY_BLOCK, chunk, n * VERITY_BLOCK, err) < 0)
            return -1;
        for (size_t k = 0; k < n; k++)
            if (hash_block(h, header, chunk + k * VERITY_BLOCK, level + (i + k) * DIGEST, err) < 0)
                return -1;
    }
    return 0;
}

struct tree {
    uint8_t *level[LEVELS_MAX]; /* owned; 0 is the lowest */
    uint64_t blocks[LEVELS_MAX];
    size_t n;
};

static void tree_done(struct tree *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->level[i]);
}

static int add_level(struct tree *t, uint64_t hashes, struct err *err)
{
    uint64_t blocks = (hashes + PER_BLOCK - 1) / PER_BLOCK;
    uint8_t *level = t->n < LEVELS_MAX ? calloc((size_t)blocks, VERITY_BLOCK) : NULL;
    if (!level)
        return err_set(err, ERR_IO, 0, "out of memory for a hash tree of %" PRIu64 " blocks", blocks);
    t->level[t->n] = level;
    t->blocks[t->n++] = blocks;
    return 0;
}

static int build(const struct verity_source *data, const struct verity_header *header, struct hasher *h,
                 struct tree *t, struct err *err)
{
    if (add_level(t, header->data_blocks, err) < 0 || hash_data(data, header, h, t->level[0], err) < 0)
        return -1;
    while (t->blocks[t->n - 1] > 1) {
        size_t below = t->n - 1;
        if (add_level(t, t->blocks[below], err) < 0)
            return -1;
        for (uint64_t i = 0; i < t->blocks[below]; i++)
            if (hash_block(h, header, t->level[below] + i * VERITY_BLOCK, t->level[below + 1] + i * DIGEST,
                           err)
                < 0)
                return -1;
    }
    return 0;
}

/* On the disk the highest level comes first. */
static int compare(const struct verity_source *hashes, const struct tree *t, struct err *err)
{
    uint8_t block[VERITY_BLOCK];
    uint64_t at = 1;
    for (size_t level = t->n; level-- > 0;)
        for (uint64_t i = 0; i < t->blocks[level]; i++, at++) {
            if ((at + 1) * VERITY_BLOCK > hashes->size)
                return err_set(err, ERR_INPUT, 0, "the hash partition is too small for the tree");
            if (hashes->read(hashes->ctx, hashes->offset + at * VERITY_BLOCK, block, VERITY_BLOCK, err) < 0)
                return -1;
            const uint8_t *want = t->level[level] + i * VERITY_BLOCK;
            for (size_t k = 0; k < PER_BLOCK; k++)
                if (memcmp(block + k * DIGEST, want + k * DIGEST, DIGEST) != 0)
                    return err_set(err, ERR_DENIED, 0,
                                   "the hash of %s block %" PRIu64 " is not the stored one",
                                   level == 0 ? "data" : "tree", i * PER_BLOCK + k);
        }
    return 0;
}

int verity_check(const struct verity_source *data, const struct verity_source *hashes,
                 uint8_t root[static 32], struct verity_header *header, struct err *err)
{
    AUTO(tree_done) struct tree t = { .n = 0 };
    uint8_t block[VERITY_BLOCK];
    struct hasher *h = NULL;
    if (hashes->size < VERITY_BLOCK)
        return err_set(err, ERR_INPUT, 0, "the hash partition is empty");
    if (hashes->read(hashes->ctx, hashes->offset, block, VERITY_BLOCK, err) < 0
        || verity_header_parse(bytes_of(block, VERITY_BLOCK), header, err) < 0)
        return -1;
    if (header->data_blocks > data->size / VERITY_BLOCK)
        return err_set(err, ERR_INPUT, 0,
                       "the root has %" PRIu64 " bytes, its hash tree covers %" PRIu64 " blocks", data->size,
                       header->data_blocks);
    if (hasher_new(ALG_SHA256, &h, err) < 0)
        return -1;
    int rc = build(data, header, h, &t, err);
    if (rc == 0)
        rc = compare(hashes, &t, err);
    if (rc == 0)
        rc = hash_block(h, header, t.level[t.n - 1], root, err);
    hasher_free(h);
    return rc;
}
