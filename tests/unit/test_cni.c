/* SPDX-License-Identifier: Apache-2.0 */

/* sluice-cni's parts that decide: names, configurations, addresses, results of every version. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include <cmocka.h>

#include "cni/addresses.h"
#include "cni/conf.h"
#include "cni/delegate.h"
#include "cni/result.h"

static struct cni_error err;

static json_t *json(const char *text)
{
	json_error_t bad;
	json_t *out = json_loads(text, 0, &bad);

	if (!out)
		fail_msg("%s: %s", text, bad.text);
	return out;
}

/* Takes over `got`. */
static void assert_json(json_t *got, const char *want)
{
	json_t *meant = json(want);

	if (!json_equal(got, meant))
		fail_msg("got %s, not %s", json_dumps(got, JSON_SORT_KEYS), want);
	json_decref(got);
	json_decref(meant);
}

static const struct cni_env add_env = {.command = CNI_ADD, .container = "c1", .netns = "/run/netns/c1", .ifname = "eth0"};

/* A configuration of this version, with these members besides. */
static int read_conf(struct cni_conf *c, const char *version, const char *members, const struct cni_env *env)
{
	char text[4096];

	snprintf(text, sizeof(text), "{\"cniVersion\":\"%s\",\"name\":\"red\",\"type\":\"sluice-cni\"%s%s}", version,
		 *members ? "," : "", members);
	return conf_read(c, json(text), env, &err);
}

static void refused(const char *members, int code, const char *says)
{
	struct cni_conf c;

	assert_int_equal(read_conf(&c, "1.0.0", members, &add_env), code);
	assert_int_equal(err.code, code);
	if (!strstr(err.msg, says))
		fail_msg("%s: \"%s\" does not say \"%s\"", members, err.msg, says);
	conf_free(&c);
}

/* --- names -------------------------------------------------------------------------------------------------------------------- */

static void assert_name_valid(const char *name)
{
	assert_in_range(strlen(name), 35, 61);
	assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"), strlen(name));
}

static void names_are_valid_and_stay_the_same(void **state)
{
	char name[PORT_NAME_SIZE], again[PORT_NAME_SIZE], long_id[5000];

	conf_port_name(name, "red", "4f1c0a9b7d21ffff", "eth0");
	/* For ever: a port must be found by the plugin of next year. */
	assert_string_equal(name, "4f1c0a9b7d21-eth0-4cf0211fbfe5d59435de75f83ebc856f");
	memset(long_id, 'x', sizeof(long_id) - 1);
	long_id[sizeof(long_id) - 1] = '\0';
	conf_port_name(name, long_id, long_id, "fifteen-letters");
	assert_name_valid(name);
	conf_port_name(name, "r", "a", "\xc3\xa9@~*");
	assert_name_valid(name);
	conf_port_name(again, "r", "a", "\xc3\xa9@~+");
	/* The readable parts are equal, the hashes are not. */
	assert_memory_equal(name, again, strlen("a-_____-"));
	assert_string_not_equal(name, again);
}

static void names_tell_apart_what_looks_alike(void **state)
{
	static const char *const triples[][3] = {
		{"red", "abcdefghijkl1", "eth0"},
		{"red", "abcdefghijkl2", "eth0"},
		{"red", "abcdefghijkl", "1eth0"},
		{"red", "abcdefghijkl1", "eth1"},
		{"reda", "bcdefghijkl1", "eth0"},
		{"blue", "abcdefghijkl1", "eth0"},
		{"red", "a", "b@"},
		{"red", "a", "b~"},
		{"red", "a-b", "c"},
		{"red", "a", "b-c"},
	};
	char names[sizeof(triples) / sizeof(triples[0])][PORT_NAME_SIZE];
	size_t n = sizeof(triples) / sizeof(triples[0]);

	for (size_t i = 0; i < n; i++) {
		conf_port_name(names[i], triples[i][0], triples[i][1], triples[i][2]);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(names[i], names[j]);
	}
}

static void a_network_knows_its_ports(void **state)
{
	char name[PORT_NAME_SIZE];

	conf_port_name(name, "red", "a", "eth0");
	assert_true(conf_port_of_network(name, "red"));
	assert_false(conf_port_of_network(name, "blue"));
	assert_false(conf_port_of_network(name + strlen(name) - 32, "red"));
	assert_false(conf_port_of_network("web1", "red"));
	assert_false(conf_port_of_network("", "red"));
	name[strlen(name) - 1] = 'x';
	assert_false(conf_port_of_network(name, "red"));
}

