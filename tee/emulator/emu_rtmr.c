/* RTMR3 of an emulated TD, as Linux 6.16 gives it to the guest: its value lives as long as the boot. */
#include "tee/emulator/emu.h"

#include "base/auto.h"
#include "base/digest.h"

#define KEPT_SIZE (UUID_SIZE + TDX_RTMR_SIZE)

static void file_of(const struct emulator *e, char out[static 64])
{
    snprintf(out, 64, "%s/rtmr3", e->shape->name);
}

/* The boot's id and the value: what another boot kept is not taken. */
static int keep(const struct emulator *e, const uint8_t value[static TDX_RTMR_SIZE], struct err *err)
{
    uint8_t kept[KEPT_SIZE];
    char file[64];
    memcpy(kept, e->boot_id, UUID_SIZE);
    memcpy(kept + UUID_SIZE, value, TDX_RTMR_SIZE);
    file_of(e, file);
    return store_put(&e->store, file, bytes_of(kept, sizeof(kept)), 0600, err);
}

static int rtmr3_read(void *ctx, uint8_t out[static RTMR_BYTES], struct err *err)
{
    const struct emulator *e = ctx;
    (void)err;
    tdx_machine_rtmr3(e->tdx, out);
    return 0;
}

/* Kept first: a register that went on must not be found behind after a crash. */
static int rtmr3_extend(void *ctx, const uint8_t digest[static RTMR_BYTES], struct err *err)
{
    struct emulator *e = ctx;
    struct digest value = { .alg = ALG_SHA384, .n = RTMR_BYTES };
    tdx_machine_rtmr3(e->tdx, value.b);
    if (digest_extend(&value, bytes_of(digest, RTMR_BYTES), err) < 0 || keep(e, value.b, err) < 0)
        return -1;
    tdx_machine_set_rtmr3(e->tdx, value.b);
    return 0;
}

int emulator_rtmr3_start(struct emulator *e, struct err *err)
{
    AUTO(buf_done) struct buf kept = buf_new(KEPT_SIZE);
    char file[64];
    if (!e->tdx || !e->platform->tdx->measured)
        return 0;
    e->rtmr3 = (struct rtmr_io){ rtmr3_read, rtmr3_extend, e };
    file_of(e, file);
    if (store_get(&e->store, file, &kept, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    if (kept.n == KEPT_SIZE && !memcmp(kept.p, e->boot_id, UUID_SIZE))
        tdx_machine_set_rtmr3(e->tdx, kept.p + UUID_SIZE);
    return 0;
}
