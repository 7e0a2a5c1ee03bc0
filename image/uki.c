#include "image/uki.h"

static int check_cmdline(struct bytes cmdline, struct err *err)
{
    if (cmdline.n == 0 || cmdline.n >= UKI_CMDLINE_MAX)
        return err_set(err, ERR_INPUT, 0, "a command line of %zu bytes: want 1 to %u", cmdline.n,
                       UKI_CMDLINE_MAX - 1);
    for (size_t i = 0; i < cmdline.n; i++)
        if (cmdline.p[i] < 0x20 || cmdline.p[i] > 0x7E)
            return err_set(err, ERR_INPUT, 0, "byte %zu of the command line is not printable ASCII", i);
    return 0;
}

int uki_parse(struct bytes file, struct uki *out, struct err *err)
{
    const struct {
        const char *name;
        struct bytes *slot;
    } sections[] = {
        { ".linux", &out->linux_ },
        { ".osrel", &out->osrel },
        { ".cmdline", &out->cmdline },
        { ".initrd", &out->initrd },
    };
    struct err ignored = { 0 };
    if (pe_parse(file, &out->pe, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
        if (pe_content(&out->pe, sections[i].name, sections[i].slot, err) < 0) {
            err->kind = ERR_INPUT;
            return err_while(err, "read the kernel image");
        }
    if (pe_content(&out->pe, ".sbat", &out->sbat, &ignored) < 0)
        out->sbat = bytes_of(NULL, 0);
    return check_cmdline(out->cmdline, err);
}

bool uki_option(const struct uki *uki, const char *name, struct bytes *out)
{
    size_t length = strlen(name), found = 0, i = 0;
    const uint8_t *p = uki->cmdline.p;
    while (i < uki->cmdline.n) {
        size_t end = i;
        while (end < uki->cmdline.n && p[end] != ' ')
            end++;
        if (end - i > length && p[i + length] == '=' && memcmp(p + i, name, length) == 0) {
            *out = bytes_of(p + i + length + 1, end - i - length - 1);
            found++;
        }
        i = end + 1;
    }
    return found == 1;
}
