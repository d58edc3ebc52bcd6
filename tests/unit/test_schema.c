/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The schema: what one value can be, on the socket and on a command line.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "schema/objects.h"
#include "schema/types.h"
#include "sluice/drop.h"

static struct port_conf port_defaults(void)
{
	struct port_conf conf;

	schema_defaults(&schema_port, &conf);
	return conf;
}

static json_t *json(const char *text)
{
	json_error_t where;
	json_t *v = json_loads(text, JSON_DECODE_ANY, &where);

	if (!v)
		fail_msg("%s: %s", text, where.text);
	return v;
}

/* Decode attributes of a port that does not exist yet; kind is added. 0 or -EINVAL with *err. */
static int decode(const char *attrs, struct port_conf *conf, struct schema_error *err)
{
	json_t *v = json(attrs);
	int ret;

	*conf = port_defaults();
	json_object_set_new(v, "kind", json_string("memif"));
	ret = schema_decode(&schema_port, v, NULL, conf, err);
	json_decref(v);
	return ret;
}

static void assert_refused(const char *attrs, const char *name, const char *path, const char *in_msg)
{
	struct schema_error err = {0};
	struct port_conf conf;

	if (decode(attrs, &conf, &err) == 0)
		fail_msg("%s was taken", attrs);
	assert_string_equal(err.name, name);
	assert_string_equal(err.path, path);
	if (!strstr(err.msg, in_msg))
		fail_msg("%s: \"%s\" does not say \"%s\"", attrs, err.msg, in_msg);
}

/* What the decoder made of `attrs`, encoded again: one attribute as compact JSON. */
static void assert_round_trip(const char *name, const char *value, const char *expected)
{
	struct schema_error err = {.msg = ""};
	struct port_conf conf;
	char attrs[512], *text;
	json_t *all;

	snprintf(attrs, sizeof(attrs), "{\"%s\":%s}", name, value);
	if (decode(attrs, &conf, &err) < 0)
		fail_msg("%s: %s", attrs, err.msg);
	all = schema_encode(&schema_port, &conf, true, true);
	text = json_dumps(json_object_get(all, name), JSON_COMPACT | JSON_ENCODE_ANY);
	assert_string_equal(text, expected);
	free(text);
	json_decref(all);
}

/* --- types ---------------------------------------------------------------------------------------------------------------- */

static void every_type_decodes_and_encodes_back(void **state)
{
	assert_round_trip("vlan", "4094", "4094");
	assert_round_trip("isolated", "true", "true");
	assert_round_trip("path", "\"/run/m.sock\"", "\"/run/m.sock\"");
	assert_round_trip("role", "\"client\"", "\"client\"");
	assert_round_trip("admin", "\"down\"", "\"down\"");
	assert_round_trip("qinq_ethtype", "\"802.1q\"", "\"802.1q\"");
	assert_round_trip("mac", "\"02:AB:cd:00:00:01\"", "\"02:ab:cd:00:00:01\"");
	assert_round_trip("trunks", "[300,\"100-102\",103,5]", "[5,\"100-103\",300]");
	assert_round_trip("trunks", "[0,4095]", "[0,4095]");
	assert_round_trip("cvlans", "[\"0-4095\"]", "[\"0-4095\"]");
	assert_round_trip("ips", "[\"fd00::1\",\"10.0.0.0/24\",\"10.0.0.1\"]", "[\"10.0.0.0/24\",\"10.0.0.1\",\"fd00::1\"]");
	assert_round_trip("static_macs", "[\"200/02:00:00:00:00:02\",\"100/02:00:00:00:00:03\"]",
			  "[\"100/02:00:00:00:00:03\",\"200/02:00:00:00:00:02\"]");
	assert_round_trip("in_bps", "10000000000000", "10000000000000");
}

static void what_is_not_given_reads_as_null(void **state)
{
	assert_round_trip("mac", "null", "null");
	assert_round_trip("trunks", "null", "null");
	assert_round_trip("trunks", "[]", "null");
	assert_round_trip("mtu", "null", "null");
	assert_round_trip("qinq_ethtype", "null", "null");
	assert_round_trip("ips", "null", "[]");
	assert_round_trip("in_bps", "null", "0");
}

