#include "fuzz.h"

#include "rootfs/initrd/boot.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct boot boot;
    struct err err = { 0 };
    char *text = malloc(size + 1), *line = malloc(size + 1);
    if (!text || !line || memchr(data, '\0', size)) {
        free(text);
        free(line);
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    memcpy(line, text, size + 1);
    if (boot_parse(text, &boot, &err) < 0) {
        CHECK(err.kind == ERR_INPUT);
    } else {
        CHECK(strlen(boot.root_hash) == BOOT_HASH_SIZE - 1 && boot.blocks > 0);
        CHECK(boot_cmdline_check(&boot, boot.cmdline, &err) == 0);
        if (strcmp(line, boot.cmdline) != 0)
            CHECK(boot_cmdline_check(&boot, line, &err) < 0
                  || strncmp(line, boot.cmdline, strlen(boot.cmdline)) == 0);
    }
    free(text);
    free(line);
    return 0;
}
