/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_BUILTIN_H
#define CTL_BUILTIN_H

/*
 * What every node has without anybody having asked for it: the four classes (schema/class.c).
 *
 * They are the node's own (STORE_NOBODY): anybody may change them, nobody deletes them. As long as nobody has changed one it is not in the
 * state file, for it follows from the program; it has the generation 0. Once changed it is a row like any other.
 *
 * Control thread only.
 */

#include "ctl.h"

/* Put those that are lacking into the store; after each loading. 0 or -ENOMEM. */
int builtin_make(struct ctl *ctl);
/* Whether it is one of these. */
bool builtin_is(const struct schema_object *type, const char *name);

#endif