static void integers_are_taken_to_both_ends_of_their_range_and_no_further(void **state)
{
	struct schema_error err;
	struct port_conf conf;

	assert_int_equal(decode("{\"vlan\":1}", &conf, &err), 0);
	assert_int_equal(conf.dp.vlan, 1);
	assert_int_equal(decode("{\"mtu\":9216,\"queues\":16,\"id\":4294967295}", &conf, &err), 0);
	assert_int_equal(conf.dp.mtu, 9216);
	assert_int_equal(conf.dp.queues, 16);
	assert_int_equal(conf.dp.id, UINT32_MAX);
	assert_refused("{\"vlan\":0}", "out-of-range", "vlan", "vlan 0: out of range (1-4094)");
	assert_refused("{\"vlan\":4095}", "out-of-range", "vlan", "vlan 4095: out of range (1-4094)");
	assert_refused("{\"vlan\":-1}", "out-of-range", "vlan", "vlan -1: out of range");
	assert_refused("{\"vlan\":65636}", "out-of-range", "vlan", "65636");
	assert_refused("{\"vlan\":9223372036854775807}", "out-of-range", "vlan", "9223372036854775807");
	assert_refused("{\"id\":4294967296}", "out-of-range", "id", "4294967296");
	assert_refused("{\"mtu\":67}", "out-of-range", "mtu", "(68-9216)");
	assert_refused("{\"in_bps\":10000000000001}", "out-of-range", "in_bps", "10000000000001");
}

static void a_real_is_no_integer(void **state)
{
	assert_refused("{\"vlan\":100.0}", "wrong-type", "vlan", "vlan 100.0: must be an integer");
	assert_refused("{\"vlan\":1e2}", "wrong-type", "vlan", "must be an integer");
	assert_refused("{\"in_bps\":1.5}", "wrong-type", "in_bps", "1.5");
	assert_refused("{\"trunks\":[100.0]}", "wrong-type", "trunks[0]", "100.0");
}

static void a_value_of_another_type_is_refused(void **state)
{
	assert_refused("{\"vlan\":\"100\"}", "wrong-type", "vlan", "must be an integer");
	assert_refused("{\"vlan\":true}", "wrong-type", "vlan", "true");
	assert_refused("{\"vlan\":[1]}", "wrong-type", "vlan", "[...]");
	assert_refused("{\"isolated\":1}", "wrong-type", "isolated", "true or false");
	assert_refused("{\"path\":7}", "wrong-type", "path", "must be a string");
	assert_refused("{\"admin\":false}", "wrong-type", "admin", "must be a string");
	assert_refused("{\"mac\":{}}", "wrong-type", "mac", "must be a string");
	assert_refused("{\"ips\":\"10.0.0.1\"}", "wrong-type", "ips", "must be a list");
	assert_refused("{\"ips\":[\"10.0.0.1\",5]}", "wrong-type", "ips[1]", "must be a string");
	assert_refused("{\"trunks\":100}", "wrong-type", "trunks", "must be a list");
	assert_refused("{\"static_macs\":[null]}", "wrong-type", "static_macs[0]", "null");
}

static void a_choice_is_one_of_its_names(void **state)
{
	assert_refused("{\"admin\":\"UP\"}", "bad-value", "admin", "admin UP: not one of up, down");
	assert_refused("{\"vlan_mode\":\"\"}", "bad-value", "vlan_mode", "access, trunk, native-tagged");
}

