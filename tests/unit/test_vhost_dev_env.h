/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_VHOST_DEV_ENV_H
#define TEST_VHOST_DEV_ENV_H

/* A device that is told things, without a socket, and a guest whose frames pass through the rings that run because of it. */

#include "bell.h"
#include "test_vhost_env.h"

#define PAIRS 2
#define RINGS (2 * PAIRS)

static struct guest guest;
static struct guest_ring ring[RINGS];
static struct vhost_dev dev;
static struct vhost_vq *up[RINGS];
static unsigned n_up, n_down, n_quiet, n_announced;
static void (*on_quiet)(void); /* what a worker does until it is in none of the old vqs any more */
static int event_fd, alarm_fd, fds_before;

static inline void ring_up(void *arg, unsigned i, struct vhost_vq *vq)
{
	assert_true(i < RINGS && !up[i]);
	up[i] = vq;
	n_up++;
}

static inline void ring_down(void *arg, unsigned i)
{
	assert_true(i < RINGS && up[i]);
	up[i] = NULL;
	n_down++;
}

static inline bool ring_swap(void *arg, unsigned i, struct vhost_vq *vq)
{
	assert_true(i < RINGS && i % 2 == 0 && up[i]);
	__atomic_store_n(&up[i], vq, __ATOMIC_RELEASE);
	n_up++;
	n_down++;
	return true;
}

static inline void quiesce(void *arg)
{
	n_quiet++;
	if (on_quiet)
		on_quiet();
}

static inline void changed(void *arg)
{
}

static inline void announce(void *arg, const uint8_t mac[6])
{
	assert_memory_equal(mac, "\x02\0\0\0\0\x01", 6);
	n_announced++;
}

static inline bool mtu(void *arg, uint16_t bytes)
{
	return bytes <= 9000;
}

static const struct vhost_ops ops = {ring_up, ring_down, quiesce, ring_swap, changed, announce, mtu};

static inline int setup(void **state)
{
	memset(up, 0, sizeof(up));
	n_up = n_down = n_quiet = n_announced = 0;
	guest_init(&guest, 1 << 20);
	for (unsigned i = 0; i < RINGS; i++)
		guest_ring_init(&guest, &ring[i], 64, i * 0x4000, (uint16_t)(100 * i));
	event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	alarm_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	bell_ring(event_fd); /* the first ring of a thread opens what later ones need */
	fds_before = (int)count_fds();
	return vhost_dev_init(&dev, &ops, NULL, PAIRS, alarm_fd);
}

static inline int teardown(void **state)
{
	vhost_dev_fini(&dev);
	assert_int_equal(n_up, n_down);
	assert_int_equal(count_fds(), fds_before);
	close(event_fd);
	close(alarm_fd);
	guest_fini(&guest);
	return 0;
}

/* A message with `n` descriptors like `fd`. A fault + 1, or 0; the answer, if any, in *m. */
static inline int say_m(struct vhost_msg *m, uint32_t request, uint32_t size, int fd, unsigned n, bool *reply)
{
	int fds[VHOST_TABLE_REGIONS], ret;

	m->h = (struct vhost_header){request, m->h.flags | VHOST_FLAG_VERSION, size};
	*reply = false;
	ret = vhost_dev_check(&dev, &m->h);
	if (ret)
		return ret;
	for (unsigned i = 0; i < n; i++)
		fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return vhost_dev_message(&dev, m, fds, n, reply);
}

static inline int say(uint32_t request, const void *payload, uint32_t size, int fd)
{
	struct vhost_msg m = {0};
	bool reply;

	memcpy(&m.p, payload, size);
	return say_m(&m, request, size, fd, fd >= 0, &reply);
}

static inline int say_u64(uint32_t request, uint64_t v, int fd)
{
	return say(request, &v, sizeof(v), fd);
}

static inline int say_state(uint32_t request, uint32_t index, uint32_t num)
{
	return say(request, &(struct vhost_vring_state){index, num}, 8, -1);
}

static inline int say_memory(void)
{
	struct vhost_mem_table t = {.n = 1, .region[0] = guest.region[0]};

	return say(VHOST_SET_MEM_TABLE, &t, 8 + sizeof(t.region[0]), guest.memfd);
}

