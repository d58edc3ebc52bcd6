/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "log.h"

static void to_stderr(int priority, const char *text)
{
	fprintf(stderr, "<%d>%s\n", priority, text);
}

static void (*current_sink)(int, const char *) = to_stderr;

void dp_log_sink(void (*sink)(int, const char *))
{
	current_sink = sink ? sink : to_stderr;
}

void dp_vlog(int priority, const char *fmt, va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	/* Other people's messages end in a newline. */
	text[strcspn(text, "\n")] = '\0';
	current_sink(priority, text);
}

void dp_log(int priority, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	dp_vlog(priority, fmt, ap);
	va_end(ap);
}
