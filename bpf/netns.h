/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BPF_NETNS_H
#define BPF_NETNS_H

/*
 * Network namespaces: found by path, name or pid, and visited. A socket belongs to the namespace in which it was opened, so a visit lasts for
 * as long as it takes to open one (netlink.h); what is asked is asked from outside.
 *
 * The thread that visits is in there, and no other; there must be nothing else for it to do meanwhile.
 */

#include <stdbool.h>

/* Open the namespace that `ref` names. Descriptor, or -errno: -ENOENT none, -EINVAL not a network namespace, -ENAMETOOLONG. */
int netns_open(const char *ref);
/* Is it ours? */
bool netns_is_own(int fd);
/* Enter it; *back is the way home. 0 or -errno, and we are where we were. */
int netns_enter(int fd, int *back);
/* Takes `back` over. */
void netns_leave(int back);

#endif
