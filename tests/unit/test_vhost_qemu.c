/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest of QEMU 7.2: its messages in the order in which QEMU sends them, at boot, at a stop, at a reset, and while it is moved.
 */
#include "test_vhost_dev_env.h"

/* --- what QEMU 7.2 says, in its order --------------------------------------------------------------------------------------------- */

#define QEMU_FEATURES                                                                                                      \
	(VHOST_FEATURES & ~(VHOST_BIT(VIRTIO_BIT_LOG_ALL) | VHOST_BIT(VIRTIO_BIT_STATUS) | VHOST_BIT(VIRTIO_BIT_CTRL_VQ) | \
			    VHOST_BIT(VIRTIO_BIT_CTRL_RX) | VHOST_BIT(VIRTIO_BIT_CTRL_VLAN) |                              \
			    VHOST_BIT(VIRTIO_BIT_CTRL_MAC_ADDR) | VHOST_BIT(VIRTIO_BIT_RING_RESET)))
#define LOG_ALL VHOST_BIT(VIRTIO_BIT_LOG_ALL)

/* A request whose answer is a number. */
static uint64_t asked(uint32_t request)
{
	struct vhost_msg m = {0};
	bool reply;

	assert_int_equal(say_m(&m, request, 0, -1, 0, &reply), 0);
	assert_true(reply);
	assert_int_equal(m.h.size, 8);
	return m.p.u64;
}

/* A message with NEED_REPLY is answered, and granted. */
static void told(uint32_t request, const void *payload, uint32_t size, int fd)
{
	struct vhost_msg m = {.h.flags = VHOST_FLAG_NEED_REPLY};
	bool reply;

	memcpy(&m.p, payload, size);
	assert_int_equal(say_m(&m, request, size, fd, fd >= 0, &reply), 0);
	assert_true(reply);
	assert_int_equal(m.h.size, 8);
	assert_int_equal(m.p.u64, 0);
}

/* The handshake of one queue pair, when nothing of the guest is there yet. */
static void qemu_meets(unsigned pair, uint64_t protocol)
{
	assert_int_equal(asked(VHOST_GET_FEATURES), VHOST_FEATURES);
	assert_int_equal(asked(VHOST_GET_PROTOCOL_FEATURES), VHOST_PROTOCOL_FEATURES);
	assert_int_equal(say_u64(VHOST_SET_PROTOCOL_FEATURES, protocol, -1), 0);
	assert_int_equal(asked(VHOST_GET_QUEUE_NUM), PAIRS);
	assert_true(asked(VHOST_GET_MAX_MEM_SLOTS) >= 1);
	if (pair == 0)
		assert_int_equal(say(VHOST_SET_OWNER, "", 0, -1), 0);
	assert_int_equal(asked(VHOST_GET_FEATURES), VHOST_FEATURES);
	for (unsigned i = 2 * pair; i < 2 * pair + 2; i++) {
		assert_int_equal(say_u64(VHOST_SET_VRING_CALL, i, event_fd), 0);
		assert_int_equal(say_u64(VHOST_SET_VRING_ERR, i, event_fd), 0);
	}
}

/* At every write of the status register by BIOS or driver. */
static void qemu_enables(unsigned pairs)
{
	for (unsigned i = 0; i < RINGS; i++)
		assert_int_equal(say_state(VHOST_SET_VRING_ENABLE, i, i < 2 * pairs), 0);
}

static void qemu_starts(unsigned pair, bool slots, bool memory, const uint32_t *base)
{
	struct vhost_mem_single one = {.region = guest.region[0]};
	struct vhost_mem_table table = {.n = 1, .region[0] = guest.region[0]};

	assert_int_equal(say_u64(VHOST_SET_FEATURES, QEMU_FEATURES, -1), 0);
	if (slots && memory)
		told(VHOST_ADD_MEM_REG, &one, sizeof(one), guest.memfd); /* by each pair, the same */
	else if (memory)
		told(VHOST_SET_MEM_TABLE, &table, 8 + sizeof(table.region[0]), guest.memfd);
	for (unsigned i = 2 * pair; i < 2 * pair + 2; i++) {
		assert_int_equal(say_state(VHOST_SET_VRING_NUM, i, 64), 0);
		assert_int_equal(say_state(VHOST_SET_VRING_BASE, i, base[i]), 0);
		assert_int_equal(say_addr(i), 0);
		assert_null(up[i]);
		assert_int_equal(say_u64(VHOST_SET_VRING_KICK, i, event_fd), 0);
		/* The second is not enabled: what it would be sent is given back. */
		assert_int_equal(up[i] && vhost_vq_enabled(up[i]), pair == 0);
		assert_int_equal(up[i] != NULL, pair == 0 || i % 2);
		assert_int_equal(say_u64(VHOST_SET_VRING_CALL, i, event_fd), 0);
	}
}

static void driver_clears_its_rings(uint32_t *base)
{
	for (unsigned i = 0; i < RINGS; i++) {
		guest_ring_init(&guest, &ring[i], 64, i * 0x4000, 0);
		base[i] = 0;
	}
}

