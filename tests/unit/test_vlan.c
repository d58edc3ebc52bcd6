/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Admission and tagging, rule by rule. What every mode does with every stack of tags is checked frame by frame, against Open vSwitch's
 * answers, by tests/system/test_vlan.py; here are the rules by name, and what the rewriting does to buffers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "offload.h"
#include "vlan.h"

#define PAYLOAD 46

static struct rte_mempool *pool;

static struct vlan_port mode(enum dp_vlan_mode m, uint16_t vlan)
{
	struct dp_port_conf conf = {.vlan_mode = m, .vlan = vlan};
	struct vlan_port vp;

	vlan_port_init(&vp, &conf);
	return vp;
}

/* A port whose class has this code point. */
static struct vlan_port classed(enum dp_vlan_mode m, uint16_t vlan, uint8_t pcp)
{
	struct dp_port_conf conf = {.vlan_mode = m, .vlan = vlan, .has_pcp = true, .pcp = pcp};
	struct vlan_port vp;

	vlan_port_init(&vp, &conf);
	return vp;
}

static struct vlan_port trunk_of(enum dp_vlan_mode m, uint16_t vlan, const uint16_t *vids, unsigned n)
{
	struct dp_port_conf conf = {.vlan_mode = m, .vlan = vlan, .trunks.given = true};
	struct vlan_port vp;

	for (unsigned i = 0; i < n; i++)
		conf.trunks.bits[vids[i] >> 6] |= 1ull << (vids[i] & 63);
	vlan_port_init(&vp, &conf);
	return vp;
}

