/** workload/atakit_yaml.h: the text of one service out of a compose file in the normal form of atakit, as a
 * serialiser would write it alone. */
#ifndef CVM_WORKLOAD_ATAKIT_YAML_H
#define CVM_WORKLOAD_ATAKIT_YAML_H

#include "base/buf.h"

/** Checks that a compose file is laid out as the recipe's serialiser writes it: no comments, no empty lines,
 * the keys that it knows in its order. @return 0, or -1 with ERR_INPUT and the line */
MUST_USE int atakit_yaml_check(struct bytes yaml, struct err *err);

/** Appends the isolated file of one service: "services:", its lines, and the named volumes that it uses.
 *  @param line     where the service's key stands, from 1
 *  @param volumes  names, each once; n of them
 *  @return 0, or -1 with ERR_INPUT */
MUST_USE int atakit_yaml_service(struct bytes yaml, unsigned line, const char *const *volumes, size_t n,
                                 struct buf *out, struct err *err);

#endif
