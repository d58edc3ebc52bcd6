/* SPDX-License-Identifier: Apache-2.0 */

/*
 * key=value words to JSON, by the schema's rows. `-` and `_` are the same in a key; an empty value is null, the default.
 */

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

__attribute__((format(printf, 3, 4))) static json_t *word_error(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return NULL;
}

bool words_is_write(const char *verb)
{
	return !strcmp(verb, "add") || !strcmp(verb, "set") || !strcmp(verb, "del");
}

char *words_key(const char *attr, char *out, size_t size)
{
	size_t n = 0;

	for (; attr[n] && n + 1 < size; n++)
		out[n] = attr[n] == '_' ? '-' : attr[n];
	out[n] = '\0';
	return out;
}

/* Split "in-bps=1mbit" into the socket's name of the key and the value. False if there is no '='. */
static bool split_word(const char *word, char *key, size_t size, const char **value)
{
	size_t n = strcspn(word, "=");

	if (!word[n] || !n || n >= size)
		return false;
	memcpy(key, word, n);
	key[n] = '\0';
	for (char *p = key; *p; p++)
		if (*p == '-')
			*p = '_';
	*value = word + n + 1;
	return true;
}

/* Takes over `value`. */
static bool put_once(json_t *object, const char *key, json_t *value, const char *word, char *why, size_t size)
{
	if (json_object_get(object, key)) {
		json_decref(value);
		word_error(why, size, "%s: given twice", word);
		return false;
	}
	return json_object_set_new(object, key, value) == 0;
}

static bool add_attr(json_t *attrs, const struct schema_object *o, const char *word, char *why, size_t size)
{
	const struct schema_attr *a;
	struct schema_error bad;
	const char *text;
	char key[64];
	json_t *value;

	if (!split_word(word, key, sizeof(key), &text)) {
		word_error(why, size, "%s: not of the form key=value", word);
		return false;
	}
	a = schema_attr_find(o, key);
	if (!a) {
		word_error(why, size, "%.*s: unknown attribute (`sluicectl help %s` lists them)", (int)strcspn(word, "="), word,
			   o->name);
		return false;
	}
	value = schema_parse_text(a, text, &bad);
	if (!value) {
		word_error(why, size, "%s%s%s%s", bad.msg, bad.hint[0] ? " (" : "", bad.hint, bad.hint[0] ? ")" : "");
		return false;
	}
	return put_once(attrs, key, value, word, why, size);
}

json_t *words_op(const struct schema_object *o, const char *verb, int argc, char **argv, char *why, size_t size)
{
	bool del = !strcmp(verb, "del");
	json_t *op, *attrs;

	if (argc < 1 || strchr(argv[0], '='))
		return word_error(why, size, "needs a name (%s)", o->name_doc);
	if (del && argc > 1)
		return word_error(why, size, "%s: takes only a name", argv[1]);
	op = json_pack("{s:s, s:s, s:s}", "op", verb, "object", o->name, "name", argv[0]);
	if (!op)
		return word_error(why, size, "name: not valid UTF-8");
	if (del)
		return op;
	attrs = json_object();
	json_object_set_new(op, "attrs", attrs);
	for (int i = 1; i < argc; i++) {
		if (!add_attr(attrs, o, argv[i], why, size)) {
			json_decref(op);
			return NULL;
		}
	}
	return op;
}

/* A parameter's text to its JSON type. */
static json_t *param_value(const struct schema_param *p, const char *text)
{
	char *end;
	long long n;

	if (p->type[0] != 'i')
		return json_string(text);
	n = strtoll(text, &end, 10);
	return *text && !*end ? json_integer(n) : NULL;
}

json_t *words_params(const struct schema_method *m, const char *const *keys, int argc, char **argv, char *why, size_t size)
{
	json_t *params = json_object();
	const struct schema_param *p;
	const char *text;
	char key[64];

	for (int i = 0; i < argc; i++) {
		json_t *value = NULL;
		bool known = split_word(argv[i], key, sizeof(key), &text);
		const char *const *k = keys;

		while (known && *k && strcmp(*k, key) != 0)
			k++;
		for (p = m->params; known && *k && p->name && strcmp(p->name, key) != 0; p++)
			;
		if (!known || !*k || !p->name)
			word_error(why, size, "%s: not one of the filters that `sluicectl help %s` lists", argv[i], m->name);
		else if (!(value = param_value(p, text)))
			word_error(why, size, "%s %s: must be of type %s", key, text, p->type);
		if (!value || !put_once(params, key, value, argv[i], why, size)) {
			json_decref(params);
			return NULL;
		}
	}
	return params;
}