/* A frame with the given tags, as TPID << 16 | TCI. Returns its length. */
static unsigned build(uint8_t *p, const uint32_t *tags, unsigned n)
{
	unsigned at = 12;

	memset(p, 0x5a, 14 + 4 * n + PAYLOAD);
	memcpy(p, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
	for (unsigned i = 0; i < n; i++, at += 4) {
		p[at] = tags[i] >> 24;
		p[at + 1] = tags[i] >> 16;
		p[at + 2] = tags[i] >> 8;
		p[at + 3] = tags[i];
	}
	p[at] = 0x08;
	p[at + 1] = 0x00;
	return at + 2 + PAYLOAD;
}

static enum slc_drop admit(const struct vlan_port *vp, struct vlan_frame *f, unsigned n, const uint32_t *tags)
{
	uint8_t buf[128];
	unsigned len = build(buf, tags, n);

	return vlan_admit(vp, buf, len, f);
}

#define ADMIT(vp, f, ...) admit(vp, f, sizeof((uint32_t[]){__VA_ARGS__}) / 4, (uint32_t[]){__VA_ARGS__})
#define C(tci)		  (0x81000000u | (tci))
#define S(tci)		  (0x88a80000u | (tci))

static void access_port_admits_untagged_and_priority_tagged_only(void **state)
{
	struct vlan_port vp = mode(DP_VLAN_ACCESS, 100);
	struct vlan_frame f;

	assert_int_equal(admit(&vp, &f, 0, NULL), SLC_DROP_N);
	assert_int_equal(f.vid, 100);
	assert_int_equal(ADMIT(&vp, &f, C(0xa000)), SLC_DROP_N);
	assert_int_equal(f.vid, 100);
	assert_int_equal(f.tci, 0xa000 | 100);
	assert_int_equal(ADMIT(&vp, &f, C(100)), SLC_DROP_VLAN_INGRESS);
	assert_int_equal(ADMIT(&vp, &f, C(200)), SLC_DROP_VLAN_INGRESS);
	assert_int_equal(ADMIT(&vp, &f, S(100)), SLC_DROP_VLAN_INGRESS);
}

static void tag_inside_a_priority_tag_does_not_survive_an_access_port(void **state)
{
	struct vlan_port access = mode(DP_VLAN_ACCESS, 100), tunnel = mode(DP_VLAN_DOT1Q_TUNNEL, 100);
	struct vlan_form form;
	struct vlan_frame f;

	assert_int_equal(ADMIT(&access, &f, C(0), C(200)), SLC_DROP_N);
	assert_int_equal(f.vid, 100);
	form = vlan_egress_form(&tunnel, &f);
	assert_int_equal(form.strip, 2);
	assert_int_equal(form.push, 0);
}

/* The switch looks through two tags. Taking those off would show a third to whoever is behind the port. */
static void access_port_takes_and_gives_no_third_tag(void **state)
{
	struct vlan_port access = mode(DP_VLAN_ACCESS, 100), trunk = mode(DP_VLAN_TRUNK, 0);
	struct vlan_frame f;

	assert_int_equal(ADMIT(&access, &f, C(0), C(7), C(300)), SLC_DROP_VLAN_INGRESS);
	assert_int_equal(ADMIT(&access, &f, C(0), C(0), C(300)), SLC_DROP_VLAN_INGRESS);
	assert_int_equal(ADMIT(&access, &f, C(0), C(0), S(300)), SLC_DROP_VLAN_INGRESS);
	assert_int_equal(ADMIT(&access, &f, C(0), C(0)), SLC_DROP_N);

	assert_int_equal(ADMIT(&trunk, &f, C(100), C(0), C(300)), SLC_DROP_N);
	assert_false(vlan_egress_ok(&access, &f));
	assert_true(vlan_egress_ok(&trunk, &f));
	assert_int_equal(ADMIT(&trunk, &f, C(100), C(0), S(300)), SLC_DROP_N);
	assert_false(vlan_egress_ok(&access, &f));
	/* An empty tag alone hides nothing, and goes with the other. */
	assert_int_equal(ADMIT(&trunk, &f, C(100), C(0)), SLC_DROP_N);
	assert_true(vlan_egress_ok(&access, &f));
	assert_int_equal(vlan_egress_form(&access, &f).strip, 2);
}

static void trunk_admits_its_vlans_and_vlan_0_only_if_named(void **state)
{
	struct vlan_port all = mode(DP_VLAN_TRUNK, 0);
	struct vlan_port some = trunk_of(DP_VLAN_TRUNK, 0, (uint16_t[]){100, 200}, 2);
	struct vlan_port zero = trunk_of(DP_VLAN_TRUNK, 0, (uint16_t[]){0, 100}, 2);
	struct vlan_frame f;

	assert_int_equal(admit(&all, &f, 0, NULL), SLC_DROP_N);
	assert_int_equal(f.vid, 0);
	assert_int_equal(ADMIT(&all, &f, C(4095)), SLC_DROP_N);
	assert_int_equal(f.vid, 4095);
	assert_int_equal(admit(&some, &f, 0, NULL), SLC_DROP_VLAN_INGRESS);
	assert_int_equal(ADMIT(&some, &f, C(0)), SLC_DROP_VLAN_INGRESS);
	assert_int_equal(ADMIT(&some, &f, C(200)), SLC_DROP_N);
	assert_int_equal(ADMIT(&some, &f, C(300)), SLC_DROP_VLAN_INGRESS);
	assert_int_equal(admit(&zero, &f, 0, NULL), SLC_DROP_N);
}

static void native_port_carries_its_native_vlan_whatever_trunks_says(void **state)
{
	struct vlan_port vp = trunk_of(DP_VLAN_NATIVE_UNTAGGED, 100, (uint16_t[]){200}, 1);
	struct vlan_frame f;

	assert_int_equal(admit(&vp, &f, 0, NULL), SLC_DROP_N);
	assert_int_equal(f.vid, 100);
	assert_int_equal(ADMIT(&vp, &f, C(100)), SLC_DROP_N);
	assert_int_equal(ADMIT(&vp, &f, C(200)), SLC_DROP_N);
	assert_int_equal(ADMIT(&vp, &f, C(300)), SLC_DROP_VLAN_INGRESS);
}

static void native_port_never_carries_vlan_0(void **state)
{
	struct vlan_port from = mode(DP_VLAN_TRUNK, 0);
	struct vlan_port untagged = trunk_of(DP_VLAN_NATIVE_UNTAGGED, 100, (uint16_t[]){0, 200}, 2);
	struct vlan_port tagged = mode(DP_VLAN_NATIVE_TAGGED, 100);
	struct vlan_frame f;

	assert_int_equal(admit(&from, &f, 0, NULL), SLC_DROP_N);
	assert_false(vlan_egress_ok(&untagged, &f));
	assert_false(vlan_egress_ok(&tagged, &f));
}

static void native_untagged_leaves_untagged_and_native_tagged_tagged(void **state)
{
	struct vlan_port in = mode(DP_VLAN_ACCESS, 100);
	struct vlan_port untagged = mode(DP_VLAN_NATIVE_UNTAGGED, 100), tagged = mode(DP_VLAN_NATIVE_TAGGED, 100);
	struct vlan_frame f;

	assert_int_equal(admit(&in, &f, 0, NULL), SLC_DROP_N);
	assert_int_equal(vlan_egress_form(&untagged, &f).push, 0);
	assert_int_equal(vlan_egress_form(&tagged, &f).push, 1);
}

static void access_and_tunnel_ports_check_what_is_inside(void **state)
{
	struct vlan_port in = mode(DP_VLAN_TRUNK, 0), access = mode(DP_VLAN_ACCESS, 100), tunnel;
	struct dp_port_conf conf = {
		.vlan_mode = DP_VLAN_DOT1Q_TUNNEL, .vlan = 100, .cvlans.given = true, .cvlans.bits[0] = 1ull << 10};
	struct vlan_frame f;

	vlan_port_init(&tunnel, &conf);
	assert_int_equal(ADMIT(&in, &f, S(100), C(10)), SLC_DROP_N);
	assert_false(vlan_egress_ok(&access, &f));
	assert_true(vlan_egress_ok(&tunnel, &f));
	assert_int_equal(ADMIT(&in, &f, S(100), C(20)), SLC_DROP_N);
	assert_false(vlan_egress_ok(&tunnel, &f));
	assert_int_equal(ADMIT(&in, &f, S(100)), SLC_DROP_N);
	assert_true(vlan_egress_ok(&access, &f));
	assert_false(vlan_egress_ok(&tunnel, &f));
	/* And at the tunnel's own entrance. */
	assert_int_equal(admit(&tunnel, &f, 0, NULL), SLC_DROP_VLAN_INGRESS);
	assert_int_equal(ADMIT(&tunnel, &f, C(20)), SLC_DROP_VLAN_INGRESS);
	assert_int_equal(ADMIT(&tunnel, &f, C(10)), SLC_DROP_N);
}

static void service_tag_has_its_own_tpid_and_priority_0(void **state)
{
	struct dp_port_conf conf = {.vlan_mode = DP_VLAN_DOT1Q_TUNNEL, .vlan = 100, .qinq_ethertype = 0x8100};
	struct vlan_port ad = mode(DP_VLAN_DOT1Q_TUNNEL, 100), q;
	struct vlan_frame f;

	vlan_port_init(&q, &conf);
	assert_int_equal(ADMIT(&ad, &f, C(0xe00a)), SLC_DROP_N);
	assert_int_equal(f.tpid, 0x88a8);
	assert_int_equal(f.tci, 100);
	assert_int_equal(ADMIT(&q, &f, C(0xe00a)), SLC_DROP_N);
	assert_int_equal(f.tpid, 0x8100);
}

static void trunk_to_trunk_changes_nothing(void **state)
{
	struct vlan_port vp = mode(DP_VLAN_TRUNK, 0);
	struct vlan_form form;
	struct vlan_frame f;

	assert_int_equal(ADMIT(&vp, &f, S(0xb064), C(7), C(8)), SLC_DROP_N);
	form = vlan_egress_form(&vp, &f);
	assert_int_equal(form.strip | form.push, 0);
}

static void empty_tag_is_not_taken_off_a_tagged_frame(void **state)
{
	struct vlan_port vp = mode(DP_VLAN_TRUNK, 0);
	struct vlan_frame f;

	/* Alone it goes: VLAN 0 leaves untagged. */
	assert_int_equal(ADMIT(&vp, &f, C(0)), SLC_DROP_N);
	assert_int_equal(vlan_egress_form(&vp, &f).strip, 1);
	/* In front of another it stays, or the next switch would see VLAN 200. */
	assert_int_equal(ADMIT(&vp, &f, C(0), C(200)), SLC_DROP_N);
	assert_int_equal(vlan_egress_form(&vp, &f).strip, 0);
}

/* --- classes ------------------------------------------------------------------------------------------------------------------ */

#define PCP(n) ((n) << 13)
#define DEI    0x1000

static void every_frame_takes_the_code_point_of_its_ports_class(void **state)
{
	struct vlan_port access = classed(DP_VLAN_ACCESS, 100, 4), trunk = classed(DP_VLAN_TRUNK, 0, 4);
	struct vlan_port tagged = classed(DP_VLAN_NATIVE_TAGGED, 100, 4), out = mode(DP_VLAN_TRUNK, 0);
	struct vlan_frame f;

	assert_int_equal(admit(&access, &f, 0, NULL), SLC_DROP_N);
	assert_int_equal(f.tci, PCP(4) | 100);
	assert_int_equal(ADMIT(&access, &f, C(PCP(7))), SLC_DROP_N);
	assert_int_equal(f.tci, PCP(4) | 100);
	assert_int_equal(admit(&tagged, &f, 0, NULL), SLC_DROP_N);
	assert_int_equal(f.tci, PCP(4) | 100);
	assert_int_equal(ADMIT(&tagged, &f, C(PCP(7))), SLC_DROP_N);
	assert_int_equal(f.tci, PCP(4) | 100);
	assert_int_equal(ADMIT(&trunk, &f, C(PCP(7) | 200)), SLC_DROP_N);
	assert_int_equal(f.tci, PCP(4) | 200);
	assert_int_equal(f.vid, 200);
	/* The tag that it came with says something else, so it is not the one that it leaves with. */
	assert_int_equal(vlan_egress_form(&out, &f).strip, 1);
	assert_int_equal(vlan_egress_form(&out, &f).push, 1);
	/* One that says the same is left alone. */
	assert_int_equal(ADMIT(&trunk, &f, C(PCP(4) | 200)), SLC_DROP_N);
	assert_int_equal(vlan_egress_form(&out, &f).strip | vlan_egress_form(&out, &f).push, 0);
}

static void class_of_code_point_0_takes_priority_away(void **state)
{
	struct vlan_port trunk = classed(DP_VLAN_TRUNK, 0, 0), access = classed(DP_VLAN_ACCESS, 100, 0),
			 out = mode(DP_VLAN_TRUNK, 0);
	struct vlan_frame f;

	assert_int_equal(ADMIT(&access, &f, C(PCP(7))), SLC_DROP_N);
	assert_int_equal(f.tci, 100);
	assert_int_equal(ADMIT(&trunk, &f, C(PCP(7) | 100)), SLC_DROP_N);
	assert_int_equal(f.tci, 100);
	/* A priority tag without a priority is none. */
	assert_int_equal(ADMIT(&trunk, &f, C(PCP(7))), SLC_DROP_N);
	assert_int_equal(vlan_egress_form(&out, &f).strip, 1);
	assert_int_equal(vlan_egress_form(&out, &f).push, 0);
	/* In front of another tag it stays, or the next switch would see VLAN 200; but not with the sender's code point. */
	assert_int_equal(ADMIT(&trunk, &f, C(PCP(7)), C(200)), SLC_DROP_N);
	assert_int_equal(vlan_egress_form(&out, &f).strip, 1);
	assert_int_equal(vlan_egress_form(&out, &f).push, 1);
	assert_int_equal(f.tci, 0);
	assert_int_equal(ADMIT(&trunk, &f, C(0), C(200)), SLC_DROP_N);
	assert_int_equal(vlan_egress_form(&out, &f).strip | vlan_egress_form(&out, &f).push, 0);
}

static void class_gives_frames_of_vlan_0_a_priority_tag(void **state)
{
	struct vlan_port in = classed(DP_VLAN_TRUNK, 0, 4), trunk = mode(DP_VLAN_TRUNK, 0);
	struct vlan_frame f;

	assert_int_equal(admit(&in, &f, 0, NULL), SLC_DROP_N);
	assert_int_equal(f.vid, 0);
	assert_int_equal(f.tci, PCP(4));
	assert_int_equal(vlan_egress_form(&trunk, &f).strip, 0);
	assert_int_equal(vlan_egress_form(&trunk, &f).push, 1);
}

static void tunnel_puts_the_class_into_the_service_tag_alone(void **state)
{
	struct vlan_port in = classed(DP_VLAN_DOT1Q_TUNNEL, 100, 4), trunk = mode(DP_VLAN_TRUNK, 0);
	struct vlan_frame f;

	assert_int_equal(ADMIT(&in, &f, C(PCP(7) | 10)), SLC_DROP_N);
	assert_int_equal(f.tci, PCP(4) | 100);
	assert_int_equal(f.tpid, 0x88a8);
	/* The customer's tag is cargo. */
	assert_int_equal(vlan_egress_form(&trunk, &f).strip, 0);
	assert_int_equal(vlan_egress_form(&trunk, &f).push, 1);
	assert_int_equal(admit(&in, &f, 0, NULL), SLC_DROP_N);
	assert_int_equal(f.tci, PCP(4) | 100);
}

static void class_leaves_drop_eligibility_to_the_sender(void **state)
{
	struct vlan_port access = classed(DP_VLAN_ACCESS, 100, 4), trunk = classed(DP_VLAN_TRUNK, 0, 4);
	struct vlan_frame f;

	assert_int_equal(ADMIT(&access, &f, C(PCP(1) | DEI)), SLC_DROP_N);
	assert_int_equal(f.tci, PCP(4) | DEI | 100);
	assert_int_equal(ADMIT(&trunk, &f, C(PCP(1) | DEI | 200)), SLC_DROP_N);
	assert_int_equal(f.tci, PCP(4) | DEI | 200);
}

static void cut_off_tag_is_a_runt(void **state)
{
	struct vlan_port vp = mode(DP_VLAN_TRUNK, 0);
	struct vlan_frame f;
	uint8_t buf[128];

	build(buf, (uint32_t[]){C(100), C(200)}, 2);
	for (unsigned len = 14; len < 22; len++)
		assert_int_equal(vlan_admit(&vp, buf, len, &f), SLC_DROP_RUNT);
	assert_int_equal(vlan_admit(&vp, buf, 22, &f), SLC_DROP_N);
}

/* --- bytes ------------------------------------------------------------------------------------------------------------------- */

static struct rte_mbuf *frame(unsigned n, const uint32_t *tags)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint8_t buf[128];
	unsigned len = build(buf, tags, n);

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, len), buf, len);
	return m;
}