/* --- configuration ------------------------------------------------------------------------------------------------------------ */

static void attributes_come_from_the_configuration(void **state)
{
	struct cni_conf c;

	assert_int_equal(read_conf(&c, "0.3.1", "\"vlan\":100", &add_env), 0);
	assert_json(json_incref(c.attrs), "{\"kind\":\"veth\",\"vlan\":100}");
	assert_int_equal(c.version, CNI_0_3_1);
	assert_string_equal(c.socket, "/run/sluice/control.sock");
	assert_int_equal(c.timeout_ms, 10000);
	assert_null(c.ipam);
	conf_free(&c);
	assert_int_equal(
		read_conf(&c, "1.1.0",
			  "\"vlan\":4094,\"mtu\":9000,\"class\":\"online\",\"isolated\":true,\"inBps\":1,\"inPps\":2,"
			  "\"inBurstBytes\":3,\"outBps\":4,\"outPps\":5,\"outBurstBytes\":6,\"ipam\":{\"type\":\"static\"}",
			  &add_env),
		0);
	assert_json(json_incref(c.attrs),
		    "{\"kind\":\"veth\",\"vlan\":4094,\"mtu\":9000,\"class\":\"online\",\"isolated\":true,\"in_bps\":1,"
		    "\"in_pps\":2,\"in_burst_bytes\":3,\"out_bps\":4,\"out_pps\":5,\"out_burst_bytes\":6}");
	assert_string_equal(c.ipam, "static");
	conf_free(&c);
}

static void bandwidth_is_told_from_the_containers_side(void **state)
{
	struct cni_conf c;

	assert_int_equal(read_conf(&c, "1.0.0",
				   "\"vlan\":1,\"inBps\":5,\"inBurstBytes\":7,\"outBps\":6,\"outBurstBytes\":8,\"runtimeConfig\":{"
				   "\"bandwidth\":"
				   "{\"ingressRate\":1000,\"ingressBurst\":9,\"egressRate\":2000,\"egressBurst\":2147483647}}",
				   &add_env),
			 0);
	assert_json(json_incref(c.attrs), "{\"kind\":\"veth\",\"vlan\":1,\"out_bps\":1000,\"out_burst_bytes\":2,\"in_bps\":2000}");
	conf_free(&c);
	refused("\"vlan\":1,\"runtimeConfig\":{\"bandwidth\":{\"egressBurst\":1}}", CNI_BAD_CONFIG,
		"egressBurst without egressRate");
	refused("\"vlan\":1,\"runtimeConfig\":{\"bandwidth\":{\"egressRate\":1.5}}", CNI_BAD_CONFIG,
		"egressRate: must be an integer");
}

static void what_is_wrong_is_named(void **state)
{
	refused("", CNI_BAD_CONFIG, "vlan: missing");
	refused("\"vlan\":4095", CNI_BAD_CONFIG, "vlan 4095: out of range (1-4094)");
	refused("\"vlan\":4294967396", CNI_BAD_CONFIG, "vlan 4294967396: out of range");
	refused("\"vlan\":1,\"outbps\":{\"a\":1}", CNI_UNSUPPORTED, "unsupported field: outbps: {\"a\":1}");
	refused("\"vlan\":1,\"ipam\":{\"type\":\"a/b\"}", CNI_BAD_CONFIG, "ipam type a/b");
	refused("\"vlan\":1,\"ipam\":{\"type\":\"sluice-cni\"}", CNI_BAD_CONFIG, "ipam type sluice-cni");
	refused("\"vlan\":1,\"args\":{\"cni\":{\"mac\":\"03:00:00:00:00:01\"}}", CNI_BAD_CONFIG, "not a unicast MAC");
}

static void del_and_gc_read_only_what_they_need(void **state)
{
	struct cni_env env = add_env;
	struct cni_conf c;

	env.command = CNI_DEL;
	assert_int_equal(read_conf(&c, "0.3.0", "\"vlna\":1,\"vlan\":\"x\",\"runtimeConfig\":5", &env), 0);
	conf_free(&c);
	env.command = CNI_GC;
	assert_int_equal(read_conf(&c, "1.1.0", "\"vlna\":1", &env), 0);
	conf_free(&c);
	assert_int_equal(read_conf(&c, "1.0.0", "", &env), CNI_INCOMPATIBLE);
	conf_free(&c);
}

