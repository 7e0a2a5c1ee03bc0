/** agent/routes.h: the route table. No row is 404; a row for another method is 405. */
#ifndef CVM_AGENT_ROUTES_H
#define CVM_AGENT_ROUTES_H

#include "agent/request.h"

/** All rows, in the order of the contract; *n receives the count. */
const struct route *routes_all(size_t *n);

/** Finds the row for a request on a port.
 *  @param opened   the security policy opens appraisal outside
 *  @param segment  the raw "{...}" segment of the path
 *  @param allow    written when only the method is wrong: the Allow header
 *  @return the row, or NULL with ERR_NOT_FOUND, or ERR_INPUT and *allow set */
const struct route *route_find(const char *method, struct bytes path, enum port port, bool opened,
                               struct bytes *segment, const char **allow, struct err *err);

#endif