static void assert_frame(const struct rte_mbuf *m, unsigned n, const uint32_t *tags)
{
	uint8_t want[128], got[128];
	unsigned len = build(want, tags, n);
	const uint8_t *p;

	assert_int_equal(m->pkt_len, len);
	p = rte_pktmbuf_read(m, 0, len, got);
	assert_non_null(p);
	assert_memory_equal(p, want, len);
	assert_int_equal(rte_mbuf_check(m, 1, &(const char *){NULL}), 0);
}

static void rewriting_makes_the_same_bytes_in_place_and_shared(void **state)
{
	const struct {
		unsigned n_in;
		uint32_t in[2];
		struct vlan_form form;
		unsigned n_out;
		uint32_t out[2];
	} cases[] = {
		{0, {0}, {0, 1}, 1, {C(100)}},		{1, {C(7)}, {1, 0}, 0, {0}},	      {1, {C(0)}, {1, 1}, 1, {C(100)}},
		{1, {C(9)}, {0, 1}, 2, {C(100), C(9)}}, {2, {C(7), C(9)}, {1, 0}, 1, {C(9)}}, {2, {C(7), C(9)}, {2, 0}, 0, {0}},
		{2, {C(7), C(9)}, {2, 1}, 1, {C(100)}},
	};
	unsigned before = rte_mempool_avail_count(pool);

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vlan_frame f = {.vid = 100, .tci = 100, .tpid = 0x8100};
		struct rte_mbuf *m = frame(cases[i].n_in, cases[i].in), *copy;

		copy = vlan_rewrite_shared(m, &f, cases[i].form, pool);
		assert_non_null(copy);
		assert_frame(copy, cases[i].n_out, cases[i].out);
		assert_frame(m, cases[i].n_in, cases[i].in);
		rte_pktmbuf_free(copy);

		assert_true(vlan_rewrite(m, &f, cases[i].form));
		assert_frame(m, cases[i].n_out, cases[i].out);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(rte_mempool_avail_count(pool), before);
}

