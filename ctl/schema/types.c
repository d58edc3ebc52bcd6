/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Attribute types that are one value (integer, boolean, string, choice), and the table of all types.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "types.h"

/* --- integers of any width ------------------------------------------------------------------------------------------------ */

static uint64_t load(const struct schema_attr *a, const void *conf)
{
	const void *p = attr_member_const(a, conf);
	uint64_t v8;
	uint32_t v4;
	uint16_t v2;

	switch (a->size) {
	case 1:
		return *(const uint8_t *)p;
	case 2:
		return memcpy(&v2, p, 2), v2;
	case 4:
		return memcpy(&v4, p, 4), v4;
	default:
		return memcpy(&v8, p, 8), v8;
	}
}

static void store(const struct schema_attr *a, void *conf, uint64_t value)
{
	void *p = attr_member(a, conf);
	uint32_t v4 = value;
	uint16_t v2 = value;

	switch (a->size) {
	case 1:
		*(uint8_t *)p = value;
		break;
	case 2:
		memcpy(p, &v2, 2);
		break;
	case 4:
		memcpy(p, &v4, 4);
		break;
	default:
		memcpy(p, &value, 8);
	}
}

static void number_reset(const struct schema_attr *a, void *conf)
{
	store(a, conf, a->def);
	if (a->flags & SCHEMA_IMPLIED)
		*((bool *)conf + a->aux) = false;
}

static int u64_decode(const struct schema_attr *a, const json_t *v, void *conf, struct schema_error *err)
{
	json_int_t n = json_integer_value(v);
	char quoted[64];

	if (!json_is_integer(v))
		return schema_fail(err, "wrong-type", a->name, NULL, "%s %s: must be an integer", a->name,
				   schema_quote(v, quoted, sizeof(quoted)));
	if (n < 0 || (uint64_t)n < a->min || (uint64_t)n > a->max)
		return schema_fail(err, "out-of-range", a->name, NULL, "%s %lld: out of range (%" PRIu64 "-%" PRIu64 ")", a->name,
				   (long long)n, a->min, a->max);
	store(a, conf, n);
	if (a->flags & SCHEMA_IMPLIED)
		*((bool *)conf + a->aux) = true;
	return 0;
}

static json_t *u64_encode(const struct schema_attr *a, const void *conf)
{
	uint64_t v = load(a, conf);

	/* A default outside the range stands for "not given". */
	if (v == a->def && (v < a->min || v > a->max))
		return json_null();
	return json_integer(v);
}

static json_t *u64_parse(const struct schema_attr *a, const char *text, struct schema_error *err)
{
	uint64_t v;
	int ret = unit_parse(a->unit, text, &v);

	if (ret == -ERANGE)
		schema_fail(err, "out-of-range", a->name, unit_hint(a->unit), "%s %s: too big, or not a whole number of %s",
			    a->name, text, a->unit == UNIT_NONE ? "units" : schema_unit_name(a->unit));
	else if (ret < 0)
		schema_fail(err, "bad-value", a->name, unit_hint(a->unit), "%s %s: not a number%s%s", a->name, text,
			    a->unit == UNIT_NONE ? "" : " of ", schema_unit_name(a->unit));
	return ret < 0 ? NULL : json_integer(v);
}

static void u64_format(const struct schema_attr *a, const json_t *v, char *out, size_t size)
{
	if (json_is_integer(v) && json_integer_value(v) >= 0)
		unit_format(a->unit, json_integer_value(v), out, size);
	else
		out[0] = '\0';
}

/* --- boolean -------------------------------------------------------------------------------------------------------------- */

static int bool_decode(const struct schema_attr *a, const json_t *v, void *conf, struct schema_error *err)
{
	char quoted[64];

	if (!json_is_boolean(v))
		return schema_fail(err, "wrong-type", a->name, NULL, "%s %s: must be true or false", a->name,
				   schema_quote(v, quoted, sizeof(quoted)));
	store(a, conf, json_is_true(v));
	return 0;
}

static json_t *bool_encode(const struct schema_attr *a, const void *conf)
{
	return json_boolean(load(a, conf));
}

static json_t *bool_parse(const struct schema_attr *a, const char *text, struct schema_error *err)
{
	static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (!strcmp(text, yes[i]))
			return json_true();
		if (!strcmp(text, no[i]))
			return json_false();
	}
	schema_fail(err, "bad-value", a->name, NULL, "%s %s: not one of true, false", a->name, text);
	return NULL;
}

