/* SPDX-License-Identifier: Apache-2.0 */

/* What a port may say: IPv6, neighbour discovery, extension headers. */

#include "spoof_frames.h"

/* --- IPv6 ----------------------------------------------------------------------------------------------------------------- */

static void ipv6_source_must_be_listed(void **state)
{
	struct spoof s = port(true, true, true);

	PASSES(&s, done(ip6("2001:db8::1", "2001:db8::2", 59)));
	REFUSED(&s, done(ip6("2001:db8::2", "2001:db8::1", 59)), SPOOF_IPV6);
	REFUSED(&s, done(ip6("fe80::1", "2001:db8::1", 59)), SPOOF_IPV6);
	REFUSED(&s, done(ip6("::", "2001:db8::1", 59)), SPOOF_IPV6);
}

static void link_local_address_of_the_mac_is_the_ports(void **state)
{
	struct spoof s = port(true, true, true), nomac = port(false, true, true);
	struct frame f = ip6(OUR_LL, "ff02::1:2", 17);

	udp(&f, 546, 547);
	PASSES(&s, done(f));
	REFUSED(&nomac, done(f), SPOOF_IPV6);
	REFUSED(&s, done(ip6("fe80::11:22ff:fe33:4456", "fe80::1", 59)), SPOOF_IPV6);
}

static void port_without_ipv6_addresses_speaks_only_nd_and_mld_from_link_local(void **state)
{
	struct spoof s = port(true, true, false);
	struct frame f = ip6(OUR_LL, "ff02::1:2", 17);

	udp(&f, 546, 547);
	REFUSED(&s, done(f), SPOOF_IPV6);
	REFUSED(&s, done(ip6("2001:db8::1", "ff02::1", 59)), SPOOF_IPV6);
	PASSES(&s, nd(NS, OUR_LL, "2001:db8::9", 1, OUR_MAC));
	PASSES(&s, nd(NA, OUR_LL, OUR_LL, 2, OUR_MAC));
	PASSES(&s, nd(RS, OUR_LL, NULL, 1, OUR_MAC));
	REFUSED(&s, nd(NA, OUR_LL, "2001:db8::9", 2, OUR_MAC), SPOOF_ND);
	REFUSED(&s, nd(NS, "2001:db8::1", "2001:db8::9", 1, OUR_MAC), SPOOF_IPV6);
	for (unsigned type = 0; type < 256; type++) {
		bool mld = type == 130 || type == 131 || type == 132 || type == 143;

		if (type >= RS && type <= REDIRECT)
			continue;
		f = ip6(OUR_LL, "ff02::16", 0);
		ext(&f, 58, 1);
		icmp6(&f, (uint8_t)type, 0);
		assert_int_equal(ask(&s, done(f)), mld ? SLC_DROP_N : SLC_DROP_SPOOF_IPV6);
	}
}

static void unspecified_source_may_report_solicit_and_detect_duplicates(void **state)
{
	struct spoof s[2] = {port(true, true, true), port(true, true, false)};

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned type = 0; type < 256; type++) {
			bool ok = type == 131 || type == 132 || type == 143;
			struct frame f = ip6("::", "ff02::16", 0);

			if (type >= RS && type <= REDIRECT)
				continue;
			ext(&f, 58, 1);
			icmp6(&f, (uint8_t)type, 0);
			assert_int_equal(ask(&s[i], done(f)), ok ? SLC_DROP_N : SLC_DROP_SPOOF_IPV6);
		}
		PASSES(&s[i], nd(RS, "::", NULL, 0, NULL));
		PASSES(&s[i], nd(NS, "::", OUR_LL, 0, NULL));
		REFUSED(&s[i], nd(NS, "::", "2001:db8::9", 0, NULL), SPOOF_ND);
		REFUSED(&s[i], nd(NA, "::", OUR_LL, 0, NULL), SPOOF_ND);
		REFUSED(&s[i], nd(RA, "::", NULL, 0, NULL), SPOOF_ND);
		REFUSED(&s[i], nd(REDIRECT, "::", OUR_LL, 0, NULL), SPOOF_ND);
	}
	PASSES(&s[0], nd(NS, "::", "2001:db8::1", 0, NULL));
	REFUSED(&s[1], nd(NS, "::", "2001:db8::1", 0, NULL), SPOOF_ND);
}

