/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_PACKET_RIG_H
#define TEST_PACKET_RIG_H

/*
 * The bench on which the af-packet kind is tried: a network namespace of the test's own with a veth pair in it.
 *
 *      the kind under test  == pk0 ----------- pk1 ==  peer: a packet socket of the test, with vnet headers both ways
 *
 * The dataplane's services (kind_watch and so on, dp_fail) are small fakes here, so no worker and no control thread is needed:
 * the test is both. pump() is the control thread's loop. Waiting is always for an event, with a deadline.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <rte_eal.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "kind.h"
#include "mbuf_chain.h"
#include "packet/packet.h"
#include "packet/packet_kind.h"
#include "vnet.h"

#define RIG_BUFFERS  4095
#define RIG_TYPE     0x88b5 /* local experimental */
#define DEADLINE_MS  5000
#define MAX_RX_BURST 32

/* --- the dataplane's services ----------------------------------------------------------------------------------------- */

struct kind_timer {
	void (*cb)(void *arg);
	void *arg;
	uint64_t due_ms;
};

static struct {
	int fd;
	void (*cb)(void *arg, uint32_t events);
	void *arg;
	struct kind_timer *timer;
	unsigned changed, quiesced;
} rig_dp = {.fd = -1};

static inline uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ull + ts.tv_nsec / 1000000;
}

int kind_watch(struct dp *dp, int fd, uint32_t events, void (*cb)(void *arg, uint32_t events), void *arg)
{
	assert_int_equal(rig_dp.fd, -1);
	rig_dp.fd = fd;
	rig_dp.cb = cb;
	rig_dp.arg = arg;
	return 0;
}

void kind_unwatch(struct dp *dp, int fd)
{
	assert_int_equal(rig_dp.fd, fd);
	rig_dp.fd = -1;
}

struct kind_timer *kind_timer(struct dp *dp, unsigned delay_ms, void (*cb)(void *arg), void *arg)
{
	assert_null(rig_dp.timer);
	rig_dp.timer = malloc(sizeof(*rig_dp.timer));
	*rig_dp.timer = (struct kind_timer){cb, arg, now_ms() + delay_ms};
	return rig_dp.timer;
}

void kind_timer_cancel(struct dp *dp, struct kind_timer *t)
{
	assert_ptr_equal(rig_dp.timer, t);
	free(t);
	rig_dp.timer = NULL;
}

void kind_quiesce(struct dp *dp)
{
	rig_dp.quiesced++;
}

void kind_changed(struct kind_port *kp)
{
	rig_dp.changed++;
}

int dp_fail(struct dp_error *err, int code, const char *name, const char *attr, const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err->name = name;
	snprintf(err->attr, sizeof(err->attr), "%s", attr ? attr : "");
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	return code;
}

/* --- the namespace ---------------------------------------------------------------------------------------------------- */

static struct rte_mempool *pool;
static bool rig_there;
static int peer = -1;
static struct kind_port kp;

/* The peer's netdev sends what it is given: see peer_send(). */
static bool peer_ready;

/* May change links. */
static inline void sh(const char *command)
{
	peer_ready = false;
	if (system(command) != 0)
		fail_msg("%s", command);
}

static inline void need_rig(void)
{
	if (rig_there)
		return;
	print_message("skipped: it takes root to make a network namespace\n");
	skip();
}

static inline int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static inline int peer_open(void)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = if_nametoindex("pk1")};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), one = 1, size = 64 << 20;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)), 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)), 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static inline void make_pair(void)
{
	sh("ip link add pk0 type veth peer name pk1 && ip link set pk1 mtu 9300 up");
}

static inline void port_open(uint16_t mtu, uint16_t queues)
{
	struct kind_env env = {.pool = pool};
	struct dp_port_conf conf = {.kind = "af-packet", .ifname = "pk0", .mtu = mtu, .ring = 256};
	struct dp_error err;

	memset(&kp, 0, sizeof(kp));
	peer_ready = false;
	if (packet_kind.open(&kp, &env, &conf, queues, &err))
		fail_msg("%s", err.msg);
}

