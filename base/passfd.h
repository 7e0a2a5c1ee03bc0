/** base/passfd.h: datagrams between processes of one machine that may bring a descriptor along (unix(7),
 * SCM_RIGHTS and SCM_CREDENTIALS). */
#ifndef CVM_BASE_PASSFD_H
#define CVM_BASE_PASSFD_H

#include "base/bytes.h"

#include <sys/socket.h>
#include <sys/types.h>

/** Sends one datagram.
 *  @param fd  goes along, and stays the caller's; -1: none
 *  @return 0, or -1 with errno */
MUST_USE int passfd_send(int to, struct bytes data, int fd);

/** Waits for one datagram.
 *  @param room  of size bytes; what does not fit is lost, and told by the answer
 *  @param fd    the descriptor that came, closed on exec and the caller's to close; -1: none
 *  @param peer  with whose rights it was sent, by the kernel's word (the socket needs SO_PASSCRED); NULL: not
 * asked for
 *  @return the datagram's size, 0 when the other side has closed, or -1 with errno (EBADMSG: control data
 * that is cut, or without the credentials that were asked for) */
MUST_USE ssize_t passfd_receive(int from, void *room, size_t size, int *fd, struct ucred *peer);

#endif
