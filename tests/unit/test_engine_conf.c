/* SPDX-License-Identifier: Apache-2.0 */

/* From a port's configuration to what the kernel programs read; no kernel is needed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "inside.h"

static struct kern_port_conf good(void)
{
	struct kern_port_conf c = {.name = "web1", .netns = "web1", .ifname = "eth0", .vlan = 100};

	return c;
}

static void add(struct kern_ip *ips, uint8_t *n, const char *text, uint8_t prefix)
{
	struct kern_ip *ip = &ips[(*n)++];

	ip->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	ip->prefix = prefix;
	assert_int_equal(inet_pton(ip->family, text, &ip->v4), 1);
}

static void refused(const struct kern_port_conf *c, const char *attr)
{
	struct kern_error err = {0};

	assert_true(check_port(c, &err) < 0);
	assert_string_equal(err.attr, attr);
	assert_true(err.msg[0] && err.name);
	/* Without somebody to tell it is refused as well. */
	assert_true(check_port(c, NULL) < 0);
}

/* --- what is good ---------------------------------------------------------------------------------------------------------- */

static void a_plain_configuration_is_good(void **state)
{
	struct kern_port_conf c = good();

	assert_int_equal(check_port(&c, NULL), 0);
}

static void names_end_within_their_room(void **state)
{
	struct kern_port_conf c = good();

	memset(c.name, 'a', sizeof(c.name));
	refused(&c, "name");
	c.name[63] = '\0';
	assert_int_equal(check_port(&c, NULL), 0);
	memset(c.ifname, 'a', sizeof(c.ifname));
	refused(&c, "ifname");
	c = good();
	memset(c.netns, 'a', sizeof(c.netns));
	refused(&c, "netns");
}

static void names_of_the_node_itself_are_taken(void **state)
{
	struct kern_port_conf c = good();

	strcpy(c.name, "host");
	refused(&c, "name");
	strcpy(c.name, "trunk");
	refused(&c, "name");
	strcpy(c.name, "a/b");
	refused(&c, "name");
	c.name[0] = '\0';
	refused(&c, "name");
}

static void a_gateway_is_in_a_subnet_or_link_local(void **state)
{
	struct kern_port_conf c = good();

	add(c.addrs, &c.n_addrs, "10.1.2.3", 22);
	c.has_gateway4 = true;
	inet_pton(AF_INET, "10.1.3.254", &c.gateway4);
	assert_int_equal(check_port(&c, NULL), 0);
	inet_pton(AF_INET, "10.1.4.1", &c.gateway4);
	refused(&c, "gateway");
	c.has_gateway4 = false;
	c.has_gateway6 = true;
	inet_pton(AF_INET6, "2001:db8::1", &c.gateway6);
	refused(&c, "gateway");
	inet_pton(AF_INET6, "fe80::1", &c.gateway6);
	assert_int_equal(check_port(&c, NULL), 0);
}

static void vlan_and_mode_agree(void **state)
{
	struct kern_port_conf c = good();

	c.vlan_mode = KERN_VLAN_TRUNK;
	refused(&c, "vlan");
	c.vlan = 0;
	assert_int_equal(check_port(&c, NULL), 0);
	for (c.vlan_mode = KERN_VLAN_NATIVE_TAGGED; c.vlan_mode <= KERN_VLAN_DOT1Q_TUNNEL; c.vlan_mode++)
		refused(&c, "vlan");
	refused(&c, "vlan_mode");
}

/* --- compiled --------------------------------------------------------------------------------------------------------------- */

static void link_local_address_is_made_from_the_mac(void **state)
{
	static const uint8_t mac[6] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x55};
	struct kern_port_conf c = good();
	struct in6_addr want;
	struct slc_k_conf k;

	c.has_mac = true;
	memcpy(c.mac, mac, 6);
	port_compile(&c, &k);
	inet_pton(AF_INET6, "fe80::11:22ff:fe33:4455", &want);
	assert_memory_equal(k.link_local, &want, 16);
	assert_true(k.flags & SLC_K_HAS_MAC);
}

