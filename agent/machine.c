#include "agent/machine.h"

#ifdef CVM_EMULATOR
#include "tee/emulator/emulator.h"
#endif

#define TCTI_DEFAULT "device:/dev/tpmrm0"

#ifdef CVM_EMULATOR
bool machine_can_emulate(void)
{
    return true;
}

static int open_emulated(const struct options *o, struct machine *out, struct err *err)
{
    if (emulator_new(o->emulate, o->state, o->tcti, &out->emulator, err) < 0)
        return err_while(err, "start the emulated machine");
    out->lower = emulator_lower(out->emulator);
    return 0;
}

void machine_close(struct machine *m)
{
    emulator_free(m->emulator);
    m->emulator = NULL;
}
#else
bool machine_can_emulate(void)
{
    return false;
}

static int open_emulated(const struct options *o, struct machine *out, struct err *err)
{
    (void)out;
    return err_set(err, ERR_INPUT, 0, "cannot emulate %.40s: this build has no emulator", o->emulate);
}

void machine_close(struct machine *m)
{
    (void)m;
}
#endif

int machine_open(const struct options *o, struct machine *out, struct err *err)
{
    if (o->emulate)
        return open_emulated(o, out, err);
    out->lower = lower_system(&out->storage, "/sys", "/dev", "/proc", o->tcti ? o->tcti : TCTI_DEFAULT,
                              o->tcti ? "external" : "device");
    return 0;
}