static void ipv6_header_must_be_whole(void **state)
{
	struct spoof s = port(true, false, true);
	struct frame f = ip6("2001:db8::1", "2001:db8::2", 17);

	udp(&f, 1, 2);
	f = done(f);
	for (unsigned n = 14; n < f.len; n++)
		assert_int_equal(ask_cut(&s, &f, n), n < 54 ? SLC_DROP_SPOOF_IPV6 : SLC_DROP_SPOOF_ND);
	PASSES(&s, f);
	zeros(&f, 6); /* padding */
	PASSES(&s, f);
	f.b[14] = 0x45;
	REFUSED(&s, f, SPOOF_IPV6);
}

/* --- neighbour discovery -------------------------------------------------------------------------------------------------- */

static void advertised_target_must_be_listed(void **state)
{
	struct spoof s = port(true, true, true);

	PASSES(&s, nd(NA, "2001:db8::1", "2001:db8::1", 2, OUR_MAC));
	PASSES(&s, nd(NA, OUR_LL, OUR_LL, 2, OUR_MAC));
	PASSES(&s, nd(NA, OUR_LL, "2001:db8::1", 0, NULL));
	REFUSED(&s, nd(NA, "2001:db8::1", "2001:db8::2", 2, OUR_MAC), SPOOF_ND);
	REFUSED(&s, nd(NA, "2001:db8::1", "fe80::1", 0, NULL), SPOOF_ND);
	REFUSED(&s, nd(NA, "2001:db8::2", "2001:db8::1", 2, OUR_MAC), SPOOF_IPV6);
	PASSES(&s, nd(NS, "2001:db8::1", "2001:db8::2", 1, OUR_MAC));
}

static void link_layer_options_must_name_the_ports_mac(void **state)
{
	struct spoof s = port(true, true, true), mac = port(true, false, false);

	for (uint8_t option = 1; option <= 2; option++) {
		for (uint8_t type = RS; type <= REDIRECT; type++) {
			bool router = type == RA || type == REDIRECT;

			REFUSED(&s, nd(type, "2001:db8::1", "2001:db8::1", option, OTHER_MAC), SPOOF_ND);
			REFUSED(&mac, nd(type, "2001:db8::9", "2001:db8::9", option, OTHER_MAC), SPOOF_ND);
			PASSES(&mac, nd(type, "2001:db8::9", "2001:db8::9", option, OUR_MAC));
			assert_int_equal(ask(&s, nd(type, "2001:db8::1", "2001:db8::1", option, OUR_MAC)),
					 router ? SLC_DROP_SPOOF_ND : SLC_DROP_N);
		}
	}
}

static void every_option_is_looked_at(void **state)
{
	struct spoof s = port(true, true, true);
	struct frame f = ip6("2001:db8::1", "ff02::1", 58), g;

	nd_target(&f, NS, "2001:db8::2");
	nd_option(&f, 14, "nonce!");
	put8(&f, 200); /* unknown, three units */
	put8(&f, 3);
	zeros(&f, 22);
	nd_option(&f, 1, OUR_MAC);
	PASSES(&s, done(f));
	nd_option(&f, 1, OTHER_MAC);
	REFUSED(&s, done(f), SPOOF_ND);
	/* An option of two units holds no Ethernet address, whatever its first six bytes say. */
	g = ip6("2001:db8::1", "ff02::1", 58);
	nd_target(&g, NS, "2001:db8::2");
	put8(&g, 1);
	put8(&g, 2);
	put(&g, OUR_MAC, 6);
	zeros(&g, 8);
	REFUSED(&s, done(g), SPOOF_ND);
}

static void options_of_length_zero_or_past_the_packet_are_refused(void **state)
{
	struct spoof s[2] = {port(true, true, true), port(true, false, false)};

	for (unsigned i = 0; i < 2; i++) {
		struct frame f = nd(NS, "2001:db8::1", "2001:db8::2", 1, OUR_MAC);

		PASSES(&s[i], f);
		f.b[f.len - 7] = 0;
		REFUSED(&s[i], f, SPOOF_ND);
		f.b[f.len - 7] = 2;
		REFUSED(&s[i], f, SPOOF_ND);
		f.b[f.len - 7] = 255;
		REFUSED(&s[i], f, SPOOF_ND);
		f.b[f.len - 8] = 14; /* one that nobody cares for */
		REFUSED(&s[i], f, SPOOF_ND);
		f.b[f.len - 7] = 1;
		PASSES(&s[i], f);
		/* Bytes after the packet are padding, not room for an option. */
		f.b[f.len - 7] = 2;
		zeros(&f, 8);
		REFUSED(&s[i], f, SPOOF_ND);
	}
}