static void rewriting_without_headroom_is_refused_and_the_frame_is_whole(void **state)
{
	struct vlan_frame f = {.vid = 100, .tci = 100, .tpid = 0x8100};
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint8_t buf[128];
	unsigned len = build(buf, NULL, 0);

	assert_non_null(m);
	m->data_off = 2;
	memcpy(rte_pktmbuf_append(m, len), buf, len);
	assert_false(vlan_rewrite(m, &f, (struct vlan_form){0, 1}));
	assert_frame(m, 0, NULL);
	rte_pktmbuf_free(m);
}

static void requests_follow_their_headers(void **state)
{
	struct vlan_frame f = {.vid = 100, .tci = 100, .tpid = 0x8100};
	struct rte_mbuf *m = frame(0, NULL), *copy;

	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
	m->l2_len = 14;
	m->l3_len = 20;
	copy = vlan_rewrite_shared(m, &f, (struct vlan_form){0, 1}, pool);
	assert_non_null(copy);
	assert_int_equal(copy->l2_len, 18);
	assert_int_equal(copy->l3_len, 20);
	assert_true(offload_asks(copy));
	assert_true(vlan_rewrite(m, &f, (struct vlan_form){0, 1}));
	assert_int_equal(m->l2_len, 18);
	rte_pktmbuf_free(copy);
	rte_pktmbuf_free(m);
}