static void bool_format(const struct schema_attr *a, const json_t *v, char *out, size_t size)
{
	snprintf(out, size, "%s", json_is_true(v) ? "true" : json_is_false(v) ? "false" : "");
}

/* --- string --------------------------------------------------------------------------------------------------------------- */

/* Control characters would reach terminals and logs: C0 and DEL, and C1 in its UTF-8 form. */
static bool has_control(const char *s)
{
	for (const unsigned char *p = (const unsigned char *)s; *p; p++)
		if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f))
			return true;
	return false;
}

static int string_decode(const struct schema_attr *a, const json_t *v, void *conf, struct schema_error *err)
{
	char quoted[64];
	size_t len = json_string_length(v);

	schema_quote(v, quoted, sizeof(quoted));
	if (!json_is_string(v))
		return schema_fail(err, "wrong-type", a->name, NULL, "%s %s: must be a string", a->name, quoted);
	if (len >= a->size)
		return schema_fail(err, "out-of-range", a->name, NULL, "%s: %zu bytes long (at most %zu)", a->name, len,
				   a->size - 1);
	if (has_control(json_string_value(v)) || strlen(json_string_value(v)) != len)
		return schema_fail(err, "bad-value", a->name, NULL, "%s %s: holds a control character", a->name, quoted);
	memset(attr_member(a, conf), 0, a->size);
	memcpy(attr_member(a, conf), json_string_value(v), len);
	return 0;
}

static json_t *string_encode(const struct schema_attr *a, const void *conf)
{
	return json_string(attr_member_const(a, conf));
}

static void string_reset(const struct schema_attr *a, void *conf)
{
	memset(attr_member(a, conf), 0, a->size);
}

json_t *type_string_parse(const struct schema_attr *a, const char *text, struct schema_error *err)
{
	json_t *v = json_string(text);

	if (!v)
		schema_fail(err, "bad-value", a->name, NULL, "%s: not valid UTF-8", a->name);
	return v;
}

void type_string_format(const struct schema_attr *a, const json_t *v, char *out, size_t size)
{
	snprintf(out, size, "%s", json_is_string(v) ? json_string_value(v) : "");
}

/* --- one of several names -------------------------------------------------------------------------------------------------- */

static const char *list_choices(const struct schema_attr *a, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (const struct schema_choice *c = a->choices; c->name && used < size; c++)
		used += snprintf(out + used, size - used, "%s%s", used ? ", " : "", c->name);
	return out;
}

static int enum_decode(const struct schema_attr *a, const json_t *v, void *conf, struct schema_error *err)
{
	char quoted[64], names[128];

	schema_quote(v, quoted, sizeof(quoted));
	if (!json_is_string(v))
		return schema_fail(err, "wrong-type", a->name, NULL, "%s %s: must be a string", a->name, quoted);
	for (const struct schema_choice *c = a->choices; c->name; c++) {
		if (strcmp(c->name, json_string_value(v)) != 0)
			continue;
		store(a, conf, c->value);
		if (a->flags & SCHEMA_IMPLIED)
			*((bool *)conf + a->aux) = true;
		return 0;
	}
	return schema_fail(err, "bad-value", a->name, NULL, "%s %s: not one of %s", a->name, quoted,
			   list_choices(a, names, sizeof(names)));
}

static json_t *enum_encode(const struct schema_attr *a, const void *conf)
{
	uint64_t v = load(a, conf);

	for (const struct schema_choice *c = a->choices; c->name; c++)
		if (c->value == v)
			return json_string(c->name);
	return json_null();
}

const struct type_ops type_u64 = {"integer", u64_decode, u64_encode, number_reset, u64_parse, u64_format};
const struct type_ops type_bool = {"boolean", bool_decode, bool_encode, number_reset, bool_parse, bool_format};
const struct type_ops type_string = {"string", string_decode, string_encode, string_reset, type_string_parse, type_string_format};
const struct type_ops type_enum = {"choice", enum_decode, enum_encode, number_reset, type_string_parse, type_string_format};

const struct type_ops *const schema_types[] = {
	[SCHEMA_U64] = &type_u64,	  [SCHEMA_BOOL] = &type_bool,	[SCHEMA_STRING] = &type_string,
	[SCHEMA_ENUM] = &type_enum,	  [SCHEMA_MAC] = &type_mac,	[SCHEMA_IPS] = &type_ips,
	[SCHEMA_IFADDRS] = &type_ifaddrs, [SCHEMA_VLANS] = &type_vlans, [SCHEMA_VLAN_MACS] = &type_vlan_macs,
};