static void addresses_have_one_spelling(void **state)
{
	static const char *const macs[] = {"",
					   "02:00:00:00:00",
					   "02:00:00:00:00:01:02",
					   "02-00-00-00-00-01",
					   "2:0:0:0:0:1",
					   "02:00:00:00:00:0g",
					   " 02:00:00:00:00:01"};
	static const char *const ips[] = {"",
					  "10.0.0",
					  "10.0.0.1/",
					  "10.0.0.1/33",
					  "10.0.0.0/-1",
					  "10.0.0.0/08",
					  "10.0.0.1/24",
					  "fd00::1/64",
					  "fd00::/129",
					  "10.0.0.1 ",
					  "fd00::g",
					  "010.0.0.1",
					  "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb"};
	static const char *const pairs[] = {
		"", "100", "100/", "/02:00:00:00:00:01", "4096/02:00:00:00:00:01", "100/02:00:00:00:00", "0x64/02:00:00:00:00:01"};
	char attrs[256];

	for (size_t i = 0; i < sizeof(macs) / sizeof(macs[0]); i++) {
		snprintf(attrs, sizeof(attrs), "{\"mac\":\"%s\"}", macs[i]);
		assert_refused(attrs, "bad-value", "mac", "not a MAC address");
	}
	for (size_t i = 0; i < sizeof(ips) / sizeof(ips[0]); i++) {
		snprintf(attrs, sizeof(attrs), "{\"ips\":[\"%s\"]}", ips[i]);
		assert_refused(attrs, "bad-value", "ips[0]", "ips");
	}
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		snprintf(attrs, sizeof(attrs), "{\"static_macs\":[\"%s\"]}", pairs[i]);
		assert_refused(attrs, "bad-value", "static_macs[0]", "not a VLAN/MAC pair");
	}
}

static void vlan_lists_hold_what_a_tag_can(void **state)
{
	static const char *const ranges[] = {"\"210-200\"", "\"200\"",	 "\"200-\"", "\"-200\"",
					     "\"1-4096\"",  "\"1-2-3\"", "\"a-b\"",  "\"\""};
	char attrs[64];

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		snprintf(attrs, sizeof(attrs), "{\"trunks\":[7,%s]}", ranges[i]);
		assert_refused(attrs, "bad-value", "trunks[1]", "not a range");
	}
	assert_refused("{\"trunks\":[4096]}", "out-of-range", "trunks[0]", "(0-4095)");
	assert_refused("{\"trunks\":[-1]}", "out-of-range", "trunks[0]", "-1");
}

static void a_list_has_no_element_twice_and_an_end(void **state)
{
	char attrs[2048] = "{\"ips\":[";

	assert_refused("{\"ips\":[\"10.0.0.1\",\"10.0.0.2\",\"10.0.0.1/32\"]}", "bad-value", "ips", "10.0.0.1: given twice");
	assert_refused("{\"static_macs\":[\"1/02:00:00:00:00:01\",\"1/02:00:00:00:00:01\"]}", "bad-value", "static_macs",
		       "given twice");
	for (int i = 0; i <= DP_MAX_IPS; i++)
		snprintf(attrs + strlen(attrs), sizeof(attrs) - strlen(attrs), "%s\"10.0.0.%d\"", i ? "," : "", i + 1);
	snprintf(attrs + strlen(attrs), sizeof(attrs) - strlen(attrs), "]}");
	assert_refused(attrs, "out-of-range", "ips", "17 elements (at most 16)");
}

static void strings_fit_and_hold_no_control_characters(void **state)
{
	char attrs[256], longest[108];
	struct schema_error err;
	struct port_conf conf;

	memset(longest, 'x', sizeof(longest));
	snprintf(attrs, sizeof(attrs), "{\"path\":\"%.107s\"}", longest);
	assert_int_equal(decode(attrs, &conf, &err), 0);
	assert_int_equal(strlen(conf.dp.path), 107);
	snprintf(attrs, sizeof(attrs), "{\"path\":\"%.108s\"}", longest);
	assert_refused(attrs, "out-of-range", "path", "108 bytes long (at most 107)");
	assert_refused("{\"path\":\"a\\nb\"}", "bad-value", "path", "control character");
	assert_refused("{\"path\":\"a\\u001b[2J\"}", "bad-value", "path", "control character");
	assert_refused("{\"path\":\"a\\u009b2J\"}", "bad-value", "path", "control character");
	assert_refused("{\"path\":\"a\\u007f\"}", "bad-value", "path", "control character");
	assert_int_equal(decode("{\"path\":\"/\\u00fc/\\u6f22\"}", &conf, &err), 0);
}

