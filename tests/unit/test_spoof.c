/* SPDX-License-Identifier: Apache-2.0 */

/* What a port may say: MAC, IPv4, ARP, and what hides them. (IPv6 and neighbour discovery: test_spoof_ipv6.c) */

#include "spoof_frames.h"

/* --- MAC ------------------------------------------------------------------------------------------------------------------ */

static void ethernet_source_must_be_the_ports_mac(void **state)
{
	struct spoof s = port(true, true, true), open = port(false, true, true);
	struct frame f = eth(OTHER_MAC, 0x0800);

	ip4(&f, "10.0.0.1", "10.0.0.2", 1);
	REFUSED(&s, f, SPOOF_MAC);
	PASSES(&open, f);
	REFUSED(&s, eth(OTHER_MAC, 0x88cc), SPOOF_MAC);
	PASSES(&s, eth(OUR_MAC, 0x88cc));
	f = eth(OUR_MAC, 0x88cc);
	for (unsigned n = 1; n < 12; n++)
		assert_int_equal(ask_cut(&s, &f, n), SLC_DROP_SPOOF_MAC);
}

static void port_without_mac_and_ips_may_say_anything(void **state)
{
	struct spoof s = port(false, false, false);
	struct frame f = eth(OTHER_MAC, 0x86dd);

	PASSES(&s, f);
	PASSES(&s, eth(OTHER_MAC, 0x8100));
	PASSES(&s, udp4("1.2.3.4", "5.6.7.8", 1, 2));
	PASSES(&s, nd(RA, "fe80::1", NULL, 1, OTHER_MAC));
	PASSES(&s, arp(2, OTHER_MAC, "9.9.9.9"));
}

/* --- IPv4, ARP ------------------------------------------------------------------------------------------------------------ */

static void ipv4_source_must_be_listed(void **state)
{
	struct spoof s = port(true, true, false);
	struct frame f;

	PASSES(&s, udp4("10.0.0.1", "10.0.0.2", 1, 2));
	REFUSED(&s, udp4("10.0.0.2", "10.0.0.1", 1, 2), SPOOF_IPV4);
	REFUSED(&s, udp4("0.0.0.0", "10.0.0.2", 1, 2), SPOOF_IPV4);
	f = eth_tagged(OUR_MAC, 0x0800);
	ip4(&f, "10.0.0.1", "10.0.0.2", 6);
	PASSES(&s, f);
	f.b[f.l2 + 15] ^= 1;
	REFUSED(&s, f, SPOOF_IPV4);
}

static void prefix_shorter_than_the_address_is_a_subnet(void **state)
{
	struct dp_port_conf c = {0};
	struct spoof s;

	add_ip(&c, "192.168.77.9", 23);
	add_ip(&c, "2001:db8:0:40::9", 58);
	add_ip(&c, "2001:db8:1::8000:0:0", 81);
	spoof_init(&s, &c);
	PASSES(&s, udp4("192.168.76.0", "10.0.0.2", 1, 2));
	PASSES(&s, udp4("192.168.77.255", "10.0.0.2", 1, 2));
	REFUSED(&s, udp4("192.168.78.0", "10.0.0.2", 1, 2), SPOOF_IPV4);
	REFUSED(&s, udp4("192.168.75.255", "10.0.0.2", 1, 2), SPOOF_IPV4);
	PASSES(&s, done(ip6("2001:db8:0:7f::1", "2001:db8::2", 59)));
	REFUSED(&s, done(ip6("2001:db8:0:80::1", "2001:db8::2", 59)), SPOOF_IPV6);
	PASSES(&s, done(ip6("2001:db8:1::ffff:0:1", "2001:db8::2", 59)));
	REFUSED(&s, done(ip6("2001:db8:1::7fff:0:1", "2001:db8::2", 59)), SPOOF_IPV6);

	c.n_ips = 0;
	add_ip(&c, "0.0.0.0", 0);
	add_ip(&c, "::", 0);
	spoof_init(&s, &c);
	PASSES(&s, udp4("8.8.8.8", "10.0.0.2", 1, 2));
	PASSES(&s, done(ip6("2600::1", "2001:db8::2", 59)));
}

static void every_listed_address_counts(void **state)
{
	struct dp_port_conf c = {0};
	struct spoof s;
	char text[32];

	for (unsigned i = 0; i < DP_MAX_IPS; i++) {
		snprintf(text, sizeof(text), i % 2 ? "10.0.0.%u" : "2001:db8::%u", i);
		add_ip(&c, text, i % 2 ? 32 : 128);
	}
	spoof_init(&s, &c);
	for (unsigned i = 0; i < DP_MAX_IPS; i++) {
		snprintf(text, sizeof(text), i % 2 ? "10.0.0.%u" : "2001:db8::%u", i);
		PASSES(&s, i % 2 ? udp4(text, "10.1.1.1", 1, 2) : done(ip6(text, "2001:db8::99", 59)));
	}
	REFUSED(&s, udp4("10.0.0.2", "10.1.1.1", 1, 2), SPOOF_IPV4);
	REFUSED(&s, done(ip6("2001:db8::1", "2001:db8::99", 59)), SPOOF_IPV6);
}