static void prefixes_become_masks(void **state)
{
	static const struct {
		const char *addr, *net, *mask;
		uint8_t prefix;
	} v6[] = {
		{"2001:db8::1", "2001:db8::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128},
		{"2001:db8:0:7f::1", "2001:db8:0:40::", "ffff:ffff:ffff:ffc0::", 58},
		{"2001:db8::ffff:1", "2001:db8::8000:0", "ffff:ffff:ffff:ffff:ffff:ffff:8000:0", 97},
		{"2001:db8::1", "::", "::", 0},
	};
	struct kern_port_conf c = good();
	struct slc_k_conf k;
	struct in6_addr want;

	add(c.ips, &c.n_ips, "192.168.77.9", 23);
	add(c.ips, &c.n_ips, "10.0.0.1", 32);
	add(c.ips, &c.n_ips, "10.0.0.1", 0);
	for (unsigned i = 0; i < 4; i++)
		add(c.ips, &c.n_ips, v6[i].addr, v6[i].prefix);
	port_compile(&c, &k);
	assert_int_equal(k.n4, 3);
	assert_int_equal(k.n6, 4);
	assert_int_equal(ntohl(k.net4[0].net), 0xc0a84c00);
	assert_int_equal(ntohl(k.net4[0].mask), 0xfffffe00);
	assert_int_equal(ntohl(k.net4[1].mask), 0xffffffff);
	assert_int_equal(k.net4[2].mask, 0);
	for (unsigned i = 0; i < 4; i++) {
		inet_pton(AF_INET6, v6[i].net, &want);
		assert_memory_equal(k.net6[i].net, &want, 16);
		inet_pton(AF_INET6, v6[i].mask, &want);
		assert_memory_equal(k.net6[i].mask, &want, 16);
	}
}

static void a_port_carries_what_its_mode_says(void **state)
{
	struct kern_port_conf c = good();

	assert_true(port_carries(&c, 100));
	assert_false(port_carries(&c, 0));
	assert_false(port_carries(&c, 200));
	c.vlan_mode = KERN_VLAN_NATIVE_UNTAGGED;
	assert_true(port_carries(&c, 4094));
	assert_false(port_carries(&c, 0));
	c.trunks.given = true;
	c.trunks.bits[200 / 64] |= 1ull << 200 % 64;
	assert_true(port_carries(&c, 100) && port_carries(&c, 200));
	assert_false(port_carries(&c, 300));
	c.vlan_mode = KERN_VLAN_TRUNK;
	c.vlan = 0;
	assert_false(port_carries(&c, 0));
	assert_true(port_carries(&c, 200));
}

/* A bucket's arithmetic must hold at every rate: the longest pause that is credited fits beside a full bucket. */
static void rates_do_not_overflow(void **state)
{
	static const uint64_t rates[] = {1, 31, 32, 3200, 1000000, 10000000000ull, UINT64_MAX / 2000000000};

	for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct slc_k_rate r = port_rate(rates[i], 0);
		uint64_t credit = r.max_ns * r.per_s;

		assert_int_equal(credit / r.per_s, r.max_ns);
		assert_true(r.cap <= INT64_MAX && credit <= INT64_MAX && credit + r.cap <= INT64_MAX);
		/* The default burst: 10 ms, or 32 frames. */
		assert_true(r.cap >= 32ull * 1000000000);
		/* A pause that is credited whole fills the bucket. */
		assert_true(credit >= r.cap || r.max_ns > 1000000000);
	}
	assert_int_equal(port_rate(0, 0).per_s, 0);
}

static void an_alias_names_engine_and_port(void **state)
{
	struct kern e = {.id = 0x1234}, other = {.id = 0x1235};
	char alias[128];

	port_alias(&e, "web1", alias);
	assert_string_equal(port_of_alias(&e, alias), "web1");
	assert_null(port_of_alias(&other, alias));
	assert_null(port_of_alias(&e, "something else"));
	assert_null(port_of_alias(&e, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_configuration_is_good),
		cmocka_unit_test(names_end_within_their_room),
		cmocka_unit_test(names_of_the_node_itself_are_taken),
		cmocka_unit_test(a_gateway_is_in_a_subnet_or_link_local),
		cmocka_unit_test(vlan_and_mode_agree),
		cmocka_unit_test(link_local_address_is_made_from_the_mac),
		cmocka_unit_test(prefixes_become_masks),
		cmocka_unit_test(a_port_carries_what_its_mode_says),
		cmocka_unit_test(rates_do_not_overflow),
		cmocka_unit_test(an_alias_names_engine_and_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
