/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_LOG_H
#define DATAPLANE_LOG_H

/*
 * Log lines of the dataplane. Control thread and DPDK's own threads; workers never log (rule 1), they count.
 *
 * A line has a priority of <syslog.h> and no newline. Where it goes is the owner's choice (dp_config.log): the daemon sends it to
 * stderr with the prefix that journald reads. Without a sink it goes to stderr as it is, which is what tests want.
 */

#include <stdarg.h>
#include <stdint.h>
#include <syslog.h>

/* One line, cut at 511 bytes. Any thread but workers. */
void dp_log(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void dp_vlog(int priority, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/*
 * Lines that others can cause at will (a peer that connects and lies, again and again): at most DP_LOG_LINES in DP_LOG_SECONDS for each
 * limit, so that one who makes noise does not silence the others' lines; what was left out is counted in the next line. Control thread.
 */
#define DP_LOG_LINES   6
#define DP_LOG_SECONDS 60

struct dp_log_limit {
	uint64_t window_s;
	unsigned lines, left_out;
};

/* "KIND WHO: text", if the limit lets it through. */
void dp_say(struct dp_log_limit *limit, int priority, const char *kind, const char *who, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
void dp_vsay(struct dp_log_limit *limit, int priority, const char *kind, const char *who, const char *fmt, va_list ap)
	__attribute__((format(printf, 5, 0)));

/* Send lines to `sink` (NULL: stderr). Before other threads start. */
void dp_log_sink(void (*sink)(int priority, const char *text));

#endif
