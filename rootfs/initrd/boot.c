#include "rootfs/initrd/boot.h"

#include <stdlib.h>
#include <string.h>

#define ROOT_OPTION "cvm.root="

static bool is_hex(const char *s, size_t n)
{
    return strspn(s, "0123456789abcdef") >= n;
}

static int set_text(const char **slot, const char *value, unsigned line, struct err *err)
{
    if (*slot)
        return err_set(err, ERR_INPUT, 0, "line %u repeats an item", line);
    *slot = value;
    return 0;
}

static int set_blocks(struct boot *boot, const char *value, unsigned line, struct err *err)
{
    char *end;
    boot->blocks = strtoull(value, &end, 10);
    if (value[0] < '1' || value[0] > '9' || *end || boot->blocks > UINT64_MAX / 4096)
        return err_set(err, ERR_INPUT, 0, "line %u: not a number of blocks", line);
    return 0;
}

static int add_alias(struct boot *boot, char *value, unsigned line, struct err *err)
{
    char *modules = strchr(value, ' ');
    if (!modules || boot->aliases == BOOT_ALIASES_MAX)
        return err_set(err, ERR_INPUT, 0, "line %u: %s", line,
                       modules ? "too many aliases" : "an alias without modules");
    *modules++ = '\0';
    boot->alias[boot->aliases++] = (struct boot_alias){ value, modules, false };
    return 0;
}

static int take_line(struct boot *boot, char *text, unsigned line, struct err *err)
{
    char *value = strchr(text, ' ');
    if (!value || !value[1])
        return err_set(err, ERR_INPUT, 0, "line %u: an item without a value", line);
    *value++ = '\0';
    if (!strcmp(text, "cmdline"))
        return set_text(&boot->cmdline, value, line, err);
    if (!strcmp(text, "salt"))
        return set_text(&boot->salt, value, line, err);
    if (!strcmp(text, "load"))
        return set_text(&boot->load, value, line, err);
    if (!strcmp(text, "blocks"))
        return set_blocks(boot, value, line, err);
    if (!strcmp(text, "alias"))
        return add_alias(boot, value, line, err);
    return err_set(err, ERR_INPUT, 0, "line %u: unknown item", line);
}

/* The root hash stands on the command line alone, so that there is one of it. */
static int find_root_hash(struct boot *boot, struct err *err)
{
    const char *at = boot->cmdline;
    size_t name = strlen(ROOT_OPTION);
    while (at && strncmp(at, ROOT_OPTION, name) != 0) {
        at = strchr(at, ' ');
        if (at)
            at++;
    }
    if (!at || !is_hex(at + name, BOOT_HASH_SIZE - 1)
        || (at[name + BOOT_HASH_SIZE - 1] && at[name + BOOT_HASH_SIZE - 1] != ' '))
        return err_set(err, ERR_INPUT, 0, "the command line has no " ROOT_OPTION "SHA-256 of the root");
    memcpy(boot->root_hash, at + name, BOOT_HASH_SIZE - 1);
    return 0;
}

int boot_parse(char *text, struct boot *out, struct err *err)
{
    unsigned line = 0;
    memset(out, 0, sizeof(*out));
    for (char *at = text, *next; at && *at; at = next) {
        next = strchr(at, '\n');
        if (next)
            *next++ = '\0';
        if (take_line(out, at, ++line, err) < 0)
            return -1;
    }
    if (!out->cmdline || !out->salt || !out->load || !out->blocks)
        return err_set(err, ERR_INPUT, 0, "cmdline, salt, load or blocks is missing");
    if (!is_hex(out->salt, strlen(out->salt)) || strlen(out->salt) > 512)
        return err_set(err, ERR_INPUT, 0, "the salt is not hexadecimal");
    return find_root_hash(out, err);
}

int boot_cmdline_check(const struct boot *boot, const char *running, struct err *err)
{
    size_t n = strlen(running), i = 0, word = 0;
    if (n > 0 && running[n - 1] == '\n')
        n--;
    if (n == strlen(boot->cmdline) && memcmp(running, boot->cmdline, n) == 0)
        return 0;
    for (; i < n && running[i] == boot->cmdline[i]; i++)
        if (running[i] == ' ')
            word = i + 1;
    int length = (int)strcspn(running + word, " \n");
    return err_set(err, ERR_DENIED, 0, "the kernel's command line is not the image's: \"%.*s\" at offset %zu",
                   length > 80 ? 80 : length, running + word, word);
}
