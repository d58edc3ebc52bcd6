/* SPDX-License-Identifier: Apache-2.0 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cni.h"

int cni_fail(struct cni_error *err, int code, const char *details, const char *fmt, ...)
{
	va_list ap;

	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	snprintf(err->details, sizeof(err->details), "%s", details ? details : "");
	return code;
}

int cni_no_memory(struct cni_error *err)
{
	return cni_fail(err, CNI_INTERNAL, NULL, "out of memory");
}

static const char *const versions[CNI_VERSIONS] = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};

const char *cni_version_name(enum cni_version version)
{
	return versions[version];
}

enum cni_version cni_version_parse(const char *text)
{
	int v = 0;

	while (v < CNI_VERSIONS && strcmp(versions[v], text) != 0)
		v++;
	return v;
}
