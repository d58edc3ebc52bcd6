/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Walking a table: defaults, decoding, encoding, comparing, checking parameters.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "types.h"

int schema_fail(struct schema_error *err, const char *name, const char *path, const char *hint, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -EINVAL;
	err->name = name;
	snprintf(err->path, sizeof(err->path), "%s", path);
	snprintf(err->hint, sizeof(err->hint), "%s", hint ? hint : "");
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static void quote_string(const char *s, char *out, size_t size)
{
	size_t n = 0;

	/* What is not printable ASCII becomes '?': the result goes to terminals, and a cut in a UTF-8 sequence would not be JSON. */
	for (; *s && n + 4 < size; s++)
		out[n++] = *s >= 0x20 && *s < 0x7f ? *s : '?';
	memcpy(out + n, *s ? "..." : "", *s ? 4 : 1);
}

const char *schema_quote(const json_t *value, char *out, size_t size)
{
	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		quote_string(json_string_value(value), out, size);
		break;
	case JSON_INTEGER:
		snprintf(out, size, "%lld", (long long)json_integer_value(value));
		break;
	case JSON_REAL: {
		/* A whole real looks like an integer without its point, and "1: must be an integer" would puzzle. */
		double d = json_real_value(value);

		snprintf(out, size, d > -1e6 && d < 1e6 && d == (long)d ? "%.1f" : "%g", d);
		break;
	}
	case JSON_ARRAY:
		snprintf(out, size, "[...]");
		break;
	case JSON_OBJECT:
		snprintf(out, size, "{...}");
		break;
	default:
		snprintf(out, size, "%s", json_is_true(value) ? "true" : json_is_false(value) ? "false" : "null");
	}
	return out;
}

/* --- finding -------------------------------------------------------------------------------------------------------------- */

const struct schema_object *schema_object_find(const char *name)
{
	for (const struct schema_object *const *o = schema_objects; *o; o++)
		if (!strcmp((*o)->name, name))
			return *o;
	return NULL;
}

const struct schema_method *schema_method_find(const char *name)
{
	for (const struct schema_method *m = schema_methods; m->name; m++)
		if (!strcmp(m->name, name))
			return m;
	return NULL;
}

const struct schema_attr *schema_attr_find(const struct schema_object *o, const char *name)
{
	for (const struct schema_attr *a = o->attrs; a->name; a++)
		if (!strcmp(a->name, name))
			return a;
	return NULL;
}

bool schema_name_valid(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n >= 1 && n <= 63 && !name[n];
}

int schema_set_name(const struct schema_object *o, void *conf, const char *name, struct schema_error *err)
{
	char quoted[80];

	if (schema_name_valid(name))
		return o->set_name(conf, name, err);
	quote_string(name, quoted, sizeof(quoted));
	return schema_fail(err, "bad-name", "name", NULL, "%s \"%s\": a name is 1-63 of a-z A-Z 0-9 . _ -", o->name, quoted);
}

int schema_check_name(const struct schema_object *o, const char *name, struct schema_error *err)
{
	uint64_t scratch[SCHEMA_CONF_MAX / sizeof(uint64_t)];

	return schema_set_name(o, scratch, name, err);
}

/* --- structs -------------------------------------------------------------------------------------------------------------- */

void schema_defaults(const struct schema_object *o, void *conf)
{
	memset(conf, 0, o->size);
	for (const struct schema_attr *a = o->attrs; a->name; a++)
		schema_types[a->type]->reset(a, conf);
	if (o->settle)
		o->settle(conf);
}

int schema_decode_attr(const struct schema_attr *a, const json_t *value, void *conf, struct schema_error *err)
{
	if (!json_is_null(value))
		return schema_types[a->type]->decode(a, value, conf, err);
	schema_types[a->type]->reset(a, conf);
	return 0;
}

static int check_required(const struct schema_object *o, const json_t *attrs, struct schema_error *err)
{
	for (const struct schema_attr *a = o->attrs; a->name; a++) {
		const json_t *v = json_object_get(attrs, a->name);

		if ((a->flags & SCHEMA_REQUIRED) && (!v || json_is_null(v)))
			return schema_fail(err, "missing-attribute", a->name, a->doc, "%s: missing", a->name);
	}
	return 0;
}

/* Members are compared as bytes: the decoder leaves one form of each value. */
static bool attr_equal(const struct schema_attr *a, const void *x, const void *y)
{
	if (memcmp(attr_member_const(a, x), attr_member_const(a, y), a->size) != 0)
		return false;
	switch (a->type) {
	case SCHEMA_MAC:
	case SCHEMA_IPS:
	case SCHEMA_IFADDRS:
	case SCHEMA_VLAN_MACS:
		return ((const uint8_t *)x)[a->aux] == ((const uint8_t *)y)[a->aux];
	default:
		return true;
	}
}

static const struct schema_attr *fixed_differ(const struct schema_object *o, const void *x, const void *y)
{
	for (const struct schema_attr *a = o->attrs; a->name; a++)
		if ((a->flags & SCHEMA_FIXED) && !attr_equal(a, x, y))
			return a;
	return NULL;
}

bool schema_fixed_differ(const struct schema_object *o, const void *a, const void *b)
{
	return fixed_differ(o, a, b);
}