static void guest_of_qemu_boots_stops_and_reboots(void **state)
{
	uint32_t base[RINGS];

	for (unsigned slots = 0; slots < 2; slots++) {
		uint64_t protocol = VHOST_PROTOCOL_FEATURES & ~(slots ? 0 : VHOST_BIT(VHOST_PROTO_CONFIGURE_MEM_SLOTS));

		driver_clears_its_rings(base);
		qemu_meets(0, protocol);
		qemu_meets(1, protocol);
		for (unsigned times = 0; times < 30; times++)
			qemu_enables(1);
		assert_int_equal(n_up, 0);
		/* Booted; stopped and continued by the monitor; reset; and with the second pair in use. */
		for (unsigned life = 0; life < 4; life++) {
			uint32_t seed = 100 * life;

			told(VHOST_NET_SET_MTU, &(uint64_t){9000}, 8, -1);
			for (unsigned pair = 0; pair < PAIRS; pair++)
				qemu_starts(pair, slots, !slots || life == 0, base);
			qemu_enables(life == 3 ? 2 : 1);
			for (unsigned pair = 0; pair < (life == 3 ? 2 : 1); pair++) {
				for (unsigned k = 0; k < 5; k++)
					pair_carries(pair, seed + k);
			}
			for (unsigned i = 0; i < RINGS; i++) {
				base[i] = get_base(i);
				assert_int_equal(base[i], ring[i].used->idx);
			}
			qemu_enables(1); /* at once again: a ring without a kick stays as it is */
			for (unsigned i = 0; i < RINGS; i++)
				assert_null(up[i]);
			assert_int_equal(base[0], life == 1 ? 10 : 5);
			if (life >= 1)
				driver_clears_its_rings(base);
		}
		teardown(state);
		setup(state);
	}
}

/* --- a migration begins, is cancelled, begins again ------------------------------------------------------------------------------- */

#define LOG_BYTES  0x9000u /* a bit for each page up to the end of the guest's memory */
#define LOG_OFFSET 4096u

static uint8_t *log_bits;

static bool logged(uint64_t at)
{
	uint64_t page = (GUEST_GPA + at) / VHOST_LOG_PAGE;

	return log_bits[LOG_OFFSET + page / 8] >> page % 8 & 1;
}

static unsigned logged_pages(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < LOG_OFFSET + LOG_BYTES; i++)
		n += (unsigned)__builtin_popcount(log_bits[i]);
	memset(log_bits, 0, LOG_OFFSET + LOG_BYTES);
	return n;
}

static void say_logged_addr(unsigned i, bool on)
{
	struct vhost_vring_addr a = {.index = i,
				     .flags = on ? VHOST_VRING_F_LOG : 0,
				     .desc = guest_uva(&guest, ring[i].at),
				     .avail = guest_uva(&guest, ring[i].avail_at),
				     .used = guest_uva(&guest, ring[i].used_at),
				     .log = on ? guest_gpa(&guest, ring[i].used_at) : 0};

	told(VHOST_SET_VRING_ADDR, &a, sizeof(a), -1);
}

static void qemu_logs(bool on)
{
	told(VHOST_SET_FEATURES, &(uint64_t){QEMU_FEATURES | (on ? LOG_ALL : 0)}, 8, -1);
	for (unsigned i = 0; i < 2; i++)
		say_logged_addr(i, on);
}

static void rings_run_on_and_are_logged_while_a_migration_begins_and_is_cancelled(void **state)
{
	struct vhost_msg m = {.p.log = {.size = LOG_BYTES, .offset = LOG_OFFSET}};
	int log_fd = memfd_create("log", MFD_CLOEXEC);
	uint32_t base[RINGS], seed = 0;
	uint64_t at;
	bool reply;

	assert_int_equal(ftruncate(log_fd, LOG_OFFSET + LOG_BYTES), 0);
	log_bits = mmap(NULL, LOG_OFFSET + LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, log_fd, 0);
	assert_true(log_bits != MAP_FAILED);
	driver_clears_its_rings(base);
	qemu_meets(0, VHOST_PROTOCOL_FEATURES);
	qemu_enables(1);
	qemu_starts(0, true, true, base);
	pair_carries(0, seed++);

	assert_int_equal(say_m(&m, VHOST_SET_LOG_BASE, sizeof(m.p.log), log_fd, 1, &reply), 0);
	assert_true(reply); /* awaited without having been asked for */
	assert_int_equal(m.h.size, 0);
	pair_carries(0, seed++);
	assert_int_equal(logged_pages(), 0);

	for (unsigned turn = 0; turn < 3; turn++) {
		guest_sends_by(1, seed); /* frames are under way meanwhile */
		qemu_logs(true);
		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(up[i]->next, ring[i].used->idx);
		switch_receives_by(1, seed++);
		assert_true(logged(ring[1].used_at));
		at = switch_sends_by(0, seed++);
		assert_true(logged(ring[0].used_at) && logged(at));
		assert_int_equal(logged_pages(), 3);

		guest_sends_by(1, seed);
		qemu_logs(false);
		switch_receives_by(1, seed++);
		logged_pages(); /* its addresses were told after its features: so far it was logged */
		pair_carries(0, seed++);
		assert_int_equal(logged_pages(), 0);
	}
	qemu_logs(true);
	assert_int_equal(get_base(0), ring[0].used->idx);
	assert_int_equal(get_base(1), ring[1].used->idx);
	munmap(log_bits, LOG_OFFSET + LOG_BYTES);
	close(log_fd);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(guest_of_qemu_boots_stops_and_reboots),
		CASE(rings_run_on_and_are_logged_while_a_migration_begins_and_is_cancelled),
	};

	return cmocka_run_group_tests_name("vhost_qemu", tests, env_setup, env_teardown);
}
