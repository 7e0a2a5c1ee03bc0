/* cvm-volume: runs once at boot, before the agent and whatever it starts. Opens the volume of the image, or
 * makes it on a partition that is marked empty, and mounts it. What it says goes to the kernel's log, and so
 * to the console. */
#include "base/auto.h"
#include "base/file.h"
#include "tee/detect.h"
#include "volume/mounted.h"
#include "volume/partition.h"
#include "volume/volume.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define RECOVERY_FILE "/etc/cvm-agent/recovery.pub"
#define HEADER_FILE   VOLUME_RUN "/header"
#define TPM_DEVICE    "device:/dev/tpmrm0"
#define WAIT_SECONDS  60 /* slow hosts attach disks late */

enum { EXIT_OK = 0, EXIT_USAGE = 2, EXIT_ENVIRONMENT = 4 };

__attribute__((format(printf, 2, 3))) static void say(int level, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX + 64], line[ERR_TEXT_MAX + 96];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    int n = snprintf(line, sizeof(line), "<%d>cvm-volume: %s\n", level, text);
    AUTO(close_fd) int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, line, (size_t)n) < 0)
        fputs(line + 3, stderr);
}

static void progress(unsigned percent)
{
    say(5, "formatting: %u %%", percent);
}

static int wait_for_partition(char path[static PARTITION_PATH_SIZE], struct err *err)
{
    const struct timespec pause = { 0, 200000000 };
    for (int i = 0; partition_find_one("/sys", VOLUME_PARTITION, path, err) < 0; i++) {
        if (err->kind != ERR_NOT_FOUND || i == WAIT_SECONDS * 5)
            return -1;
        nanosleep(&pause, NULL);
    }
    *err = (struct err){ 0 };
    return 0;
}

/* Only a paravisor's TPM is out of the host's reach. This is what the machine shows of itself; that it is
 * true, the relying party learns from the hardware's report. */
static int check_place(struct tpm *t, const struct volume_settings *s, struct err *err)
{
    struct lower_system storage;
    struct lower lower = lower_system(&storage, "/sys", "/dev", "/proc", TPM_DEVICE, "device");
    struct detection d;
    detect(&lower, t, &d);
    if (d.tee != TEE_NONE && d.hcl)
        return 0;
    if (s->accept_host_vtpm) {
        say(4, "the host runs this machine's TPM and can read the volume's key; the image accepts that");
        return 0;
    }
    return err_set(
        err, ERR_DENIED, 0,
        "the TPM of this machine is not inside its TEE, so the host would know the key; an image made with "
        "--accept-host-vtpm takes it all the same");
}

static int read_settings(struct volume *v, uint8_t **pem, struct err *err)
{
    AUTO(free_u8) uint8_t *text = NULL;
    size_t n, pem_n = 0;
    if (file_read(VOLUME_SETTINGS_FILE, VOLUME_SETTINGS_MAX, &text, &n, err) < 0
        || volume_settings_parse(bytes_of(text, n), &v->settings, err) < 0)
        return err_while(err, VOLUME_SETTINGS_FILE);
    if (file_read(RECOVERY_FILE, VOLUME_SETTINGS_MAX, pem, &pem_n, err) < 0 && err->kind != ERR_NOT_FOUND)
        return err_while(err, RECOVERY_FILE);
    *err = (struct err){ 0 };
    v->recovery_pem = bytes_of(*pem, pem_n);
    return 0;
}

static int make_and_open(struct volume *v, struct tpm *t, struct err *err)
{
    if (partition_read_header(v->partition, v->header, err) < 0)
        return -1;
    switch (volume_header_state(bytes_of(v->header, VOLUME_HEADER_SIZE))) {
    case VOLUME_EMPTY:
        say(5, "%s is marked empty: formatting it, sealed to profile %s", v->partition, v->settings.profile);
        if (volume_create(v, t, err) < 0 || partition_read_header(v->partition, v->header, err) < 0)
            return -1;
        break;
    case VOLUME_LUKS:
        break;
    case VOLUME_FOREIGN:
        return err_set(err, ERR_DENIED, 0, "%s is neither a volume nor marked empty: it is left as it is",
                       v->partition);
    }
    return volume_open(v, t, err);
}

static void tpm_drop(struct tpm **t)
{
    tpm_close(*t);
}

static int run(struct err *err)
{
    AUTO(tpm_drop) struct tpm *t = NULL;
    AUTO(free_u8) uint8_t *pem = NULL;
    AUTO(volume_done) struct volume v = { .header_file = HEADER_FILE, .progress = progress };
    char path[PARTITION_PATH_SIZE];
    unsigned long boots;
    v.header = malloc(VOLUME_HEADER_SIZE);
    if (!v.header)
        return err_set(err, ERR_IO, 0, "no memory");
    if (dir_make(VOLUME_RUN, 0700, err) < 0 || read_settings(&v, &pem, err) < 0
        || wait_for_partition(path, err) < 0)
        return -1;
    v.partition = path;
    if (tpm_open(TPM_DEVICE, &t, err) < 0 || check_place(t, &v.settings, err) < 0
        || make_and_open(&v, t, err) < 0 || volume_mount(&v, &boots, err) < 0
        || volume_publish(&v, boots, err) < 0 || (v.settings.workload && volume_mount_workload(err) < 0))
        return -1;
    say(5, "volume %s is open, boot %lu on it%s", v.uuid, boots,
        v.settings.workload ? "; the workload lies on it" : "");
    return 0;
}

int main(int argc, char **argv)
{
    const struct rlimit none = { 0, 0 };
    struct err err = { 0 };
    char text[ERR_TEXT_MAX];
    (void)argv;
    if (argc != 1) {
        fprintf(stderr, "cvm-volume: usage: cvm-volume, without arguments\n");
        return EXIT_USAGE;
    }
    umask(022);
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    if (run(&err) < 0) {
        say(2, "REFUSED: %s", err_text(&err, text, sizeof(text)));
        return EXIT_ENVIRONMENT;
    }
    return EXIT_OK;
}