/* --- objects --------------------------------------------------------------------------------------------------------------- */

static void an_unknown_attribute_is_refused(void **state)
{
	assert_refused("{\"vlaan\":1}", "unknown-attribute", "vlaan", "vlaan: unknown attribute of port");
	assert_refused("{\"\":1}", "unknown-attribute", "", "unknown attribute");
	assert_refused("{\"vlan-mode\":\"trunk\"}", "unknown-attribute", "vlan-mode", "unknown");
	assert_refused("{\"\\u001b[31m\":1}", "unknown-attribute", "?[31m", "?[31m");
}

static void a_required_attribute_must_be_given(void **state)
{
	struct port_conf conf = port_defaults();
	struct schema_error err;
	json_t *null = json("{\"kind\":null}");

	assert_int_equal(schema_decode(&schema_port, NULL, NULL, &conf, &err), -EINVAL);
	assert_string_equal(err.name, "missing-attribute");
	assert_string_equal(err.path, "kind");
	assert_int_equal(schema_decode(&schema_port, null, NULL, &conf, &err), -EINVAL);
	assert_string_equal(err.name, "missing-attribute");
	json_decref(null);
}

/* `attrs` over a port that exists. */
static int change(struct port_conf *conf, const char *attrs, struct schema_error *err)
{
	struct port_conf old = *conf;
	json_t *v = json(attrs);
	int ret = schema_decode(&schema_port, v, &old, conf, err);

	json_decref(v);
	return ret;
}

static void absent_keeps_and_null_restores_the_default(void **state)
{
	struct schema_error err;
	struct port_conf conf;

	assert_int_equal(decode("{\"vlan\":100,\"in_bps\":5,\"mac\":\"02:00:00:00:00:01\"}", &conf, &err), 0);
	assert_int_equal(change(&conf, "{\"in_bps\":null}", &err), 0);
	assert_int_equal(conf.dp.in.bps, 0);
	assert_int_equal(conf.dp.vlan, 100);
	assert_true(conf.dp.has_mac);
	assert_int_equal(change(&conf, "{\"mac\":null}", &err), 0);
	assert_false(conf.dp.has_mac);
	assert_string_equal(conf.dp.kind, "memif");
}

static void a_fixed_attribute_may_be_repeated_but_not_changed(void **state)
{
	struct schema_error err;
	struct port_conf conf;

	assert_int_equal(decode("{\"path\":\"/a\",\"vlan\":1}", &conf, &err), 0);
	assert_int_equal(change(&conf, "{\"path\":\"/a\",\"vlan\":2}", &err), 0);
	assert_int_equal(change(&conf, "{\"path\":\"/b\"}", &err), -EINVAL);
	assert_string_equal(err.name, "fixed-attribute");
	assert_string_equal(err.path, "path");
}

static void the_vlan_mode_follows_from_the_vlan_until_it_is_given(void **state)
{
	struct schema_error err;
	struct port_conf conf;

	assert_int_equal(decode("{}", &conf, &err), 0);
	assert_int_equal(conf.dp.vlan_mode, DP_VLAN_TRUNK);
	assert_int_equal(change(&conf, "{\"vlan\":100}", &err), 0);
	assert_int_equal(conf.dp.vlan_mode, DP_VLAN_ACCESS);
	assert_int_equal(change(&conf, "{\"vlan_mode\":\"native-tagged\"}", &err), 0);
	assert_int_equal(change(&conf, "{\"vlan\":200}", &err), 0);
	assert_int_equal(conf.dp.vlan_mode, DP_VLAN_NATIVE_TAGGED);
	assert_int_equal(change(&conf, "{\"vlan_mode\":null}", &err), 0);
	assert_int_equal(conf.dp.vlan_mode, DP_VLAN_ACCESS);
	assert_int_equal(change(&conf, "{\"vlan\":null}", &err), 0);
	assert_int_equal(conf.dp.vlan_mode, DP_VLAN_TRUNK);
	assert_false(conf.dp.trunks.given);
}