static void option_walk_is_bounded(void **state)
{
	struct spoof s = port(true, true, true);
	struct frame f = ip6("2001:db8::1", "ff02::1", 58);

	nd_target(&f, NS, "2001:db8::2");
	for (unsigned i = 0; i < 192; i++)
		nd_option(&f, 14, "nonce!");
	f = done(f);
	assert_int_equal(ask_one(&s, &f, f.len, f.len, 1, 0), SLC_DROP_N);
	nd_option(&f, 14, "nonce!");
	f = done(f);
	assert_int_equal(ask_one(&s, &f, f.len, f.len, 1, 0), SLC_DROP_SPOOF_ND);
}

static void truncated_nd_is_refused_at_every_byte(void **state)
{
	struct spoof s = port(true, true, true), mac = port(true, false, false);

	for (uint8_t type = RS; type <= REDIRECT; type++) {
		struct frame f = nd(type, "2001:db8::1", "2001:db8::1", 1, OUR_MAC);

		for (unsigned n = 14; n < f.len; n++) {
			/* The frame is cut: the packet says that there is more. */
			assert_int_equal(ask_cut(&s, &f, n), n < 54 ? SLC_DROP_SPOOF_IPV6 : SLC_DROP_SPOOF_ND);
			assert_int_equal(ask_cut(&mac, &f, n), SLC_DROP_N);
		}
		for (unsigned n = 54; n < f.len; n++) {
			struct frame g = f;
			bool whole = n == f.len - 8; /* before its option */

			/* The packet itself ends there. */
			g.len = n;
			g = done(g);
			assert_int_equal(ask(&s, g), whole && type != RA && type != REDIRECT ? SLC_DROP_N : SLC_DROP_SPOOF_ND);
			assert_int_equal(ask(&mac, g), whole || n == 54 ? SLC_DROP_N : SLC_DROP_SPOOF_ND);
			zeros(&g, 20); /* padding must not make it whole */
			assert_int_equal(ask(&mac, g), whole || n == 54 ? SLC_DROP_N : SLC_DROP_SPOOF_ND);
		}
	}
}

/* --- extension headers ---------------------------------------------------------------------------------------------------- */

static void nd_is_found_behind_extension_headers(void **state)
{
	static const uint8_t kinds[] = {0, 43, 60, 51};
	struct spoof s = port(true, true, true);

	for (unsigned i = 0; i < sizeof(kinds); i++) {
		for (unsigned j = 0; j < sizeof(kinds); j++) {
			struct frame f = ip6("2001:db8::1", "ff02::1", kinds[i]), g;

			ext(&f, kinds[j], kinds[i] == 51 ? 3 : 2);
			ext(&f, 58, kinds[j] == 51 ? 3 : 2);
			/* AH counts in words of four bytes and leaves out two of them: 24 bytes are 4. */
			if (kinds[i] == 51)
				f.b[55] = 4;
			if (kinds[j] == 51)
				f.b[54 + (kinds[i] == 51 ? 24 : 16) + 1] = 4;
			g = f;
			nd_target(&f, NA, "2001:db8::1");
			PASSES(&s, done(f));
			nd_target(&g, NA, "2001:db8::2");
			REFUSED(&s, done(g), SPOOF_ND);
		}
	}
}

static void too_many_extension_headers_are_refused_with_ips(void **state)
{
	struct spoof s = port(true, true, true), mac = port(true, false, false);

	for (unsigned n = 0; n <= SPOOF_MAX_EXT + 1; n++) {
		struct frame f = ip6("2001:db8::1", "ff02::1", n ? 60 : 58);

		for (unsigned i = 0; i < n; i++)
			ext(&f, i + 1 < n ? 60 : 58, 1);
		icmp6(&f, 128, 0);
		assert_int_equal(ask(&s, done(f)), n <= SPOOF_MAX_EXT ? SLC_DROP_N : SLC_DROP_SPOOF_ND);
		PASSES(&mac, done(f));
	}
}

