/* The parts of the image's first program: its parameters, the check of the command line, partitions,
 * coldplug. */
#include "rootfs/initrd/boot.h"
#include "rootfs/initrd/disk.h"
#include "rootfs/initrd/modules.h"
#include "rootfs/initrd/verity.h"

#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HASH    "9f366fa85b13740f3c0d726706a461dc215b30a90c9f21796b03e26379b106d9"
#define CMDLINE "cvm.root=" HASH " module.sig_enforce=1 console=ttyS0"
#define GOOD                                                                                                 \
    "cmdline " CMDLINE                                                                                       \
    "\nblocks 14263\nsalt 00ff\nload dm-mod dm-verity\nalias virtio:d00000002v* virtio_blk\n"

static struct boot boot;

static int parse(const char *text, struct err *err)
{
    static char copy[BOOT_TEXT_MAX];
    snprintf(copy, sizeof(copy), "%s", text);
    return boot_parse(copy, &boot, err);
}

static void parses(void **state)
{
    struct err err = { 0 };
    (void)state;
    assert_int_equal(parse(GOOD, &err), 0);
    assert_string_equal(boot.cmdline, CMDLINE);
    assert_string_equal(boot.root_hash, HASH);
    assert_string_equal(boot.load, "dm-mod dm-verity");
    assert_int_equal(boot.blocks, 14263);
    assert_int_equal(boot.aliases, 1);
    assert_string_equal(boot.alias[0].pattern, "virtio:d00000002v*");
    assert_string_equal(boot.alias[0].modules, "virtio_blk");
}

static void refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "cmdline " CMDLINE "\n",
        GOOD "blocks 0\n",
        GOOD "blocks 12x\n",
        GOOD "blocks -1\n",
        GOOD "blocks 99999999999999999999\n",
        GOOD "salt 00\n",
        GOOD "cmdline again\n",
        GOOD "alias lonely\n",
        GOOD "strange thing\n",
        GOOD "novalue\n",
        "cmdline quiet\nblocks 1\nsalt 00\nload a\n",
        "cmdline cvm.root=" HASH "0\nblocks 1\nsalt 00\nload a\n",
        "cmdline xcvm.root=" HASH "\nblocks 1\nsalt 00\nload a\n",
        "cmdline cvm.root=9f36\nblocks 1\nsalt 00\nload a\n",
        "cmdline " CMDLINE "\nblocks 1\nsalt zz\nload a\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err err = { 0 };
        assert_int_equal(parse(bad[i], &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
    }
}

/* Every cut of the text is refused, or loses the last lines only. */
static void cuts(void **state)
{
    char text[] = GOOD;
    (void)state;
    for (size_t n = 0; n < strlen(GOOD); n++) {
        struct err err = { 0 };
        char cut[sizeof(text)];
        snprintf(cut, sizeof(cut), "%.*s", (int)n, GOOD);
        if (parse(cut, &err) == 0)
            assert_true(n >= strlen("cmdline " CMDLINE "\nblocks 14263\nsalt 00ff\nload d"));
    }
}

static void command_line(void **state)
{
    static const char *const other[] = { "",
                                         "cvm.root=" HASH " module.sig_enforce=1 console=ttyS",
                                         CMDLINE " ",
                                         CMDLINE " init=/bin/sh",
                                         CMDLINE "\n\n",
                                         " " CMDLINE,
                                         "cvm.root=" HASH " module.sig_enforce=0 console=ttyS0" };
    struct err err = { 0 };
    (void)state;
    assert_int_equal(parse(GOOD, &err), 0);
    assert_int_equal(boot_cmdline_check(&boot, CMDLINE, &err), 0);
    assert_int_equal(boot_cmdline_check(&boot, CMDLINE "\n", &err), 0);
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        assert_int_equal(boot_cmdline_check(&boot, other[i], &err), -1);
        assert_int_equal(err.kind, ERR_DENIED);
    }
    assert_non_null(strstr(err.cause, "module.sig_enforce=0"));
}

/* ---- A made-up /sys ---- */

static char sys[64];