static void lists_in_another_order_and_modes_said_aloud_are_equal(void **state)
{
	struct schema_error err;
	struct port_conf a, b;

	assert_int_equal(decode("{\"vlan\":5,\"ips\":[\"10.0.0.2\",\"10.0.0.1\"]}", &a, &err), 0);
	assert_int_equal(decode("{\"vlan\":5,\"ips\":[\"10.0.0.1\",\"10.0.0.2\"],\"vlan_mode\":\"access\"}", &b, &err), 0);
	assert_true(schema_equal(&schema_port, &a, &b));
	assert_int_equal(decode("{\"vlan\":5,\"ips\":[\"10.0.0.1\"]}", &b, &err), 0);
	assert_false(schema_equal(&schema_port, &a, &b));
	assert_int_equal(decode("{\"vlan\":5,\"ips\":[\"10.0.0.2\",\"10.0.0.1\"],\"path\":\"/x\"}", &b, &err), 0);
	assert_true(schema_fixed_differ(&schema_port, &a, &b));
}

static void encoding_leaves_defaults_out_and_decodes_to_the_same(void **state)
{
	struct port_conf conf, again = port_defaults();
	struct schema_error err;
	json_t *attrs;

	assert_int_equal(
		decode("{\"vlan\":100,\"ips\":[\"10.0.0.1\"],\"admin\":\"down\",\"secret\":\"hush\",\"in_bps\":0}", &conf, &err),
		0);
	attrs = schema_encode(&schema_port, &conf, false, true);
	assert_int_equal(json_object_size(attrs), 6); /* with kind and vlan_mode */
	assert_int_equal(schema_decode(&schema_port, attrs, NULL, &again, &err), 0);
	assert_true(schema_equal(&schema_port, &conf, &again));
	json_decref(attrs);
}

static void what_follows_is_shown_and_not_kept(void **state)
{
	struct schema_error err;
	struct port_conf conf;
	json_t *attrs;

	assert_int_equal(decode("{\"vlan\":100,\"secret\":\"hush\"}", &conf, &err), 0);
	attrs = schema_encode(&schema_port, &conf, false, false);
	assert_string_equal(json_string_value(json_object_get(attrs, "vlan_mode")), "access");
	json_decref(attrs);
	attrs = schema_encode_given(&schema_port, &conf);
	assert_int_equal(json_object_size(attrs), 3); /* with kind */
	assert_null(json_object_get(attrs, "vlan_mode"));
	assert_non_null(json_object_get(attrs, "secret"));
	json_decref(attrs);
	assert_int_equal(change(&conf, "{\"vlan_mode\":\"access\"}", &err), 0);
	attrs = schema_encode_given(&schema_port, &conf);
	assert_string_equal(json_string_value(json_object_get(attrs, "vlan_mode")), "access");
	json_decref(attrs);
}

static void secrets_are_left_out_for_those_who_may_not_see_them(void **state)
{
	struct schema_error err;
	struct port_conf conf;
	json_t *attrs;

	assert_int_equal(decode("{\"secret\":\"hush\"}", &conf, &err), 0);
	attrs = schema_encode(&schema_port, &conf, true, false);
	assert_null(json_object_get(attrs, "secret"));
	assert_non_null(json_object_get(attrs, "path"));
	json_decref(attrs);
}

static void names_are_1_to_63_plain_characters(void **state)
{
	static const char *const bad[] = {"", "a b", "a/b", "\xc3\xbc", "a\n", "a:b"};
	char name[66];

	assert_true(schema_name_valid("aZ0._-"));
	memset(name, 'n', sizeof(name));
	name[63] = '\0';
	assert_true(schema_name_valid(name));
	name[63] = 'n';
	name[64] = '\0';
	assert_false(schema_name_valid(name));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(schema_name_valid(bad[i]));
}

