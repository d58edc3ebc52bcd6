/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_LOG_H
#define CTL_LOG_H

/*
 * The daemon's log: lines on stderr, each with a priority of <syslog.h>.
 *
 * On a terminal a line is for eyes: time, word, text. Everywhere else (journal, pipe, file) it starts with the "<N>" that sd-daemon(3)
 * describes, from which the journal takes the priority. Each line is one write(), so lines of several threads do not mix, and text
 * that came from outside cannot forge one: control characters are replaced.
 *
 * Any thread. Lines above LOG_INFO (debug) are left out.
 */

#include <syslog.h>

void log_open(void);
void log_line(int priority, const char *text);
void log_printf(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