static void null_is_not_there(void **state)
{
	struct cni_conf c;

	assert_int_equal(read_conf(&c, "1.0.0",
				   "\"vlan\":1,\"mtu\":null,\"ipam\":null,\"dns\":null,\"prevResult\":null,\"runtimeConfig\":null,"
				   "\"args\":null,"
				   "\"socket\":null,\"isolated\":null,\"spoofcheck\":null",
				   &add_env),
			 0);
	assert_json(json_incref(c.attrs), "{\"kind\":\"veth\",\"vlan\":1}");
	conf_free(&c);
}

static void macs(void **state)
{
	static const char *const bad[] = {"",
					  "02:00:00:00:00",
					  "02:00:00:00:00:01:",
					  "02-00-00-00-00-01",
					  "02:00:00:00:00:0g",
					  "2:000:00:00:00:01",
					  "00:00:00:00:00:00",
					  "ff:ff:ff:ff:ff:ff",
					  "020000:00000:001",
					  " 2:00:00:00:00:01"};
	char mac[18];

	assert_true(conf_mac("02:AB:cd:00:00:01", mac));
	assert_string_equal(mac, "02:ab:cd:00:00:01");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (conf_mac(bad[i], mac))
			fail_msg("%s was taken", bad[i]);
}

static void asked_for_in_three_places(void **state)
{
	struct cni_env env = add_env;
	struct cni_conf c;

	env.args = "MAC=02:00:00:00:00:03;;IP=10.0.0.3/24,fd00::3/64;GATEWAY=10.0.0.1";
	assert_int_equal(read_conf(&c, "1.0.0", "\"vlan\":1", &env), 0);
	assert_string_equal(c.mac, "02:00:00:00:00:03");
	assert_int_equal(c.n_ips, 2);
	assert_string_equal(c.ips[1], "fd00::3/64");
	assert_string_equal(c.gateway, "10.0.0.1");
	conf_free(&c);
	/* Each of MAC and addresses on its own. */
	assert_int_equal(read_conf(&c, "1.0.0",
				   "\"vlan\":1,\"runtimeConfig\":{\"ips\":[\"10.0.0.1/24\"]},"
				   "\"args\":{\"cni\":{\"mac\":\"02:00:00:00:00:02\",\"ips\":[\"10.0.0.2/24\",\"10.0.0.9/24\"]}}",
				   &env),
			 0);
	assert_string_equal(c.mac, "02:00:00:00:00:02");
	assert_int_equal(c.n_ips, 1);
	assert_string_equal(c.ips[0], "10.0.0.1/24");
	conf_free(&c);
	env.args = "FOO=1;IgnoreUnknown=true;MAC=";
	assert_int_equal(read_conf(&c, "1.0.0", "\"vlan\":1", &env), 0);
	conf_free(&c);
	env.args = "FOO=1;IgnoreUnknown=false";
	assert_int_equal(read_conf(&c, "1.0.0", "\"vlan\":1", &env), CNI_BAD_ENVIRONMENT);
	conf_free(&c);
}

/* --- addresses ---------------------------------------------------------------------------------------------------------------- */

static void addresses_parse(void **state)
{
	static const char *const bad[] = {"10.0.0.1",	 "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/-1", "10.0.0.1/+1",
					  "10.0.0.1/1x", "10.0.0/24", "fd00::/129",  "/24",	    "",
					  "10.0.0.1/ 4", "x:/64"};
	struct link_addr a;

	assert_true(link_addr_parse("10.0.0.11/24", false, &a));
	assert_true(a.family == AF_INET && a.prefix == 24 && a.bytes[3] == 11);
	assert_true(link_addr_parse("fd00::1/128", false, &a));
	assert_true(a.family == AF_INET6 && a.prefix == 128);
	assert_true(link_addr_parse("fd00::1", true, &a));
	assert_int_equal(a.prefix, 128);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (link_addr_parse(bad[i], false, &a))
			fail_msg("%s was taken", bad[i]);
}

static void from_result(struct addresses *a, const char *text)
{
	json_t *result = json(text);

	if (addresses_from_result(a, result, "x", &err))
		fail_msg("%s", err.msg);
	json_decref(result);
}

