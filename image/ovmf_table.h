/** image/ovmf_table.h: the table of named blocks that OVMF keeps at its end, for who loads it. Source: EDK
 * II, OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm. Little-endian; read backwards from 32 bytes before the
 * end. */
#ifndef CVM_IMAGE_OVMF_TABLE_H
#define CVM_IMAGE_OVMF_TABLE_H

#include "base/bytes.h"

/** Looks a block up.
 *  @param out  receives a view into file: what the block holds, without its length and name
 *  @return 0; or -1 with ERR_NOT_FOUND (no table, or no block of that name), ERR_INPUT (a damaged table, or
 *  two blocks of that name) */
MUST_USE int ovmf_table_find(struct bytes file, const uint8_t guid[static 16], struct bytes *out,
                             struct err *err);

/** As ovmf_table_find(), for a block whose last four bytes say how far before the file's end something lies.
 *  @param out  receives a view from there to the file's end */
MUST_USE int ovmf_table_follow(struct bytes file, const uint8_t guid[static 16], struct bytes *out,
                               struct err *err);

#endif