static void put(const char *path, const char *text)
{
    char full[PATH_MAX];
    snprintf(full, sizeof(full), "%s/%s", sys, path);
    for (char *at = strchr(full + strlen(sys) + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        mkdir(full, 0700);
        *at = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void disk(const char *name, const char *partition, const char *number, const char *label)
{
    char path[256], target[256], text[256];
    snprintf(path, sizeof(path), "devices/%s/%s/uevent", name, partition);
    snprintf(text, sizeof(text), "MAJOR=254\nDEVNAME=%s\nDEVTYPE=partition\nPARTN=2\nPARTNAME=%s\n",
             partition, label);
    put(path, text);
    snprintf(path, sizeof(path), "devices/%s/%s/dev", name, partition);
    snprintf(text, sizeof(text), "%s\n", number);
    put(path, text);
    put("class/block/.keep", "");
    snprintf(path, sizeof(path), "%s/class/block/%s", sys, partition);
    snprintf(target, sizeof(target), "../../devices/%s/%s", name, partition);
    assert_int_equal(symlink(target, path), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int setup(void **state)
{
    (void)state;
    snprintf(sys, sizeof(sys), "/tmp/test_initrd.XXXXXX");
    return mkdtemp(sys) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return nftw(sys, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void partitions(void **state)
{
    struct partition root, hashes, other;
    struct err err = { 0 };
    char table[VERITY_TABLE_MAX];
    (void)state;
    assert_int_equal(partition_find(sys, PARTITION_ROOT, NULL, &root, &err), -1);
    assert_int_equal(err.kind, ERR_IO);
    disk("vda", "vda2", "254:2", "cvm-root");
    disk("vda", "vda3", "254:3", "cvm-verity");
    disk("vdb", "vdb1", "254:17", "cvm-data");
    disk("vdb", "vdb2", "254:18", "cvm-root2");
    assert_int_equal(partition_find(sys, PARTITION_ROOT, NULL, &root, &err), 0);
    assert_string_equal(root.device, "/dev/vda2");
    assert_string_equal(root.number, "254:2");
    assert_string_equal(root.disk, "vda");
    assert_int_equal(partition_find(sys, PARTITION_VERITY, "vda", &hashes, &err), 0);
    assert_int_equal(partition_find(sys, PARTITION_DATA, "vda", &other, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_int_equal(partition_find(sys, PARTITION_DATA, "vdb", &other, &err), 0);
    assert_int_equal(parse(GOOD, &err), 0);
    assert_int_equal(verity_table(&boot, &root, &hashes, VERITY_STOP, table, &err), 0);
    assert_string_equal(table, "1 254:2 254:3 4096 4096 14263 1 sha256 " HASH " 00ff 1 panic_on_corruption");
    assert_int_equal(verity_table(&boot, &root, &hashes, VERITY_FAIL, table, &err), 0);
    assert_string_equal(table, "1 254:2 254:3 4096 4096 14263 1 sha256 " HASH " 00ff 0");
}

static void names_are_there_more_than_once(void **state)
{
    struct partition all[PARTITIONS_MAX], one;
    struct err err = { 0 };
    char name[16], device[24], number[24];
    (void)state;
    disk("vdb", "vdb7", "254:23", "cvm-root");
    disk("vda", "vda2", "254:2", "cvm-root");
    disk("sda", "sda1", "8:1", "cvm-root");
    assert_int_equal(partition_list(sys, PARTITION_ROOT, all, &err), 3);
    assert_string_equal(all[0].device, "/dev/sda1");
    assert_string_equal(all[1].device, "/dev/vda2");
    assert_string_equal(all[2].device, "/dev/vdb7");
    assert_string_equal(all[2].disk, "vdb");
    assert_int_equal(partition_find(sys, PARTITION_ROOT, "vdb", &one, &err), 0);
    assert_string_equal(one.device, "/dev/vdb7");
    assert_int_equal(partition_list(sys, PARTITION_VERITY, all, &err), 0);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    for (int i = 0; i < 2 * PARTITIONS_MAX; i++) {
        snprintf(name, sizeof(name), "nvme%dn1", i);
        snprintf(device, sizeof(device), "%sp2", name);
        snprintf(number, sizeof(number), "259:%d", i);
        disk(name, device, number, "cvm-root");
    }
    assert_int_equal(partition_list(sys, PARTITION_ROOT, all, &err), PARTITIONS_MAX);
}

static char loaded[256];
static size_t reports;

static int load(const char *names, struct err *err)
{
    size_t n = strlen(loaded);
    snprintf(loaded + n, sizeof(loaded) - n, "%s;", names);
    return strcmp(names, "broken") ? 0 : err_set(err, ERR_IO, 0, "broken");
}

static void report(const struct err *err)
{
    (void)err;
    reports++;
}

static void coldplug(void **state)
{
    struct err err = { 0 };
    (void)state;
    assert_int_equal(
        parse(GOOD "alias acpi*:VMBUS:* hv_vmbus\nalias cpu:type:x86,ven*fam*mod*:feature:*0089* sha256\n"
                   "alias virtio:d00000001v* broken\n",
              &err),
        0);
    put("bus/virtio/devices/virtio0/modalias", "virtio:d00000002v00001AF4\n");
    put("bus/virtio/devices/virtio1/modalias", "virtio:d00000001v00001AF4\n");
    put("bus/acpi/devices/VMBUS:00/modalias", "acpi:VMBUS:\n");
    put("bus/pci/devices/empty/modalias", "");
    put("devices/system/cpu/modalias", "cpu:type:x86,ven0000fam0006mod001A:feature:,0000,0089,00A1\n");
    assert_int_equal(modules_coldplug(&boot, sys, load, report), 3);
    assert_non_null(strstr(loaded, "virtio_blk;"));
    assert_non_null(strstr(loaded, "hv_vmbus;"));
    assert_non_null(strstr(loaded, "sha256;"));
    assert_int_equal(reports, 1);
    assert_int_equal(modules_coldplug(&boot, sys, load, report), 0);
    assert_int_equal(reports, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses),
        cmocka_unit_test(refuses),
        cmocka_unit_test(cuts),
        cmocka_unit_test(command_line),
        cmocka_unit_test_setup_teardown(partitions, setup, teardown),
        cmocka_unit_test_setup_teardown(names_are_there_more_than_once, setup, teardown),
        cmocka_unit_test_setup_teardown(coldplug, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
