/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_ENGINE_SPOOF_H
#define TESTS_UNIT_ENGINE_SPOOF_H

/*
 * The tests of dataplane/spoof.h, put to the kernel's program: the same frames, the same verdicts.
 *
 * Where a test asks spoof_check(), the frame is run through slc_port_in (BPF_PROG_TEST_RUN), and the verdict is the reason that the port's
 * counters tell. A frame shorter than an Ethernet header never reaches a program: the switch's own verdict stands. Untagged frames get a tag, for
 * trial runs refuse what says it is IP and is too short; and those that mean "more than two tags" by their EtherType get two.
 *
 * Include this before the tests.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "kern.skel.h"
#include "sluice/kernel.h"
#include "spoof.h"

#define ES_PORT 7
#define ES_LO	1 /* a trial frame comes by the loopback netdev */

static struct kern_bpf *es_skel;
static uint8_t es_last[2048];
static unsigned es_last_len;
static struct spoof es_last_spoof;
static enum slc_drop es_last_verdict;

static int es_silent(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return 0;
}

/* The program, loaded once, with a port that the loopback netdev leads to. */
static void es_open(void)
{
	uint32_t ifindex = ES_LO, port = ES_PORT;
	struct bpf_map *map;

	if (es_skel)
		return;
	if (geteuid() != 0) {
		print_message("skip: loading a program needs root\n");
		skip();
	}
	libbpf_set_print(es_silent);
	es_skel = kern_bpf__open();
	if (!es_skel)
		abort();
	bpf_object__for_each_map(map, es_skel->obj) bpf_map__set_pin_path(map, NULL);
	if (kern_bpf__load(es_skel) < 0 || bpf_map_update_elem(bpf_map__fd(es_skel->maps.slc_ifs), &ifindex, &port, BPF_ANY) < 0)
		abort();
	/* A trunk port: it carries every VLAN, 0 too. */
	for (uint32_t vid = 0; vid < SLC_K_VLANS; vid++) {
		struct slc_k_vlan v = {0};

		v.members[0] = 1ull << ES_PORT;
		if (bpf_map_update_elem(bpf_map__fd(es_skel->maps.slc_vlans), &vid, &v, BPF_ANY) < 0)
			abort();
	}
}

static void es_configure(const struct spoof *s)
{
	uint32_t idx = ES_PORT;
	struct slc_k_port p = {0};
	struct slc_k_conf *c = &p.conf[0];

	c->flags = SLC_K_USED | (s->has_mac ? SLC_K_HAS_MAC : 0) | (s->n_ips ? SLC_K_CHECK_IPS : 0);
	c->mode = SLC_K_TRUNK_MODE;
	c->mtu = 9216;
	memcpy(c->mac, s->mac, 6);
	memcpy(c->link_local, &s->link_local, 16);
	c->n4 = s->n4;
	c->n6 = s->n6;
	for (unsigned i = 0; i < s->n4; i++)
		c->net4[i] = (struct slc_k_net4){s->net4[i].net, s->net4[i].mask};
	for (unsigned i = 0; i < s->n6; i++) {
		memcpy(c->net6[i].net, s->net6[i].net, 16);
		memcpy(c->net6[i].mask, s->net6[i].mask, 16);
	}
	if (bpf_map_update_elem(bpf_map__fd(es_skel->maps.slc_ports), &idx, &p, BPF_ANY) < 0)
		abort();
}

static void es_counters(uint64_t drops[SLC_DROP_N])
{
	int n = libbpf_num_possible_cpus();
	struct slc_k_count *cpus = calloc(n, sizeof(*cpus));
	uint32_t idx = ES_PORT;

	if (!cpus || bpf_map_lookup_elem(bpf_map__fd(es_skel->maps.slc_count), &idx, cpus) < 0)
		abort();
	memset(drops, 0, SLC_DROP_N * sizeof(drops[0]));
	for (int i = 0; i < n; i++) {
		for (unsigned d = 0; d < SLC_DROP_N; d++)
			drops[d] += cpus[i].drops[d];
	}
	free(cpus);
}

static enum slc_drop es_run(const uint8_t *frame, unsigned len)
{
	uint8_t out[4096];
	struct __sk_buff ctx = {.ifindex = ES_LO};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = len, .data_out = out, .data_size_out = sizeof(out),
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 1);
	uint64_t before[SLC_DROP_N], after[SLC_DROP_N];

	es_counters(before);
	if (bpf_prog_test_run_opts(bpf_program__fd(es_skel->progs.slc_port_in), &opts) < 0)
		abort();
	es_counters(after);
	for (unsigned d = 0; d < SLC_DROP_N; d++) {
		/* What came after the check is not its verdict: there is nobody to send the frame to. */
		if (after[d] != before[d] && d != SLC_DROP_NO_MEMBER)
			return d;
	}
	return SLC_DROP_N;
}

static enum slc_drop kern_spoof_check(const struct spoof *s, const struct rte_mbuf *m, uint16_t l2_len, uint16_t type)
{
	static const uint8_t tags[8] = {0x81, 0, 0, 100, 0x81, 0, 0, 100};
	unsigned len = 0, more = type == 0x8100 || type == 0x88a8 ? 8 : 4;
	uint8_t frame[2048];

	for (const struct rte_mbuf *seg = m; seg; seg = seg->next) {
		memcpy(frame + len, rte_pktmbuf_mtod(seg, const uint8_t *), seg->data_len);
		len += seg->data_len;
	}
	if (len < 14)
		return spoof_check(s, m, l2_len, type);
	if (l2_len == 14) {
		memmove(frame + 12 + more, frame + 12, len - 12);
		memcpy(frame + 12, tags, more);
		len += more;
	}
	/* The same frame in other pieces is the same frame here. */
	if (len == es_last_len && memcmp(frame, es_last, len) == 0 && memcmp(s, &es_last_spoof, sizeof(*s)) == 0)
		return es_last_verdict;
	es_open();
	es_configure(s);
	es_last_verdict = es_run(frame, len);
	memcpy(es_last, frame, len);
	es_last_len = len;
	es_last_spoof = *s;
	return es_last_verdict;
}

#define spoof_check kern_spoof_check

#endif
