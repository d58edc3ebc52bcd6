/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "builtin.h"
#include "schema/objects.h"

static int make_class(struct store *s, const struct class_conf *class)
{
	struct class_conf *conf;
	struct object *o;

	if (table_find(&s->objects, &schema_class, class->name))
		return 0;
	if (table_reserve(&s->objects, 1) < 0)
		return -ENOMEM;
	conf = malloc(sizeof(*conf));
	if (!conf)
		return -ENOMEM;
	*conf = *class;
	o = object_new(&schema_class, class->name, STORE_NOBODY, conf);
	if (!o) {
		free(conf);
		return -ENOMEM;
	}
	table_insert(&s->objects, o);
	return 0;
}

int builtin_make(struct ctl *ctl)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < SCHEMA_N_CLASSES; i++)
		ret = make_class(&ctl->store, &schema_classes[i]);
	return ret;
}

bool builtin_is(const struct schema_object *type, const char *name)
{
	for (size_t i = 0; type == &schema_class && i < SCHEMA_N_CLASSES; i++)
		if (!strcmp(schema_classes[i].name, name))
			return true;
	return false;
}
