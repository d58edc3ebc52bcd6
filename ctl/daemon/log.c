/* SPDX-License-Identifier: Apache-2.0 */

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define TEXT_MAX 1024

static bool on_terminal;

void log_open(void)
{
	on_terminal = isatty(STDERR_FILENO);
}

static const char *word(int priority)
{
	static const char *const words[] = {
		[LOG_EMERG] = "emergency", [LOG_ALERT] = "alert",   [LOG_CRIT] = "critical", [LOG_ERR] = "error",
		[LOG_WARNING] = "warning", [LOG_NOTICE] = "notice", [LOG_INFO] = "info",
	};

	return words[priority];
}

/* The line's head: "<4>" or "12:00:01.234 warning: ". */
static int head(int priority, char *out, size_t size)
{
	struct timespec now;
	struct tm tm;
	char clock[16];

	if (!on_terminal)
		return snprintf(out, size, "<%d>", priority);
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	return snprintf(out, size, "%s.%03ld %s: ", clock, now.tv_nsec / 1000000, word(priority));
}

void log_line(int priority, const char *text)
{
	char line[TEXT_MAX + 64];
	int n;

	if (priority < LOG_EMERG || priority > LOG_INFO)
		return;
	n = head(priority, line, sizeof(line));
	for (; *text && n < (int)sizeof(line) - 1; text++)
		line[n++] = (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text;
	line[n++] = '\n';
	/* Nobody to tell if stderr is gone. */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}

void log_printf(int priority, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_line(priority, text);
}
