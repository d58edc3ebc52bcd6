/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <time.h>

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

void dp_vsay(struct dp_log_limit *limit, int priority, const char *kind, const char *who, const char *fmt, va_list ap)
{
	struct timespec now;
	char text[256], more[48] = "";

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if ((uint64_t)now.tv_sec - limit->window_s >= DP_LOG_SECONDS) {
		if (limit->left_out)
			snprintf(more, sizeof(more), " (and %u lines left out)", limit->left_out);
		*limit = (struct dp_log_limit){.window_s = (uint64_t)now.tv_sec};
	}
	if (limit->lines == DP_LOG_LINES) {
		limit->left_out++;
		return;
	}
	limit->lines++;
	vsnprintf(text, sizeof(text), fmt, ap);
	dp_log(priority, "%s %s: %s%s", kind, who, text, more);
}

void dp_say(struct dp_log_limit *limit, int priority, const char *kind, const char *who, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	dp_vsay(limit, priority, kind, who, fmt, ap);
	va_end(ap);
}
