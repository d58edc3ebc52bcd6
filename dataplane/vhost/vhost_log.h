/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_VHOST_LOG_H
#define DATAPLANE_VHOST_LOG_H

/*
 * The log of dirty pages: while a guest is being moved to another machine, everything that we write to its memory is written down.
 *
 * The log is memory of the front end's, a bit for each page of 4096 bytes of guest physical address. Several workers, and the front end
 * that reads and clears it, use it at the same time: a bit is set by an atomic or. A bit is set after the bytes of its page were written
 * ("Migration" in the vhost-user protocol). What lies outside the log is not logged: it is outside the guest's memory, too.
 *
 * Off while nobody migrates; then the hot path sees a NULL pointer.
 *
 * Opening and closing: control thread. Logging: any worker whose queue holds the log.
 */

#include <stdbool.h>
#include <stdint.h>

struct vhost_log;

#define VHOST_LOG_PAGE 4096u
#define VHOST_LOG_MAX  (1ull << 36) /* bytes of a log at most: what 2^51 bytes of memory need */

/* Map `size` bytes of `fd` (stays the caller's) from `offset`. `alarm_fd` as in guard_add(). NULL with *why. */
struct vhost_log *vhost_log_open(int fd, uint64_t size, uint64_t offset, int alarm_fd, const char **why);
void vhost_log_close(struct vhost_log *log);
/* Was its mapping lost? */
bool vhost_log_lost(const struct vhost_log *log);

/* `len` bytes from guest physical address `gpa` on were written. */
void vhost_log_write(struct vhost_log *log, uint64_t gpa, uint64_t len);

#endif
