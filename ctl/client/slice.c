/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "slice.h"

static const char *skip_blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

/* `p` is at the opening quote; returns what is behind the closing one. */
static const char *skip_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\' && p + 1 < end)
			p++;
	return p < end ? p + 1 : end;
}

static const char *skip_nested(const char *p, const char *end)
{
	size_t depth = 0;

	while (p < end) {
		if (*p == '"') {
			p = skip_string(p, end);
			continue;
		}
		if (*p == '{' || *p == '[')
			depth++;
		if (*p == '}' || *p == ']')
			depth--;
		p++;
		if (!depth)
			break;
	}
	return p;
}

static const char *skip_value(const char *p, const char *end)
{
	if (p < end && *p == '"')
		return skip_string(p, end);
	if (p < end && (*p == '{' || *p == '['))
		return skip_nested(p, end);
	while (p < end && !strchr(",}] \t\r\n", *p))
		p++;
	return p;
}

bool slc_slice_member(const char *json, size_t len, const char *key, const char **value, size_t *value_len)
{
	const char *end = json + len, *p = skip_blanks(json, end);

	if (p >= end || *p != '{')
		return false;
	for (;;) {
		const char *name, *name_end, *start;

		p = skip_blanks(p + 1, end);
		if (p >= end || *p != '"')
			return false;
		name = p + 1;
		p = skip_string(p, end);
		name_end = p - 1;
		p = skip_blanks(p, end);
		if (p >= end || *p != ':')
			return false;
		start = skip_blanks(p + 1, end);
		p = skip_value(start, end);
		if ((size_t)(name_end - name) == strlen(key) && !memcmp(name, key, strlen(key))) {
			*value = start;
			*value_len = p - start;
			return true;
		}
		p = skip_blanks(p, end);
		if (p >= end || *p != ',')
			return false;
	}
}
