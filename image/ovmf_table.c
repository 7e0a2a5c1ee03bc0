#include "image/ovmf_table.h"

#define AFTER_TABLE 32u /* the reset vector's own code */
#define NAME        16u
#define TAIL        (NAME + 2u) /* length, name */

static const uint8_t guid_footer[16] = { 0xDE, 0x82, 0xB5, 0x96, 0xB2, 0x1F, 0xF7, 0x45,
                                         0xBA, 0xEA, 0xA3, 0x66, 0xC5, 0x5A, 0x08, 0x2D };

/* Takes the last block off a table: what it holds, and its name. */
static bool take_last(struct bytes *table, struct bytes *body, const uint8_t **name)
{
    if (table->n < TAIL)
        return false;
    size_t length = (size_t)le_uint(table->p + table->n - TAIL, 2);
    if (length < TAIL || length > table->n)
        return false;
    *name = table->p + table->n - NAME;
    *body = bytes_of(table->p + table->n - length, length - TAIL);
    table->n -= length;
    return true;
}

int ovmf_table_find(struct bytes file, const uint8_t guid[static 16], struct bytes *out, struct err *err)
{
    struct bytes rest = file, table, body;
    const uint8_t *name;
    bool found = false;
    if (file.n < AFTER_TABLE + TAIL || memcmp(file.p + file.n - AFTER_TABLE - NAME, guid_footer, NAME) != 0)
        return err_set(err, ERR_NOT_FOUND, 0, "the firmware has no table of blocks at its end");
    rest.n -= AFTER_TABLE;
    /* The footer's length is that of the whole table, itself included. */
    if (!take_last(&rest, &table, &name))
        return err_set(err, ERR_INPUT, 0, "the firmware's table of blocks is longer than the file");
    while (table.n > 0) {
        if (!take_last(&table, &body, &name))
            return err_set(err, ERR_INPUT, 0,
                           "the firmware's table of blocks is damaged, %zu bytes from its start", table.n);
        if (memcmp(name, guid, NAME) != 0)
            continue;
        if (found)
            return err_set(err, ERR_INPUT, 0, "the firmware's table has two blocks of the same name");
        found = true;
        *out = body;
    }
    return found ? 0 : err_set(err, ERR_NOT_FOUND, 0, "the firmware's table has no such block");
}

int ovmf_table_follow(struct bytes file, const uint8_t guid[static 16], struct bytes *out, struct err *err)
{
    struct bytes block;
    if (ovmf_table_find(file, guid, &block, err) < 0)
        return -1;
    uint64_t back = block.n < 4 ? 0 : le_uint(block.p + block.n - 4, 4);
    if (back == 0 || back > file.n)
        return err_set(err, ERR_INPUT, 0,
                       "a block of the firmware's table points %" PRIu64 " bytes before its end", back);
    *out = bytes_of(file.p + file.n - (size_t)back, (size_t)back);
    return 0;
}
