/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_GUARD_H
#define DATAPLANE_GUARD_H

/*
 * Living through the loss of a file that is mapped.
 *
 * Memory that a peer shares is a file of the peer's. If the peer cuts the file off (ftruncate), or if it is of huge pages and
 * holes are punched into it, touching the lost page raises SIGBUS in the thread that touched it: a worker, and with it the
 * whole node. A memfd can be sealed against shrinking, which is demanded where the peers seal (see memif_shm.h), but the packet
 * memory that a zero-copy client shares is not sealed by DPDK, and no seal helps where huge pages run out.
 *
 * So every foreign mapping is registered here. The handler of SIGBUS looks for the address in the table; if it is a guarded
 * one, it replaces the whole mapping by zero pages of our own, marks it hit, writes to the owner's eventfd, and returns: the
 * worker's instruction runs again and reads zeros, or writes what nobody will see. The owner finds the mark and hangs up on the
 * peer. A fault anywhere else goes to whoever handled SIGBUS before, or kills the process as it should.
 *
 * The table only grows by blocks and is never freed, so the handler may walk it at any moment; entries are reused.
 *
 * Control thread, but for guard_hit() (any thread) and the handler itself.
 */

#include <stdbool.h>
#include <stddef.h>

struct guard;

/*
 * Guard [addr, addr + len), a mapping of whole pages. `alarm_fd` is an eventfd that gets a 1 when it is hit. NULL: out of
 * memory.
 */
struct guard *guard_add(void *addr, size_t len, int alarm_fd);
/* Before the mapping goes. No thread touches it any more. */
void guard_del(struct guard *g);
/* Was the mapping lost? */
bool guard_hit(const struct guard *g);

#endif
