/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_JSON_MEMORY_H
#define CTL_JSON_MEMORY_H

/*
 * Whether jansson ran out of memory. Its parser does not always say so: a token that it could not store is reported as a syntax error, and a
 * byte that it could not append is left out of a string without a word. A request would be blamed for it, or carried out with another
 * value, and a whole state file be taken for damaged. So its allocations pass through here, and a failed one is remembered: what was
 * parsed meanwhile counts for nothing. Its writer leaves bytes out in the same way: json_text() is what to call.
 *
 * One thread, the control thread; jansson's allocator is the process's.
 */

#include <stdbool.h>

#include <jansson.h>

/* From here on allocations are watched. More than once is fine. */
void json_memory_watch(void);
/* Forget earlier failures. */
void json_memory_reset(void);
/* An allocation failed since the reset. */
bool json_memory_failed(void);
/* json_dumps() whose text is whole. NULL when out of memory, or for NULL; the caller frees it. */
char *json_text(const json_t *json, size_t flags);

#endif