static inline int say_addr(unsigned i)
{
	struct vhost_vring_addr a = {.index = i,
				     .desc = guest_uva(&guest, ring[i].at),
				     .avail = guest_uva(&guest, ring[i].avail_at),
				     .used = guest_uva(&guest, ring[i].used_at)};

	return say(VHOST_SET_VRING_ADDR, &a, sizeof(a), -1);
}

/* The pieces that a ring needs, by number. */
static inline int piece(unsigned which, unsigned i)
{
	switch (which) {
	case 0:
		return say_memory();
	case 1:
		return say_state(VHOST_SET_VRING_NUM, i, 64);
	case 2:
		return say_addr(i);
	case 3:
		return say_u64(VHOST_SET_VRING_KICK, i, event_fd);
	default:
		return say_state(VHOST_SET_VRING_ENABLE, i, 1);
	}
}

static inline uint32_t get_base(unsigned i)
{
	struct vhost_msg m = {.p.state.index = i};
	bool reply;

	assert_int_equal(say_m(&m, VHOST_GET_VRING_BASE, 8, -1, 0, &reply), 0);
	assert_true(reply);
	assert_int_equal(m.h.size, 8);
	assert_int_equal(m.p.state.index, i);
	return m.p.state.num;
}

static inline void start_ring(unsigned i)
{
	for (unsigned k = 0; k < 5; k++)
		assert_int_equal(piece(k, i), 0);
	assert_non_null(up[i]);
}

/* --- frames through the rings that run ---------------------------------------------------------------------------------------- */

#define BUFFERS 0x80000u /* where buffers begin, a page each */

static inline uint64_t dev_buffer(unsigned i, uint16_t slot)
{
	return BUFFERS + (i * 16ull + slot % 16) * VHOST_LOG_PAGE;
}

/* The guest transmits a frame by ring i, an odd one. */
static inline void guest_sends_by(unsigned i, uint32_t seed)
{
	uint16_t slot = ring[i].avail->idx % 64;
	uint64_t at = dev_buffer(i / 2, slot);

	memset(guest.mem + at, 0, VIRTIO_HDR_LEN);
	for (uint32_t k = 0; k < 64; k++)
		guest.mem[at + VIRTIO_HDR_LEN + k] = pattern(seed, k);
	guest_desc(&ring[i], slot, at, VIRTIO_HDR_LEN + 64, 0, 0);
	guest_give(&ring[i], slot);
}

static inline struct vhost_queue queue_of(unsigned i)
{
	struct vhost_queue q = {.live = up[i], .wake_fd = -1};

	assert_non_null(up[i]);
	frame_source_init(&q.source, pool);
	return q;
}

static inline void switch_receives_by(unsigned i, uint32_t seed)
{
	struct vhost_queue q = queue_of(i);
	struct rte_mbuf *m = NULL;

	gate_reset(0);
	assert_int_equal(vhost_rx(&q, &m, 1, gate, NULL), 1);
	frame_expect(m, seed, 64);
	guest_take(&ring[i]);
}

/* The switch sends a frame by ring i, an even one, where the guest has offered a buffer. Returns its place. */
static inline uint64_t switch_sends_by(unsigned i, uint32_t seed)
{
	struct rte_mbuf *m = frame_new(seed, 64, UINT32_MAX);
	uint16_t slot = ring[i].avail->idx % 64;
	uint64_t at = dev_buffer(2 + i / 2, slot);
	struct vhost_queue q = queue_of(i);

	guest_desc(&ring[i], slot, at, 2048, VIRTQ_DESC_WRITE, 0);
	guest_give(&ring[i], slot);
	assert_int_equal(vhost_tx(&q, &m, 1), 1);
	assert_int_equal(guest_take(&ring[i]).len, VIRTIO_HDR_LEN + 64);
	for (uint32_t k = 0; k < 64; k++)
		assert_int_equal(guest.mem[at + VIRTIO_HDR_LEN + k], pattern(seed, k));
	return at;
}

static inline void pair_carries(unsigned pair, uint32_t seed)
{
	switch_sends_by(2 * pair, seed);
	guest_sends_by(2 * pair + 1, seed);
	switch_receives_by(2 * pair + 1, seed);
}

#endif
