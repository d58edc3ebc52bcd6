/* SPDX-License-Identifier: Apache-2.0 */

#include <stdlib.h>

#include "json_memory.h"

static bool failed;

static void *watched_malloc(size_t n)
{
	void *p = malloc(n);

	failed |= !p;
	return p;
}

void json_memory_watch(void)
{
	json_set_alloc_funcs(watched_malloc, free);
}

void json_memory_reset(void)
{
	failed = false;
}

bool json_memory_failed(void)
{
	return failed;
}

char *json_text(const json_t *json, size_t flags)
{
	char *text;

	json_memory_reset();
	text = json ? json_dumps(json, flags) : NULL;
	if (!json_memory_failed())
		return text;
	free(text);
	return NULL;
}
