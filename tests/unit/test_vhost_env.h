/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_VHOST_ENV_H
#define TEST_VHOST_ENV_H

/* One ring of a guest's (vhost_guest.h), a vq on it, and the switch's queue: what the tests of frames through rings stand on. */

#include "test_kind_env.h"

#include "vhost/vhost_walk.h"
#include "vhost_guest.h"

#define MODERN (VHOST_BIT(VIRTIO_BIT_VERSION_1))
#define MERGE  (VHOST_BIT(VIRTIO_BIT_MRG_RXBUF))
#define TABLES (VHOST_BIT(VIRTIO_BIT_INDIRECT_DESC))
#define EVENTS (VHOST_BIT(VIRTIO_BIT_EVENT_IDX))
#define CSUM   (VHOST_BIT(VIRTIO_BIT_GUEST_CSUM))
#define TSO    (CSUM | VHOST_BIT(VIRTIO_BIT_GUEST_TSO4) | VHOST_BIT(VIRTIO_BIT_GUEST_TSO6))

#define RIG_SIZE    (4u << 20)
#define RIG_BUFFERS (1u << 20) /* place of the first; the ring, and tables, are before it */
#define RIG_TABLES  (900u << 10)
#define RIG_BUFFER  2048u

struct rig {
	struct guest g;
	struct guest_ring r;
	struct vhost_mem *mem;
	struct vhost_queue q;
	struct vhost_vq *v;
	uint64_t features;
	struct vhost_log *log;
	int call_fd, kick_fd, alarm_fd;
	uint32_t hdr_len;
};

/* --- the gate ------------------------------------------------------------------------------------------------------------ */

static struct {
	uint64_t refuse; /* by the number of the frame since gate_reset() */
	unsigned asked, calls;
	uint64_t asks;
	uint8_t head[64][KIND_HEAD];
	uint32_t len[64];
} gate_seen;

static inline void gate_reset(uint64_t refuse)
{
	memset(&gate_seen, 0, sizeof(gate_seen));
	gate_seen.refuse = refuse;
}

static inline uint64_t gate(void *ctx, const uint8_t (*heads)[KIND_HEAD], const uint32_t *len, uint64_t asks, uint16_t n)
{
	uint64_t wanted = 0;

	assert_true(n > 0 && gate_seen.asked + n <= 64);
	gate_seen.calls++;
	for (uint16_t i = 0; i < n; i++, gate_seen.asked++) {
		memcpy(gate_seen.head[gate_seen.asked], heads[i], KIND_HEAD);
		gate_seen.len[gate_seen.asked] = len[i];
		gate_seen.asks |= (asks >> i & 1) << gate_seen.asked;
		wanted |= (~gate_seen.refuse >> gate_seen.asked & 1) << i;
	}
	return wanted;
}

/* --- the rig ------------------------------------------------------------------------------------------------------------- */

static inline void rig_start(struct rig *rig)
{
	struct vhost_vq_conf c = guest_ring_conf(&rig->r, rig->mem, rig->features);

	c.call_fd = rig->call_fd;
	c.kick_fd = rig->kick_fd;
	c.alarm_fd = rig->alarm_fd;
	c.log = rig->log;
	c.log_used = rig->log ? guest_gpa(&rig->g, rig->r.used_at) : 0;
	rig->v = vhost_vq_new(&c);
	assert_non_null(rig->v);
	rig->hdr_len = rig->v->hdr_len;
	__atomic_store_n(&rig->q.live, rig->v, __ATOMIC_RELEASE);
}

static inline void rig_stop(struct rig *rig)
{
	rig->q.live = NULL;
	vhost_vq_free(rig->v);
	rig->v = NULL;
}

/* In regions that the test has chosen (0: one of everything). */
static inline void rig_open_regions(struct rig *rig, unsigned size, uint16_t base, uint64_t features,
				    const struct vhost_mem_region *region, unsigned n_regions)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};

	*rig = (struct rig){.features = features};
	guest_init(&rig->g, RIG_SIZE);
	if (n_regions) {
		memcpy(rig->g.region, region, n_regions * sizeof(*region));
		rig->g.n_regions = n_regions;
	}
	guest_ring_init(&rig->g, &rig->r, size, 0, base);
	rig->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rig->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rig->alarm_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rig->mem = guest_share(&rig->g, rig->alarm_fd);
	frame_source_init(&rig->q.source, pool);
	rig->q.wake_fd = epoll_create1(EPOLL_CLOEXEC);
	assert_int_equal(epoll_ctl(rig->q.wake_fd, EPOLL_CTL_ADD, rig->kick_fd, &ev), 0);
	rig_start(rig);
	gate_reset(0);
}

static inline void rig_open(struct rig *rig, unsigned size, uint16_t base, uint64_t features)
{
	rig_open_regions(rig, size, base, features, NULL, 0);
}

static inline void rig_close(struct rig *rig)
{
	rig_stop(rig);
	rte_pktmbuf_free(rig->q.inject);
	vhost_mem_free(rig->mem);
	close(rig->q.wake_fd);
	close(rig->call_fd);
	close(rig->kick_fd);
	close(rig->alarm_fd);
	guest_fini(&rig->g);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static inline uint64_t rung(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static inline uint64_t buffer_at(unsigned i)
{
	return RIG_BUFFERS + i * RIG_BUFFER;
}

/* Header (no request) and the frame of that seed at a place. */
static inline void guest_write(struct rig *rig, uint64_t at, uint32_t seed, uint32_t len)
{
	memset(rig->g.mem + at, 0, rig->hdr_len);
	for (uint32_t i = 0; i < len; i++)
		rig->g.mem[at + rig->hdr_len + i] = pattern(seed, i);
}

/* The guest transmits a frame of one descriptor, number i, in buffer i (or more of them). */
static inline void guest_sends(struct rig *rig, uint16_t i, uint32_t seed, uint32_t len)
{
	guest_write(rig, buffer_at(i), seed, len);
	guest_desc(&rig->r, i, buffer_at(i), rig->hdr_len + len, 0, 0);
	guest_give(&rig->r, i);
}

/* The guest offers buffer i to receive by, in one descriptor. */
static inline void guest_offers(struct rig *rig, uint16_t i, uint32_t len)
{
	memset(rig->g.mem + buffer_at(i), 0xee, len);
	guest_desc(&rig->r, i, buffer_at(i), len, VIRTQ_DESC_WRITE, 0);
	guest_give(&rig->r, i);
}

static inline uint16_t rig_rx(struct rig *rig, struct rte_mbuf **m, uint16_t n)
{
	return vhost_rx(&rig->q, m, n, gate, NULL);
}

static inline uint16_t rig_tx(struct rig *rig, struct rte_mbuf **m, uint16_t n)
{
	return vhost_tx(&rig->q, m, n);
}

/* The next used entry is that buffer's, with so many bytes. */
static inline void expect_used(struct rig *rig, uint32_t id, uint32_t len)
{
	struct virtq_used_elem e;

	assert_true(guest_used(&rig->r) > 0);
	e = guest_take(&rig->r);
	assert_int_equal(e.id, id);
	assert_int_equal(e.len, len);
}

/* The bytes at a place are those of the frame, from its byte `from` on. */
static inline void expect_bytes(const struct rig *rig, uint64_t at, uint32_t seed, uint32_t from, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++) {
		if (rig->g.mem[at + i] != pattern(seed, from + i))
			fail_msg("byte %u of frame %u", from + i, seed);
	}
}

#endif