static void tag_beside_the_frame_is_put_back(void **state)
{
	struct rte_mbuf *m = frame(0, NULL);

	m->ol_flags = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	m->vlan_tci = 0x6064;
	assert_true(vlan_restore(m));
	assert_frame(m, 1, (uint32_t[]){C(0x6064)});
	assert_int_equal(m->ol_flags, 0);
	rte_pktmbuf_free(m);
}

static int start_eal(void **state)
{
	char *argv[] = {"test_vlan", "--no-huge", "-m64", "--no-shconf", "--no-pci", "--no-telemetry", "--log-level=*:error", NULL};

	if (rte_eal_init(7, argv) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("test", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool ? 0 : -1;
}

static int stop_eal(void **state)
{
	rte_mempool_free(pool);
	return rte_eal_cleanup();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(access_port_admits_untagged_and_priority_tagged_only),
		cmocka_unit_test(tag_inside_a_priority_tag_does_not_survive_an_access_port),
		cmocka_unit_test(access_port_takes_and_gives_no_third_tag),
		cmocka_unit_test(trunk_admits_its_vlans_and_vlan_0_only_if_named),
		cmocka_unit_test(native_port_carries_its_native_vlan_whatever_trunks_says),
		cmocka_unit_test(native_port_never_carries_vlan_0),
		cmocka_unit_test(native_untagged_leaves_untagged_and_native_tagged_tagged),
		cmocka_unit_test(access_and_tunnel_ports_check_what_is_inside),
		cmocka_unit_test(service_tag_has_its_own_tpid_and_priority_0),
		cmocka_unit_test(trunk_to_trunk_changes_nothing),
		cmocka_unit_test(empty_tag_is_not_taken_off_a_tagged_frame),
		cmocka_unit_test(every_frame_takes_the_code_point_of_its_ports_class),
		cmocka_unit_test(class_of_code_point_0_takes_priority_away),
		cmocka_unit_test(class_gives_frames_of_vlan_0_a_priority_tag),
		cmocka_unit_test(tunnel_puts_the_class_into_the_service_tag_alone),
		cmocka_unit_test(class_leaves_drop_eligibility_to_the_sender),
		cmocka_unit_test(cut_off_tag_is_a_runt),
		cmocka_unit_test(rewriting_makes_the_same_bytes_in_place_and_shared),
		cmocka_unit_test(rewriting_without_headroom_is_refused_and_the_frame_is_whole),
		cmocka_unit_test(requests_follow_their_headers),
		cmocka_unit_test(tag_beside_the_frame_is_put_back),
	};

	return cmocka_run_group_tests(tests, start_eal, stop_eal);
}