static void a_vlan_is_called_by_its_id(void **state)
{
	static const char *const bad[] = {"0", "4095", "99999", "0100", "1e2", "web", "18446744073709551617"};
	struct vlan_conf conf = {0};
	struct schema_error err;

	assert_int_equal(schema_set_name(&schema_vlan, &conf, "4094", &err), 0);
	assert_int_equal(conf.dp.id, 4094);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(schema_check_name(&schema_vlan, bad[i], &err), -EINVAL);
		assert_non_null(strstr(err.msg, "1-4094"));
	}
}

/* --- methods ------------------------------------------------------------------------------------------------------------------ */

static void assert_params(const char *method, const char *params, const char *error)
{
	struct schema_error err = {.name = "none"};
	json_t *v = json(params);

	schema_check_params(schema_method_find(method), v, &err);
	assert_string_equal(err.name, error);
	json_decref(v);
}

static void parameters_are_known_typed_in_range_and_there(void **state)
{
	assert_params("hello", "{\"client\":\"a\",\"api_major\":1}", "none");
	assert_params("hello", "{\"client\":\"a\"}", "missing-parameter");
	assert_params("hello", "{\"client\":\"a\",\"api_major\":1.0}", "wrong-type");
	assert_params("hello", "{\"client\":\"a\",\"api_major\":1,\"x\":0}", "unknown-parameter");
	assert_params("get", "{\"object\":null}", "wrong-type");
	assert_params("get", "{\"limit\":0}", "out-of-range");
	assert_params("fdb", "{\"vlan\":4096}", "out-of-range");
	assert_params("fdb", "{\"limit\":10001}", "out-of-range");
	assert_params("apply", "{\"ops\":{}}", "wrong-type");
	assert_params("apply", "{\"dry_run\":1}", "wrong-type");
}

static void describe_lists_every_object_method_and_drop_reason(void **state)
{
	json_t *d = schema_describe(), *objects = json_object_get(d, "objects"), *attrs;
	size_t n = 0;

	assert_int_equal(json_array_size(objects), 4);
	assert_int_equal(json_array_size(json_object_get(d, "drops")), SLC_DROP_N);
	while (schema_methods[n].name)
		n++;
	assert_int_equal(json_array_size(json_object_get(d, "methods")), n);
	attrs = json_object_get(json_array_get(objects, 3), "attrs");
	for (n = 0; schema_port.attrs[n].name; n++)
		assert_string_equal(json_string_value(json_object_get(json_array_get(attrs, n), "name")),
				    schema_port.attrs[n].name);
	assert_int_equal(json_array_size(attrs), n);
	json_decref(d);
}

static void every_row_lies_inside_its_struct(void **state)
{
	for (const struct schema_object *const *o = schema_objects; *o; o++) {
		for (const struct schema_attr *a = (*o)->attrs; a->name; a++) {
			assert_true(a->offset + a->size <= (*o)->size);
			assert_true(a->aux < (*o)->size);
			assert_non_null(a->doc);
			assert_true(a->type != SCHEMA_ENUM || a->choices);
			assert_true(a->type != SCHEMA_U64 || (a->max > a->min && a->size <= 8));
			assert_ptr_equal(schema_attr_find(*o, a->name), a);
		}
	}
}

/* --- text ---------------------------------------------------------------------------------------------------------------------- */

