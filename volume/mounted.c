#include "volume/mounted.h"

#include "base/auto.h"
#include "base/file.h"
#include "volume/filesystem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>

#define COUNTER         VOLUME_FOLDER "/.boots"
#define WORKLOAD_NAME   "cvm-workload"
#define WORKLOAD_FOLDER "/run/cvm-agent/workload" /* agent/places.h */

static int count_boot(unsigned long *boots, struct err *err)
{
    char text[32] = "0";
    struct err missing = { 0 };
    if (file_read_line(COUNTER, text, sizeof(text), &missing) < 0 && missing.kind != ERR_NOT_FOUND)
        return err_set(err, missing.kind, missing.code, "%s", missing.cause);
    unsigned long n = strtoul(text, NULL, 10) + 1;
    snprintf(text, sizeof(text), "%lu\n", n);
    if (file_write_atomic(COUNTER, bytes_str(text), 0600, err) < 0)
        return -1;
    *boots = n;
    return 0;
}

int volume_mount(const struct volume *v, unsigned long *boots, struct err *err)
{
    const char *device;
    if (volume_state_device(v, &device, err) < 0 || dir_make(VOLUME_FOLDER, 0711, err) < 0)
        return -1;
    if (mount(device, VOLUME_FOLDER, "ext4", MS_NOSUID | MS_NODEV, NULL) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot mount the volume: %s", strerror(errno));
    return count_boot(boots, err);
}

int volume_mount_workload(struct err *err)
{
    if (luks_part("/dev/mapper/" VOLUME_NAME, VOLUME_STATE_SECTORS, 0, false, WORKLOAD_NAME, err) < 0
        || filesystem_make("/dev/mapper/" WORKLOAD_NAME, WORKLOAD_NAME, false, err) < 0
        || dir_make(WORKLOAD_FOLDER, 0755, err) < 0)
        return -1;
    if (mount("/dev/mapper/" WORKLOAD_NAME, WORKLOAD_FOLDER, "ext4", MS_NOSUID | MS_NODEV, NULL) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot mount the workload's part: %s", strerror(errno));
    if (rmdir(WORKLOAD_FOLDER "/lost+found") < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot empty " WORKLOAD_FOLDER ": %s", strerror(errno));
    return 0;
}

int volume_publish(const struct volume *v, unsigned long boots, struct err *err)
{
    AUTO(json_drop) json_t *status = json_object();
    AUTO(buf_done) struct buf text = buf_new(8192);
    uint8_t header[32];
    sha256(bytes_of(v->header, VOLUME_HEADER_SIZE), header);
    json_object_set_new(status, "uuid", json_string(v->uuid));
    json_object_set_new(status, "seal", json_string(v->settings.profile));
    json_object_set_new(status, "accept_host_vtpm", json_boolean(v->settings.accept_host_vtpm));
    json_object_set_new(status, "workload", json_boolean(v->settings.workload));
    json_object_set_new(status, "boots", json_integer((json_int_t)boots));
    json_object_set_new(status, "header_sha256", json_hex(bytes_of(header, sizeof(header))));
    if (v->token.recovery.n > 0) {
        json_t *recovery = json_object();
        json_object_set_new(recovery, "algorithm", json_string("RSA-OAEP-SHA256"));
        json_object_set_new(recovery, "owner_sha256", json_hex(bytes_of(v->token.recovery_owner, 32)));
        json_object_set_new(recovery, "encrypted_key", json_b64(buf_bytes(&v->token.recovery)));
        json_object_set_new(status, "recovery", recovery);
    }
    json_put(&text, status, true);
    buf_u8(&text, '\n');
    if (buf_check(&text, "status", err) < 0)
        return -1;
    return dir_make("/run/cvm-agent", 0755, err) < 0
               ? -1
               : file_write_atomic(VOLUME_STATUS, buf_bytes(&text), 0644, err);
}
