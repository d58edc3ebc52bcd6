/* SPDX-License-Identifier: Apache-2.0 */

#include <stdlib.h>
#include <string.h>

#include "schema/types.h"
#include "table.h"

#define CELL_MAX    4096
#define COLUMNS_MAX 48

static const json_t *walk(const json_t *row, const char *path)
{
	char key[64];

	while (row && *path) {
		size_t n = strcspn(path, ".");

		snprintf(key, sizeof(key), "%.*s", (int)n, path);
		row = json_object_get(row, key);
		path += path[n] ? n + 1 : n;
	}
	return row;
}

static void plain(const json_t *v, char *text, size_t size)
{
	switch (json_typeof(v)) {
	case JSON_STRING:
		snprintf(text, size, "%s", json_string_value(v));
		break;
	case JSON_INTEGER:
		snprintf(text, size, "%lld", (long long)json_integer_value(v));
		break;
	case JSON_REAL:
		snprintf(text, size, "%.1f", json_real_value(v));
		break;
	case JSON_TRUE:
		snprintf(text, size, "yes");
		break;
	case JSON_FALSE:
		snprintf(text, size, "no");
		break;
	default:
		text[0] = '\0';
	}
}

static void names(const json_t *v, char *text, size_t size)
{
	size_t i, used = 0;
	json_t *item;

	text[0] = '\0';
	json_array_foreach ((json_t *)v, i, item) {
		if (used < size && json_is_string(item))
			used += snprintf(text + used, size - used, "%s%s", used ? ", " : "", json_string_value(item));
	}
}

/* Whatever a daemon of another version may send, terminals get no control characters. */
static void scrub(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

void table_cell(const struct column *column, const json_t *row, char *text, size_t size)
{
	const json_t *v = walk(row, column->path);

	text[0] = '\0';
	if (!v || json_is_null(v))
		return;
	switch (column->cell) {
	case CELL_LIMIT:
		if (json_integer_value(v) == 0)
			break;
		/* fall through */
	case CELL_ATTR:
		schema_format_text(column->attr, v, text, size);
		break;
	case CELL_PERCENT:
		snprintf(text, size, "%.1f%%", json_number_value(v) * 100);
		break;
	case CELL_STATIC:
		snprintf(text, size, "%s", json_is_true(v) ? "static" : "learned");
		break;
	case CELL_SECONDS:
		unit_format(UNIT_S, json_integer_value(v), text, size);
		break;
	case CELL_BYTES:
		unit_format(UNIT_BYTES, json_integer_value(v), text, size);
		break;
	case CELL_NAMES:
		names(v, text, size);
		break;
	default:
		plain(v, text, size);
	}
	scrub(text);
}

static const char *paint(const struct column *c, const char *text, bool colour)
{
	if (!colour || c->cell != CELL_LINK)
		return NULL;
	return !strcmp(text, "up") ? "\033[32m" : "\033[31m";
}

/* `last`: nothing follows, so no blanks at the end of the line. */
static void put(FILE *out, const struct column *c, const char *text, int width, bool last, bool colour)
{
	const char *code = paint(c, text, colour);
	int pad = width - (int)strlen(text);

	if (c->right && pad > 0)
		fprintf(out, "%*s", pad, "");
	fprintf(out, "%s%s%s", code ? code : "", text, code ? "\033[0m" : "");
	if (!c->right && pad > 0 && !last)
		fprintf(out, "%*s", pad, "");
	fputs(last ? "\n" : "  ", out);
}

static void put_header(FILE *out, const struct column *columns, const int *width, bool colour)
{
	if (colour)
		fputs("\033[1m", out);
	for (int c = 0; columns[c].title; c++) {
		bool last = !columns[c + 1].title;
		int w = last && !columns[c].right ? 0 : width[c];

		fprintf(out, columns[c].right ? "%*s" : "%-*s", w, columns[c].title);
		if (!last)
			fputs("  ", out);
	}
	fputs(colour ? "\033[0m\n" : "\n", out);
}

void table_across(FILE *out, const struct column *columns, const json_t *rows, bool header, bool colour)
{
	int width[COLUMNS_MAX];
	char text[CELL_MAX];
	json_t *row;
	size_t i;

	for (int c = 0; columns[c].title; c++) {
		int title = strlen(columns[c].title);

		width[c] = columns[c].width > title ? columns[c].width : title;
	}
	json_array_foreach ((json_t *)rows, i, row) {
		for (int c = 0; columns[c].title; c++) {
			table_cell(&columns[c], row, text, sizeof(text));
			if ((int)strlen(text) > width[c])
				width[c] = strlen(text);
		}
	}
	if (header)
		put_header(out, columns, width, colour);
	json_array_foreach ((json_t *)rows, i, row) {
		for (int c = 0; columns[c].title; c++) {
			table_cell(&columns[c], row, text, sizeof(text));
			put(out, &columns[c], *text ? text : "-", width[c], !columns[c + 1].title, colour);
		}
	}
}

void table_down(FILE *out, const struct column *columns, const json_t *row, int indent, bool colour)
{
	char text[CELL_MAX];
	int width = 0;

	for (int c = 0; columns[c].title; c++)
		if ((int)strlen(columns[c].title) > width)
			width = strlen(columns[c].title);
	for (int c = 0; columns[c].title; c++) {
		struct column left = columns[c];

		table_cell(&columns[c], row, text, sizeof(text));
		if (!*text)
			continue;
		fprintf(out, "%*s%-*s  ", indent, "", width, columns[c].title);
		left.right = false;
		put(out, &left, text, 0, true, colour);
	}
}