static void units_are_read_exactly(void **state)
{
	static const struct {
		enum schema_unit unit;
		const char *text;
		uint64_t value;
	} good[] = {
		{UNIT_BPS, "100mbit", 100000000},
		{UNIT_BPS, "1.5gbit", 1500000000},
		{UNIT_BPS, "64kibit", 65536},
		{UNIT_BPS, "1000", 1000},
		{UNIT_BPS, "8bit", 8},
		{UNIT_BPS, "1Tbit", 1000000000000},
		{UNIT_BPS, "0", 0},
		{UNIT_BPS, "0.001kbit", 1},
		{UNIT_BPS, "1mibit", 1048576},
		{UNIT_BYTES, "4GiB", 4294967296},
		{UNIT_BYTES, "4k", 4000},
		{UNIT_BYTES, "4KB", 4000},
		{UNIT_BYTES, "4KiB", 4096},
		{UNIT_BYTES, "1500B", 1500},
		{UNIT_BYTES, "0.5MiB", 524288},
		{UNIT_PPS, "50k", 50000},
		{UNIT_PPS, "1.5mpps", 1500000},
		{UNIT_PPS, "7", 7},
		{UNIT_S, "5m", 300},
		{UNIT_S, "1h", 3600},
		{UNIT_S, "3000ms", 3},
		{UNIT_MS, "1s", 1000},
		{UNIT_MS, "250", 250},
		{UNIT_US, "10ms", 10000},
		{UNIT_NONE, "9223372036854775807", INT64_MAX},
	};
	static const struct {
		enum schema_unit unit;
		const char *text;
		int error;
	} bad[] = {
		{UNIT_BPS, "100bps", -EINVAL},
		{UNIT_BPS, "100mbps", -EINVAL},
		{UNIT_BPS, "mbit", -EINVAL},
		{UNIT_BPS, "", -EINVAL},
		{UNIT_BPS, "-1", -EINVAL},
		{UNIT_BPS, "+1", -EINVAL},
		{UNIT_BPS, "1 mbit", -EINVAL},
		{UNIT_BPS, "1.mbit", -EINVAL},
		{UNIT_BPS, ".5mbit", -EINVAL},
		{UNIT_BPS, "1.2.3bit", -EINVAL},
		{UNIT_BPS, "0.5bit", -ERANGE},
		{UNIT_BPS, "1e3", -EINVAL},
		{UNIT_BPS, "0x10", -EINVAL},
		{UNIT_BPS, "9300000tbit", -ERANGE},
		{UNIT_BPS, "99999999999999999999", -ERANGE},
		{UNIT_BYTES, "1mbit", -EINVAL},
		{UNIT_S, "1500ms", -ERANGE},
		{UNIT_S, "1w", -EINVAL},
		{UNIT_NONE, "1k", -EINVAL},
		{UNIT_NONE, "9223372036854775808", -ERANGE},
	};
	uint64_t value;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (unit_parse(good[i].unit, good[i].text, &value) < 0 || value != good[i].value)
			fail_msg("%s", good[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (unit_parse(bad[i].unit, bad[i].text, &value) != bad[i].error)
			fail_msg("%s", bad[i].text);
}

static void units_are_printed_so_that_they_read_back(void **state)
{
	uint64_t value, x = 88172645463325252ULL;
	char text[32];

	for (unsigned i = 0; i < 20000; i++) {
		enum schema_unit unit = i % (UNIT_US + 1);
		uint64_t n;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		n = (x >> (x % 64)) & INT64_MAX;
		/* Half of them round, as people's numbers are. */
		if (i & 8)
			n = n / 1000000 * 1000000;
		unit_format(unit, n, text, sizeof(text));
		if (unit_parse(unit, text, &value) < 0 || value != n)
			fail_msg("%llu became %s", (unsigned long long)n, text);
	}
	unit_format(UNIT_BPS, 100000000, text, sizeof(text));
	assert_string_equal(text, "100mbit");
	unit_format(UNIT_BYTES, 65536, text, sizeof(text));
	assert_string_equal(text, "64KiB");
	unit_format(UNIT_S, 300, text, sizeof(text));
	assert_string_equal(text, "5m");
}

static void assert_text(const char *name, const char *text, const char *json_text, const char *back)
{
	const struct schema_attr *a = schema_attr_find(&schema_port, name);
	struct schema_error err = {.msg = ""};
	json_t *v = schema_parse_text(a, text, &err);
	char shown[128], *dumped;

	if (!v)
		fail_msg("%s=%s: %s", name, text, err.msg);
	dumped = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
	assert_string_equal(dumped, json_text);
	free(dumped);
	schema_format_text(a, v, shown, sizeof(shown));
	assert_string_equal(shown, back);
	json_decref(v);
}

static void words_become_json_and_json_words(void **state)
{
	assert_text("in_bps", "100mbit", "100000000", "100mbit");
	assert_text("in_burst_bytes", "64KiB", "65536", "64KiB");
	assert_text("vlan", "4095", "4095", "4095"); /* the daemon says that this is out of range */
	assert_text("trunks", "100,200-210", "[100,\"200-210\"]", "100,200-210");
	assert_text("ips", "10.0.0.1,fd00::1", "[\"10.0.0.1\",\"fd00::1\"]", "10.0.0.1,fd00::1");
	assert_text("static_macs", "100/02:00:00:00:00:01", "[\"100/02:00:00:00:00:01\"]", "100/02:00:00:00:00:01");
	assert_text("mac", "02:00:00:00:00:01", "\"02:00:00:00:00:01\"", "02:00:00:00:00:01");
	assert_text("isolated", "yes", "true", "true");
	assert_text("admin", "down", "\"down\"", "down");
	assert_text("mac", "", "null", "");
	assert_text("trunks", "", "null", "");
}

static void a_word_that_is_no_value_is_refused_with_what_could_be(void **state)
{
	struct schema_error err;

	assert_null(schema_parse_text(schema_attr_find(&schema_port, "in_bps"), "100bps", &err));
	assert_non_null(strstr(err.msg, "100bps"));
	assert_non_null(strstr(err.hint, "100mbit"));
	assert_null(schema_parse_text(schema_attr_find(&schema_port, "isolated"), "maybe", &err));
	assert_null(schema_parse_text(schema_attr_find(&schema_port, "path"), "\xff", &err));
	assert_null(schema_parse_text(schema_attr_find(&schema_port, "ips"), "a,\xff", &err));
}

static void quoting_gives_short_printable_ascii(void **state)
{
	char out[16];
	json_t *v = json("\"\\u001b[31m\\u6f22\\u6f22\\u6f22 and more\"");

	schema_quote(v, out, sizeof(out));
	assert_true(strlen(out) < sizeof(out));
	for (const char *p = out; *p; p++)
		assert_true(*p >= 0x20 && *p < 0x7f);
	json_decref(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_decodes_and_encodes_back),
		cmocka_unit_test(what_is_not_given_reads_as_null),
		cmocka_unit_test(integers_are_taken_to_both_ends_of_their_range_and_no_further),
		cmocka_unit_test(a_real_is_no_integer),
		cmocka_unit_test(a_value_of_another_type_is_refused),
		cmocka_unit_test(a_choice_is_one_of_its_names),
		cmocka_unit_test(addresses_have_one_spelling),
		cmocka_unit_test(vlan_lists_hold_what_a_tag_can),
		cmocka_unit_test(a_list_has_no_element_twice_and_an_end),
		cmocka_unit_test(strings_fit_and_hold_no_control_characters),
		cmocka_unit_test(an_unknown_attribute_is_refused),
		cmocka_unit_test(a_required_attribute_must_be_given),
		cmocka_unit_test(absent_keeps_and_null_restores_the_default),
		cmocka_unit_test(a_fixed_attribute_may_be_repeated_but_not_changed),
		cmocka_unit_test(the_vlan_mode_follows_from_the_vlan_until_it_is_given),
		cmocka_unit_test(lists_in_another_order_and_modes_said_aloud_are_equal),
		cmocka_unit_test(encoding_leaves_defaults_out_and_decodes_to_the_same),
		cmocka_unit_test(what_follows_is_shown_and_not_kept),
		cmocka_unit_test(secrets_are_left_out_for_those_who_may_not_see_them),
		cmocka_unit_test(names_are_1_to_63_plain_characters),
		cmocka_unit_test(a_vlan_is_called_by_its_id),
		cmocka_unit_test(parameters_are_known_typed_in_range_and_there),
		cmocka_unit_test(describe_lists_every_object_method_and_drop_reason),
		cmocka_unit_test(every_row_lies_inside_its_struct),
		cmocka_unit_test(units_are_read_exactly),
		cmocka_unit_test(units_are_printed_so_that_they_read_back),
		cmocka_unit_test(words_become_json_and_json_words),
		cmocka_unit_test(a_word_that_is_no_value_is_refused_with_what_could_be),
		cmocka_unit_test(quoting_gives_short_printable_ascii),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