static void any_version_of_a_result_is_read(void **state)
{
	struct addresses a;

	from_result(&a, "{\"cniVersion\":\"0.4.0\",\"ips\":[{\"version\":\"4\",\"address\":\"10.0.0.2/"
			"24\",\"gateway\":\"10.0.0.1\",\"interface\":3},"
			"{\"address\":\"fd00::2/64\",\"gateway\":\"\"}],\"dns\":{\"nameservers\":[\"9.9.9.9\"]}}");
	assert_json(json_incref(a.ips), "[{\"address\":\"10.0.0.2/24\",\"gateway\":\"10.0.0.1\"},{\"address\":\"fd00::2/64\"}]");
	assert_json(json_incref(a.routes), "[]");
	assert_json(json_incref(a.dns), "{\"nameservers\":[\"9.9.9.9\"]}");
	addresses_free(&a);
}

static void a_gateway_is_used_where_a_route_says_so(void **state)
{
	struct link_route routes[4];
	struct addresses a;
	struct cni_conf c;
	unsigned n;

	assert_int_equal(read_conf(&c, "1.0.0", "\"vlan\":1", &add_env), 0);
	from_result(&a, "{\"ips\":[{\"address\":\"10.0.0.2/24\",\"gateway\":\"10.0.0.1\"}]}");
	assert_json(addresses_port(&a, &c, &add_env, ""),
		    "{\"kind\":\"veth\",\"vlan\":1,\"netns\":\"/run/netns/c1\",\"ifname\":\"eth0\",\"label\":\"c1\","
		    "\"addr\":[\"10.0.0.2/24\"],\"ips\":[\"10.0.0.2\"]}");
	addresses_free(&a);
	from_result(&a,
		    "{\"ips\":[{\"address\":\"10.0.0.2/24\",\"gateway\":\"10.0.0.1\"},{\"address\":\"fd00::2/64\"}],\"routes\":["
		    "{\"dst\":\"0.0.0.0/0\"},{\"dst\":\"0.0.0.0/0\",\"gw\":\"10.0.0.9\",\"priority\":5},{\"dst\":\"::/"
		    "0\",\"gw\":\"fd00::1\"},"
		    "{\"dst\":\"172.16.0.0/12\"},{\"dst\":\"fd01::/64\"}]}");
	assert_json(addresses_port(&a, &c, &add_env, "02:00:00:00:00:01"),
		    "{\"kind\":\"veth\",\"vlan\":1,\"netns\":\"/run/netns/"
		    "c1\",\"ifname\":\"eth0\",\"label\":\"c1\",\"addr\":[\"10.0.0.2/"
		    "24\",\"fd00::2/64\"],"
		    "\"ips\":[\"10.0.0.2\",\"fd00::2\"],\"gateway\":[\"10.0.0.1\",\"fd00::1\"],\"mac\":\"02:00:00:00:00:01\"}");
	assert_int_equal(addresses_routes(&a, routes, 4, &n, &err), 0);
	assert_int_equal(n, 3);
	assert_true(routes[0].priority == 5 && routes[0].has_gw && routes[0].gw[3] == 9);
	assert_true(routes[1].dst.prefix == 12 && routes[1].has_gw && routes[1].gw[3] == 1);
	/* No gateway of its family: straight to the link. */
	assert_true(routes[2].dst.family == AF_INET6 && !routes[2].has_gw);
	assert_int_equal(addresses_routes(&a, routes, 2, &n, &err), CNI_BAD_CONFIG);
	addresses_free(&a);
	conf_free(&c);
}

