/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CAPS_H
#define CTL_CAPS_H

/*
 * What the daemon may do, once it has started: it begins as root with everything and keeps what the table in caps.c lists.
 *
 *      main: options, sockets (chown to the group)  -->  caps_drop()  -->  DPDK, its threads, the state, the loop
 *                                                           |                |
 *                                            control thread: the table       +--> workers: caps_drop_thread(): nothing
 *
 * It happens before the first thread is made, for capabilities are a thread's own: whoever is made later (DPDK's interrupt thread, the
 * workers) inherits the little that is left. Workers, who read what guests send, then give up that too: polling, sending and waking are
 * done on descriptors that the control thread has opened. No program that is ever executed gets anything back (no_new_privs, and the
 * bounding set goes as well), and being root gives the daemon's files, nothing more.
 *
 * What is lost with it: PCI devices bound to UIO drivers (vfio-pci works), and whatever a later port kind needs and does not add to the
 * table. A capability that is not there to be kept (a container without it) is reported, with what will not work.
 */

#include <stddef.h>

struct ctl;

/* Keep the table's capabilities in this thread and in those that it will make. 0, or -errno with one line in `why`. */
int caps_drop(char *why, size_t size);
/* Log, and tell `node show`, of capabilities that the daemon was not given. After caps_drop(). */
void caps_report(struct ctl *ctl);
/* Give up everything in this thread. Any thread; it cannot fail, and ends the process if it does. */
void caps_drop_thread(void);

#endif
