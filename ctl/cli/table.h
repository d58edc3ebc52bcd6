/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

/*
 * The renderer: a list of columns, each a title and a path into a JSON object, printed across (a row for each object) or down (a line
 * for each column of one object).
 *
 *      {"VLAN", "attrs.vlan", CELL_PLAIN, RIGHT}     across:  NAME  VLAN  LINK        down:  name  vm1
 *                                                             vm1    100  up                 vlan  100
 *
 * Widths come from what is printed, not less than a column's own minimum, so that a table in several pages stays aligned. Text that came
 * from the daemon has no control characters (it refuses them); what is printed here makes sure of it.
 */

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "schema/schema.h"

enum cell {
	CELL_PLAIN,   /* as it is: numbers, strings, yes and no */
	CELL_ATTR,    /* as the schema's attribute `attr` is written */
	CELL_LIMIT,   /* the same, and 0 is none */
	CELL_LINK,    /* up green, down red */
	CELL_PERCENT, /* a share 0..1 */
	CELL_STATIC,  /* true: static, false: learned */
	CELL_SECONDS,
	CELL_BYTES, /* with units */
	CELL_NAMES, /* a list of strings */
};

struct column {
	const char *title;
	const char *path; /* keys joined by dots */
	enum cell cell;
	bool right; /* aligned */
	int width;  /* at least */
	const struct schema_attr *attr;
};

/* Columns end with a NULL title. `rows` is a list of objects. */
void table_across(FILE *out, const struct column *columns, const json_t *rows, bool header, bool colour);
/* Columns whose value is missing, null or empty are left out. `indent` blanks before each line. */
void table_down(FILE *out, const struct column *columns, const json_t *row, int indent, bool colour);

/* One value as text; "" if there is none. */
void table_cell(const struct column *column, const json_t *row, char *text, size_t size);

#endif