bool schema_equal(const struct schema_object *o, const void *x, const void *y)
{
	for (const struct schema_attr *a = o->attrs; a->name; a++)
		if (!attr_equal(a, x, y))
			return false;
	return true;
}

int schema_decode(const struct schema_object *o, const json_t *attrs, const void *old, void *conf, struct schema_error *err)
{
	const struct schema_attr *a;
	char quoted[64];
	const char *key;
	json_t *value;
	int ret;

	json_object_foreach ((json_t *)attrs, key, value) {
		a = schema_attr_find(o, key);
		if (!a) {
			quote_string(key, quoted, sizeof(quoted));
			return schema_fail(err, "unknown-attribute", quoted, NULL, "%s: unknown attribute of %s", quoted, o->name);
		}
		ret = schema_decode_attr(a, value, conf, err);
		if (ret < 0)
			return ret;
	}
	if (o->settle)
		o->settle(conf);
	if (!old)
		return check_required(o, attrs, err);
	a = fixed_differ(o, old, conf);
	if (a)
		return schema_fail(err, "fixed-attribute", a->name, "delete the object and add it again",
				   "%s: cannot be changed once the %s exists", a->name, o->name);
	return 0;
}

/* What of a configuration is written. */
struct selection {
	bool all, secrets; /* as schema_encode() has them */
	bool implied;	   /* what follows from others, too */
};

static bool is_selected(const struct schema_attr *a, const void *conf, const void *defaults, const struct selection *sel)
{
	if ((a->flags & SCHEMA_SECRET) && !sel->secrets)
		return false;
	if (a->flags & SCHEMA_IMPLIED)
		return sel->implied || ((const bool *)conf)[a->aux];
	return sel->all || !attr_equal(a, conf, defaults);
}

static json_t *encode(const struct schema_object *o, const void *conf, const struct selection *sel)
{
	uint64_t defaults[SCHEMA_CONF_MAX / sizeof(uint64_t)];
	json_t *attrs = json_object(), *value;

	schema_defaults(o, defaults);
	for (const struct schema_attr *a = o->attrs; attrs && a->name; a++) {
		if (!is_selected(a, conf, defaults, sel))
			continue;
		value = schema_types[a->type]->encode(a, conf);
		if (!value || json_object_set_new(attrs, a->name, value) < 0) {
			json_decref(attrs);
			return NULL;
		}
	}
	return attrs;
}

json_t *schema_encode(const struct schema_object *o, const void *conf, bool all, bool secrets)
{
	return encode(o, conf, &(struct selection){.all = all, .secrets = secrets, .implied = true});
}

json_t *schema_encode_given(const struct schema_object *o, const void *conf)
{
	return encode(o, conf, &(struct selection){.secrets = true});
}

/* --- parameters ------------------------------------------------------------------------------------------------------------ */

static bool param_has_type(const struct schema_param *p, const json_t *v)
{
	switch (p->type[0]) {
	case 's':
		return json_is_string(v);
	case 'i':
		return json_is_integer(v);
	case 'b':
		return json_is_boolean(v);
	case 'l':
		return json_is_array(v);
	default:
		return json_is_object(v);
	}
}

static const struct schema_param *param_find(const struct schema_method *m, const char *name)
{
	for (const struct schema_param *p = m->params; p->name; p++)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}

static int check_param(const struct schema_method *m, const char *key, const json_t *v, struct schema_error *err)
{
	const struct schema_param *p = param_find(m, key);
	char quoted[64];

	if (!p) {
		quote_string(key, quoted, sizeof(quoted));
		return schema_fail(err, "unknown-parameter", quoted, NULL, "%s: unknown parameter of %s", quoted, m->name);
	}
	schema_quote(v, quoted, sizeof(quoted));
	if (!param_has_type(p, v))
		return schema_fail(err, "wrong-type", key, NULL, "%s %s: must be of type %s", key, quoted, p->type);
	if (!json_is_integer(v))
		return 0;
	if (json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) < p->min || (uint64_t)json_integer_value(v) > p->max)
		return schema_fail(err, "out-of-range", key, NULL, "%s %s: out of range (%" PRIu64 "-%" PRIu64 ")", key, quoted,
				   p->min, p->max);
	return 0;
}

int schema_check_params(const struct schema_method *m, const json_t *params, struct schema_error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)params, key, value) {
		int ret = check_param(m, key, value, err);

		if (ret < 0)
			return ret;
	}
	for (const struct schema_param *p = m->params; p->name; p++)
		if (p->required && !json_object_get(params, p->name))
			return schema_fail(err, "missing-parameter", p->name, p->doc, "%s: missing", p->name);
	return 0;
}

/* --- text ------------------------------------------------------------------------------------------------------------------ */

json_t *schema_parse_text(const struct schema_attr *a, const char *text, struct schema_error *err)
{
	return *text ? schema_types[a->type]->parse(a, text, err) : json_null();
}

void schema_format_text(const struct schema_attr *a, const json_t *value, char *out, size_t size)
{
	schema_types[a->type]->format(a, value, out, size);
}

const char *schema_type_name(enum schema_type t)
{
	return schema_types[t]->name;
}