static inline struct kind_lost lost(void)
{
	struct kind_lost l;

	packet_kind.lost(&kp, &l);
	return l;
}

/* --- the control thread's loop ---------------------------------------------------------------------------------------- */

/* Handle events until `done` says so. */
static inline void pump(bool (*done)(void))
{
	uint64_t end = now_ms() + DEADLINE_MS;

	while (!done()) {
		struct pollfd p = {.fd = rig_dp.fd, .events = POLLIN};
		struct kind_timer *t = rig_dp.timer;

		if (now_ms() > end)
			fail_msg("nothing happened in %d ms", DEADLINE_MS);
		if (t && now_ms() >= t->due_ms) {
			rig_dp.timer = NULL;
			t->cb(t->arg);
			free(t);
		}
		if (poll(&p, 1, 20) > 0)
			rig_dp.cb(rig_dp.arg, POLLIN);
	}
}

/* Do `step` until `done`. The kernel may deliver what was sent a little later, on another CPU. */
#define UNTIL(done, step)                                                         \
	do {                                                                      \
		uint64_t until_end = now_ms() + DEADLINE_MS;                      \
		while (!(done)) {                                                 \
			if (now_ms() > until_end)                                 \
				fail_msg("not in %d ms: %s", DEADLINE_MS, #done); \
			step;                                                     \
		}                                                                 \
	} while (0)

static inline bool link_is_up(void)
{
	return packet_kind.link_up(&kp);
}

static inline bool link_is_down(void)
{
	return !packet_kind.link_up(&kp);
}

/* --- frames ----------------------------------------------------------------------------------------------------------- */

struct frame {
	uint8_t b[70000];
	uint32_t len, l2, l4;
};

static inline void put16(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = v;
}

static inline uint16_t get16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

/* Ethernet with these tags; tpids as in 0x88a8, 0x8100, 0-terminated, VLANs 101, 102... */
static inline void ethernet(struct frame *f, const uint16_t *tpids, uint16_t type)
{
	memcpy(f->b, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
	f->len = 12;
	for (unsigned i = 0; tpids && tpids[i]; i++, f->len += 4) {
		put16(f->b + f->len, tpids[i]);
		put16(f->b + f->len + 2, 0x6000 | (101 + i));
	}
	put16(f->b + f->len, type);
	f->len += 2;
	f->l2 = f->len;
}

/* A frame that nobody's stack understands, `len` bytes long, its content made from `seed`. */
static inline void plain(struct frame *f, const uint16_t *tpids, uint32_t len, unsigned seed)
{
	ethernet(f, tpids, RIG_TYPE);
	for (; f->len < len; f->len++)
		f->b[f->len] = (f->len * 31) ^ (f->len >> 8) ^ seed;
}

/*
 * TCP (proto 6) or UDP (17) over IPv4 or IPv6, `n` bytes of payload, the checksum field holding the pseudo header's sum as
 * Linux leaves it.
 */
static inline void transport(struct frame *f, const uint16_t *tpids, bool v6, uint8_t proto, uint32_t n)
{
	uint32_t l4_len = proto == 6 ? 20 : 8, bytes = l4_len + n, sum = htons(bytes) + htons(proto);
	uint8_t *p;

	ethernet(f, tpids, v6 ? 0x86dd : 0x0800);
	p = f->b + f->len;
	memset(p, 0, 60);
	if (v6) {
		p[0] = 0x60;
		put16(p + 4, bytes);
		p[6] = proto;
		p[7] = 64;
		p[8] = p[24] = 0xfd;
		p[39] = 2;
		sum += rte_raw_cksum(p + 8, 32);
	} else {
		p[0] = 0x45;
		put16(p + 2, 20 + bytes);
		p[8] = 64;
		p[9] = proto;
		p[12] = p[16] = 10;
		p[19] = 2;
		sum += rte_raw_cksum(p + 12, 8);
		memcpy(p + 10, &(uint16_t){~rte_raw_cksum(p, 20)}, 2);
	}
	f->l4 = f->len += v6 ? 40 : 20;
	p = f->b + f->len;
	memset(p, 0, l4_len);
	put16(p, 1000);
	put16(p + 2, 2000);
	if (proto == 6) {
		p[12] = 0x50;
		p[13] = 0x18;
	} else {
		put16(p + 4, bytes);
	}
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	memcpy(p + (proto == 6 ? 16 : 6), &(uint16_t){sum}, 2);
	f->len += l4_len;
	for (uint32_t i = 0; i < n; i++)
		f->b[f->len++] = i * 7 + (i >> 8);
}

static inline struct virtio_net_hdr open_request(const struct frame *f, uint8_t proto, uint8_t gso_type, uint16_t gso_size)
{
	return (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = gso_type,
		.hdr_len = f->l4 + (proto == 6 ? 20 : 8),
		.gso_size = gso_size,
		.csum_start = f->l4,
		.csum_offset = proto == 6 ? 16 : 6,
	};
}

/* --- the peer --------------------------------------------------------------------------------------------------------- */

/*
 * A netdev whose carrier has just come drops what is sent by it until the kernel's link watch has given it its queue, which takes as
 * long as a work queue waits for a CPU. Queue and operational state change under one lock, which the question takes too.
 */
static inline void peer_await_queue(void)
{
	if (!peer_ready)
		sh("while ip link show pk1 | grep LOWER_UP | grep -qv 'state UP'; do :; done");
	peer_ready = true;
}

static inline void peer_send(const struct frame *f, const struct virtio_net_hdr *vh)
{
	struct virtio_net_hdr none = {0};
	struct iovec iov[] = {{(void *)(vh ? vh : &none), sizeof(none)}, {(void *)f->b, f->len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t sent;

	peer_await_queue();
	sent = sendmsg(peer, &msg, 0);
	if (sent < 0 && errno == ENETDOWN) /* left over from when it was */
		sent = sendmsg(peer, &msg, 0);
	if (sent != (ssize_t)(sizeof(none) + f->len))
		fail_msg("peer: sending %u bytes: %s", f->len, strerror(errno));
}

/* The next frame that reaches the peer, the tag put back into its bytes. Frames of the kernel's own are passed over. */
static inline void peer_receive(struct frame *f, struct virtio_net_hdr *vh)
{
	struct pollfd p = {.fd = peer, .events = POLLIN};
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	} control;

	for (;;) {
		struct iovec iov[] = {{vh, sizeof(*vh)}, {f->b, sizeof(f->b)}};
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof(control)};
		struct tpacket_auxdata *aux = (struct tpacket_auxdata *)CMSG_DATA(&control.h);
		ssize_t got;

		if (poll(&p, 1, DEADLINE_MS) != 1)
			fail_msg("no frame reached the peer");
		got = recvmsg(peer, &msg, 0);
		if (got < 0 && errno == ENETDOWN)
			continue;
		assert_true(got >= (ssize_t)sizeof(*vh) + ETH_HLEN);
		f->len = got - sizeof(*vh);
		if (memcmp(f->b, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12))
			continue;
		if (aux->tp_status & TP_STATUS_VLAN_VALID) {
			memmove(f->b + 16, f->b + 12, f->len - 12);
			put16(f->b + 12, aux->tp_vlan_tpid);
			put16(f->b + 14, aux->tp_vlan_tci);
			f->len += 4;
			vh->csum_start += 4;
		}
		return;
	}
}

/* --- the port --------------------------------------------------------------------------------------------------------- */

/*
 * The next frame that the port delivers, from any of its queues; waits on the descriptors as a worker does. *from becomes the
 * queue.
 */
static inline struct rte_mbuf *port_receive_from(uint16_t *from)
{
	struct pollfd p[KIND_MAX_QUEUES];
	uint64_t end = now_ms() + DEADLINE_MS;
	struct rte_mbuf *m;

	while (now_ms() < end) {
		bool ready = false;

		for (uint16_t q = 0; q < kp.n_queues; q++) {
			*from = q;
			while (kp.rx(kp.rxq[q], &m, 1)) {
				if (!memcmp(rte_pktmbuf_mtod(m, void *), "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12))
					return m;
				rte_pktmbuf_free(m);
			}
		}
		for (uint16_t q = 0; q < kp.n_queues; q++) {
			ready |= packet_kind.rx_arm(&kp, q);
			p[q] = (struct pollfd){.fd = packet_kind.rx_fd(&kp, q), .events = POLLIN};
		}
		if (!ready)
			poll(p, kp.n_queues, DEADLINE_MS);
		for (uint16_t q = 0; q < kp.n_queues; q++)
			packet_kind.rx_disarm(&kp, q);
	}
	fail_msg("no frame reached the port");
	return NULL;
}

static inline struct rte_mbuf *port_receive(void)
{
	uint16_t q;

	return port_receive_from(&q);
}

/* The frame's bytes are these, and its shape is what kind.h promises. Frees it. */
static inline void expect_bytes(struct rte_mbuf *m, const uint8_t *bytes, uint32_t len)
{
	uint32_t at = 0;

	assert_int_equal(m->pkt_len, len);
	assert_int_equal(rte_mbuf_check(m, 1, &(const char *){NULL}), 0);
	for (const struct rte_mbuf *s = m; s; s = s->next) {
		assert_int_equal(rte_mbuf_refcnt_read(s), 1);
		assert_true(s->data_len > 0);
		assert_memory_equal(rte_pktmbuf_mtod(s, void *), bytes + at, s->data_len);
		at += s->data_len;
	}
	assert_true(m->data_len >= RTE_MIN(len, (uint32_t)KIND_MIN_HEAD));
	assert_int_equal(at, len);
	rte_pktmbuf_free(m);
}

/* A frame to send, `room` bytes in each segment. */
static inline struct rte_mbuf *mbuf_of(const struct frame *f, uint32_t room)
{
	return mbuf_chain(pool, f->b, f->len, room);
}

static inline uint16_t port_send(struct rte_mbuf *m)
{
	return kp.tx(kp.txq[0], &m, 1);
}

/* --- set-up of all and of each ---------------------------------------------------------------------------------------- */

static inline int rig_set_up(void **state)
{
	char *argv[] = {
		"test",		  "--no-huge",	       "-m128",	     "--no-shconf", "--no-pci",
		"--no-telemetry", "--log-level=error", "--lcores=0", "-d",	    SLUICE_PMD_DIR "/librte_mempool_ring.so"};

	if (rte_eal_init(RTE_DIM(argv), argv) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("frames", RIG_BUFFERS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	rig_there = geteuid() == 0 && unshare(CLONE_NEWNET) == 0;
	/* So that the kernel's own neighbour discovery does not speak on the wire. */
	if (rig_there && access("/proc/sys/net/ipv6", F_OK) == 0)
		sh("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
	return pool ? 0 : -1;
}

static int fds_before;
static unsigned buffers_before;

static inline int pair_set_up(void **state)
{
	if (!rig_there)
		return 0;
	fds_before = open_fds();
	buffers_before = rte_mempool_avail_count(pool);
	memset(&kp, 0, sizeof(kp));
	make_pair();
	peer = peer_open();
	return 0;
}

/* Nothing is left of the port: no descriptor, no buffer, no watch, no timer. */
static inline int pair_tear_down(void **state)
{
	if (!rig_there)
		return 0;
	if (kp.priv)
		packet_kind.close(&kp);
	close(peer);
	if (system("ip link del pk0 2>/dev/null || ip link del pk1 2>/dev/null || true"))
		return -1;
	if (open_fds() != fds_before || rig_dp.fd != -1 || rig_dp.timer || rte_mempool_avail_count(pool) != buffers_before) {
		print_error("left behind: %d descriptors, %d buffers\n", open_fds() - fds_before,
			    (int)(buffers_before - rte_mempool_avail_count(pool)));
		return -1;
	}
	return 0;
}

#endif