static void who_asks_for_an_address_has_none_until_it_is_answered(void **state)
{
	struct addresses a;
	struct cni_conf c;

	assert_int_equal(read_conf(&c, "1.0.0", "\"vlan\":1,\"ipam\":{\"type\":\"dhcp\"}", &add_env), 0);
	assert_true(delegate_needs_link(&c));
	assert_json(addresses_asking(&c, &add_env, "02:00:00:00:00:01"),
		    "{\"kind\":\"veth\",\"vlan\":1,\"netns\":\"/run/netns/c1\",\"ifname\":\"eth0\",\"label\":\"c1\","
		    "\"ips\":[\"0.0.0.0\"],\"mac\":\"02:00:00:00:00:01\"}");
	from_result(&a, "{\"ips\":[{\"address\":\"10.0.0.2/24\",\"gateway\":\"10.0.0.1\"}],\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}");
	assert_json(addresses_answered(&a, &c, &add_env),
		    "{\"addr\":[\"10.0.0.2/24\"],\"gateway\":[\"10.0.0.1\"],\"ips\":[\"10.0.0.2\"]}");
	conf_free(&c);
	assert_int_equal(read_conf(&c, "1.0.0", "\"vlan\":1,\"spoofcheck\":false,\"ipam\":{\"type\":\"dhcp\"}", &add_env), 0);
	assert_json(addresses_asking(&c, &add_env, ""),
		    "{\"kind\":\"veth\",\"vlan\":1,\"netns\":\"/run/netns/c1\",\"ifname\":\"eth0\",\"label\":\"c1\"}");
	assert_json(addresses_answered(&a, &c, &add_env), "{\"addr\":[\"10.0.0.2/24\"],\"gateway\":[\"10.0.0.1\"]}");
	addresses_free(&a);
	conf_free(&c);
	assert_int_equal(read_conf(&c, "1.0.0", "\"vlan\":1,\"ipam\":{\"type\":\"host-local\"}", &add_env), 0);
	assert_false(delegate_needs_link(&c));
	conf_free(&c);
}

static void the_configurations_name_servers_are_preferred(void **state)
{
	json_t *empty = json("{\"nameservers\":[],\"domain\":\"\"}"), *some = json("{\"search\":[\"a\"]}");
	struct addresses a;

	from_result(&a, "{\"ips\":[{\"address\":\"10.0.0.2/24\"}],\"dns\":{\"domain\":\"b\"}}");
	addresses_prefer_dns(&a, NULL);
	addresses_prefer_dns(&a, empty);
	assert_json(json_incref(a.dns), "{\"domain\":\"b\"}");
	addresses_prefer_dns(&a, some);
	assert_json(json_incref(a.dns), "{\"search\":[\"a\"]}");
	addresses_free(&a);
	json_decref(empty);
	json_decref(some);
}

/* --- results ------------------------------------------------------------------------------------------------------------------ */

static void each_version_has_its_form(void **state)
{
	static const char *const want[CNI_VERSIONS] = {
		[CNI_0_3_1] = "{\"cniVersion\":\"0.3.1\",\"interfaces\":[{\"name\":\"slc1\",\"mac\":\"02:00:00:00:00:01\"},{"
			      "\"name\":\"eth0\",\"mac\":"
			      "\"02:00:00:00:00:02\",\"sandbox\":\"/n\"}],\"ips\":[{\"version\":\"4\",\"address\":\"10.0.0.2/"
			      "24\",\"gateway\":\"10.0.0.1\","
			      "\"interface\":1},{\"version\":\"6\",\"address\":\"fd00::2/64\",\"interface\":1}],"
			      "\"routes\":[{\"dst\":\"10.1.0.0/16\",\"gw\":\"10.0.0.9\"}],\"dns\":{}}",
		[CNI_1_0_0] =
			"{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"slc1\",\"mac\":\"02:00:00:00:00:01\"},{\"name\":"
			"\"eth0\",\"mac\":"
			"\"02:00:00:00:00:02\",\"sandbox\":\"/n\"}],\"ips\":[{\"address\":\"10.0.0.2/24\",\"gateway\":\"10.0.0.1\","
			"\"interface\":1},{\"address\":\"fd00::2/64\",\"interface\":1}],"
			"\"routes\":[{\"dst\":\"10.1.0.0/16\",\"gw\":\"10.0.0.9\"}],\"dns\":{}}",
		[CNI_1_1_0] = "{\"cniVersion\":\"1.1.0\",\"interfaces\":[{\"name\":\"slc1\",\"mac\":\"02:00:00:00:00:01\",\"mtu\":"
			      "1500},{\"name\":\"eth0\","
			      "\"mac\":\"02:00:00:00:00:02\",\"mtu\":1400,\"sandbox\":\"/n\"}],\"ips\":[{\"address\":\"10.0.0.2/"
			      "24\",\"gateway\":"
			      "\"10.0.0.1\",\"interface\":1},{\"address\":\"fd00::2/64\",\"interface\":1}],"
			      "\"routes\":[{\"dst\":\"10.1.0.0/16\",\"gw\":\"10.0.0.9\",\"mtu\":1300}],\"dns\":{}}",
	};
	struct link host = {.name = "slc1", .mac = "02:00:00:00:00:01", .mtu = 1500};
	struct link inner = {.name = "eth0", .mac = "02:00:00:00:00:02", .mtu = 1400};
	struct addresses a;

	from_result(&a, "{\"ips\":[{\"address\":\"10.0.0.2/24\",\"gateway\":\"10.0.0.1\"},{\"address\":\"fd00::2/64\"}],"
			"\"routes\":[{\"dst\":\"10.1.0.0/16\",\"gw\":\"10.0.0.9\",\"mtu\":1300}]}");
	for (int v = 0; v < CNI_VERSIONS; v++) {
		json_t *result = result_make(v, NULL, &a, &host, &inner, "/n");

		assert_string_equal(json_string_value(json_object_get(result, "cniVersion")), cni_version_name(v));
		assert_int_equal(result_interface(result, "eth0", "/n"), 1);
		assert_int_equal(result_interface(result, "slc1", "/n"), -1);
		if (want[v])
			assert_json(json_incref(result), want[v]);
		else /* 0.3.0 and 0.4.0 differ from 0.3.1 in their number only */
			assert_string_equal(
				json_string_value(json_object_get(json_array_get(json_object_get(result, "ips"), 1), "version")),
				"6");
		json_decref(result);
	}
	addresses_free(&a);
}