static void ipv4_header_must_be_whole(void **state)
{
	struct spoof s = port(true, true, false);
	struct frame f = udp4("10.0.0.1", "10.0.0.2", 1, 2);

	for (unsigned n = 14; n < f.len; n++)
		assert_int_equal(ask_cut(&s, &f, n), n < 34 ? SLC_DROP_SPOOF_IPV4 : SLC_DROP_N);
	f.b[14] = 0x47; /* 8 bytes of options: the frame ends with them */
	for (unsigned n = 34; n <= f.len; n++)
		assert_int_equal(ask_cut(&s, &f, n), n < 42 ? SLC_DROP_SPOOF_IPV4 : SLC_DROP_N);
	f.b[14] = 0x44;
	REFUSED(&s, f, SPOOF_IPV4);
	f.b[14] = 0x65;
	REFUSED(&s, f, SPOOF_IPV4);
}

static void dhcp_request_passes_before_there_is_an_address(void **state)
{
	struct spoof v4 = port(true, true, false), v6 = port(true, false, true);
	struct frame f = udp4("0.0.0.0", "255.255.255.255", 68, 67), g;

	PASSES(&v4, f);
	PASSES(&v6, f);
	for (unsigned n = 14; n < 42; n++)
		assert_int_equal(ask_cut(&v4, &f, n), SLC_DROP_SPOOF_IPV4);
	REFUSED(&v4, udp4("0.0.0.0", "255.255.255.255", 67, 68), SPOOF_IPV4);
	REFUSED(&v4, udp4("0.0.0.0", "255.255.255.255", 68, 69), SPOOF_IPV4);
	REFUSED(&v4, udp4("0.0.0.0", "10.0.0.255", 68, 67), SPOOF_IPV4);
	REFUSED(&v4, udp4("10.0.0.2", "255.255.255.255", 68, 67), SPOOF_IPV4);
	g = f;
	g.b[g.l2 + 9] = 6; /* TCP */
	REFUSED(&v4, g, SPOOF_IPV4);
	g = f;
	g.b[g.l2 + 6] = 0x20; /* first of several fragments: the rest could be anything */
	REFUSED(&v4, g, SPOOF_IPV4);
	g = f;
	g.b[g.l2 + 7] = 1;
	REFUSED(&v4, g, SPOOF_IPV4);
	/* Behind options the ports are elsewhere: look there. */
	g = eth(OUR_MAC, 0x0800);
	ip4(&g, "0.0.0.0", "255.255.255.255", 17);
	g.b[g.l2] = 0x46;
	udp(&g, 68, 67);
	REFUSED(&v4, g, SPOOF_IPV4);
	g.len -= 8;
	zeros(&g, 4);
	udp(&g, 68, 67);
	PASSES(&v4, g);
}

static void port_without_ipv4_addresses_speaks_no_ipv4(void **state)
{
	struct spoof s = port(true, false, true);

	REFUSED(&s, udp4("10.0.0.1", "10.0.0.2", 1, 2), SPOOF_IPV4);
	REFUSED(&s, arp(1, OUR_MAC, "10.0.0.1"), SPOOF_ARP);
	PASSES(&s, arp(1, OUR_MAC, "0.0.0.0"));
}

static void arp_sender_must_be_the_port(void **state)
{
	struct spoof s = port(true, true, false), mac = port(true, false, false), ips = port(false, true, false);

	for (unsigned op = 1; op <= 2; op++) {
		PASSES(&s, arp(op, OUR_MAC, "10.0.0.1"));
		REFUSED(&s, arp(op, OUR_MAC, "10.0.0.2"), SPOOF_ARP);
		REFUSED(&s, arp(op, OTHER_MAC, "10.0.0.1"), SPOOF_ARP);
		PASSES(&mac, arp(op, OUR_MAC, "10.0.0.2"));
		REFUSED(&mac, arp(op, OTHER_MAC, "10.0.0.2"), SPOOF_ARP);
		PASSES(&ips, arp(op, OTHER_MAC, "10.0.0.1"));
		REFUSED(&ips, arp(op, OTHER_MAC, "10.0.0.2"), SPOOF_ARP);
	}
}

static void arp_probe_passes_and_an_answer_from_nobody_does_not(void **state)
{
	struct spoof s = port(true, true, false);

	PASSES(&s, arp(1, OUR_MAC, "0.0.0.0"));
	REFUSED(&s, arp(1, OTHER_MAC, "0.0.0.0"), SPOOF_ARP);
	REFUSED(&s, arp(2, OUR_MAC, "0.0.0.0"), SPOOF_ARP);
}

