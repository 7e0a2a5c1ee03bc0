/** volume/mounted.h: the volume in the tree of files, and what others may know of it. */
#ifndef CVM_VOLUME_MOUNTED_H
#define CVM_VOLUME_MOUNTED_H

#include "volume/volume.h"

#define VOLUME_RUN    "/run/cvm-volume" /* private */
#define VOLUME_STATUS "/run/cvm-agent/volume.json"
#define VOLUME_FOLDER "/var/lib/cvm-volume"

/** Mounts the open volume, nosuid and nodev, and counts the boot in a file on it.
 *  @param boots  1 at the first; lower than a boot before says that the host put an old copy back */
MUST_USE int volume_mount(const struct volume *v, unsigned long *boots, struct err *err);

/** Makes a file system on the rest of the volume, under a key of this boot, and mounts it where the private
 * copy of the workload and the engine's storage go. */
MUST_USE int volume_mount_workload(struct err *err);

/** Writes VOLUME_STATUS, for the agent: UUID, profile, boots, SHA-256 of the header, and the recovery key
 * under the owner's public key. Nothing in it is secret. */
MUST_USE int volume_publish(const struct volume *v, unsigned long boots, struct err *err);

#endif
