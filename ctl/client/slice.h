/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_SLICE_H
#define CLIENT_SLICE_H

/*
 * The text of one member of a JSON object, as it stands in the object's text. Private to libsluice.
 *
 * Results are handed on as they came. Writing them anew from a tree would cost as much as reading them, and could change how a number is
 * written.
 */

#include <stdbool.h>
#include <stddef.h>

/*
 * `json` must be the text of an object that a parser has accepted; what is not, is not found, and nothing outside is read. False when it
 * has no member of this name, or spells the name with escapes.
 */
bool slc_slice_member(const char *json, size_t len, const char *key, const char **value, size_t *value_len);

#endif