static void rarp_is_held_to_the_rules_of_arp(void **state)
{
	struct spoof s = port(true, true, false);

	PASSES(&s, arp_of(0x8035, 3, OUR_MAC, "0.0.0.0"));
	PASSES(&s, arp_of(0x8035, 4, OUR_MAC, "10.0.0.1"));
	REFUSED(&s, arp_of(0x8035, 3, OTHER_MAC, "0.0.0.0"), SPOOF_ARP);
	REFUSED(&s, arp_of(0x8035, 4, OUR_MAC, "10.0.0.2"), SPOOF_ARP);
	REFUSED(&s, arp_of(0x8035, 4, OUR_MAC, "0.0.0.0"), SPOOF_ARP);
}

static void arp_must_be_whole_and_of_ethernet_and_ipv4(void **state)
{
	struct spoof s[2] = {port(true, true, false), port(true, false, false)};

	for (unsigned i = 0; i < 2; i++) {
		struct frame f = arp(2, OUR_MAC, "10.0.0.1"), g;

		for (unsigned n = 14; n < f.len; n++)
			assert_int_equal(ask_cut(&s[i], &f, n), SLC_DROP_SPOOF_ARP);
		zeros(&f, 18); /* Ethernet's padding */
		PASSES(&s[i], f);
		g = f;
		g.b[18] = 8; /* address lengths that move the addresses */
		REFUSED(&s[i], g, SPOOF_ARP);
		g = f;
		g.b[19] = 16;
		REFUSED(&s[i], g, SPOOF_ARP);
		g = f;
		g.b[17] = 1;
		REFUSED(&s[i], g, SPOOF_ARP);
		g = f;
		g.b[15] = 6; /* IEEE 802 hardware type: receivers take it as Ethernet, so do we */
		PASSES(&s[i], g);
		g.b[27]++;
		REFUSED(&s[i], g, SPOOF_ARP);
	}
}

/* --- what cannot be seen -------------------------------------------------------------------------------------------------- */

static void more_tags_than_the_switch_looks_through_are_refused_with_ips(void **state)
{
	static const uint16_t tags[] = {0x8100, 0x88a8, 0x9100, 0x9200};
	struct spoof s = port(true, true, true), mac = port(true, false, false);

	for (unsigned i = 0; i < 4; i++) {
		REFUSED(&s, eth(OUR_MAC, tags[i]), SPOOF_IPV4);
		PASSES(&mac, eth(OUR_MAC, tags[i]));
	}
}

static void snap_does_not_hide_ip(void **state)
{
	static const struct {
		uint16_t type;
		enum slc_drop why;
	} inner[] = {
		{0x0800, SLC_DROP_SPOOF_IPV4}, {0x86dd, SLC_DROP_SPOOF_IPV6}, {0x0806, SLC_DROP_SPOOF_ARP},
		{0x8035, SLC_DROP_SPOOF_ARP},  {0x8100, SLC_DROP_SPOOF_IPV4}, {0x2000, SLC_DROP_N},
	};
	struct spoof s = port(true, true, true), mac = port(true, false, false);

	for (unsigned i = 0; i < sizeof(inner) / sizeof(inner[0]); i++) {
		struct frame f = eth(OUR_MAC, 100);

		put(&f, "\xaa\xaa\x03\0\0\0", 6);
		put16(&f, inner[i].type);
		assert_int_equal(ask(&s, f), inner[i].why);
		PASSES(&mac, f);
		for (unsigned n = 14; n < f.len; n++)
			assert_int_equal(ask_cut(&s, &f, n), SLC_DROP_N);
		f.b[14] = 0x42; /* spanning tree's LLC */
		PASSES(&s, f);
	}
}

static void other_ethertypes_pass(void **state)
{
	struct spoof s = port(true, true, true);

	PASSES(&s, eth(OUR_MAC, 0x88cc));
	PASSES(&s, eth(OUR_MAC, 0x8847));
	PASSES(&s, eth(OUR_MAC, 0x8863));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ethernet_source_must_be_the_ports_mac),
		cmocka_unit_test(port_without_mac_and_ips_may_say_anything),
		cmocka_unit_test(ipv4_source_must_be_listed),
		cmocka_unit_test(prefix_shorter_than_the_address_is_a_subnet),
		cmocka_unit_test(every_listed_address_counts),
		cmocka_unit_test(ipv4_header_must_be_whole),
		cmocka_unit_test(dhcp_request_passes_before_there_is_an_address),
		cmocka_unit_test(port_without_ipv4_addresses_speaks_no_ipv4),
		cmocka_unit_test(arp_sender_must_be_the_port),
		cmocka_unit_test(arp_probe_passes_and_an_answer_from_nobody_does_not),
		cmocka_unit_test(rarp_is_held_to_the_rules_of_arp),
		cmocka_unit_test(arp_must_be_whole_and_of_ethernet_and_ipv4),
		cmocka_unit_test(more_tags_than_the_switch_looks_through_are_refused_with_ips),
		cmocka_unit_test(snap_does_not_hide_ip),
		cmocka_unit_test(other_ethertypes_pass),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
