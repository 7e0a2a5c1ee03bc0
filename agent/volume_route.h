/** agent/volume_route.h: GET /volume: what cvm-volume left of the image's sealed volume, with the recovery
 * key under its owner's public key. */
#ifndef CVM_AGENT_VOLUME_ROUTE_H
#define CVM_AGENT_VOLUME_ROUTE_H

#include "agent/request.h"

#define VOLUME_STATUS     "volume.json" /* below the folder of what lasts as long as the boot */
#define VOLUME_STATUS_MAX 16384

int volume_begin(struct request *r, struct err *err);

#endif
