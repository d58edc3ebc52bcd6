/* SPDX-License-Identifier: Apache-2.0 */
/* Messages, made once, where name and value are known. */
#include "inside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void fill(struct kern_error *err, const char *name, const char *attr, const char *hint, const char *fmt, va_list ap)
{
	if (!err)
		return;
	err->name = name;
	snprintf(err->attr, sizeof(err->attr), "%s", attr ? attr : "");
	snprintf(err->hint, sizeof(err->hint), "%s", hint ? hint : "");
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
}

int kern_fail(struct kern_error *err, int code, const char *name, const char *attr, const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(err, name, attr, hint, fmt, ap);
	va_end(ap);
	return code;
}

static const char *name_of(int code)
{
	switch (code) {
	case -EEXIST:
	case -EBUSY:
		return "in-use";
	case -EMFILE:
	case -ENFILE:
		return "too-many-files";
	case -ENOMEM:
	case -ENOBUFS:
		return "no-memory";
	case -EPERM:
	case -EACCES:
		return "not-permitted";
	case -ENODEV:
	case -ENXIO:
		return "no-such-device";
	case -EOPNOTSUPP:
		return "not-supported";
	default:
		return "kernel-refused";
	}
}

int kern_fail_nl(struct kern_error *err, int code, const struct netlink *nl, const char *attr, const char *fmt, ...)
{
	size_t len;
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	fill(err, name_of(code), attr, NULL, fmt, ap);
	va_end(ap);
	len = strlen(err->msg);
	snprintf(err->msg + len, sizeof(err->msg) - len, ": %s%s%s", strerror(-code), nl && nl->why[0] ? ": " : "",
		 nl ? nl->why : "");
	return code;
}

void kern_log(struct kern *e, int priority, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (e->config.log)
		e->config.log(priority, line);
	else
		fprintf(stderr, "%s\n", line);
}