static void a_previous_result_stays_in_front(void **state)
{
	json_t *prev = json("{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"a\"},{\"name\":\"b\"}],\"ips\":[{\"address\":"
			    "\"10.1.0.1/24\",\"interface\":1}],"
			    "\"dns\":{\"domain\":\"d\"}}");
	struct link inner = {.name = "eth0", .mac = "02:00:00:00:00:02", .mtu = 1400};
	struct addresses a;

	from_result(&a, "{\"ips\":[{\"address\":\"10.0.0.2/24\"}]}");
	assert_json(result_make(CNI_1_0_0, prev, &a, NULL, &inner, "/n"),
		    "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"eth0\",\"mac\":\"02:"
		    "00:00:00:00:02\",\"sandbox\":\"/n\"}],"
		    "\"ips\":[{\"address\":\"10.1.0.1/24\",\"interface\":1},{\"address\":\"10.0.0.2/"
		    "24\",\"interface\":2}],\"dns\":{\"domain\":\"d\"}}");
	assert_int_equal(json_array_size(json_object_get(prev, "interfaces")), 2);
	addresses_free(&a);
	json_decref(prev);
}

static void errors_are_json_whatever_is_in_them(void **state)
{
	char text[600];
	json_t *said;

	for (size_t n = 0; n < sizeof(text) - 1; n++)
		text[n] = n % 2 ? '\xa9' : '\xc3';
	text[sizeof(text) - 1] = '\0';
	cni_fail(&err, CNI_BAD_CONFIG, text, "x%s", text);
	said = result_error("1.0.0", &err);
	assert_int_equal(json_integer_value(json_object_get(said, "code")), CNI_BAD_CONFIG);
	assert_in_range(json_string_length(json_object_get(said, "msg")), 500, 511);
	assert_in_range(json_string_length(json_object_get(said, "details")), 500, 511);
	json_decref(said);
	cni_fail(&err, CNI_IO, NULL, "\xff\xff\xff\xff\xff");
	assert_json(result_error("1.0.0", &err), "{\"cniVersion\":\"1.0.0\",\"code\":5,\"msg\":\"(unreadable)\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_valid_and_stay_the_same),
		cmocka_unit_test(names_tell_apart_what_looks_alike),
		cmocka_unit_test(a_network_knows_its_ports),
		cmocka_unit_test(attributes_come_from_the_configuration),
		cmocka_unit_test(bandwidth_is_told_from_the_containers_side),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(del_and_gc_read_only_what_they_need),
		cmocka_unit_test(null_is_not_there),
		cmocka_unit_test(macs),
		cmocka_unit_test(asked_for_in_three_places),
		cmocka_unit_test(addresses_parse),
		cmocka_unit_test(any_version_of_a_result_is_read),
		cmocka_unit_test(a_gateway_is_used_where_a_route_says_so),
		cmocka_unit_test(who_asks_for_an_address_has_none_until_it_is_answered),
		cmocka_unit_test(the_configurations_name_servers_are_preferred),
		cmocka_unit_test(each_version_has_its_form),
		cmocka_unit_test(a_previous_result_stays_in_front),
		cmocka_unit_test(errors_are_json_whatever_is_in_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