static void truncated_extension_header_is_refused_with_ips(void **state)
{
	static const uint8_t kinds[] = {0, 43, 44, 60, 51};
	struct spoof s = port(true, true, true);

	for (unsigned i = 0; i < sizeof(kinds); i++) {
		struct frame f = ip6("2001:db8::1", "2001:db8::2", kinds[i]), g;

		if (kinds[i] == 44)
			fragment(&f, 17, 0, false);
		else
			ext(&f, 17, kinds[i] == 51 ? 2 : 1);
		if (kinds[i] == 51)
			f.b[55] = 2;
		PASSES(&s, done(f));
		for (unsigned n = 54; n < f.len; n++) {
			g = f;
			g.len = n;
			g = done(g);
			REFUSED(&s, g, SPOOF_ND);
			zeros(&g, 30);
			REFUSED(&s, g, SPOOF_ND);
		}
		if (kinds[i] == 44)
			continue;
		g = f;
		g.b[55] = 255; /* a header longer than the packet */
		REFUSED(&s, done(g), SPOOF_ND);
	}
}

static void nd_behind_a_fragment_header_is_refused_with_ips(void **state)
{
	struct spoof s = port(true, true, true);

	for (unsigned more = 0; more <= 1; more++) {
		struct frame f = ip6("2001:db8::1", "ff02::1", 44), g;

		fragment(&f, 58, 0, more);
		g = f;
		nd_target(&f, NS, "2001:db8::2");
		REFUSED(&s, done(f), SPOOF_ND);
		icmp6(&g, 128, 0);
		PASSES(&s, done(g));
	}
}

static void first_fragment_must_hold_its_headers(void **state)
{
	struct spoof s = port(true, true, true);
	struct frame f = ip6("2001:db8::1", "ff02::1", 44);

	fragment(&f, 60, 0, true);
	put8(&f, 58); /* destination options of 16 bytes, of which 8 are here */
	put8(&f, 1);
	zeros(&f, 6);
	REFUSED(&s, done(f), SPOOF_ND);
	f = ip6("2001:db8::1", "ff02::1", 44);
	fragment(&f, 58, 0, true);
	REFUSED(&s, done(f), SPOOF_ND);
}

static void later_fragments_pass_by_their_source(void **state)
{
	struct spoof s = port(true, true, true), v4 = port(true, true, false);
	struct frame f = ip6("2001:db8::1", "ff02::1", 44), g;

	fragment(&f, 58, 1, false);
	nd_target(&f, NA, "2001:db8::2"); /* bytes of a packet's middle that look like a message */
	PASSES(&s, done(f));
	REFUSED(&v4, done(f), SPOOF_IPV6);
	g = ip6("::", "ff02::1", 44);
	fragment(&g, 58, 1, false);
	icmp6(&g, 143, 0);
	REFUSED(&s, done(g), SPOOF_IPV6);
	g = ip6(OUR_LL, "ff02::1", 44);
	fragment(&g, 58, 1, false);
	icmp6(&g, 143, 0);
	PASSES(&s, done(g));
	REFUSED(&v4, done(g), SPOOF_IPV6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv6_source_must_be_listed),
		cmocka_unit_test(link_local_address_of_the_mac_is_the_ports),
		cmocka_unit_test(port_without_ipv6_addresses_speaks_only_nd_and_mld_from_link_local),
		cmocka_unit_test(unspecified_source_may_report_solicit_and_detect_duplicates),
		cmocka_unit_test(ipv6_header_must_be_whole),
		cmocka_unit_test(advertised_target_must_be_listed),
		cmocka_unit_test(link_layer_options_must_name_the_ports_mac),
		cmocka_unit_test(every_option_is_looked_at),
		cmocka_unit_test(options_of_length_zero_or_past_the_packet_are_refused),
		cmocka_unit_test(option_walk_is_bounded),
		cmocka_unit_test(truncated_nd_is_refused_at_every_byte),
		cmocka_unit_test(nd_is_found_behind_extension_headers),
		cmocka_unit_test(too_many_extension_headers_are_refused_with_ips),
		cmocka_unit_test(truncated_extension_header_is_refused_with_ips),
		cmocka_unit_test(nd_behind_a_fragment_header_is_refused_with_ips),
		cmocka_unit_test(first_fragment_must_hold_its_headers),
		cmocka_unit_test(later_fragments_pass_by_their_source),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
